"""Payments and refunds: each is stored, then requested from the bank; the first outcome that it reports is final."""

import hashlib
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import BankAnswer, ForgedNotice, UpstreamTimeout
from backend.i18n import yuan
from backend.jobs.saga import Request, Saga
from backend.paylater.bill import B, Billable, Payment, PaymentScope, Refund, Terms, add_notice
from backend.paylater.ports import Bank
from backend.paylater.problems import NothingToPay, PaymentFailed, PaymentInProgress
from backend.problems import NotAllowed
from backend.store.time import to_ms


async def pay(
    city: City, saga: Saga[City, B, Terms, Any], billable: B, payer: str, key: str, amount_fen: int, scope: PaymentScope
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

    paid = await saga.run(city, billable, Request(prepare, send_payment))
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


async def send_payment(city: City, billable: B, now: datetime) -> B:
    """Request the pending payment from the bank, and record its outcome."""
    return await _send(city, billable, billable.pending_payment(), now)


async def send_refund(city: City, billable: B, now: datetime) -> B:
    """Request the pending refund from the bank, and record its outcome."""
    return await _send(city, billable, billable.pending_refund(), now)


async def look_up_payment(city: City, billable: B, now: datetime) -> B:
    """Look up the pending payment; if the bank never received it, request it again under the same id."""
    return await _look_up(city, billable, billable.pending_payment(), now)


async def look_up_refund(city: City, billable: B, now: datetime) -> B:
    """Look up the pending refund; if the bank never received it, request it again under the same id."""
    return await _look_up(city, billable, billable.pending_refund(), now)


async def _send(city: City, billable: B, transfer: Payment | Refund | None, now: datetime) -> B:
    if transfer is None:
        return billable
    return with_outcome(billable, transfer.id, await _request(city.port(Bank), transfer), now)


async def _look_up(city: City, billable: B, transfer: Payment | Refund | None, now: datetime) -> B:
    assert transfer is not None, "there is a transfer to look up"
    answer = await city.port(Bank).look_up(transfer.id)
    if answer.outcome == "unknown":
        answer = await _request(city.port(Bank), transfer)
    if answer.outcome == "pending":
        raise UpstreamTimeout("the bank is still processing it")
    return with_outcome(billable, transfer.id, answer, now)


async def _request(bank: Bank, transfer: Payment | Refund) -> BankAnswer:
    if isinstance(transfer, Payment):
        return await bank.pay(transfer.id, transfer.payer, transfer.amount_fen)
    return await bank.refund(transfer.id, transfer.payment, transfer.amount_fen)


async def receive_notice(city: City, saga: Saga[City, B, Terms, Any], body: bytes, signature: str) -> None:
    """Record the outcome in a notice from the bank. Raises NotAllowed if the signature is not the bank's."""
    try:
        notice = city.port(Bank).read_notice(body, signature)
    except ForgedNotice as error:
        raise NotAllowed(
            zh="签名无效。", en="The signature is not the bank's; check the Bank-Signature header."
        ) from error
    await record_bank_answer(city, saga, notice.id, notice.answer)


async def record_bank_answer(city: City, saga: Saga[City, B, Terms, Any], transfer_id: str, answer: BankAnswer) -> None:
    """Record the bank's late answer on one of our payments or refunds, and enqueue the steps that follow."""
    billable_id = billable_of(transfer_id)
    if await saga.update(city, billable_id, lambda found, now: with_outcome(found, transfer_id, answer, now)):
        await saga.task.enqueue(city.jobs, billable_id)


def billable_of(transfer_id: str) -> str:
    """Return the id of the Billable that a payment or refund belongs to."""
    return transfer_id.partition("/")[0]


def with_outcome(billable: B, transfer_id: str, answer: BankAnswer, now: datetime) -> B:
    """Record the outcome of a payment or refund; a repeated, later or undecided answer changes nothing."""
    if answer.outcome in ("pending", "unknown"):
        return billable
    if transfer_id.partition("/")[2].startswith("refund/"):
        return _with_refund_outcome(billable, transfer_id, answer, now)
    return _with_payment_outcome(billable, transfer_id, answer, now)


def _with_payment_outcome(billable: B, payment_id: str, answer: BankAnswer, now: datetime) -> B:
    known = next((one for one in billable.payments if one.id == payment_id), None)
    if known is None or known.state != "requested":
        return billable
    done = answer.outcome == "done"
    decided = replace(
        known, state="paid" if done else "failed", answered_at=now, receipt=answer.receipt, reason=answer.reason
    )
    changed = replace(
        billable,
        payments=tuple(decided if one is known else one for one in billable.payments),
        bank_answered_ms=to_ms(now),
        failures=0,
    )
    if done and billable.breached_at is not None and changed.owed_fen() <= 0:
        return add_notice(changed, "restored", known.amount_fen, now)
    if not done and known.method == "automatic":
        return add_notice(changed, "debit_failed", known.amount_fen, now)
    return changed


def _with_refund_outcome(billable: B, refund_id: str, answer: BankAnswer, now: datetime) -> B:
    known = next((one for one in billable.refunds if one.id == refund_id), None)
    if known is None or known.state != "requested":
        return billable
    done = answer.outcome == "done"
    decided = replace(known, state="done" if done else "failed", answered_at=now, receipt=answer.receipt)
    changed = replace(
        billable,
        refunds=tuple(decided if one is known else one for one in billable.refunds),
        bank_answered_ms=to_ms(now),
        failures=0 if done else billable.failures + 1,
    )
    return add_notice(changed, "refunded", known.amount_fen, now) if done else changed


def reopen_transfer(billable: B, transfer_id: str) -> B:
    """Return a Billable in which a failed payment or refund is requested again, so that its outcome can be recorded."""
    payments = tuple(
        replace(one, state="requested") if (one.id, one.state) == (transfer_id, "failed") else one
        for one in billable.payments
    )
    refunds = tuple(
        replace(one, state="requested") if (one.id, one.state) == (transfer_id, "failed") else one
        for one in billable.refunds
    )
    return replace(billable, payments=payments, refunds=refunds)
