"""The next step of a claim, and the claim after each step; `saga` carries the steps out."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from msgspec.structs import replace

from backend.city.upstream import BankAnswer
from backend.services.talent_code.model.budget import Entry
from backend.services.talent_code.model.claim import (
    Audit,
    Claim,
    ClaimInstalment,
    Clawback,
    Collection,
    notify,
    prepare_entry,
    with_instalment,
)
from backend.services.talent_code.model.talent import Terms
from backend.store.time import to_ms

BANK_TIMEOUT = timedelta(seconds=20)
"""The bank is queried about a request that it has not answered by then."""

RETRY_INTERVAL = timedelta(days=1)
"""A failed payout or collection is retried a day later."""

MAX_BACKOFF = timedelta(hours=1)


class Step(StrEnum):
    """The steps of a claim; each is stored before the next one starts."""

    REGISTER = "register"
    POST_ENTRY = "post_entry"
    RESERVE = "reserve"
    LOOK_UP_PAYOUT = "look_up_payout"
    LOOK_UP_COLLECTION = "look_up_collection"
    CANCEL = "cancel"
    PAY = "pay"
    CHECK_INSURANCE = "check_insurance"
    AUDIT = "audit"
    REDUCE = "reduce"
    COLLECT = "collect"
    UNBLOCK = "unblock"
    NOTIFY = "notify"


def next_step(claim: Claim, now: datetime, term: Terms, *, withdrawn: bool = False) -> Step | None:
    """Return the step that is due for a claim, or None.

    `withdrawn` is True if the claim `is_cancellable` and the class it is based on was withdrawn.
    """
    if claim.state == "draft":
        return Step.REGISTER
    if claim.entry is not None:
        return Step.POST_ENTRY
    if claim.state == "claimed":
        return Step.RESERVE
    if withdrawn:
        return Step.CANCEL
    step = _bank_step(claim, now, term) if claim.state == "granted" else None
    if step is not None:
        return step
    if claim.state in ("failed", "withdrawn") and not claim.unblocked:
        return Step.UNBLOCK
    return Step.NOTIFY if any(not notification.sent for notification in claim.notifications) else None


def is_cancellable(claim: Claim) -> bool:
    """Return True if a withdrawn class cancels the open instalments now; requests in progress are finished first."""
    collecting = claim.clawback is not None and claim.clawback.pending_collection() is not None
    if (
        claim.after_withdrawal != "stop"
        or claim.entry is not None
        or claim.pending_instalment() is not None
        or collecting
    ):
        return False
    return claim.state == "waiting" or (claim.state == "granted" and claim.sum_fen("open") > 0)


def _bank_step(claim: Claim, now: datetime, term: Terms) -> Step | None:
    index = claim.pending_instalment()
    if index is not None:
        return Step.LOOK_UP_PAYOUT if _is_overdue(claim.instalments[index].requested_at, now) else None
    if claim.clawback is not None and (collection := claim.clawback.pending_collection()) is not None:
        return Step.LOOK_UP_COLLECTION if _is_overdue(collection.requested_at, now) else None
    if next_payable(claim, now) is not None:
        return Step.PAY
    cut_at = _reduction_due_at(claim)
    if cut_at is not None and now >= cut_at:
        return Step.REDUCE
    if _needs_insurance_check(claim) and now >= _next_insurance_check(claim, term):
        return Step.CHECK_INSURANCE
    audit_at = _audit_due_at(claim, term)
    if audit_at is not None and now >= audit_at:
        return Step.AUDIT
    collect_at = _collection_due_at(claim)
    return Step.COLLECT if collect_at is not None and now >= collect_at else None


def _is_overdue(requested_at: datetime | None, now: datetime) -> bool:
    return requested_at is not None and now - requested_at >= BANK_TIMEOUT


def next_payable(claim: Claim, now: datetime) -> int | None:
    """Return the index of the instalment that can be paid now, or None."""
    for index, instalment in enumerate(claim.instalments):
        if instalment.state == "open" and instalment.insured_months <= claim.insured_months:
            waits = _is_withheld(claim, instalment) or (instalment.retry_at is not None and now < instalment.retry_at)
            return None if waits else index
    return None


def _is_withheld(claim: Claim, instalment: ClaimInstalment) -> bool:
    """Return True if an instalment exceeds the audited amount; it is paid only if an appeal is won."""
    audit = claim.audit
    return audit is not None and claim.excess_fen > 0 and claim.paid_fen + instalment.amount_fen > audit.entitled_fen


def _reduction_due_at(claim: Claim) -> datetime | None:
    """Return when open instalments are reduced to the audited amount: once no appeal can be won."""
    clawback = claim.clawback
    if clawback is None or clawback.has_open_appeal or claim.excess_fen == 0:
        return None
    if clawback.appeal is not None or clawback.may_have_collected:
        return clawback.notified_at
    return clawback.appeal_until


def _needs_insurance_check(claim: Claim) -> bool:
    return any(
        one.state == "open" and one.insured_months > claim.insured_months and not _is_withheld(claim, one)
        for one in claim.instalments
    )


def _next_insurance_check(claim: Claim, term: Terms) -> datetime:
    return (claim.insurance_checked_at or claim.claimed_at) + timedelta(hours=term("instalment_hours"))


def _audit_due_at(claim: Claim, term: Terms) -> datetime | None:
    if claim.audit is not None or claim.first_paid_at is None:
        return None
    return claim.first_paid_at + timedelta(days=term("audit_days"))


def _collection_due_at(claim: Claim) -> datetime | None:
    """Return when the city collects what is owed, or None while it must not."""
    clawback = claim.clawback
    if clawback is None or clawback.owed_fen <= 0 or clawback.has_open_appeal:
        return None
    if clawback.pending_collection() is not None:
        return None
    failed = [one.requested_at for one in clawback.collections if one.state == "failed"]
    return max(clawback.collect_at, *(at + RETRY_INTERVAL for at in failed)) if failed else clawback.collect_at


# ── money that goes out ──


def request_payout(claim: Claim, index: int, now: datetime) -> Claim:
    """Record that the bank is asked to pay an instalment."""
    instalment = claim.instalments[index]
    payout = f"{claim.id}/payout/{index + 1}/{instalment.attempts + 1}"
    return with_instalment(claim, index, replace(instalment, state="requested", payout=payout, requested_at=now))


def apply_payout_answer(claim: Claim, payout: str, answer: BankAnswer, now: datetime, term: Terms) -> Claim:
    """Record the bank's decision on a payout; only the first decision has an effect."""
    index = claim.pending_instalment()
    if index is None or claim.instalments[index].payout != payout or answer.outcome in ("pending", "unknown"):
        return claim
    instalment = claim.instalments[index]
    claim = replace(claim, failures=0)
    if answer.outcome == "done":
        paid = replace(instalment, state="paid", paid_at=now, receipt=answer.receipt)
        paying = prepare_entry(with_instalment(claim, index, paid), "pay", instalment.amount_fen, now)
        return notify(paying, "paid", instalment.amount_fen, now)
    attempts = instalment.attempts + 1
    retried = replace(instalment, state="open", attempts=attempts, retry_at=now + RETRY_INTERVAL)
    if claim.paid_fen == 0 and instalment.insured_months == 0:
        return cancel_remaining(with_instalment(claim, index, retried), now, "failed")
    if attempts >= term("payout_tries"):
        return cancel_remaining(with_instalment(claim, index, retried), now, "cancelled")
    return notify(with_instalment(claim, index, retried), "payout_failed", instalment.amount_fen, now)


