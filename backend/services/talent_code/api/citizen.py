"""Routes for citizens: their class, evidence, bank account and talent code, and their benefits and claims."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from backend.benefits import audits, waitlist
from backend.benefits.claims import claims_of, repay
from backend.benefits.problems import (
    CLAIM_PROBLEMS,
    REPAYMENT_PROBLEMS,
    AlreadyClaimed,
    NothingToAppeal,
    NotOnWaitlist,
    UnknownBenefit,
)
from backend.benefits.schemas import AppealRequest, RepaymentRequest
from backend.city.bank_account import AccountEnding, BankAccountRequest, InvalidBankAccount, parse_card_number
from backend.city.bank_cards import CardRefused
from backend.city.person import BirthDateMissing
from backend.city.service import City
from backend.city.typed_text import compact
from backend.city.upstream import UpstreamUnavailable
from backend.codes.image import draw_png, draw_svg
from backend.codes.image_worker import ImageWorkerBusy, image_worker
from backend.codes.signed_code import CodeClaims, issue_code
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, citizen, citizen_id, person_present
from backend.services.talent_code.api.responses import (
    claim_details,
    offer_details,
    offers_and_near_misses,
    own_entitlements,
    questions_of_benefits,
    talent_details,
)
from backend.services.talent_code.api.schemas import (
    BenefitOverview,
    ClaimDetails,
    ClaimRequest,
    EvidenceRequest,
    OfferDetails,
    OfferRequest,
    TalentCode,
    TalentDetails,
)
from backend.services.talent_code.bank_card import register_card
from backend.services.talent_code.claims import check_answers, judge_benefit
from backend.services.talent_code.claims import claim_benefit as submit
from backend.services.talent_code.code import SIGN, make_claims
from backend.services.talent_code.model.benefit import offers_of
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.grants import reassess
from backend.services.talent_code.model.problems import DECLARATION_PROBLEMS, EvidenceOnRecord, NoTalentClass
from backend.services.talent_code.model.talent import Grant, Talent, add_evidence, remove_evidence
from backend.services.talent_code.review import refresh_talent, update_talent
from backend.services.talent_code.saga import benefits, claims, reviews
from backend.store.time import in_utc
from backend.web.idempotency import ONCE_PROBLEMS, IdempotencyKey, once
from backend.web.uncached import NO_STORE, UNCACHED_HEADERS, Uncached

T = TypeVar("T")

# ── the class ──


@get("/v1/me/talent", guards=[citizen], response_headers=NO_STORE, problems=(BirthDateMissing,))
async def show_talent(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[TalentDetails]:
    """Show the caller's class with its reason and end, their evidence, and the ways to the next class."""
    return Uncached(talent_details(city, await refresh_talent(city, citizen_id(request))))


@post(
    "/v1/me/talent/evidence",
    guards=[citizen],
    response_headers=NO_STORE,
    problems=(*DECLARATION_PROBLEMS, BirthDateMissing),
)
async def declare_evidence(
    data: JSONBody[EvidenceRequest], request: CitizenRequest, city: NamedDependency[City]
) -> Uncached[TalentDetails]:
    """Declare a prize, title, degree, post or a year's pay. The responsible registry is queried at once.

    It affects the class as soon as it is confirmed. If the registry does not answer, it is queried again later. No
    documents are requested.
    """
    declare = partial(add_evidence, qualification=in_utc(data.qualification))
    talent = await reviews.run(city, await update_talent(city, citizen_id(request), declare))
    assert talent is not None, "a talent is never deleted"
    return Uncached(talent_details(city, talent), 201)


@delete("/v1/me/talent/evidence/{evidence_id:str}", guards=[citizen], problems=(EvidenceOnRecord, BirthDateMissing))
async def withdraw_evidence(request: CitizenRequest, city: NamedDependency[City], evidence_id: FromPath[str]) -> None:
    """Withdraw declared evidence; what a registry has ever confirmed stays on record."""
    await update_talent(city, citizen_id(request), partial(remove_evidence, evidence=evidence_id))


