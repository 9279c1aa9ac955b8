"""Decide the next step of a visit: pure, so that a sweep, a request and a test reach the same decision.

The visit is one Document and its credit account another; insurance and bank are external. Each step changes one of
them, can be repeated, and is recorded by one write of the visit. An interrupted step is simply done again.
"""

from datetime import datetime, timedelta
from enum import Enum, auto

from msgspec.structs import replace

from backend.services.medical_credit.model.terms import Terms
from backend.services.medical_credit.model.visit import Notice, NoticeKind, Payment, Refund, Visit
from backend.store.time import to_ms

ANSWER_TIMEOUT = timedelta(seconds=60)
"""A request to the insurance or the bank without a recorded answer by then was interrupted."""

MAX_BACKOFF = timedelta(hours=1)
"""The longest wait before a failed step is tried again."""


class Step(Enum):
    """A step of a visit, from its hold to its last notification."""

    HOLD = auto()
    REVERSE = auto()
    CANCEL_SETTLEMENT = auto()
    SETTLE = auto()
    BILL = auto()
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


def next_step(visit: Visit, now: datetime, terms: Terms) -> Step | None:
    """Return the step to do now, or None if there is nothing to do until the visit's `due_ms`."""
    step = _insurance_step(visit, now)
    if step is not None:
        return step
    if visit.attempt is None:
        step = _account_step(visit)
        if step is not None:
            return step
    step = _bank_step(visit, now)
    if step is not None:
        return step
    if visit.stage() == "billed":
        step = _due_step(visit, now, terms)
        if step is not None:
            return step
    if visit.breached_at is not None and not visit.breach_recorded:
        return Step.RECORD_BREACH
    return Step.NOTIFY if any(not notice.sent for notice in visit.notices) else None


def _insurance_step(visit: Visit, now: datetime) -> Step | None:
    if visit.attempt is not None:
        late = now - visit.attempt.requested_at >= ANSWER_TIMEOUT
        return Step.REVERSE if visit.attempt.reversing or late else None
    settles = visit.closed_at is not None and visit.cancelled_at is None
    if visit.settlement is not None:
        current = settles and visit.settlement.line_count == len(visit.lines) and not visit.settlement.cancelling
        return None if current else Step.CANCEL_SETTLEMENT
    due = visit.settle_at is not None and visit.settle_at <= now
    return Step.SETTLE if settles and due else None


def _account_step(visit: Visit) -> Step | None:
    if visit.cancelled_at is not None:
        return None if visit.credit_released else Step.RELEASE_CREDIT
    if not visit.hold_placed:
        return Step.HOLD
    settled = visit.settlement
    if settled is not None and (visit.bill is None or visit.bill.number != settled.number):
        return Step.BILL
    return None


def _bank_step(visit: Visit, now: datetime) -> Step | None:
    for payment in visit.payments:
        if payment.state == "requested" and now - payment.requested_at >= ANSWER_TIMEOUT:
            return Step.LOOK_UP_PAYMENT
        if payment.state == "paid" and not payment.applied:
            return Step.APPLY_PAYMENT
    for refund in visit.refunds:
        if refund.state == "requested" and now - refund.requested_at >= ANSWER_TIMEOUT:
            return Step.LOOK_UP_REFUND
        if refund.state == "done" and not refund.applied:
            return Step.APPLY_REFUND
    return Step.REFUND if refundable_fen(visit) > 0 else None


def refundable_fen(visit: Visit) -> int:
    """Return the amount to refund now: what was paid in excess of the current bill, once that is settled."""
    if visit.stage() not in ("paid", "cancelling") or (visit.settlement is None and visit.cancelled_at is None):
        return 0
    if visit.cancelled_at is not None and (visit.settlement or visit.attempt or visit.bill):
        return 0
    if visit.pending_payment() is not None or any(refund.state == "requested" for refund in visit.refunds):
        return 0
    return max(0, -visit.owed_fen())


def _due_step(visit: Visit, now: datetime, terms: Terms) -> Step | None:
    if visit.pending_payment() is not None:
        return None
    due_at = visit.unpaid()[0].due_at
    if now < due_at:
        return None
    attempts = len(_debits(visit, due_at)) if visit.automatic_debit else terms("debit_tries")
    if now >= due_at + attempts * timedelta(hours=terms("debit_retry_hours")):
        if attempts < terms("debit_tries"):
            return Step.DEBIT
        if visit.breached_at is None or visit.breached_at < due_at:
            return Step.BREACH
    sent = _reminder_count(visit, due_at)
    if sent < terms("reminders_at_most") and now >= due_at + sent * timedelta(hours=terms("reminder_hours")):
        return Step.REMIND
    return None


