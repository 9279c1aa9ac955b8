"""The next step of a claim, and when it is due."""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec.structs import replace

from backend.benefits.claim import C, Claim, ClaimInstalment
from backend.benefits.terms import Terms
from backend.jobs.saga import backoff
from backend.store.time import to_ms

BANK_TIMEOUT = timedelta(seconds=20)
"""How long the bank may take to answer a request before it is queried about it."""

RETRY_INTERVAL = timedelta(days=1)
"""A failed payout or collection is retried a day later."""


class Step(StrEnum):
    """The steps of a claim; each is stored before the next one starts."""

    REGISTER = "register"
    POST_ENTRY = "post_entry"
    RESERVE = "reserve"
    PAY = "pay"
    LOOK_UP_TRANSFER = "look_up_transfer"
    CANCEL = "cancel"
    CHECK_PROGRESS = "check_progress"
    AUDIT = "audit"
    REDUCE = "reduce"
    COLLECT = "collect"
    UNBLOCK = "unblock"
    NOTIFY = "notify"


def next_step(claim: Claim, now: datetime, term: Terms) -> Step | None:
    """Return the step that is due for a claim, or None."""
    if claim.state == "draft":
        return Step.REGISTER
    if claim.entry is not None:
        return Step.POST_ENTRY
    if claim.state == "claimed":
        return Step.RESERVE
    if claim.entitlement_lost and is_cancellable(claim):
        return Step.CANCEL
    due = [step for step, at in _timetable(claim, now, term) if now >= at]
    if due:
        return due[0]
    if claim.state in ("failed", "withdrawn") and not claim.unblocked:
        return Step.UNBLOCK
    return Step.NOTIFY if any(not notification.sent for notification in claim.notifications) else None


def is_cancellable(claim: Claim) -> bool:
    """Return True if a lost entitlement cancels the open instalments now; requests in progress are finished first."""
    if claim.after_withdrawal != "stop" or claim.entry is not None or claim.pending_transfer() is not None:
        return False
    return claim.state == "waiting" or (claim.state == "granted" and claim.sum_fen("open") > 0)


def _timetable(claim: Claim, now: datetime, term: Terms) -> list[tuple[Step, datetime]]:
    """Return the steps that depend only on time, and when each is due: those of a granted claim."""
    if claim.state != "granted":
        return []
    transfer = claim.pending_transfer()
    if transfer is not None:
        assert transfer.requested_at is not None, "it was requested"
        return [(Step.LOOK_UP_TRANSFER, transfer.requested_at + BANK_TIMEOUT)]
    payable = next_payable(claim)
    steps = (
        (Step.PAY, None if payable is None else _payout_due_at(claim, claim.instalments[payable], now)),
        (Step.REDUCE, _reduction_due_at(claim)),
        (Step.CHECK_PROGRESS, _progress_check_due_at(claim, term)),
        (Step.AUDIT, _audit_due_at(claim, term)),
        (Step.COLLECT, _collection_due_at(claim)),
    )
    return [(step, at) for step, at in steps if at is not None]


def next_payable(claim: Claim) -> int | None:
    """Return the index of the instalment that is paid next, once its retry is due; None if none can be paid."""
    for index, instalment in enumerate(claim.instalments):
        if instalment.state == "open" and instalment.milestone <= claim.progress:
            return None if _is_withheld(claim, instalment) else index
    return None


def _payout_due_at(claim: Claim, instalment: ClaimInstalment, now: datetime) -> datetime:
    """Return when an instalment is paid: after a failed payout not before its retry, and not while the card waits."""
    return max(instalment.retry_at or now, claim.payable_from or now)


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


def _progress_check_due_at(claim: Claim, term: Terms) -> datetime | None:
    """Return when the progress is queried again, or None if no instalment waits for it."""
    later = [one for one in claim.instalments if one.state == "open" and one.milestone > claim.progress]
    if all(_is_withheld(claim, one) for one in later):
        return None
    return (claim.progress_checked_at or claim.claimed_at) + timedelta(hours=term("instalment_hours"))


def _audit_due_at(claim: Claim, term: Terms) -> datetime | None:
    first_paid_at = min((one.paid_at for one in claim.instalments if one.paid_at is not None), default=None)
    if claim.audit is not None or first_paid_at is None:
        return None
    return first_paid_at + timedelta(days=term("audit_days"))


def _collection_due_at(claim: Claim) -> datetime | None:
    """Return when the city collects what is owed, or None while it must not."""
    clawback = claim.clawback
    if clawback is None or clawback.has_open_appeal or claim.owed_fen <= 0:
        return None
    failed = [one.requested_at + RETRY_INTERVAL for one in clawback.collections if one.state == "failed"]
    return max([clawback.collect_at, *failed])


def schedule(claim: C, now: datetime, term: Terms) -> C:
    """Set `due_ms`, when a sweep must process the claim again, and `appealed_ms`, if an appeal is open."""
    if next_step(claim, now, term) is not None:
        due_at = now + backoff(claim.failures)
    else:
        due_at = min((at for _, at in _timetable(claim, now, term)), default=None)
    due_ms = None if due_at is None else to_ms(due_at)
    appeal = claim.clawback.appeal if claim.clawback is not None and claim.clawback.has_open_appeal else None
    appealed_ms = to_ms(appeal.at) if appeal is not None else None
    if (due_ms, appealed_ms) == (claim.due_ms, claim.appealed_ms):
        return claim
    return replace(claim, due_ms=due_ms, appealed_ms=appealed_ms)
