"""Explain to citizens whether they may pay later, and how their limits come about."""

from typing import Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from backend.city.explanations import TooManyExplanations, VerdictExplanation, explain_to_citizen
from backend.city.service import City
from backend.i18n import preferred_language
from backend.paylater.account import open_account
from backend.paylater.problems import NotEnrolled
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.medical_credit.eligibility import refresh_enrolment, standing_facts
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.rule_modules import LIMIT, STANDING

Subject = Literal["standing", "outpatient", "inpatient"]


@get("/v1/me/medical-credit/explanation", guards=[citizen], problems=(NotEnrolled, TooManyExplanations))
async def explain_medical_credit(
    request: CitizenRequest, city: NamedDependency[City], about: FromQuery[Subject] = "standing"
) -> VerdictExplanation:
    """Explain whether the caller may pay later, or a limit: the reason, and the smallest way to a better one."""
    now = city.now()
    enrolment = await refresh_enrolment(city, await open_account(city, Enrolment, citizen_id(request)), now)
    language = preferred_language(request.headers.get("accept-language", ""))
    if about == "standing":
        return await explain_to_citizen(city, STANDING, await standing_facts(city, enrolment, None, now), language)
    return await explain_to_citizen(city, LIMIT[about], enrolment.facts, language)
