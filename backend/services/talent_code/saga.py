"""The saga of a claim: its due steps, one after the other, until none is left or an upstream does not answer.

`model.steps` decides which step is next. Each step here stores the claim before it calls the bank or a registry.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import BankAnswer, Notifications, UpstreamRejected, UpstreamTimeout
from backend.jobs.tasks import TaskReference
from backend.services.talent_code.audits import audit_claim
from backend.services.talent_code.budgets import current_budget_id, post_entry
from backend.services.talent_code.eligibility import (
    insured_months,
    talent_terms,
    time_zone_of,
    update_talent,
    with_timeout,
)
from backend.services.talent_code.model.benefit import claim_restriction, restriction_reason, terms_lookup
from backend.services.talent_code.model.budget import BudgetExhausted, StaleEntry
from backend.services.talent_code.model.claim import Claim, Collection, prepare_entry, reissue_entry
from backend.services.talent_code.model.notifications import claim_message
from backend.services.talent_code.model.problems import AlreadyClaimed
from backend.services.talent_code.model.steps import (
    Step,
    apply_collection_answer,
    apply_payout_answer,
    cancel_remaining,
    is_cancellable,
    join_waitlist,
    next_collection_id,
    next_payable,
    next_step,
    record_entry,
    reduce_open_instalments,
    request_collection,
    request_payout,
    reschedule,
    reserve,
)
from backend.services.talent_code.model.talent import PastClaim, Talent
from backend.services.talent_code.ports import PayoutBank
from backend.store import Conflict, Order
from backend.store.update import update_document

MAX_CLAIMS = 1_000
MAX_STEPS = 60
MAX_ATTEMPTS = 20

serve_waitlist = TaskReference("talent_code.serve_waitlist")

_log = logging.getLogger("chengma.talent_code")


async def claims_of(city: City, person: str) -> list[Claim]:
    """Return the claims of a person, the newest first."""
    newest = Order("claimed_ms", "descending")
    return (await city.store.find(Claim, {"subject": person}, order=newest, limit=MAX_CLAIMS)).documents


async def advance_claim(city: City, claim_id: str) -> Claim | None:
    """Carry out the due steps of a claim and return it, or None for an unknown id.

    An upstream that does not answer is queried again later; the claim stores when. Raises AlreadyClaimed if another
    claim of the person excludes this one, which is then deleted. Raises Conflict after too many concurrent changes.
    """
    conflicts = 0
    claim = await city.store.get(Claim, claim_id)
    for _ in range(MAX_STEPS):
        if claim is None:
            return None
        now = city.now()
        step = await _next_step(city, claim, now)
        try:
            if step is None:
                rescheduled = reschedule(claim, now, talent_terms(city, now))
                return claim if rescheduled is claim else await city.store.replace(rescheduled)
            claim = await _STEPS[step](city, claim, now)
        except (Conflict, StaleEntry):
            conflicts += 1
            if conflicts > MAX_ATTEMPTS:
                raise Conflict(Claim.collection, claim_id, claim.revision) from None
            await asyncio.sleep(random.uniform(0, 0.002 * conflicts))  # noqa: S311  spreads the writers, guards nothing
            claim = await city.store.get(Claim, claim_id)
        except (UpstreamTimeout, UpstreamRejected) as error:
            _log.warning("%s of claim %s is retried later: %s", step, claim_id, error)
            return await _postpone(city, claim_id)
    return claim


async def _next_step(city: City, claim: Claim, now: datetime) -> Step | None:
    withdrawn = False
    if is_cancellable(claim):
        talent = await city.store.get(Talent, claim.subject)
        withdrawn = talent is not None and talent.lost_class_since(claim.claimed_at)
    return next_step(claim, now, talent_terms(city, now), withdrawn=withdrawn)


async def _postpone(city: City, claim_id: str) -> Claim | None:
    """Count a failed step; it is retried later, each time after twice the interval."""

    def failed(claim: Claim, _now: datetime) -> Claim:
        return replace(claim, failures=claim.failures + 1)

    return await update_claim(city, claim_id, failed)


async def update_claim(city: City, claim_id: str, change: Callable[[Claim, datetime], Claim]) -> Claim | None:
    """Change the stored claim; `change` returns the same object if there is nothing to change.

    Returns None for an unknown id. Raises Conflict after too many concurrent changes, and whatever `change` raises.
    """

    def changed(claim: Claim) -> Claim:
        now = city.now()
        after = change(claim, now)
        return claim if after is claim else reschedule(after, now, talent_terms(city, now))

    return await update_document(city.store, lambda: city.store.get(Claim, claim_id), changed)


async def save_claim(city: City, claim: Claim, now: datetime) -> Claim:
    """Store a claim with the instant at which a sweep resumes it. Raises Conflict."""
    return await city.store.replace(reschedule(claim, now, talent_terms(city, now)))


# ── the person's claims ──


async def _register(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Add the claim to the person's past claims unless these exclude it: this decides between concurrent claims."""
    terms_of = terms_lookup(city.rulebook)

    def register(talent: Talent, _now: datetime) -> Talent:
        if any(past.claim == claim.id for past in talent.past_claims):
            return talent
        restriction = claim_restriction(talent, claim.benefit, terms_of, claim.claimed_at)
        if restriction is not None:
            raise AlreadyClaimed(restriction_reason(city.rulebook, restriction), ends_at=restriction.ends_at)
        return replace(talent, past_claims=(*talent.past_claims, PastClaim(claim.id, claim.benefit, claim.claimed_at)))

    try:
        await update_talent(city, claim.subject, register)
    except AlreadyClaimed:
        await city.store.delete(claim)
        raise
    return await _reserve(city, replace(claim, state="claimed"), now)


