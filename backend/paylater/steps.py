"""Decide the next step of a bill: pure, so that a sweep, a request and a test reach the same decision.

A service puts these steps and its own into one table, and calls `bill_step` from its `next_step`.
"""

from datetime import datetime, timedelta
from enum import Enum, auto

from msgspec.structs import replace

from backend.jobs.saga import MAX_BACKOFF, backoff
from backend.paylater.bill import B, Billable, Payment, Refund, Terms, add_notice
from backend.store.time import to_ms

ANSWER_TIMEOUT = timedelta(seconds=60)
"""A request to another system without a recorded answer by then was interrupted."""


class BillStep(Enum):
    """A step of a bill, from the hold to the last notification."""

    HOLD = auto()
    COVER = auto()
    RELEASE_CREDIT = auto()
    LOOK_UP_PAYMENT = auto()
    APPLY_PAYMENT = auto()
    REFUND = auto()
    LOOK_UP_REFUND = auto()
    APPLY_REFUND = auto()
    DEBIT = auto()
    BREACH = auto()
    RECORD_BREACH = auto()
    REMIND = auto()
    NOTIFY = auto()


def bill_step(billable: Billable, now: datetime, terms: Terms) -> BillStep | None:
    """Return the step to do now, or None if there is nothing to do until a time of `bill_due_times`."""
    step = _account_step(billable) or _bank_step(billable, now)
    if step is None and billable.stage() == "billed":
        step = _due_step(billable, now, terms)
    if step is not None:
        return step
    if billable.breached_at is not None and not billable.breach_recorded:
        return BillStep.RECORD_BREACH
    return BillStep.NOTIFY if any(not notice.sent for notice in billable.notices) else None


def _account_step(billable: Billable) -> BillStep | None:
    if billable.is_being_decided():
        return None
    if billable.cancelled_at is not None:
        return None if billable.credit_released else BillStep.RELEASE_CREDIT
    due = billable.amount_due()
    if due is not None:
        return BillStep.COVER if billable.bill is None or billable.bill.number != due.number else None
    return None if billable.hold_placed else BillStep.HOLD


def _bank_step(billable: Billable, now: datetime) -> BillStep | None:
    for payment in billable.payments:
        if payment.state == "requested" and now - payment.requested_at >= ANSWER_TIMEOUT:
            return BillStep.LOOK_UP_PAYMENT
        if payment.state == "paid" and not payment.applied:
            return BillStep.APPLY_PAYMENT
    for refund in billable.refunds:
        if refund.state == "requested" and now - refund.requested_at >= ANSWER_TIMEOUT:
            return BillStep.LOOK_UP_REFUND
        if refund.state == "done" and not refund.applied:
            return BillStep.APPLY_REFUND
    return BillStep.REFUND if refundable_fen(billable) > 0 else None


def refundable_fen(billable: Billable) -> int:
    """Return the amount to refund now: what was paid in excess of the current bill, once that is settled."""
    if billable.stage() not in ("paid", "cancelling"):
        return 0
    if billable.cancelled_at is not None and (billable.amount_due() or billable.is_being_decided() or billable.bill):
        return 0
    if billable.pending_payment() is not None or billable.pending_refund() is not None:
        return 0
    return max(0, -billable.owed_fen())


def _due_step(billable: Billable, now: datetime, terms: Terms) -> BillStep | None:
    if billable.pending_payment() is not None:
        return None
    due_at = billable.unpaid()[0].due_at
    if now < due_at:
        return None
    attempts = _attempt_count(billable, due_at, terms)
    if now >= due_at + attempts * timedelta(hours=terms("debit_retry_hours")):
        if attempts < terms("debit_tries"):
            return BillStep.DEBIT
        if billable.breached_at is None or billable.breached_at < due_at:
            return BillStep.BREACH
    sent = _reminder_count(billable, due_at)
    if sent < terms("reminders_at_most") and now >= due_at + sent * timedelta(hours=terms("reminder_hours")):
        return BillStep.REMIND
    return None