@put("/v1/me/talent/account", guards=[person_present], problems=(InvalidBankAccount, CardRefused, BirthDateMissing))
async def set_bank_account(
    data: JSONBody[BankAccountRequest], request: CitizenRequest, city: NamedDependency[City]
) -> AccountEnding:
    """Register the caller's own bank card for payouts; failed payouts are retried with it as soon as it is usable.

    The bank compares the holder's name with the caller's, and each card can be registered by one person only. A card
    that replaces another one is usable some days later, or at once if its `phone` is given and the bank proves it.
    """
    number = parse_card_number(data.number)
    phone = None if data.phone is None else compact(data.phone)
    await register_card(city, citizen_id(request), number, phone)
    return AccountEnding(number[-4:])


# ── the talent code ──


@get("/v1/me/talent-code", guards=[citizen], response_headers=NO_STORE, problems=(NoTalentClass, BirthDateMissing))
async def show_talent_code(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[TalentCode]:
    """Show the caller's talent code: class, entitlements at partners, and a new QR payload."""
    talent = await update_talent(city, citizen_id(request), reassess)
    now = city.now()
    grant, claims = _new_code(city, talent, now)
    return Uncached(
        TalentCode(
            talent_class=grant.talent_class,
            because=grant.because,
            until=grant.until,
            entitlements=await own_entitlements(city, talent, now),
            payload=issue_code(city.keys, claims),
            issued_at=claims.issued_at,
            expires_at=claims.expires_at,
        )
    )


_problems = (ImageWorkerBusy, NoTalentClass, BirthDateMissing)
_get_image = partial(get, guards=[citizen], response_headers=NO_STORE, priority="decoration", problems=_problems)


@_get_image("/v1/me/talent-code/image.svg", media_type="image/svg+xml")
async def show_talent_svg(request: CitizenRequest, city: NamedDependency[City]) -> Response[str]:
    """Draw a new talent code as SVG, for an app that cannot draw QR codes."""
    return Response(await _draw(request, city, draw_svg), media_type="image/svg+xml", headers=UNCACHED_HEADERS)


@_get_image("/v1/me/talent-code/image.png", media_type="image/png")
async def show_talent_png(request: CitizenRequest, city: NamedDependency[City]) -> Response[bytes]:
    """Draw a new talent code as PNG, for an app that cannot draw QR codes."""
    return Response(await _draw(request, city, draw_png), media_type="image/png", headers=UNCACHED_HEADERS)


async def _draw(request: CitizenRequest, city: City, draw: Callable[..., T]) -> T:
    talent = await update_talent(city, citizen_id(request), reassess)
    payload = issue_code(city.keys, _new_code(city, talent, city.now())[1])
    return await image_worker.draw(lambda: draw(payload, SIGN))


def _new_code(city: City, talent: Talent, now: datetime) -> tuple[Grant, CodeClaims]:
    """Return the class, and the claims of a new code. Raises NoTalentClass."""
    grant = talent.grant(now)
    if grant is None:
        raise NoTalentClass(
            zh="您目前没有人才类别，请先在“人才码—我的申报”中填写已取得的学位、职称等信息。",
            en="You have no talent class now; declare your qualifications first.",
        )
    return grant, make_claims(talent.code_id, now, city.settings.code_seconds)


# ── benefits and claims ──


@get("/v1/me/benefits", guards=[citizen], response_headers=NO_STORE, problems=(BirthDateMissing,))
async def list_benefits(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[BenefitOverview]:
    """List the benefits that the caller can claim, has claimed and narrowly misses, with reasons.

    Until the caller states homes with a claim, none are assumed.
    """
    person = citizen_id(request)
    talent = await refresh_talent(city, person)
    now = city.now()
    available, near_misses = offers_and_near_misses(city, talent, now)
    services = await own_entitlements(city, talent, now)
    claimed = [claim_details(claim) for claim in await claims_of(benefits, city, person)]
    asking = questions_of_benefits(city, talent, now)
    return Uncached(BenefitOverview(available, services, claimed, near_misses, asking))


@post(
    "/v1/me/offers",
    guards=[citizen],
    status_code=200,
    response_headers=NO_STORE,
    problems=(UnknownBenefit, AlreadyClaimed, BirthDateMissing, UpstreamUnavailable),
)
async def show_offer(
    data: JSONBody[OfferRequest], request: CitizenRequest, city: NamedDependency[City]
) -> Uncached[OfferDetails]:
    """Show what the caller would get of a benefit by their answers to its questions. Nothing is stored or claimed."""
    now = city.now()
    talent = await refresh_talent(city, citizen_id(request))
    judged, _ = await judge_benefit(city, talent, data.benefit, {"homes": data.homes or 0}, data.facts, now)
    if judged.is_entitled:
        offers_of(city.rulebook).check_restrictions(talent, data.benefit, now)
    verdict = judged.verdict
    offer = offer_details(judged) if judged.is_entitled else None
    return Uncached(OfferDetails(offer, verdict.rule, verdict.because, verdict.remedy))


@post(
    "/v1/me/claims",
    guards=[person_present],
    problems=(*CLAIM_PROBLEMS, CardRefused, BirthDateMissing, UpstreamUnavailable, *ONCE_PROBLEMS),
)
async def claim_benefit(
    data: JSONBody[ClaimRequest], request: CitizenRequest, city: NamedDependency[City], idempotency_key: IdempotencyKey
) -> ClaimDetails:
    """Claim a benefit: it is judged, its budget reserved, and the money paid, within seconds and without documents.

    The same Idempotency-Key returns the same answer. If the budget is used up, the claim is `waiting` and is paid
    automatically when the budget grows. Until the bank has decided, it is `paying`.
    """
    person = citizen_id(request)
    stated = {"homes": data.homes or 0, "spent_fen": data.spent_fen or 0}

    async def work() -> ClaimDetails:
        return claim_details(await submit(city, person, data.benefit, idempotency_key, stated, data.facts))

    check_answers(city, data.benefit, data.facts)
    content = ("claim", data.benefit, data.homes, data.spent_fen, *sorted(data.facts.items()))
    return await once(city.store, city.now(), person, idempotency_key, content, ClaimDetails, work)


@get("/v1/me/claims/{claim_id:str}", guards=[citizen], response_headers=NO_STORE)
async def show_claim(
    request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]
) -> Uncached[ClaimDetails]:
    """Show a claim of the caller: the decision and its reason, instalments and receipts, and any claw-back."""
    return Uncached(claim_details(await _own_claim(city, request, claim_id)))


@delete("/v1/me/claims/{claim_id:str}", guards=[citizen], status_code=200, problems=(NotOnWaitlist,))
async def leave_waitlist(request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]) -> ClaimDetails:
    """Withdraw a claim from the waiting list; it no longer excludes other claims of the caller."""
    return claim_details(await claims.decide(city, await _own_claim(city, request, claim_id), waitlist.leave_waitlist))


