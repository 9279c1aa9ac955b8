"""A family member who pays: the patient asks, the member agrees, either may end it."""

from datetime import datetime
from typing import Annotated, Literal

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.city.person import InvalidIdNumber
from backend.city.service import City
from backend.i18n import Text
from backend.problems import InvalidRequest, NotFound
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.medical_credit.api import own_enrolment
from backend.services.medical_credit.model.enrolment import FamilyConsent, Relation, family_consent_id
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.problems import FamilyFull, NoMedicalCredit
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.people import find_person, terms_of
from backend.services.medical_credit.shown import Visits, visit_in_list
from backend.store import Duplicate

MAX_CONSENTS = 100


class FamilyMember(Struct, forbid_unknown_fields=True):
    """Who shall pay for the caller: their spouse, child or parent with this resident ID number."""

    id_number: Annotated[str, Meta(min_length=15, max_length=20)]
    relation: Relation


class ConsentShown(Struct, frozen=True):
    """A consent, as one of its two sides sees it: the caller is the patient, or the payer."""

    id: str
    role: Literal["patient", "payer"]
    relation: Relation
    asked_at: datetime
    agreed_at: datetime | None


class Family(Struct, frozen=True):
    """Who pays for the caller, and for whom the caller pays or is asked to."""

    consents: list[ConsentShown]


@post("/v1/me/family", guards=[citizen], status_code=202, problems=(NoMedicalCredit, FamilyFull, InvalidIdNumber))
async def ask_family_member(data: JSONBody[FamilyMember], request: CitizenRequest, city: NamedDependency[City]) -> None:
    """Ask a family member to pay for the caller. The answer does not tell whether the city knows them."""
    now = city.now()
    patient = (await own_enrolment(city, request)).id
    payer = await find_person(city, data.id_number)
    live = await city.store.count(FamilyConsent, {"patient": patient, "live": True})
    if live >= terms_of(city, now)("family_at_most"):
        raise FamilyFull(Text(zh="绑定的家庭成员已达上限。", en="As many family members as may be are bound."))
    if payer == patient:
        raise InvalidRequest(Text(zh="不能绑定本人。", en="You cannot be your own family member."))
    if payer is None:
        return
    consent = FamilyConsent(
        id=family_consent_id(patient, payer), patient=patient, payer=payer, relation=data.relation, asked_at=now
    )
    try:
        await city.store.insert(consent)
    except Duplicate:
        known = await city.store.get(FamilyConsent, consent.id)
        if known is not None and not known.live:
            await city.store.replace(replace(consent, revision=known.revision))


@get("/v1/me/family", guards=[citizen])
async def list_family(request: CitizenRequest, city: NamedDependency[City]) -> Family:
    """List who pays for the caller, and for whom the caller pays or is asked to."""
    person = citizen_id(request)
    paid_by = await city.store.find(FamilyConsent, {"patient": person, "live": True}, limit=MAX_CONSENTS)
    pays = await city.store.find(FamilyConsent, {"payer": person, "live": True}, limit=MAX_CONSENTS)
    return Family(
        [_shown(one, "patient") for one in paid_by.documents] + [_shown(one, "payer") for one in pays.documents]
    )


@put("/v1/me/family/{consent_id:str}/agreement", guards=[citizen])
async def agree_to_pay(request: CitizenRequest, city: NamedDependency[City], consent_id: FromPath[str]) -> Family:
    """Agree to pay for whoever asked the caller to."""
    consent = await _own(city, request, consent_id)
    if consent.payer != citizen_id(request):
        raise _not_found()
    if consent.agreed_at is None:
        consent = await city.store.replace(replace(consent, agreed_at=city.now()))
    return Family([_shown(consent, "payer")])


@delete("/v1/me/family/{consent_id:str}", guards=[citizen])
async def end_family_consent(request: CitizenRequest, city: NamedDependency[City], consent_id: FromPath[str]) -> None:
    """End a consent, from either side; what was paid stays paid."""
    consent = await _own(city, request, consent_id)
    await city.store.replace(replace(consent, live=False))


@get("/v1/me/family-bills", guards=[citizen])
async def list_family_bills(request: CitizenRequest, city: NamedDependency[City]) -> Visits:
    """List what is owed by those for whom the caller agreed to pay."""
    pays = await city.store.find(FamilyConsent, {"payer": citizen_id(request), "live": True}, limit=MAX_CONSENTS)
    visits: list[Visit] = []
    for consent in pays.documents:
        if consent.agreed_at is not None:
            page = await city.store.find(Visit, {"person": consent.patient, "owing": True}, limit=MAX_CONSENTS)
            visits.extend(page.documents)
    hospitals = await city.store.get_many(Hospital, sorted({visit.hospital for visit in visits}))
    return Visits([visit_in_list(visit, hospitals.get(visit.hospital)) for visit in visits], None)


async def _own(city: City, request: CitizenRequest, consent_id: str) -> FamilyConsent:
    consent = await city.store.get(FamilyConsent, consent_id)
    if consent is None or not consent.live or citizen_id(request) not in (consent.patient, consent.payer):
        raise _not_found()
    return consent


def _not_found() -> NotFound:
    return NotFound(Text(zh="没有找到该绑定。", en="There is no such consent."))


def _shown(consent: FamilyConsent, role: Literal["patient", "payer"]) -> ConsentShown:
    return ConsentShown(consent.id, role, consent.relation, consent.asked_at, consent.agreed_at)
