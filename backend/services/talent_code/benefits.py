"""What citizens do with benefits: see what they may have, had and just miss; claim, leave the line, appeal, repay."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.talent_code.advancing import own_claims
from backend.services.talent_code.claiming import appeal, claim_benefit, give_up, repay
from backend.services.talent_code.facts import Fen
from backend.services.talent_code.looking_after import learn
from backend.services.talent_code.model.benefit import (
    Judgement,
    Miss,
    barrier,
    benefit_names,
    divide,
    judge,
    near_miss,
    terms_in,
    title_of,
)
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.problems import (
    ClaimedAlready,
    MoneyOwed,
    NoBankAccount,
    NotEntitled,
    NothingToAppeal,
    NothingToRepay,
    NotInLine,
    RepaymentFailed,
    RepaymentInFlight,
    UnknownBenefit,
)
from backend.services.talent_code.model.talent import Talent, benefit_facts
from backend.services.talent_code.partners import OwnEntitlement, entitlements_of
from backend.services.talent_code.shown import ClaimShown, claim_shown
from backend.web.idempotency import IdempotencyKey, IdempotencyKeyReused, RequestInProgress, once
from backend.web.uncached import NO_STORE, Uncached

SUPPOSED_FEN = 10**13
"""Before somebody states what they spent, they are shown what they may have for whatever it was."""


class OfferedPart(Struct, frozen=True):
    """A part of an amount, due after so many months of social insurance."""

    amount_fen: int
    insured_months: int


class Offer(Struct, frozen=True):
    """Money that the caller may claim now, with one tap.

    `amount_fen` is None where it depends on what was spent, which is stated with the claim: `at_most_fen` bounds it.
    """

    benefit: str
    title: Text
    rule: str
    because: Text
    amount_fen: int | None
    at_most_fen: int | None
    parts: list[OfferedPart]


class JustMissed(Struct, frozen=True):
    """What the caller would have but for one thing.

    `kind`: one reason stands against it; it belongs to the next class; it comes by itself at `from_at`; or the caller's
    own claims bar it, until `from_at` or for good.
    """

    benefit: str
    title: Text
    kind: Miss | Literal["own_claims"]
    because: Text
    remedy: Text | None
    from_at: datetime | None


class Benefits(Struct, frozen=True):
    """What the caller may have, has had, and just misses.

    `open` is money to claim, `services` what partners honour on sight of the code, `had` the claims, newest first.
    """

    open: list[Offer]
    services: list[OwnEntitlement]
    had: list[ClaimShown]
    just_missed: list[JustMissed]


class NewClaim(Struct, forbid_unknown_fields=True):
    """The benefit that is claimed, and what the caller states: homes owned in the city, and what was spent.

    Whoever says nothing of them states that there are none. A statement counts at once and may be audited later; what
    turns out false is claimed back.
    """

    benefit: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
    homes: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    spent_fen: Fen | None = None


class NewAppeal(Struct, forbid_unknown_fields=True):
    """Why the claw-back is wrong, in the caller's words."""

    text: Annotated[str, Meta(min_length=1, max_length=2_000)]


class NewRepayment(Struct, forbid_unknown_fields=True):
    """The amount that the caller saw to be owed."""

    amount_fen: Annotated[int, Meta(ge=1, le=10**13)]


