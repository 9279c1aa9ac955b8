"""The next step of a claim, and when it is due."""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec.structs import replace

from backend.benefits.claim import C, Claim, ClaimInstalment, Collection
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
    step = _bank_step(claim, now, term) if claim.state == "granted" else None
    if step is not None:
        return step
    if claim.state in ("failed", "withdrawn") and not claim.unblocked:
        return Step.UNBLOCK
    return Step.NOTIFY if any(not notification.sent for notification in claim.notifications) else None


def is_cancellable(claim: Claim) -> bool:
    """Return True if a lost entitlement cancels the open instalments now; requests in progress are finished first."""
    if claim.after_withdrawal != "stop" or claim.entry is not None:
        return False
    if claim.pending_transfer() is not None:
        return False
    return claim.state == "waiting" or (claim.state == "granted" and claim.sum_fen("open") > 0)


def _bank_step(claim: Claim, now: datetime, term: Terms) -> Step | None:
    transfer = claim.pending_transfer()
    if transfer is not None:
        return Step.LOOK_UP_TRANSFER if now >= _look_up_at(transfer) else None
    if next_payable(claim, now) is not None:
        return Step.PAY
    return next((step for step, at in _timetable(claim, term) if at is not None and now >= at), None)


def _timetable(claim: Claim, term: Terms) -> tuple[tuple[Step, datetime | None], ...]:
    """Return the steps of a granted claim that depend only on time, and when each is due."""
    return (
        (Step.REDUCE, _reduction_due_at(claim)),
        (Step.CHECK_PROGRESS, _progress_check_due_at(claim, term)),
        (Step.AUDIT, _audit_due_at(claim, term)),
        (Step.COLLECT, _collection_due_at(claim)),
    )


def _look_up_at(transfer: ClaimInstalment | Collection) -> datetime:
    assert transfer.requested_at is not None, "it was requested"
    return transfer.requested_at + BANK_TIMEOUT


def next_payable(claim: Claim, now: datetime) -> int | None:
    """Return the index of the instalment that can be paid now, or None."""
    for index, instalment in enumerate(claim.instalments):
        if instalment.state == "open" and instalment.milestone <= claim.progress:
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


def _progress_check_due_at(claim: Claim, term: Terms) -> datetime | None:
    if not any(one.milestone > claim.progress for one in _open_instalments(claim)):
        return None
    return (claim.progress_checked_at or claim.claimed_at) + timedelta(hours=term("instalment_hours"))


def _open_instalments(claim: Claim) -> list[ClaimInstalment]:
    """Return the open instalments that are not withheld."""
    return [one for one in claim.instalments if one.state == "open" and not _is_withheld(claim, one)]


def _audit_due_at(claim: Claim, term: Terms) -> datetime | None:
    first_paid_at = min((one.paid_at for one in claim.instalments if one.paid_at is not None), default=None)
    if claim.audit is not None or first_paid_at is None:
        return None
    return first_paid_at + timedelta(days=term("audit_days"))


def _collection_due_at(claim: Claim) -> datetime | None:
    """Return when the city collects what is owed, or None while it must not."""
    clawback = claim.clawback
    if clawback is None or clawback.owed_fen <= 0 or clawback.has_open_appeal:
        return None
    failed = [one.requested_at + RETRY_INTERVAL for one in clawback.collections if one.state == "failed"]
    return max([clawback.collect_at, *failed])


def schedule(claim: C, now: datetime, term: Terms) -> C:
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
        return now + backoff(claim.failures)
    if claim.state != "granted":
        return None
    transfer = claim.pending_transfer()
    if transfer is not None:
        return _look_up_at(transfer)
    moments = [one.retry_at for one in _open_instalments(claim)] + [at for _, at in _timetable(claim, term)]
    return min((at for at in moments if at is not None), default=None)