def _attempt_count(billable: Billable, due_at: datetime, terms: Terms) -> int:
    """Return how many debits were made since a bill was due; without automatic debit, all of them count as made."""
    if not billable.automatic_debit:
        return terms("debit_tries")
    return sum(payment.method == "automatic" and payment.requested_at >= due_at for payment in billable.payments)


def _reminder_count(billable: Billable, due_at: datetime) -> int:
    return sum(notice.kind == "reminder" and notice.at >= due_at for notice in billable.notices)


def next_debit_at(billable: Billable, terms: Terms) -> datetime | None:
    """Return when the bill is debited next; None if it is paid, not debited, or no debit is left."""
    parts = billable.unpaid()
    attempts = _attempt_count(billable, parts[0].due_at, terms) if parts else 0
    if not parts or attempts >= terms("debit_tries"):
        return None
    return parts[0].due_at + attempts * timedelta(hours=terms("debit_retry_hours"))


def bill_due_times(billable: Billable, now: datetime, terms: Terms) -> list[datetime]:
    """Return when the next steps become due, if none is due now."""
    times = [
        one.requested_at + ANSWER_TIMEOUT for one in (billable.pending_payment(), billable.pending_refund()) if one
    ]
    if billable.stage() != "billed":
        return times
    due_at = billable.unpaid()[0].due_at
    if now < due_at:
        return [*times, due_at]
    later: list[datetime] = []
    sent = _reminder_count(billable, due_at)
    if sent < terms("reminders_at_most"):
        later.append(due_at + sent * timedelta(hours=terms("reminder_hours")))
    if billable.breached_at is None or billable.breached_at < due_at:
        attempts = _attempt_count(billable, due_at, terms)
        later.append(due_at + attempts * timedelta(hours=terms("debit_retry_hours")))
    later_than_now = [at for at in later if at > now] or ([now + MAX_BACKOFF] if later else [])
    return times + later_than_now


def scheduled(billable: B, now: datetime, times: list[datetime], *, is_due: bool) -> B:
    """Set when a sweep resumes it, and whether its bill is unpaid; the same object if neither changes."""
    due_at = now + backoff(billable.failures) if is_due else min(times, default=None)
    due_ms, owing = None if due_at is None else to_ms(due_at), billable.stage() == "billed"
    if (due_ms, owing) == (billable.due_ms, billable.owing):
        return billable
    return replace(billable, due_ms=due_ms, owing=owing)


# ── what the steps decide ──


def prepare_debit(billable: B, now: datetime, _terms: Terms) -> B:
    """Request the next automatic debit of what is due now."""
    number = sum(payment.method == "automatic" for payment in billable.payments) + 1
    payment_id, amount_fen = f"{billable.id}/debit/{number}", billable.payable_now_fen(now)
    payment = Payment(payment_id, amount_fen, billable.person, "automatic", now)
    return replace(billable, payments=(*billable.payments, payment))


def prepare_refund(billable: B, now: datetime, _terms: Terms) -> B:
    """Request a refund of the latest payment that is not fully refunded."""
    excess_fen = refundable_fen(billable)
    for payment in reversed(billable.payments):
        left_fen = payment.amount_fen if payment.state == "paid" else 0
        left_fen -= sum(one.amount_fen for one in billable.refunds if one.payment == payment.id and one.state == "done")
        if left_fen > 0:
            refund_id = f"{billable.id}/refund/{len(billable.refunds) + 1}"
            refund = Refund(refund_id, payment.id, min(left_fen, excess_fen), now)
            return replace(billable, refunds=(*billable.refunds, refund))
    raise AssertionError("refunds never exceed payments")


def breach(billable: B, now: datetime, _terms: Terms) -> B:
    """Note that the bill is still unpaid after the last debit."""
    noted = replace(billable, breached_at=now, breach_recorded=False)
    return add_notice(noted, "suspended", billable.owed_fen(), now)


def remind(billable: B, now: datetime, _terms: Terms) -> B:
    """Remind the person of the unpaid bill."""
    return add_notice(billable, "reminder", billable.owed_fen(), now)
