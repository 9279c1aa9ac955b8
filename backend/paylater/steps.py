"""Decide the next step of a bill: pure, so that a sweep, a request and a test reach the same decision.

A service puts these steps and its own into one table, and calls `bill_step` from its `next_step`.
"""

from datetime import datetime, timedelta
from enum import Enum, auto

from msgspec.structs import replace

from backend.jobs.saga import backoff
from backend.paylater.bill import B, Billable, Payment, Refund, Terms, add_notice
from backend.store.time import to_ms

ANSWER_TIMEOUT = timedelta(seconds=60)
"""A request to another system without a recorded answer by then was interrupted."""


class BillStep(Enum):
    """A step of a bill, from the hold to the last notification."""

    RELEASE_LEFT_LINE = auto()
    HOLD = auto()
    COVER = auto()
    RELEASE_CREDIT = auto()
    APPLY_TRANSFER = auto()
    LOOK_UP_TRANSFER = auto()
    REFUND = auto()
    DEBIT = auto()
    BREACH = auto()
    RECORD_BREACH = auto()
    REMIND = auto()
    NOTIFY = auto()


def bill_step(billable: Billable, now: datetime, terms: Terms) -> BillStep | None:
    """Return the step to do now, or None if there is nothing to do until a time of `bill_due_times`."""
    step = _account_step(billable) or _bank_step(billable, now)
    step = step or next((one for one, at in _follow_up(billable, terms).items() if at <= now), None)
    if step is not None:
        return step
    if billable.breached_at is not None and not billable.breach_recorded:
        return BillStep.RECORD_BREACH
    return BillStep.NOTIFY if any(not notice.sent for notice in billable.notices) else None


def _account_step(billable: Billable) -> BillStep | None:
    if billable.left_lines:
        return BillStep.RELEASE_LEFT_LINE
    if billable.is_being_decided():
        return None
    if billable.cancelled_at is not None:
        return None if billable.credit_released else BillStep.RELEASE_CREDIT
    due = billable.amount_due()
    if due is not None:
        return BillStep.COVER if billable.bill is None or billable.bill.number != due.number else None
    return None if billable.hold_placed else BillStep.HOLD


def _bank_step(billable: Billable, now: datetime) -> BillStep | None:
    if any(one.is_done() and not one.applied for one in billable.transfers()):
        return BillStep.APPLY_TRANSFER
    if any(now - one.requested_at >= ANSWER_TIMEOUT for one in billable.pending_transfers()):
        return BillStep.LOOK_UP_TRANSFER
    return BillStep.REFUND if refundable_fen(billable) > 0 else None


def refundable_fen(billable: Billable) -> int:
    """Return the amount to refund now: what was paid in excess of the current bill, once that is settled."""
    if billable.stage() not in ("paid", "cancelling"):
        return 0
    if billable.cancelled_at is not None and (billable.amount_due() or billable.is_being_decided() or billable.bill):
        return 0
    return 0 if billable.pending_transfers() else max(0, -billable.owed_fen())


def _unpaid_steps(billable: Billable, terms: Terms) -> dict[BillStep, datetime]:
    """Return the steps that follow while the earliest unpaid part of the bill is not paid, and when each is due."""
    unpaid = billable.unpaid()
    if not unpaid:
        return {}
    due_at, steps = unpaid[0].due_at, dict[BillStep, datetime]()
    debits = sum(one.method == "automatic" and one.requested_at >= due_at for one in billable.payments)
    attempts = debits if billable.automatic_debit else terms("debit_tries")
    debit_at = due_at + attempts * timedelta(hours=terms("debit_retry_hours"))
    if attempts < terms("debit_tries"):
        steps[BillStep.DEBIT] = debit_at
    elif billable.breached_at is None or billable.breached_at < due_at:
        steps[BillStep.BREACH] = debit_at
    reminders = sum(notice.kind == "reminder" and notice.at >= due_at for notice in billable.notices)
    if reminders < terms("reminders_at_most"):
        steps[BillStep.REMIND] = due_at + reminders * timedelta(hours=terms("reminder_hours"))
    return steps


def _follow_up(billable: Billable, terms: Terms) -> dict[BillStep, datetime]:
    """Return the steps of an unpaid bill; none while it is decided again or a payment is pending."""
    is_waiting = billable.stage() != "billed" or billable.pending_payment() is not None
    return {} if is_waiting else _unpaid_steps(billable, terms)


def next_debit_at(billable: Billable, terms: Terms) -> datetime | None:
    """Return when the bill is debited next; None if it is paid, not debited, or no debit is left."""
    return _unpaid_steps(billable, terms).get(BillStep.DEBIT)


def bill_due_times(billable: Billable, terms: Terms) -> list[datetime]:
    """Return when the next steps become due, if none is due now."""
    answers = [one.requested_at + ANSWER_TIMEOUT for one in billable.pending_transfers()]
    return [*answers, *_follow_up(billable, terms).values()]


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