def cancel_remaining(claim: Claim, now: datetime, kind: Literal["failed", "cancelled"]) -> Claim:
    """Cancel the open instalments and release their budget; a claim of which nothing was paid has failed."""
    open_fen = claim.sum_fen("open")
    instalments = tuple(replace(one, state="cancelled") if one.state == "open" else one for one in claim.instalments)
    nothing_paid = claim.paid_fen == 0
    claim = notify(
        replace(claim, instalments=instalments, state="failed" if nothing_paid else claim.state, waitlist=None),
        kind,
        open_fen,
        now,
    )
    if claim.reserved:
        return prepare_entry(claim, "release", open_fen, now, quota_delta=-1 if nothing_paid else 0)
    return claim if claim.budget is None else prepare_entry(claim, "void", 0, now)


def withdraw(claim: Claim, now: datetime) -> Claim:
    """Withdraw a claim from the waiting list."""
    instalments = tuple(replace(one, state="cancelled") for one in claim.instalments)
    claim = replace(claim, instalments=instalments, state="withdrawn", waitlist=None)
    return claim if claim.budget is None else prepare_entry(claim, "void", 0, now)


def retry_now(claim: Claim) -> Claim:
    """Retry failed payouts now instead of a day later."""
    if not any(one.state == "open" and one.retry_at is not None for one in claim.instalments):
        return claim
    instalments = tuple(replace(one, retry_at=None) if one.state == "open" else one for one in claim.instalments)
    return replace(claim, instalments=instalments)


# ── the budget ──


def reserve(claim: Claim, budget: str, now: datetime) -> Claim:
    """Prepare the entry that reserves a claim's money in a budget."""
    claimed = replace(claim, budget=budget, state="claimed", waitlist=None)
    return prepare_entry(claimed, "reserve", claim.amount_fen, now, quota_delta=1)


def record_entry(claim: Claim, entry: Entry) -> Claim:
    """Record that an entry was applied."""
    claim = replace(claim, entry=None, failures=0)
    match entry.kind:
        case "reserve":
            return replace(claim, reserved=True, state="granted", waitlist=None)
        case "void":
            return replace(claim, budget=None)
        case "pay" | "release" | "return":
            return replace(claim, entries=claim.entries + 1)


def join_waitlist(claim: Claim, now: datetime) -> Claim:
    """Put a claim on the waiting list; the person is notified once."""
    waiting = replace(claim, entry=None, state="waiting", waitlist=claim.benefit)
    notified = any(notification.kind == "waiting" for notification in claim.notifications)
    return waiting if notified else notify(waiting, "waiting", claim.amount_fen, now)