def _debits(visit: Visit, due_at: datetime) -> list[Payment]:
    return [payment for payment in visit.payments if payment.method == "automatic" and payment.requested_at >= due_at]


def _reminder_count(visit: Visit, due_at: datetime) -> int:
    return sum(notice.kind == "reminder" and notice.at >= due_at for notice in visit.notices)


def next_debit_id(visit: Visit) -> str:
    """Return the id of the next automatic debit of a visit."""
    return f"{visit.id}/debit/{sum(payment.method == 'automatic' for payment in visit.payments) + 1}"


def next_debit_at(visit: Visit, terms: Terms) -> datetime | None:
    """Return when the visit's bill is debited next; None if it is paid, not debited, or no debit is left."""
    parts = visit.unpaid()
    if not visit.automatic_debit or not parts:
        return None
    attempts = len(_debits(visit, parts[0].due_at))
    if attempts >= terms("debit_tries"):
        return None
    return parts[0].due_at + attempts * timedelta(hours=terms("debit_retry_hours"))


def next_refund(visit: Visit, now: datetime) -> Refund:
    """Return the next refund of a visit: of its latest payment that is not fully refunded."""
    excess_fen = refundable_fen(visit)
    for payment in reversed(visit.payments):
        left_fen = payment.amount_fen if payment.state == "paid" else 0
        left_fen -= sum(one.amount_fen for one in visit.refunds if one.payment == payment.id and one.state == "done")
        if left_fen > 0:
            return Refund(f"{visit.id}/refund/{len(visit.refunds) + 1}", payment.id, min(left_fen, excess_fen), now)
    raise AssertionError("refunds never exceed payments")


def add_notice(visit: Visit, kind: NoticeKind, amount_fen: int, now: datetime) -> Visit:
    """Add a notification to the patient; the NOTIFY step sends it."""
    return replace(visit, notices=(*visit.notices, Notice(kind, now, amount_fen)))


def rescheduled(visit: Visit, now: datetime, terms: Terms) -> Visit:
    """Set when a sweep resumes the visit next, and whether its bill is unpaid."""
    due_at = _due_at(visit, now, terms)
    due_ms = None if due_at is None else to_ms(due_at)
    owing = visit.stage() == "billed"
    if (due_ms, owing) == (visit.due_ms, visit.owing):
        return visit
    return replace(visit, due_ms=due_ms, owing=owing)


def _due_at(visit: Visit, now: datetime, terms: Terms) -> datetime | None:
    if next_step(visit, now, terms) is not None:
        wait = timedelta(seconds=5 * 2 ** min(visit.failures, 10))
        return now + min(wait, MAX_BACKOFF)
    times = [payment.requested_at + ANSWER_TIMEOUT for payment in visit.payments if payment.state == "requested"]
    times.extend(refund.requested_at + ANSWER_TIMEOUT for refund in visit.refunds if refund.state == "requested")
    if visit.attempt is not None:
        times.append(visit.attempt.requested_at + ANSWER_TIMEOUT)
    elif visit.settlement is None and visit.settle_at is not None and visit.cancelled_at is None:
        times.append(visit.settle_at)
    if visit.stage() == "billed":
        times.extend(_bill_due_times(visit, now, terms))
    return min(times, default=None)


def _bill_due_times(visit: Visit, now: datetime, terms: Terms) -> list[datetime]:
    due_at = visit.unpaid()[0].due_at
    if now < due_at:
        return [due_at]
    later: list[datetime] = []
    sent = _reminder_count(visit, due_at)
    if sent < terms("reminders_at_most"):
        later.append(due_at + sent * timedelta(hours=terms("reminder_hours")))
    if visit.breached_at is None or visit.breached_at < due_at:
        attempts = len(_debits(visit, due_at)) if visit.automatic_debit else terms("debit_tries")
        later.append(due_at + attempts * timedelta(hours=terms("debit_retry_hours")))
    return [at for at in later if at > now] or ([now + MAX_BACKOFF] if later else [])
