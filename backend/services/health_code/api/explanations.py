"""Explain a citizen's colour: why, what they can do, and when it changes without any act."""

from litestar import get
from litestar.di import NamedDependency

from backend.city.explanations import TooManyExplanations, VerdictExplanation, explain_to_citizen
from backend.city.service import City
from backend.i18n import Text, preferred_language
from backend.rulebook import Verdict
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.health_code.code import STYLES
from backend.services.health_code.records import get_or_create_record
from backend.services.health_code.rule_modules import COLOUR
from backend.web.uncached import NO_STORE, Uncached


@get(
    "/v1/me/health-code/explanation",
    guards=[citizen],
    response_headers=NO_STORE,
    priority="decoration",
    problems=(TooManyExplanations,),
)
async def explain_colour(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[VerdictExplanation]:
    """Explain the caller's colour: the reason, the smallest way to a milder one, and when it changes by time alone."""
    record = await get_or_create_record(city, citizen_id(request), city.now())
    language = preferred_language(request.headers.get("accept-language", ""))
    return Uncached(await explain_to_citizen(city, COLOUR, record.facts, language, colour_in_words))


def colour_in_words(verdict: Verdict) -> Text:
    """Return a colour, and the reason for it, as a citizen reads it."""
    label = STYLES[verdict.result].label
    return Text(zh=f"{label.zh}（{verdict.because.zh}）", en=f"{label.en.lower()} code ({verdict.because.en})")
