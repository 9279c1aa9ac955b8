"""Asking the bank for money, and noting what it says: the first decision stands, whoever brings it and how often."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import BankAnswer, UpstreamTimeout
from backend.services.medical_credit.model.steps import notify, rested
from backend.services.medical_credit.model.visit import Payment, Visit
from backend.services.medical_credit.people import terms_of
from backend.services.medical_credit.ports import Bank
from backend.store.update import update_document


async def change_visit(city: City, visit_id: str, change: Callable[[Visit, datetime], Visit]) -> Visit:
    """Change a visit as it stands now; `change` gives back the same object where there is nothing to change.

    Raises Conflict if others kept changing it.
    """

    def changed(visit: Visit) -> Visit:
        now = city.now()
        after = change(visit, now)
        return visit if after is visit else rested(after, now, terms_of(city, now))

    visit = await update_document(city.store, lambda: city.store.get(Visit, visit_id), changed)
    assert visit is not None, "visits are not deleted"
    return visit


async def ask_bank_to_pay(city: City, visit: Visit, payment: Payment, now: datetime) -> Visit:
    """Note that a payment is asked for, ask the bank, and note what it says. The visit has no such payment yet.

    Where the bank does not answer the payment stays `asked`, and is looked up later. Raises Conflict, before the bank
    was asked, where somebody else changed the visit.
    """
    asking = replace(visit, payments=(*visit.payments, payment))
    asking = await city.store.replace(rested(asking, now, terms_of(city, now)))
    try:
        answer = await city.port(Bank).pay(payment.id, payment.payer, payment.amount_fen)
    except UpstreamTimeout:
        return asking
    return await note_payment(city, visit.id, payment.id, answer)


async def note_payment(city: City, visit_id: str, payment_id: str, answer: BankAnswer) -> Visit:
    """Note what became of a payment, once: the first decision stands, whoever brings it and however often."""
    return await change_visit(city, visit_id, lambda visit, now: _with_answer(visit, payment_id, answer, now))


async def note_refund(city: City, visit_id: str, refund_id: str, answer: BankAnswer) -> Visit:
    """Note what became of a refund, once."""
    return await change_visit(city, visit_id, lambda visit, now: _with_refund_answer(visit, refund_id, answer, now))


def _with_answer(visit: Visit, payment_id: str, answer: BankAnswer, now: datetime) -> Visit:
    known = next((one for one in visit.payments if one.id == payment_id), None)
    if known is None or known.state != "asked" or answer.outcome in ("pending", "unknown"):
        return visit
    done = answer.outcome == "done"
    noted = replace(
        known,
        state="paid" if done else "failed",
        answered_at=now,
        receipt=answer.receipt,
        reason=answer.reason,
    )
    was_late = visit.breached_at is not None
    changed = replace(
        visit,
        payments=tuple(noted if one is known else one for one in visit.payments),
        moved_ms=int(now.timestamp() * 1_000),
        failures=0,
    )
    if done and was_late and changed.owed_fen() <= 0:
        return notify(changed, "restored", known.amount_fen, now)
    if not done and known.means == "automatic":
        return notify(changed, "debit_failed", known.amount_fen, now)
    return changed


def _with_refund_answer(visit: Visit, refund_id: str, answer: BankAnswer, now: datetime) -> Visit:
    known = next((one for one in visit.refunds if one.id == refund_id), None)
    if known is None or known.state != "asked" or answer.outcome in ("pending", "unknown"):
        return visit
    done = answer.outcome == "done"
    noted = replace(known, state="done" if done else "failed", answered_at=now, receipt=answer.receipt)
    failures = 0 if done else visit.failures + 1
    changed = replace(
        visit,
        refunds=tuple(noted if one is known else one for one in visit.refunds),
        moved_ms=int(now.timestamp() * 1_000),
        failures=failures,
    )
    return notify(changed, "refunded", known.amount_fen, now) if done else changed