@post("/v1/me/claims/{claim_id:str}/appeal", guards=[citizen], status_code=200, problems=(NothingToAppeal,))
async def appeal_against_clawback(
    data: JSONBody[AppealRequest], request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]
) -> ClaimDetails:
    """Appeal against a claw-back or a reduction before the deadline; it is suspended until the appeal is decided."""
    claim = await _own_claim(city, request, claim_id)
    return claim_details(await claims.decide(city, claim, partial(audits.file_appeal, text=data.text)))


@post("/v1/me/claims/{claim_id:str}/repayments", guards=[citizen], problems=(*REPAYMENT_PROBLEMS, *ONCE_PROBLEMS))
async def repay_claim(
    data: JSONBody[RepaymentRequest],
    request: CitizenRequest,
    city: NamedDependency[City],
    claim_id: FromPath[str],
    idempotency_key: IdempotencyKey,
) -> ClaimDetails:
    """Pay back what is owed of a claim, once per Idempotency-Key."""
    claim = await _own_claim(city, request, claim_id)

    async def work() -> ClaimDetails:
        return claim_details(await repay(claims, city, claim, idempotency_key, data.amount_fen))

    content = ("repay", claim_id, data.amount_fen)
    return await once(city.store, city.now(), claim.subject, idempotency_key, content, ClaimDetails, work)


async def _own_claim(city: City, request: CitizenRequest, claim_id: str) -> Claim:
    """Return a claim of the caller. Raises NotFound for any other."""
    claim = await city.store.get(Claim, claim_id)
    if claim is None or claim.subject != citizen_id(request):
        raise NotFound(zh="没有找到该申领，请刷新后重试。", en="There is no such claim; please refresh.")
    return claim