async def _unblock(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Stop a failed or withdrawn claim from blocking others."""

    def unblock(talent: Talent, _now: datetime) -> Talent:
        left = tuple(past for past in talent.past_claims if past.claim != claim.id)
        return talent if len(left) == len(talent.past_claims) else replace(talent, past_claims=left)

    await update_talent(city, claim.subject, unblock)
    return await save_claim(city, replace(claim, unblocked=True), now)


# ── the budget ──


async def _reserve(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Prepare the reservation in this year's budget; a claim behind other waiting ones joins the end of the list."""
    budget = current_budget_id(city, claim.benefit)
    if claim.budget not in (None, budget):
        voiding = prepare_entry(claim, "void", 0, now)  # nothing may be reserved in last year's budget, however late
        return await save_claim(city, voiding, now)
    if terms_lookup(city.rulebook)(claim.benefit, now) is None:
        # the benefit is no longer available
        return await save_claim(city, cancel_remaining(claim, now, "cancelled"), now)
    ahead = await city.store.find(Claim, {"waitlist": claim.benefit}, order=Order("claimed_ms"), limit=1)
    if ahead.documents and ahead.documents[0].claimed_ms <= claim.claimed_ms:
        return await save_claim(city, join_waitlist(claim, now), now)
    return await save_claim(city, reserve(claim, budget, now), now)


async def _post_entry(city: City, claim: Claim, now: datetime) -> Claim | None:
    entry, budget = claim.entry, claim.budget
    assert entry is not None, "there is an entry to apply"
    assert budget is not None, "an entry belongs to a budget"
    try:
        await post_entry(city, budget, entry)
    except BudgetExhausted:
        return await save_claim(city, join_waitlist(claim, now), now)
    except StaleEntry as stale:
        return await save_claim(city, reissue_entry(claim, stale.closed_until, now), now)
    claim = record_entry(claim, entry)
    if entry.kind in ("reserve", "pay"):
        pays = next_payable(claim, now) is not None and await _next_step(city, claim, now) is Step.PAY
        return await (_pay if pays else save_claim)(city, claim, now)
    claim = await save_claim(city, claim, now)
    await serve_waitlist.enqueue(city.jobs, claim.benefit)  # the budget has grown for those who wait
    return claim


# ── the bank ──


async def _pay(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Record the payout, request it, and record the answer; without an answer it is looked up later."""
    index = next_payable(claim, now)
    assert index is not None, "there is an instalment to pay"
    account = await _account_number(city, claim)
    requested = await save_claim(city, request_payout(claim, index, now), now)
    payout = requested.instalments[index].payout
    try:
        answer = await with_timeout(city.port(PayoutBank).pay_out(payout, account, claim.instalments[index].amount_fen))
    except UpstreamTimeout:
        return requested
    return await record_payout(city, claim.id, payout, answer)


async def _account_number(city: City, claim: Claim) -> str:
    talent = await city.store.get(Talent, claim.subject)
    assert talent is not None, "a claim is a talent's"
    assert talent.account is not None, "money is claimed with an account only"
    return city.encryption.decrypt(talent.account)


async def record_payout(city: City, claim_id: str, payout: str, answer: BankAnswer) -> Claim | None:
    """Record the bank's answer about a payout; it may arrive several times and in several ways."""

    def record(claim: Claim, now: datetime) -> Claim:
        return apply_payout_answer(claim, payout, answer, now, talent_terms(city, now))

    return await update_claim(city, claim_id, record)


async def record_collection(city: City, claim_id: str, collection: str, answer: BankAnswer) -> Claim | None:
    """Record the bank's answer about a collection; it may arrive several times and in several ways."""

    def record(claim: Claim, now: datetime) -> Claim:
        return apply_collection_answer(claim, collection, answer, now)

    return await update_claim(city, claim_id, record)


async def _look_up_payout(city: City, claim: Claim, _now: datetime) -> Claim | None:
    """Query the state of a payout; request it again under the same id if the bank never received it."""
    index = claim.pending_instalment()
    assert index is not None, "an instalment is with the bank"
    instalment, bank = claim.instalments[index], city.port(PayoutBank)
    answer = await with_timeout(bank.look_up(instalment.payout))
    if answer.outcome == "unknown":
        account = await _account_number(city, claim)
        answer = await with_timeout(bank.pay_out(instalment.payout, account, instalment.amount_fen))
    if answer.outcome == "pending":
        raise UpstreamTimeout("the bank has not decided yet")
    return await record_payout(city, claim.id, instalment.payout, answer)


async def _look_up_collection(city: City, claim: Claim, _now: datetime) -> Claim | None:
    collection = claim.clawback.pending_collection() if claim.clawback is not None else None
    assert collection is not None, "a collection is with the bank"
    bank = city.port(PayoutBank)
    answer = await with_timeout(bank.look_up(collection.id))
    if answer.outcome == "unknown":
        account = await _account_number(city, claim)
        answer = await with_timeout(bank.collect(collection.id, account, collection.amount_fen))
    if answer.outcome == "pending":
        raise UpstreamTimeout("the bank has not decided yet")
    return await record_collection(city, claim.id, collection.id, answer)


async def _collect(city: City, claim: Claim, now: datetime) -> Claim | None:
    assert claim.clawback is not None, "there is a claw-back"
    return await collect(city, claim, Collection(next_collection_id(claim), claim.clawback.owed_fen, now, "city"), now)


async def collect(city: City, claim: Claim, collection: Collection, now: datetime) -> Claim | None:
    """Record the collection, request it, and record the answer. Raises Conflict only before the request."""
    account = await _account_number(city, claim)
    requested = await save_claim(city, request_collection(claim, collection), now)
    try:
        answer = await with_timeout(city.port(PayoutBank).collect(collection.id, account, collection.amount_fen))
    except (UpstreamTimeout, UpstreamRejected):
        return requested  # its state is looked up later
    return await record_collection(city, claim.id, collection.id, answer)


# ── other steps ──


async def _cancel(city: City, claim: Claim, now: datetime) -> Claim | None:
    return await save_claim(city, cancel_remaining(claim, now, "cancelled"), now)


async def _reduce(city: City, claim: Claim, now: datetime) -> Claim | None:
    return await save_claim(city, reduce_open_instalments(claim, now), now)


async def _check_insurance(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Query the person's months of insurance; instalments that are due by them are paid next."""
    months = await insured_months(city, claim.subject)
    return await save_claim(city, replace(claim, insured_months=months, insurance_checked_at=now, failures=0), now)


async def _notify(city: City, claim: Claim, now: datetime) -> Claim | None:
    """Send the oldest notification; if interrupted, it is sent twice rather than never."""
    notification = next(one for one in claim.notifications if not one.sent)
    await with_timeout(
        city.port(Notifications).notify(claim.subject, claim_message(notification, claim, time_zone_of(city)))
    )
    notifications = tuple(replace(one, sent=True) if one is notification else one for one in claim.notifications)
    return await save_claim(city, replace(claim, notifications=notifications, failures=0), now)


_STEPS: dict[Step, Callable[[City, Claim, datetime], Awaitable[Claim | None]]] = {
    Step.REGISTER: _register,
    Step.POST_ENTRY: _post_entry,
    Step.RESERVE: _reserve,
    Step.LOOK_UP_PAYOUT: _look_up_payout,
    Step.LOOK_UP_COLLECTION: _look_up_collection,
    Step.CANCEL: _cancel,
    Step.PAY: _pay,
    Step.CHECK_INSURANCE: _check_insurance,
    Step.AUDIT: audit_claim,
    Step.REDUCE: _reduce,
    Step.COLLECT: _collect,
    Step.UNBLOCK: _unblock,
    Step.NOTIFY: _notify,
}
