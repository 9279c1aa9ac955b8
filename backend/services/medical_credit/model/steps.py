"""What is to be done next for a visit: pure, so that a sweep, a request and a test all come to the same.

A visit is one Document, its credit account another, insurance and bank are elsewhere. Each step touches one of them,
may be repeated, and is followed by a write of the visit that says it was done. So whatever is interrupted is simply
asked for again.
"""

from datetime import datetime, timedelta
from enum import Enum, auto

from msgspec.structs import replace

from backend.services.medical_credit.model.telling import Terms
from backend.services.medical_credit.model.visit import Notice, NoticeKind, Payment, Refund, Visit

ANSWERED_WITHIN = timedelta(seconds=60)
"""Whoever asked the insurance or the bank and did not note the answer by then was interrupted."""

LONGEST_WAIT = timedelta(hours=1)


class Step(Enum):
    """One thing to be done for a visit."""

    HOLD = auto()
    REVERSE = auto()
    CANCEL_SETTLEMENT = auto()
    SETTLE = auto()
    BILL = auto()
    UNCOVER = auto()
    LOOK_UP_PAYMENT = auto()
    REPAY = auto()
    REFUND = auto()
    LOOK_UP_REFUND = auto()
    GIVE_BACK = auto()
    DEBIT = auto()
    BREACH = auto()
    NOTE_BREACH = auto()
    REMIND = auto()
    TELL = auto()


def next_step(visit: Visit, now: datetime, terms: Terms) -> Step | None:
    """Say what is to be done now; None where nothing is, until `due_at`."""
    step = _with_the_insurance(visit, now)
    if step is not None:
        return step
    if visit.attempt is None:
        step = _with_the_account(visit)
        if step is not None:
            return step
    step = _with_the_bank(visit, now)
    if step is not None:
        return step
    if visit.stage() == "billed":
        step = _when_due(visit, now, terms)
        if step is not None:
            return step
    if visit.breached_at is not None and not visit.breach_noted:
        return Step.NOTE_BREACH
    return Step.TELL if any(not notice.told for notice in visit.notices) else None


def _with_the_insurance(visit: Visit, now: datetime) -> Step | None:
    if visit.attempt is not None:
        late = now - visit.attempt.asked_at >= ANSWERED_WITHIN
        return Step.REVERSE if visit.attempt.reversing or late else None
    settles = visit.closed_at is not None and visit.cancelled_at is None
    if visit.settlement is not None:
        current = settles and visit.settlement.lines == len(visit.lines) and not visit.settlement.cancelling
        return None if current else Step.CANCEL_SETTLEMENT
    due = visit.settle_at is not None and visit.settle_at <= now
    return Step.SETTLE if settles and due else None


def _with_the_account(visit: Visit) -> Step | None:
    if visit.cancelled_at is not None:
        return None if visit.uncovered else Step.UNCOVER
    if not visit.holding:
        return Step.HOLD
    settled = visit.settlement
    if settled is not None and (visit.bill is None or visit.bill.number != settled.number):
        return Step.BILL
    return None


def _with_the_bank(visit: Visit, now: datetime) -> Step | None:
    for payment in visit.payments:
        if payment.state == "asked" and now - payment.asked_at >= ANSWERED_WITHIN:
            return Step.LOOK_UP_PAYMENT
        if payment.state == "paid" and not payment.credited:
            return Step.REPAY
    for refund in visit.refunds:
        if refund.state == "asked" and now - refund.asked_at >= ANSWERED_WITHIN:
            return Step.LOOK_UP_REFUND
        if refund.state == "done" and not refund.credited:
            return Step.GIVE_BACK
    return Step.REFUND if refundable_fen(visit) > 0 else None


def refundable_fen(visit: Visit) -> int:
    """Give what is to go back to the payer now: what was paid beyond the bill as it stands, once that is settled."""
    if visit.stage() not in ("paid", "cancelling") or (visit.settlement is None and visit.cancelled_at is None):
        return 0
    if visit.cancelled_at is not None and (visit.settlement or visit.attempt or visit.bill):
        return 0
    if visit.asked() is not None or any(refund.state == "asked" for refund in visit.refunds):
        return 0
    return max(0, -visit.owed_fen())


