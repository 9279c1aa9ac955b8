"""What citizens do with their medical credit: open it, see it and why, close it, look at their visits and bills."""

from datetime import datetime
from typing import Annotated

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.city.person import Profile
from backend.city.service import City
from backend.city.upstream import UpstreamTimeout, UpstreamUnavailable
from backend.i18n import Text
from backend.paylater.credit_account import CreditAccount
from backend.problems import NotFound
from backend.rulebook import Verdict
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.medical_credit.model.enrolment import (
    AGREEMENT,
    Enrolment,
    FamilyConsent,
    Purpose,
    Standing,
    account_id,
    family_consent_id,
)
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.problems import NoMedicalCredit, NotEligible, StillOwed
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.people import (
    ask_registry,
    fresh_enrolment,
    limit_verdict,
    open_account,
    stand_of,
)
from backend.services.medical_credit.shown import Visits, VisitShown, visit_in_list, visit_shown
from backend.store import Duplicate, Order

PURPOSES: tuple[Purpose, ...] = ("outpatient", "inpatient")
PAGE = 20


class Reason(Struct, frozen=True):
    """What raised or lowered a limit, by how much, and what would raise it further."""

    rule: str
    amount_fen: int
    because: Text
    would_raise: Text | None


class LimitShown(Struct, frozen=True):
    """A limit: what is used, what is held for visits that run, what is free; amounts beyond it are exceptions."""

    purpose: Purpose
    limit_fen: int
    used_fen: int
    held_fen: int
    free_fen: int
    over_limit_fen: int
    why: list[Reason]


class MedicalCredit(Struct, frozen=True):
    """The caller's medical credit: whether they may pay later now and why, and their limits."""

    standing: Standing
    because: Text
    remedy: Text | None
    changes_at: datetime | None
    limits: list[LimitShown]
    agreement: str
    consented_at: datetime
    automatic_debit: bool
    rulebook: str


class Consent(Struct, forbid_unknown_fields=True):
    """The caller's explicit consent to this edition of the agreement, and to automatic debit when a bill is due."""

    agreement: Annotated[str, Meta(max_length=20)]
    i_agree: bool
    automatic_debit: bool = False


@get("/v1/me/medical-credit", guards=[citizen], problems=(NoMedicalCredit,))
async def show_medical_credit(request: CitizenRequest, city: NamedDependency[City]) -> MedicalCredit:
    """Show the caller's limits, what is used, held and free, why, and what would raise them."""
    now = city.now()
    enrolment = await own_enrolment(city, request)
    return await _shown(city, await fresh_enrolment(city, enrolment, now), now)


@post("/v1/me/medical-credit", guards=[citizen], problems=(NotEligible, UpstreamUnavailable))
async def open_medical_credit(
    data: JSONBody[Consent], request: CitizenRequest, city: NamedDependency[City]
) -> MedicalCredit:
    """Open medical credit with the caller's explicit consent; asked again, it changes automatic debit."""
    now = city.now()
    if not data.i_agree or data.agreement != AGREEMENT:
        raise NotEligible(
            Text(zh=f"请阅读并同意{AGREEMENT}版协议。", en=f"Read and agree to edition {AGREEMENT} of the agreement."),
            agreement=AGREEMENT,
        )
    person = citizen_id(request)
    known = await city.store.get(Enrolment, person)
    profile = await city.store.get(Profile, person)
    assert profile is not None, "a citizen has a Profile"
    try:
        facts = await ask_registry(city, profile)
    except UpstreamTimeout as error:
        raise UpstreamUnavailable(
            Text(zh="信用信息暂不可用，请稍后再试。", en="The credit registry does not answer now; try again later."),
            headers={"Retry-After": "60"},
        ) from error
    enrolment = Enrolment(
        id=person,
        revision=known.revision if known is not None else 0,
        agreement=data.agreement,
        consented_at=known.consented_at if known is not None and known.closed_at is None else now,
        automatic_debit=data.automatic_debit,
        facts=facts,
        facts_at=now,
        breaches=known.breaches if known is not None else (),
        kept_at=known.kept_at if known is not None else None,
    )
    stand = await stand_of(city, enrolment, None, now)
    if stand.standing not in ("good", "exhausted"):
        raise NotEligible(stand.verdict.because, rule=stand.verdict.rule)
    try:
        stored = await (city.store.insert(enrolment) if known is None else city.store.replace(enrolment))
    except Duplicate:
        stored = await own_enrolment(city, request)
    return await _shown(city, stored, now)


