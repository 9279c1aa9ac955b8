"""Handlers for citizens: enrol in pay later, see the limit and its reasons, see visits, pay bills, let family pay."""

from datetime import datetime
from typing import Any

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument, InvalidIdNumber
from backend.city.person import BirthDateMissing
from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable, answer_required
from backend.jobs.tasks import TaskReference
from backend.paylater.account import close_account, open_account
from backend.paylater.details import (
    FamilyConsents,
    FamilyPayerRequest,
    PaymentRequest,
    family_consent_details,
    limit_factors,
)
from backend.paylater.family import agree, consents_of, end_consent, family_bills, may_pay, request_consent
from backend.paylater.problems import (
    NotEnrolled,
    NothingToPay,
    OutstandingBalance,
    PaymentFailed,
    PaymentInProgress,
    TooManyFamilyPayers,
)
from backend.paylater.transfers import pay
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, citizen, citizen_id, person_present
from backend.services.medical_credit.api.schemas import (
    Consent,
    CreditLimit,
    MedicalCredit,
    VisitDetails,
    VisitList,
    visit_details,
    visit_summaries,
)
from backend.services.medical_credit.eligibility import (
    assess,
    fetch_credit_facts,
    find_person_id,
    limit_verdict,
    pay_later,
    refresh_enrolment,
    terms_of,
)
from backend.services.medical_credit.model.enrolment import (
    AGREEMENT,
    IGNORED_MESSAGES_SETTLE,
    Enrolment,
    FamilyPayer,
)
from backend.services.medical_credit.model.problems import NotEligible
from backend.services.medical_credit.model.visit import Purpose, Visit
from backend.services.medical_credit.saga import visit_saga
from backend.store import Order
from backend.store.time import to_ms
from backend.store.update import create_or_update
from backend.web.idempotency import IdempotencyKey, IdempotencyKeyReused, RequestInProgress, once

PURPOSES: tuple[Purpose, ...] = ("outpatient", "inpatient")
PAGE = 20
_process_ignored_messages = TaskReference("medical_credit.process_ignored_messages")


@get("/v1/me/medical-credit", guards=[citizen], problems=(NotEnrolled,))
async def show_medical_credit(request: CitizenRequest, city: NamedDependency[City]) -> MedicalCredit:
    """Show the caller's limits, the amounts used, held and available, the reasons, and what would raise them."""
    now = city.now()
    enrolment = await open_account(city, Enrolment, citizen_id(request))
    return await _credit(city, await refresh_enrolment(city, enrolment, now), now)


@post("/v1/me/medical-credit", guards=[person_present], problems=(NotEligible, UpstreamUnavailable, BirthDateMissing))
async def open_medical_credit(
    data: JSONBody[Consent], request: CitizenRequest, city: NamedDependency[City]
) -> MedicalCredit:
    """Enrol the caller in pay later with their explicit consent; repeated, it changes automatic debit."""
    now = city.now()
    if not data.i_agree or data.agreement != AGREEMENT:
        raise NotEligible(
            zh=f"请先阅读并同意{AGREEMENT}版协议。",
            en=f"Please read and agree to version {AGREEMENT} of the agreement.",
            agreement=AGREEMENT,
        )
    person = citizen_id(request)
    with answer_required(
        zh="暂时查不到信用信息，请1分钟后再试。",
        en="The credit registry does not answer; please try again in a minute.",
    ):
        facts = await fetch_credit_facts(city, person)
    signed: dict[str, Any] = {
        "agreement": data.agreement,
        "automatic_debit": data.automatic_debit,
        "facts": facts,
        "facts_at": now,
        "ignored_due_ms": to_ms(now + IGNORED_MESSAGES_SETTLE),
    }
    new = Enrolment(id=person, consented_at=now, **signed)

    def enrolled(known: Enrolment) -> Enrolment:
        consented_at = known.consented_at if known.closed_at is None else now
        return replace(known, consented_at=consented_at, closed_at=None, **signed)

    assessment = await assess(city, enrolled(await city.store.get(Enrolment, person) or new), None, now)
    if assessment.standing not in ("good", "exhausted"):
        raise NotEligible(assessment.verdict.because, rule=assessment.verdict.rule)
    enrolment = await create_or_update(city.store, new, enrolled)
    await _process_ignored_messages.enqueue(city.jobs, person)
    return await _credit(city, enrolment, now)


@delete("/v1/me/medical-credit", guards=[citizen], problems=(NotEnrolled, OutstandingBalance))
async def close_medical_credit(request: CitizenRequest, city: NamedDependency[City]) -> None:
    """End the caller's enrolment; they can enrol again. No bill may be unpaid and no visit in progress."""
    person = citizen_id(request)

    async def is_in_progress() -> bool:
        newest = Order("opened_ms", "descending")
        visits = await city.store.find(Visit, {"person": person}, order=newest, limit=100)
        return any(visit.stage() not in ("paid", "cancelled") for visit in visits.documents)

    await close_account(city, Enrolment, person, is_in_progress)


@get("/v1/me/visits", guards=[citizen])
async def list_visits(
    request: CitizenRequest, city: NamedDependency[City], cursor: FromQuery[str | None] = None
) -> VisitList:
    """List the caller's visits, newest first."""
    newest = Order("opened_ms", "descending")
    page = await city.store.find(Visit, {"person": citizen_id(request)}, order=newest, cursor=cursor, limit=PAGE)
    return VisitList(await visit_summaries(city, page.documents), page.cursor)


