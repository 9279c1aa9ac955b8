"""Handlers for family payers: the patient requests a consent, the payer agrees, and either can end it."""

from typing import Literal

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec.structs import replace

from backend.city.person import InvalidIdNumber
from backend.city.service import City
from backend.i18n import Text
from backend.problems import InvalidRequest, NotFound
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.medical_credit.api.schemas import (
    FamilyConsentDetails,
    FamilyConsents,
    FamilyPayerRequest,
    VisitList,
    visit_summary,
)
from backend.services.medical_credit.eligibility import find_person, own_enrolment, terms_of
from backend.services.medical_credit.model.enrolment import FamilyConsent, family_consent_id
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.problems import NotEnrolled, TooManyFamilyPayers
from backend.services.medical_credit.model.visit import Visit
from backend.store import Duplicate

MAX_CONSENTS = 100


@post("/v1/me/family", guards=[citizen], status_code=202, problems=(NotEnrolled, TooManyFamilyPayers, InvalidIdNumber))
async def request_family_payer(
    data: JSONBody[FamilyPayerRequest], request: CitizenRequest, city: NamedDependency[City]
) -> None:
    """Ask a family member to pay for the caller. The response does not disclose whether the city knows the person."""
    now = city.now()
    patient = (await own_enrolment(city, citizen_id(request))).id
    payer = await find_person(city, data.id_number)
    live = await city.store.count(FamilyConsent, {"patient": patient, "live": True})
    maximum = terms_of(city, now)("family_at_most")
    if live >= maximum:
        raise TooManyFamilyPayers(
            Text(
                zh=f"代付家属已达上限（{maximum}位），请先解除一位。",
                en=f"You have reached the maximum number of family payers ({maximum}); please remove one first.",
            )
        )
    if payer == patient:
        raise InvalidRequest(Text(zh="不能将本人设为代付家属。", en="You cannot be your own family payer."))
    if payer is None:
        return
    consent = FamilyConsent(
        id=family_consent_id(patient, payer), patient=patient, payer=payer, relation=data.relation, requested_at=now
    )
    try:
        await city.store.insert(consent)
    except Duplicate:
        known = await city.store.get(FamilyConsent, consent.id)
        if known is not None and not known.live:
            await city.store.replace(replace(consent, revision=known.revision))


@get("/v1/me/family", guards=[citizen])
async def list_family_consents(request: CitizenRequest, city: NamedDependency[City]) -> FamilyConsents:
    """List the family payers of the caller, and the patients for whom the caller pays or is asked to pay."""
    person = citizen_id(request)
    payers = await city.store.find(FamilyConsent, {"patient": person, "live": True}, limit=MAX_CONSENTS)
    patients = await city.store.find(FamilyConsent, {"payer": person, "live": True}, limit=MAX_CONSENTS)
    return FamilyConsents(
        [_details(one, "patient") for one in payers.documents] + [_details(one, "payer") for one in patients.documents]
    )


@put("/v1/me/family/{consent_id:str}/agreement", guards=[citizen])
async def agree_to_pay(
    request: CitizenRequest, city: NamedDependency[City], consent_id: FromPath[str]
) -> FamilyConsents:
    """Agree to pay for the patient who requested it."""
    consent = await _own_consent(city, request, consent_id)
    if consent.payer != citizen_id(request):
        raise _not_found()
    if consent.agreed_at is None:
        consent = await city.store.replace(replace(consent, agreed_at=city.now()))
    return FamilyConsents([_details(consent, "payer")])


@delete("/v1/me/family/{consent_id:str}", guards=[citizen])
async def end_family_consent(request: CitizenRequest, city: NamedDependency[City], consent_id: FromPath[str]) -> None:
    """End a consent, as patient or payer; payments already made are not affected."""
    consent = await _own_consent(city, request, consent_id)
    await city.store.replace(replace(consent, live=False))


@get("/v1/me/family-bills", guards=[citizen])
async def list_family_bills(request: CitizenRequest, city: NamedDependency[City]) -> VisitList:
    """List the unpaid visits of the patients for whom the caller agreed to pay."""
    patients = await city.store.find(FamilyConsent, {"payer": citizen_id(request), "live": True}, limit=MAX_CONSENTS)
    visits: list[Visit] = []
    for consent in patients.documents:
        if consent.agreed_at is not None:
            page = await city.store.find(Visit, {"person": consent.patient, "owing": True}, limit=MAX_CONSENTS)
            visits.extend(page.documents)
    hospitals = await city.store.get_many(Hospital, sorted({visit.hospital for visit in visits}))
    return VisitList([visit_summary(visit, hospitals.get(visit.hospital)) for visit in visits], None)


async def _own_consent(city: City, request: CitizenRequest, consent_id: str) -> FamilyConsent:
    consent = await city.store.get(FamilyConsent, consent_id)
    if consent is None or not consent.live or citizen_id(request) not in (consent.patient, consent.payer):
        raise _not_found()
    return consent


def _not_found() -> NotFound:
    return NotFound(Text(zh="没有找到该代付绑定。", en="This family consent was not found."))


def _details(consent: FamilyConsent, role: Literal["patient", "payer"]) -> FamilyConsentDetails:
    return FamilyConsentDetails(consent.id, role, consent.relation, consent.requested_at, consent.agreed_at)