@delete("/v1/me/medical-credit", guards=[citizen], problems=(NoMedicalCredit, StillOwed))
async def close_medical_credit(request: CitizenRequest, city: NamedDependency[City]) -> None:
    """Close medical credit; it can be opened again. Nothing may be owed, and no visit may run."""
    now = city.now()
    enrolment = await own_enrolment(city, request)
    closed = await city.store.replace(replace(enrolment, closed_at=now))
    # Closed first and looked at then, so that no visit that opens meanwhile is overlooked.
    newest = Order("opened_ms", "descending")
    visits = await city.store.find(Visit, {"person": enrolment.id}, order=newest, limit=100)
    runs = any(visit.stage() not in ("paid", "cancelled") for visit in visits.documents)
    accounts = await city.store.get_many(CreditAccount, [account_id(enrolment.id, purpose) for purpose in PURPOSES])
    owed = sum(
        account.used_fen() + account.held_fen(now) + account.over_limit_fen(now) for account in accounts.values()
    )
    if owed or runs:
        await city.store.replace(replace(closed, closed_at=None))
        raise StillOwed(
            Text(zh="尚有未结清的账单或进行中的就诊。", en="Something is still owed, or a visit is running."),
            owed_fen=owed,
        )


@get("/v1/me/visits", guards=[citizen])
async def list_visits(
    request: CitizenRequest, city: NamedDependency[City], cursor: FromQuery[str | None] = None
) -> Visits:
    """List the caller's visits, newest first."""
    newest = Order("opened_ms", "descending")
    page = await city.store.find(Visit, {"person": citizen_id(request)}, order=newest, cursor=cursor, limit=PAGE)
    hospitals = await city.store.get_many(Hospital, sorted({visit.hospital for visit in page.documents}))
    return Visits([visit_in_list(visit, hospitals.get(visit.hospital)) for visit in page.documents], page.cursor)


@get("/v1/me/visits/{visit_id:str}", guards=[citizen])
async def show_visit(request: CitizenRequest, city: NamedDependency[City], visit_id: FromPath[str]) -> VisitShown:
    """Show a visit of the caller, or of somebody for whom they pay: lines, how the fee was split and why, the bill."""
    visit = await visible_visit(city, request, visit_id)
    return visit_shown(visit, await city.store.get(Hospital, visit.hospital), city.now())


async def own_enrolment(city: City, request: CitizenRequest) -> Enrolment:
    """Give the caller's enrolment. Raises NoMedicalCredit."""
    enrolment = await city.store.get(Enrolment, citizen_id(request))
    if enrolment is None or enrolment.closed_at is not None:
        raise NoMedicalCredit(Text(zh="您尚未开通先看病后付费。", en="You have not opened medical credit."))
    return enrolment


async def visible_visit(city: City, request: CitizenRequest, visit_id: str) -> Visit:
    """Give a visit of the caller, or of somebody for whom they agreed to pay. Raises NotFound for any other."""
    visit = await city.store.get(Visit, visit_id)
    person = citizen_id(request)
    if visit is not None and visit.person != person:
        consent = await city.store.get(FamilyConsent, family_consent_id(visit.person, person))
        if consent is None or not consent.live or consent.agreed_at is None:
            visit = None
    if visit is None:
        raise NotFound(Text(zh="没有找到该就诊。", en="There is no such visit."))
    return visit


async def _shown(city: City, enrolment: Enrolment, now: datetime) -> MedicalCredit:
    stand = await stand_of(city, enrolment, None, now)
    return MedicalCredit(
        standing=stand.standing,
        because=stand.verdict.because,
        remedy=stand.verdict.remedy,
        changes_at=stand.verdict.changes_at,
        limits=[await _limit(city, enrolment, purpose, now) for purpose in PURPOSES],
        agreement=enrolment.agreement,
        consented_at=enrolment.consented_at,
        automatic_debit=enrolment.automatic_debit,
        rulebook=stand.verdict.rulebook,
    )


async def _limit(city: City, enrolment: Enrolment, purpose: Purpose, now: datetime) -> LimitShown:
    verdict = limit_verdict(city, enrolment, purpose, now)
    account = await open_account(city, enrolment, purpose, now)
    return LimitShown(
        purpose=purpose,
        limit_fen=verdict.result,
        used_fen=account.used_fen(),
        held_fen=account.held_fen(now),
        free_fen=account.free_fen(now),
        over_limit_fen=account.over_limit_fen(now),
        why=_reasons(city, verdict, now),
    )


def _reasons(city: City, verdict: Verdict, now: datetime) -> list[Reason]:
    """Give what each rule that fired added."""
    module, today = city.rulebook.modules[verdict.module], city.today()
    return [
        Reason(rule.id, module.number_of(rule.then, today), rule.because, rule.remedy)
        for rule in city.rulebook.in_force(verdict.module, now)
        if rule.id in verdict.fired
    ]