@get("/v1/me/visits/{visit_id:str}", guards=[citizen])
async def show_visit(request: CitizenRequest, city: NamedDependency[City], visit_id: FromPath[str]) -> VisitDetails:
    """Show a visit of the caller or of a patient for whom they pay: lines, shares of the fee with reasons, and bill."""
    return await visit_details(city, await _visible_visit(city, citizen_id(request), visit_id))


@post(
    "/v1/me/visits/{visit_id:str}/payments",
    guards=[citizen],
    problems=(NothingToPay, PaymentInProgress, PaymentFailed, IdempotencyKeyReused, RequestInProgress),
)
async def pay_bill(
    data: JSONBody[PaymentRequest],
    request: CitizenRequest,
    city: NamedDependency[City],
    visit_id: FromPath[str],
    idempotency_key: IdempotencyKey,
) -> VisitDetails:
    """Pay the bill of a visit once, however often the request is sent.

    The same Idempotency-Key gets the same response, including a payment that the bank declined. While the bank has not
    decided, the payment is `requested` in the response and no other payment can be made.
    """
    payer = citizen_id(request)
    visit = await _visible_visit(city, payer, visit_id)

    async def work() -> VisitDetails:
        paid = await pay(city, visit_saga, visit, payer, idempotency_key, data.amount_fen, data.scope)
        return await visit_details(city, paid)

    payload = ("pay", visit_id, data.amount_fen, data.scope)
    return await once(city.store, city.now(), payer, idempotency_key, payload, VisitDetails, work)


# ── family payers: the patient requests a consent, the payer agrees, and either can end it ──


@post("/v1/me/family", guards=[citizen], status_code=202, problems=(NotEnrolled, TooManyFamilyPayers, InvalidIdNumber))
async def request_family_payer(
    data: JSONBody[FamilyPayerRequest], request: CitizenRequest, city: NamedDependency[City]
) -> None:
    """Ask a family member to pay for the caller. The response does not disclose whether the city knows the person."""
    patient = (await open_account(city, Enrolment, citizen_id(request))).id
    payer = await find_person_id(city, IdentityDocument(data.id_number, data.document_kind))
    await request_consent(city, FamilyPayer, terms_of(city, city.now()), patient, payer, data.relation)


@get("/v1/me/family", guards=[citizen])
async def list_family_consents(request: CitizenRequest, city: NamedDependency[City]) -> FamilyConsents:
    """List the family payers of the caller, and the patients for whom the caller pays or is asked to pay."""
    person = citizen_id(request)
    payers = await consents_of(city, FamilyPayer, "patient", person)
    patients = await consents_of(city, FamilyPayer, "payer", person)
    found = [family_consent_details(one, "patient") for one in payers]
    return FamilyConsents(found + [family_consent_details(one, "payer") for one in patients])


@put("/v1/me/family/{consent_id:str}/agreement", guards=[person_present])
async def agree_to_pay(
    request: CitizenRequest, city: NamedDependency[City], consent_id: FromPath[str]
) -> FamilyConsents:
    """Agree to pay for the patient who requested it."""
    consent = await agree(city, FamilyPayer, consent_id, citizen_id(request))
    return FamilyConsents([family_consent_details(consent, "payer")])


@delete("/v1/me/family/{consent_id:str}", guards=[citizen])
async def end_family_consent(request: CitizenRequest, city: NamedDependency[City], consent_id: FromPath[str]) -> None:
    """End a consent, as patient or payer; payments already made are not affected."""
    await end_consent(city, FamilyPayer, consent_id, citizen_id(request))


@get("/v1/me/family-bills", guards=[citizen])
async def list_family_bills(request: CitizenRequest, city: NamedDependency[City]) -> VisitList:
    """List the unpaid visits of the patients for whom the caller agreed to pay."""
    visits = await family_bills(city, FamilyPayer, Visit, citizen_id(request))
    return VisitList(await visit_summaries(city, visits), None)


async def _visible_visit(city: City, person: str, visit_id: str) -> Visit:
    """Return a visit of the person, or of a patient for whom they agreed to pay. Raises NotFound for any other."""
    visit = await city.store.get(Visit, visit_id)
    if visit is None or not await may_pay(city, FamilyPayer, person, visit.person):
        raise NotFound(zh="没有找到该就诊记录。", en="This visit was not found.")
    return visit


async def _credit(city: City, enrolment: Enrolment, now: datetime) -> MedicalCredit:
    assessment = await assess(city, enrolment, None, now)
    verdict = assessment.verdict
    return MedicalCredit(
        standing=assessment.standing,
        because=verdict.because,
        remedy=verdict.remedy,
        changes_at=verdict.changes_at,
        limits=[_limit(city, enrolment, purpose, now) for purpose in PURPOSES],
        agreement=enrolment.agreement,
        consented_at=enrolment.consented_at,
        automatic_debit=enrolment.automatic_debit,
        rulebook=verdict.rulebook,
    )


def _limit(city: City, enrolment: Enrolment, purpose: Purpose, now: datetime) -> CreditLimit:
    line = pay_later.credit_line(city, enrolment, purpose, now)
    return CreditLimit(
        purpose=purpose,
        limit_fen=line.limit_fen,
        used_fen=line.used_fen(),
        held_fen=line.held_fen(now),
        available_fen=line.available_fen(now),
        over_limit_fen=line.over_limit_fen(now),
        factors=limit_factors(city, limit_verdict(city, enrolment, purpose, now)),
    )