@get("/v1/me/benefits", guards=[citizen], response_headers=NO_STORE)
async def list_benefits(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[Benefits]:
    """Show what the caller may have, has had, and just misses, and why.

    Homes are taken to be none until the caller states them with a claim.
    """
    person = citizen_id(request)
    talent = await learn(city, person)
    now = city.now()
    offers, misses = _money(city, talent, now)
    services = await entitlements_of(city, talent, now)
    had = [claim_shown(claim) for claim in await own_claims(city, person)]
    return Uncached(Benefits(offers, services, had, misses))


def _money(city: City, talent: Talent, now: datetime) -> tuple[list[Offer], list[JustMissed]]:
    """Give the money that a person may claim, and the benefits of any kind that they just miss."""
    offers: list[Offer] = []
    misses: list[JustMissed] = []
    terms_of_benefits = terms_in(city.rulebook)
    for benefit in benefit_names(city.rulebook):
        terms = terms_of_benefits(benefit, now)
        if terms is None:
            continue
        stated = {"spent_fen": SUPPOSED_FEN} if terms.base is not None and terms.base.of == "spent_fen" else {}
        facts, title = benefit_facts(talent, stated, now), title_of(city.rulebook, benefit)
        judged = judge(city.rulebook, benefit, facts, now)
        assert judged is not None, "its terms are in force"
        barred = barrier(talent, benefit, terms_of_benefits, now) if judged.is_given else None
        if not judged.is_given:
            missed = near_miss(city.rulebook, judged, facts, now)
            if missed is not None:
                misses.append(JustMissed(benefit, title, missed.kind, missed.because, missed.remedy, missed.from_at))
        elif barred is not None and not barred.over:
            misses.append(JustMissed(benefit, title, "own_claims", barred.because, None, barred.ends_at))
        elif barred is None and terms.gives == "money":
            offers.append(_offer(judged, title))
    return offers, misses


def _offer(judged: Judgement, title: Text) -> Offer:
    verdict, terms = judged.verdict, judged.terms
    if terms.base is not None and terms.base.of == "spent_fen":
        at_most_fen = judged.amount_fen if terms.amount == "up_to" else None
        return Offer(judged.benefit, title, verdict.rule, verdict.because, None, at_most_fen, [])
    parts = [OfferedPart(fen, one.insured_months) for one, fen in divide(judged.amount_fen, terms.instalments)]
    return Offer(judged.benefit, title, verdict.rule, verdict.because, judged.amount_fen, None, parts)


@post(
    "/v1/me/claims",
    guards=[citizen],
    problems=(
        UnknownBenefit,
        NotEntitled,
        ClaimedAlready,
        NoBankAccount,
        MoneyOwed,
        UpstreamUnavailable,
        IdempotencyKeyReused,
        RequestInProgress,
    ),
)
async def make_claim(
    data: JSONBody[NewClaim], request: CitizenRequest, city: NamedDependency[City], idempotency_key: IdempotencyKey
) -> ClaimShown:
    """Claim a benefit: it is matched, its budget reserved, and the money paid, within seconds and without papers.

    The same Idempotency-Key gives the same answer. Where the budget does not suffice the claim is `waiting` in line,
    and is paid by itself as soon as it does; where the bank has not decided yet it is `paying`.
    """
    person = citizen_id(request)
    stated: Mapping[str, Any] = {
        name: value for name, value in (("homes", data.homes), ("spent_fen", data.spent_fen)) if value is not None
    }

    async def work() -> ClaimShown:
        claim = await claim_benefit(city, person, data.benefit, idempotency_key, stated)
        return claim_shown(claim)

    asked = ("claim", data.benefit, data.homes, data.spent_fen)
    return await once(city.store, city.now(), person, idempotency_key, asked, ClaimShown, work)


@get("/v1/me/claims/{claim_id:str}", guards=[citizen], response_headers=NO_STORE)
async def show_claim(
    request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]
) -> Uncached[ClaimShown]:
    """Show a claim of the caller: what was decided and why, its parts and receipts, and what is claimed back."""
    return Uncached(claim_shown(await _own(city, request, claim_id)))


@delete("/v1/me/claims/{claim_id:str}", guards=[citizen], status_code=200, problems=(NotInLine,))
async def leave_line(request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]) -> ClaimShown:
    """Give up a claim that waits for budget; others of the caller's are then free of it."""
    return claim_shown(await give_up(city, await _own(city, request, claim_id)))


@post("/v1/me/claims/{claim_id:str}/appeal", guards=[citizen], status_code=200, problems=(NothingToAppeal,))
async def appeal_against_clawback(
    data: JSONBody[NewAppeal], request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]
) -> ClaimShown:
    """Appeal against a claw-back or a reduction, within its time; nothing is collected or cut before it is decided."""
    claim = await appeal(city, await _own(city, request, claim_id), data.text)
    return claim_shown(claim)


@post(
    "/v1/me/claims/{claim_id:str}/repayments",
    guards=[citizen],
    problems=(NothingToRepay, RepaymentInFlight, RepaymentFailed, IdempotencyKeyReused, RequestInProgress),
)
async def repay_claim(
    data: JSONBody[NewRepayment],
    request: CitizenRequest,
    city: NamedDependency[City],
    claim_id: FromPath[str],
    idempotency_key: IdempotencyKey,
) -> ClaimShown:
    """Pay back what is owed of a claim, once however often the button is pressed."""
    claim = await _own(city, request, claim_id)

    async def work() -> ClaimShown:
        return claim_shown(await repay(city, claim, idempotency_key, data.amount_fen))

    asked = ("repay", claim_id, data.amount_fen)
    return await once(city.store, city.now(), claim.subject, idempotency_key, asked, ClaimShown, work)


async def _own(city: City, request: CitizenRequest, claim_id: str) -> Claim:
    """Give a claim of the caller. Raises NotFound for any other."""
    claim = await city.store.get(Claim, claim_id)
    if claim is None or claim.subject != citizen_id(request):
        raise NotFound(Text(zh="没有找到该申领。", en="There is no such claim."))
    return claim
