"""Claims as people make them: claim with one tap, change the account, and pay back; and answers of the bank."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from backend.benefits.accounts import with_account
from backend.benefits.budgets import get_current_budget
from backend.benefits.claim import C, ClaimInstalment
from backend.benefits.offers import Judgement, split_into_instalments
from backend.benefits.ports import PayoutBank
from backend.benefits.problems import AlreadyClaimed, RepaymentFailed, RepaymentOutstanding
from backend.benefits.process import Step
from backend.benefits.reservations import register
from backend.benefits.saga import ClaimSaga
from backend.benefits.service import Benefits, P
from backend.benefits.terms import OfferTerms
from backend.benefits.transfers import apply_answer, request_repayment, send_transfer
from backend.city.service import City
from backend.city.upstream import verified_notice
from backend.i18n import yuan
from backend.jobs.saga import Request
from backend.store import Order
from backend.store.grouped_reads import read_together
from backend.store.time import to_ms

MAX_CLAIMS = 1_000


def claim_id(subject: str, key: str) -> str:
    """Return the id of the claim that a subject makes with an Idempotency-Key."""
    return hashlib.sha256(f"{subject}\n{key}".encode()).hexdigest()[:24]


async def claims_of(benefits: Benefits[C, P], city: City, subject: str) -> Sequence[C]:
    """Return the claims of a subject, the newest first."""
    newest = Order("claimed_ms", "descending")
    return (await city.store.find(benefits.claim, {"subject": subject}, order=newest, limit=MAX_CLAIMS)).documents


async def check_past_claims(benefits: Benefits[C, P], city: City, claimant: P, benefit: str, now: datetime) -> None:
    """Check that earlier claims permit another one. Raises AlreadyClaimed or RepaymentOutstanding."""
    if not claimant.past_claims:
        return
    benefits.offers(city).check_restrictions(claimant, benefit, now)
    owed_fen = sum(
        one.owed_fen
        for one in await claims_of(benefits, city, claimant.id)
        if one.clawback is not None and not one.clawback.has_open_appeal and now >= one.clawback.appeal_until
    )
    if owed_fen > 0:
        amount = yuan(owed_fen)
        raise RepaymentOutstanding(
            zh=f"您有{amount}元多发款项尚未退还，退还后可继续申领。",
            en=f"Pay back the {amount} yuan that you were paid in excess first; then you can claim again.",
            owed_fen=owed_fen,
        )


def new_claim(kind: type[C], claim_id: str, subject: str, judged: Judgement[OfferTerms], **own: Any) -> C:  # noqa: ANN401  the service's own fields
    """Create the claim that follows from a judgement, with fields of the service."""
    at, verdict = judged.verdict.at, judged.verdict
    instalments = split_into_instalments(judged.amount_fen, judged.terms.instalments)
    return kind(
        id=claim_id,
        subject=subject,
        subject_kind=judged.terms.subject,
        benefit=judged.benefit,
        title=judged.title,
        claimed_at=at,
        claimed_ms=to_ms(at),
        rule=verdict.rule,
        because=verdict.because,
        figure=verdict.result,
        amount_fen=judged.amount_fen,
        rulebook=verdict.rulebook,
        after_withdrawal=judged.terms.after_withdrawal,
        instalments=tuple(ClaimInstalment(fen, one.milestone) for one, fen in instalments if fen > 0),
        **own,
    )


async def submit_claim(saga: ClaimSaga[C, P], city: City, claim: C, claimant: P | None) -> C:
    """Carry out the due steps of a stored claim, and return it; `claimant` is its claimant, as read for a new one.

    Raises AlreadyClaimed.
    """
    first = replace(saga, steps={**saga.steps, Step.REGISTER: partial(register, saga.benefits, claimant=claimant)})
    changed = await first.run(city, claim)
    if changed is None:
        raise AlreadyClaimed(
            zh="您已申领该项政策，请勿重复申领。", en="You have already claimed this benefit.", ends_at=None
        )
    if changed.state == "waiting":
        benefit = changed.benefit
        budget = await read_together(
            city.store, (saga.benefits.budget, benefit), lambda: get_current_budget(saga.benefits, city, benefit)
        )
        if budget.covers(changed.amount_fen):
            await saga.benefits.serve_waitlist.enqueue(city.jobs, changed.benefit)
    return changed


async def update_accounts(saga: ClaimSaga[C, P], city: City, claimant: P) -> None:
    """Pay the claimant's claims to their present account, and retry failed payouts with it at once."""

    def change(claim: C, _now: datetime) -> C:
        instalments = tuple(replace(one, retry_at=None) if one.state == "open" else one for one in claim.instalments)
        return replace(with_account(city, claim, claimant), instalments=instalments)

    for claim in await claims_of(saga.benefits, city, claimant.id):
        if with_account(city, claim, claimant) is not claim:
            await saga.update(city, claim.id, change)
            await saga.task.enqueue(city.jobs, claim.id)


async def lose_entitlement(saga: ClaimSaga[C, P], city: City, claimant: P) -> None:
    """Cancel the open instalments of claims whose entitlement the claimant has lost, where their terms say so."""
    for claim in await claims_of(saga.benefits, city, claimant.id):
        stops = claim.after_withdrawal == "stop" and not claim.entitlement_lost
        if stops and saga.benefits.entitlement_lost(claimant, claim):
            changed = await saga.update(city, claim.id, lambda found, _now: replace(found, entitlement_lost=True))
            if changed is not None and changed.state != "draft":  # the process that makes a draft decides about it
                await saga.run(city, changed)


async def repay(saga: ClaimSaga[C, P], city: City, claim: C, key: str, amount_fen: int) -> C:
    """Pay back what is owed, once per key. Raises NothingToRepay, RepaymentInProgress or RepaymentFailed."""
    collection_id = f"{claim.id}/repayment/{claim_id(claim.subject, key)}"
    if claim.entry is not None:
        claim = await saga.advance(city, claim)
    prepare = partial(request_repayment, collection_id=collection_id, amount_fen=amount_fen)
    claim = await saga.advance(city, claim, Request(prepare, partial(send_transfer, saga.benefits)))
    if any(one.id == collection_id and one.state == "failed" for one in claim.collections):
        raise RepaymentFailed(
            zh="银行未能扣款，请核对收款账户余额后重试。",
            en="The bank could not debit your account; please check its balance and try again.",
        )
    return claim


async def receive_notice(saga: ClaimSaga[C, P], city: City, body: bytes, signature: str) -> None:
    """Record the bank's notice about a payout or collection; only the first answer has an effect.

    Raises NotAllowed if the bank did not sign it.
    """
    notice = verified_notice(city.port(PayoutBank), body, signature)

    def record(found: C, now: datetime) -> C:
        return apply_answer(found, notice.id, notice.answer, now, saga.terms(city, now))

    claim = notice.id.partition("/")[0]
    await saga.update(city, claim, record)
    await saga.task.enqueue(city.jobs, claim)