# ── money that comes back ──


def record_audit(claim: Claim, audit: Audit, now: datetime, term: Terms) -> Claim:
    """Record the result of an audit and claim back what was paid in excess.

    Open instalments in excess are withheld, and reduced once no appeal can be won.
    """
    claim = replace(claim, audit=audit, failures=0)
    if not audit.differing_facts or audit.entitled_fen >= claim.sum_fen("open", "paid"):
        return claim
    overpaid_fen = max(0, claim.paid_fen - audit.entitled_fen)
    appeal_until = now + timedelta(days=term("appeal_days"))
    clawback = Clawback(overpaid_fen, now, appeal_until, appeal_until + timedelta(days=term("repay_days")))
    claim = replace(claim, clawback=clawback)
    if overpaid_fen:
        return notify(claim, "clawed_back", overpaid_fen, now)
    return notify(claim, "reduction_announced", claim.excess_fen, now)


def reduce_open_instalments(claim: Claim, now: datetime) -> Claim:
    """Reduce the open instalments to the audited amount, the last one first, and release the rest to the budget."""
    assert claim.audit is not None, "the audit gives the amount"
    allowed_fen, reduction_fen = max(0, claim.audit.entitled_fen - claim.paid_fen), 0
    instalments: list[ClaimInstalment] = []
    for instalment in claim.instalments:
        if instalment.state != "open":
            instalments.append(instalment)
            continue
        remaining_fen = min(instalment.amount_fen, allowed_fen)
        allowed_fen, reduction_fen = allowed_fen - remaining_fen, reduction_fen + instalment.amount_fen - remaining_fen
        if remaining_fen:
            instalments.append(replace(instalment, amount_fen=remaining_fen))
    claim = replace(claim, instalments=tuple(instalments))
    return notify(prepare_entry(claim, "release", reduction_fen, now), "reduced", reduction_fen, now)


def request_collection(claim: Claim, collection: Collection) -> Claim:
    """Record that the bank is asked to collect money."""
    assert claim.clawback is not None, "there is a claw-back"
    clawback = replace(claim.clawback, collections=(*claim.clawback.collections, collection))
    return replace(claim, clawback=clawback)


def next_collection_id(claim: Claim) -> str:
    """Return the id of the next collection that the city starts."""
    assert claim.clawback is not None, "there is a claw-back"
    return f"{claim.id}/collection/{len(claim.clawback.collections) + 1}"


def apply_collection_answer(claim: Claim, collection_id: str, answer: BankAnswer, now: datetime) -> Claim:
    """Record the bank's decision on a collection, once."""
    pending = claim.clawback.pending_collection() if claim.clawback is not None else None
    if pending is None or pending.id != collection_id or answer.outcome in ("pending", "unknown"):
        return claim
    assert claim.clawback is not None, "it was requested"
    done = answer.outcome == "done"
    decided = replace(pending, state="done" if done else "failed", receipt=answer.receipt)
    collections = tuple(decided if one is pending else one for one in claim.clawback.collections)
    claim = replace(claim, clawback=replace(claim.clawback, collections=collections), failures=0)
    if not done:
        return claim
    return notify(
        prepare_entry(claim, "return", pending.amount_fen, now), "repayment_received", pending.amount_fen, now
    )


# ── the next sweep ──


def reschedule(claim: Claim, now: datetime, term: Terms) -> Claim:
    """Set `due_ms`, when a sweep must process the claim again, and `appealed_ms`, if an appeal is open."""
    due_at = _due_at(claim, now, term)
    due_ms = None if due_at is None else to_ms(due_at)
    appeal = claim.clawback.appeal if claim.clawback is not None and claim.clawback.has_open_appeal else None
    appealed_ms = to_ms(appeal.at) if appeal is not None else None
    if (due_ms, appealed_ms) == (claim.due_ms, claim.appealed_ms):
        return claim
    return replace(claim, due_ms=due_ms, appealed_ms=appealed_ms)


def _due_at(claim: Claim, now: datetime, term: Terms) -> datetime | None:
    if next_step(claim, now, term) is not None:
        return now + min(timedelta(seconds=5 * 2 ** min(claim.failures, 10)), MAX_BACKOFF)
    if claim.state != "granted":
        return None
    index, clawback = claim.pending_instalment(), claim.clawback
    requested_at = claim.instalments[index].requested_at if index is not None else None
    if requested_at is None and clawback is not None and (collection := clawback.pending_collection()) is not None:
        requested_at = collection.requested_at
    if requested_at is not None:
        return requested_at + BANK_TIMEOUT
    payable = [one for one in claim.instalments if one.state == "open" and not _is_withheld(claim, one)]
    moments = [one.retry_at for one in payable if one.retry_at is not None]
    if _needs_insurance_check(claim):
        moments.append(_next_insurance_check(claim, term))
    other_moments = (_audit_due_at(claim, term), _reduction_due_at(claim), _collection_due_at(claim))
    moments.extend(at for at in other_moments if at is not None)
    return min(moments, default=None)
