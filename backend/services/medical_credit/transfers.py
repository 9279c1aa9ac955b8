"""Request payments from the bank, and record the outcome of payments and refunds: the first outcome is final."""

from datetime import datetime

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import BankAnswer, UpstreamTimeout
from backend.services.medical_credit.eligibility import terms_of
from backend.services.medical_credit.model.steps import add_notice, rescheduled
from backend.services.medical_credit.model.visit import Payment, Visit
from backend.services.medical_credit.ports import Bank
from backend.services.medical_credit.visits import update_visit
from backend.store.time import to_ms


async def request_payment(city: City, visit: Visit, payment: Payment, now: datetime) -> Visit:
    """Store a new payment of a visit, request it from the bank, and record the outcome.

    If the bank does not answer, the payment stays `requested` and is looked up later. Raises Conflict, before the bank
    is called, if another writer changed the visit.
    """
    requested = replace(visit, payments=(*visit.payments, payment))
    requested = await city.store.replace(rescheduled(requested, now, terms_of(city, now)))
    try:
        answer = await city.port(Bank).pay(payment.id, payment.payer, payment.amount_fen)
    except UpstreamTimeout:
        return requested
    return await record_payment_outcome(city, visit.id, payment.id, answer)


async def record_payment_outcome(city: City, visit_id: str, payment_id: str, answer: BankAnswer) -> Visit:
    """Record the outcome of a payment; a repeated or later outcome changes nothing."""
    return await update_visit(city, visit_id, lambda visit, now: _with_payment_outcome(visit, payment_id, answer, now))


async def record_refund_outcome(city: City, visit_id: str, refund_id: str, answer: BankAnswer) -> Visit:
    """Record the outcome of a refund; a repeated or later outcome changes nothing."""
    return await update_visit(city, visit_id, lambda visit, now: _with_refund_outcome(visit, refund_id, answer, now))


def _with_payment_outcome(visit: Visit, payment_id: str, answer: BankAnswer, now: datetime) -> Visit:
    known = next((one for one in visit.payments if one.id == payment_id), None)
    if known is None or known.state != "requested" or answer.outcome in ("pending", "unknown"):
        return visit
    done = answer.outcome == "done"
    decided = replace(
        known,
        state="paid" if done else "failed",
        answered_at=now,
        receipt=answer.receipt,
        reason=answer.reason,
    )
    was_late = visit.breached_at is not None
    changed = replace(
        visit,
        payments=tuple(decided if one is known else one for one in visit.payments),
        bank_answered_ms=to_ms(now),
        failures=0,
    )
    if done and was_late and changed.owed_fen() <= 0:
        return add_notice(changed, "restored", known.amount_fen, now)
    if not done and known.method == "automatic":
        return add_notice(changed, "debit_failed", known.amount_fen, now)
    return changed


def _with_refund_outcome(visit: Visit, refund_id: str, answer: BankAnswer, now: datetime) -> Visit:
    known = next((one for one in visit.refunds if one.id == refund_id), None)
    if known is None or known.state != "requested" or answer.outcome in ("pending", "unknown"):
        return visit
    done = answer.outcome == "done"
    decided = replace(known, state="done" if done else "failed", answered_at=now, receipt=answer.receipt)
    changed = replace(
        visit,
        refunds=tuple(decided if one is known else one for one in visit.refunds),
        bank_answered_ms=to_ms(now),
        failures=0 if done else visit.failures + 1,
    )
    return add_notice(changed, "refunded", known.amount_fen, now) if done else changed
