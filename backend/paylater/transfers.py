"""Payments and refunds: each is stored, then requested from the bank; the first outcome that it reports is final."""

import hashlib
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import BankAnswer, UpstreamTimeout, verified_notice
from backend.i18n import yuan
from backend.jobs.saga import Request, Saga
from backend.paylater.bill import B, Billable, Payment, PaymentScope, Refund, Terms, add_notice, with_transfer
from backend.paylater.ports import Bank
from backend.paylater.problems import NothingToPay, PaymentFailed, PaymentInProgress
from backend.store.time import to_ms

BillSaga = Saga[City, B, Terms, Any]
"""The saga of a service's Billable, with whatever steps the service adds."""


async def pay(
    city: City, saga: BillSaga[B], billable: B, payer: str, key: str, amount_fen: int, scope: PaymentScope
) -> B:
    """Pay a bill, once for this payer and key, and do the steps that follow. Returns the Billable after them.

    `amount_fen` is the amount that the payer saw. Raises NothingToPay, PaymentInProgress or PaymentFailed.
    """
    digest = hashlib.sha256(f"{payer}\n{key}".encode()).hexdigest()
    payment_id = f"{billable.id}/pay/{digest[:24]}"

    def prepare(before: B, now: datetime, _terms: Terms) -> B:
        if any(one.id == payment_id for one in before.payments):
            return before
        _check_payable(before, amount_fen, scope, now)
        payment = Payment(payment_id, amount_fen, payer, "citizen" if payer == before.person else "family", now)
        return replace(before, payments=(*before.payments, payment))

    paid = await saga.run(city, billable, Request(prepare, send_transfer))
    assert paid is not None, "what is billed is not deleted"
    payment = next(one for one in paid.payments if one.id == payment_id)
    if payment.state == "failed":
        raise PaymentFailed(
            zh="银行未能完成付款，请更换付款方式后重试。",
            en="The bank declined the payment; please try another way to pay.",
            reason=payment.reason,
        )
    return paid


def _check_payable(billable: Billable, amount_fen: int, scope: PaymentScope, now: datetime) -> None:
    if billable.pending_payment() is not None:
        raise PaymentInProgress(
            zh="银行正在处理一笔付款，请勿重复支付。",
            en="The bank is processing a payment of this bill; please do not pay again.",
        )
    owed_fen = billable.owed_fen() if scope == "all" else billable.payable_now_fen(now)
    if billable.stage() != "billed" or owed_fen <= 0:
        raise NothingToPay(billable.texts.nothing_to_pay)
    if amount_fen != owed_fen:
        raise NothingToPay(
            zh=f"账单金额已变为{yuan(owed_fen)}元，请刷新核对后再付。",
            en="The bill has changed; please review it and pay again.",
            payable_fen=owed_fen,
        )


async def send_transfer(city: City, billable: B, now: datetime) -> B:
    """Request the newest pending transfer from the bank, and record its outcome."""
    newest = max(billable.pending_transfers(), key=lambda one: one.requested_at, default=None)
    return billable if newest is None else await _send(city, billable, newest, now)


async def _send(city: City, billable: B, transfer: Payment | Refund, now: datetime) -> B:
    bank = city.port(Bank)
    if isinstance(transfer, Payment):
        answer = await bank.pay(transfer.id, transfer.payer, transfer.amount_fen)
    else:
        answer = await bank.refund(transfer.id, transfer.payment, transfer.amount_fen)
    return with_outcome(billable, transfer.id, answer, now)


async def look_up_transfer(city: City, billable: B, now: datetime) -> B:
    """Look up the oldest pending transfer; if the bank never received it, request it again under the same id."""
    transfer = min(billable.pending_transfers(), key=lambda one: one.requested_at)
    answer = await city.port(Bank).look_up(transfer.id)
    if answer.outcome == "unknown":
        answered = await _send(city, billable, transfer, now)
    else:
        answered = with_outcome(billable, transfer.id, answer, now)
    if answered is billable:
        raise UpstreamTimeout("the bank is still processing it")
    return answered


async def receive_notice(city: City, saga: BillSaga[B], body: bytes, signature: str) -> None:
    """Record the outcome in a notice from the bank. Raises NotAllowed if the signature is not the bank's."""
    notice = verified_notice(city.port(Bank), body, signature)
    await record_bank_answer(city, saga, notice.id, notice.answer)


async def record_bank_answer(city: City, saga: BillSaga[B], transfer_id: str, answer: BankAnswer) -> None:
    """Record the bank's late answer on one of our payments or refunds, and enqueue the steps that follow."""
    billable_id = billable_of(transfer_id)
    if await saga.update(city, billable_id, lambda found, now: with_outcome(found, transfer_id, answer, now)):
        await saga.task.enqueue(city.jobs, billable_id)


def billable_of(transfer_id: str) -> str:
    """Return the id of the Billable that a payment or refund belongs to."""
    return transfer_id.partition("/")[0]


def with_outcome(
    billable: B, transfer_id: str, answer: BankAnswer, now: datetime, *, corrects_failure: bool = False
) -> B:
    """Record the outcome of a payment or refund; a repeated, later or undecided answer changes nothing.

    With `corrects_failure`, a transfer that failed according to an earlier answer can still be done.
    """
    known = next((one for one in billable.transfers() if one.id == transfer_id), None)
    if known is None or known.is_done() or answer.outcome in ("pending", "unknown"):
        return billable
    if known.state == "failed" and not corrects_failure:
        return billable
    answered = replace(billable, bank_answered_ms=to_ms(now), failures=0)
    if isinstance(known, Payment):
        return _with_payment_outcome(answered, known, answer, now)
    is_done = answer.outcome == "done"
    decided = replace(known, state="done" if is_done else "failed", answered_at=now, receipt=answer.receipt)
    changed = with_transfer(answered, decided)
    if not is_done:
        return replace(changed, failures=billable.failures + 1)
    return add_notice(changed, "refunded", known.amount_fen, now)


def _with_payment_outcome(billable: B, payment: Payment, answer: BankAnswer, now: datetime) -> B:
    is_paid = answer.outcome == "done"
    decided = replace(
        payment, state="paid" if is_paid else "failed", answered_at=now, receipt=answer.receipt, reason=answer.reason
    )
    changed = with_transfer(billable, decided)
    if is_paid and billable.breached_at is not None and changed.owed_fen() <= 0:
        return add_notice(changed, "restored", payment.amount_fen, now)
    if not is_paid and payment.method == "automatic":
        return add_notice(changed, "debit_failed", payment.amount_fen, now)
    return changed