def _when_due(visit: Visit, now: datetime, terms: Terms) -> Step | None:
    if visit.asked() is not None:
        return None
    due_at = visit.unpaid()[0].due_at
    if now < due_at:
        return None
    attempts = len(_debits(visit, due_at)) if visit.automatic else terms("debit_tries")
    if now >= due_at + attempts * timedelta(hours=terms("debit_retry_hours")):
        if attempts < terms("debit_tries"):
            return Step.DEBIT
        if visit.breached_at is None or visit.breached_at < due_at:
            return Step.BREACH
    reminded = _reminders(visit, due_at)
    if reminded < terms("reminders_at_most") and now >= due_at + reminded * timedelta(hours=terms("reminder_hours")):
        return Step.REMIND
    return None


def _debits(visit: Visit, due_at: datetime) -> list[Payment]:
    return [payment for payment in visit.payments if payment.means == "automatic" and payment.asked_at >= due_at]


def _reminders(visit: Visit, due_at: datetime) -> int:
    return sum(notice.kind == "reminder" and notice.at >= due_at for notice in visit.notices)


def next_debit_id(visit: Visit) -> str:
    """Give the id of the next automatic debit of a visit."""
    return f"{visit.id}/debit/{sum(payment.means == 'automatic' for payment in visit.payments) + 1}"


def next_refund(visit: Visit, now: datetime) -> Refund:
    """Make the next refund of a visit: from its latest payment, as far as that goes."""
    wanted = refundable_fen(visit)
    for payment in reversed(visit.payments):
        left = payment.amount_fen if payment.state == "paid" else 0
        left -= sum(one.amount_fen for one in visit.refunds if one.payment == payment.id and one.state == "done")
        if left > 0:
            return Refund(f"{visit.id}/refund/{len(visit.refunds) + 1}", payment.id, min(left, wanted), now)
    raise AssertionError("no more goes back than was paid")


def notify(visit: Visit, kind: NoticeKind, amount_fen: int, now: datetime) -> Visit:
    """Have the patient told something."""
    return replace(visit, notices=(*visit.notices, Notice(kind, now, amount_fen)))


def rested(visit: Visit, now: datetime, terms: Terms) -> Visit:
    """Note when a sweep is to look at a visit again, and whether its patient owes something."""
    due_at = _due_at(visit, now, terms)
    due_ms = None if due_at is None else int(due_at.timestamp() * 1_000)
    owing = visit.stage() == "billed"
    if (due_ms, owing) == (visit.due_ms, visit.owing):
        return visit
    return replace(visit, due_ms=due_ms, owing=owing)


def _due_at(visit: Visit, now: datetime, terms: Terms) -> datetime | None:
    if next_step(visit, now, terms) is not None:
        wait = timedelta(seconds=5 * 2 ** min(visit.failures, 10))
        return now + min(wait, LONGEST_WAIT)
    moments = [payment.asked_at + ANSWERED_WITHIN for payment in visit.payments if payment.state == "asked"]
    moments.extend(refund.asked_at + ANSWERED_WITHIN for refund in visit.refunds if refund.state == "asked")
    if visit.attempt is not None:
        moments.append(visit.attempt.asked_at + ANSWERED_WITHIN)
    elif visit.settlement is None and visit.settle_at is not None and visit.cancelled_at is None:
        moments.append(visit.settle_at)
    if visit.stage() == "billed":
        moments.extend(_moments_of_the_bill(visit, now, terms))
    return min(moments, default=None)


def _moments_of_the_bill(visit: Visit, now: datetime, terms: Terms) -> list[datetime]:
    due_at = visit.unpaid()[0].due_at
    if now < due_at:
        return [due_at]
    later: list[datetime] = []
    reminded = _reminders(visit, due_at)
    if reminded < terms("reminders_at_most"):
        later.append(due_at + reminded * timedelta(hours=terms("reminder_hours")))
    if visit.breached_at is None or visit.breached_at < due_at:
        attempts = len(_debits(visit, due_at)) if visit.automatic else terms("debit_tries")
        later.append(due_at + attempts * timedelta(hours=terms("debit_retry_hours")))
    return [moment for moment in later if moment > now] or ([now + LONGEST_WAIT] if later else [])
