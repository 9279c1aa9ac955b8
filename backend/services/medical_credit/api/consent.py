"""Handlers for citizens: choose the hospitals that may use their pay later, and show a desk token to another one."""

from typing import cast

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec.structs import replace

from backend.city.service import City
from backend.i18n import Text
from backend.jobs.tasks import TaskReference
from backend.paylater.account import open_account
from backend.paylater.problems import NotEnrolled
from backend.problems import FieldError, InvalidRequest
from backend.security.identity import Access, CitizenRequest, citizen, citizen_id, person_present
from backend.security.rate_limits import Budget, Charge
from backend.services.medical_credit.api.consent_schemas import (
    HospitalChoice,
    HospitalConsent,
    HospitalConsents,
    IssuedDeskToken,
)
from backend.services.medical_credit.model.desk_token import LIFETIME, new_desk_token
from backend.services.medical_credit.model.enrolment import IGNORED_MESSAGES_SETTLE, Enrolment
from backend.services.medical_credit.model.hospital import Hospital
from backend.store import Duplicate, Order
from backend.store.paging import find_all
from backend.store.time import from_ms, to_ms
from backend.store.update import create_or_update

_process_ignored_messages = TaskReference("medical_credit.process_ignored_messages")
DESK_TOKENS = Budget("desk-tokens", 20, 3_600)


@get("/v1/me/medical-credit/hospitals", guards=[citizen], problems=(NotEnrolled,))
async def list_consents_to_hospitals(request: CitizenRequest, city: NamedDependency[City]) -> HospitalConsents:
    """List the hospitals of the city, and which of them may use the caller's pay later."""
    return await _consents(city, await open_account(city, Enrolment, citizen_id(request)))


@put("/v1/me/medical-credit/hospitals", guards=[person_present], problems=(NotEnrolled,))
async def choose_hospitals(
    data: JSONBody[HospitalChoice], request: CitizenRequest, city: NamedDependency[City]
) -> HospitalConsents:
    """Choose the hospitals that may use the caller's pay later; others then need a desk token.

    Visits that are open stay valid. Messages that were ignored because a hospital was not allowed are processed.
    """
    enrolment = await open_account(city, Enrolment, citizen_id(request))
    codes = None if data.all_hospitals else tuple(dict.fromkeys(data.hospitals))
    known = await city.store.get_many(Hospital, codes or ())
    errors = [
        FieldError(f"/hospitals/{place}", "There is no hospital with this code.", "没有该医院，请核对医院代码。")
        for place, code in enumerate(data.hospitals)
        if codes is not None and code not in known
    ]
    if errors:
        raise InvalidRequest(
            zh="有医院不存在，请重新选择。", en="A hospital does not exist; please choose again.", errors=tuple(errors)
        )
    now = city.now()

    def chosen(found: Enrolment) -> Enrolment:
        if found.hospitals == codes:
            return found
        due_ms = to_ms(now + IGNORED_MESSAGES_SETTLE)
        return replace(found, hospitals=codes, hospitals_at=now, ignored_due_ms=due_ms)

    enrolment = await create_or_update(city.store, enrolment, chosen)
    await _process_ignored_messages.enqueue(city.jobs, enrolment.id)
    return await _consents(city, enrolment)


@post("/v1/me/medical-credit/desk-tokens", guards=[person_present], problems=(NotEnrolled,))
async def issue_desk_token(request: CitizenRequest, city: NamedDependency[City]) -> IssuedDeskToken:
    """Issue a code that the caller shows at the desk of a hospital which they have not allowed to use pay later.

    It is valid for ten minutes, for one hospital and one visit.
    """
    person = (await open_account(city, Enrolment, citizen_id(request))).id
    access = cast("Access", request.app.state.access)
    await access.admission.spend(request.scope, [Charge(DESK_TOKENS, person)])
    while True:
        code, token = new_desk_token(city.encryption, person, city.now())
        try:
            await city.store.insert(token)
        except Duplicate:
            continue  # somebody shows the same code now
        minutes = int(LIFETIME.total_seconds()) // 60
        usage = Text(
            zh=f"请在窗口出示此码，{minutes}分钟内有效，仅限一家医院、一次就诊。请勿转告他人。",
            en=f"Show this code at the desk. It is valid for {minutes} minutes, for one hospital and one visit. "
            "Do not share it.",
        )
        return IssuedDeskToken(code, from_ms(token.expires_ms), usage)


async def _consents(city: City, enrolment: Enrolment) -> HospitalConsents:
    hospitals = [
        HospitalConsent(one.id, one.name, enrolment.allows(one.id))
        async for one in find_all(city.store, Hospital, {}, Order("since_ms"))
        if one.enabled
    ]
    return HospitalConsents(enrolment.hospitals is None, enrolment.hospitals_at, hospitals)
