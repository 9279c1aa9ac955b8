"""Pay the bill of a visit once, and record the bank's answers."""

import hashlib
from datetime import datetime

from backend.city.service import City
from backend.city.upstream import BankAnswer
from backend.i18n import Text, yuan
from backend.services.medical_credit.model.problems import NothingToPay, PaymentFailed, PaymentInProgress
from backend.services.medical_credit.model.visit import Payment, PaymentScope, Visit
from backend.services.medical_credit.transfers import (
    record_payment_outcome,
    record_refund_outcome,
    request_payment,
)
from backend.services.medical_credit.visits import advance_visit
from backend.store import Conflict

MAX_ATTEMPTS = 20


async def pay(city: City, visit: Visit, payer: str, key: str, amount_fen: int, scope: PaymentScope) -> Visit:
    """Pay the bill of a visit, once for this payer and key. Returns the visit with the payment.

    `amount_fen` is the amount that the payer saw. Raises NothingToPay, PaymentInProgress or PaymentFailed.
    """
    digest = hashlib.sha256(f"{payer}\n{key}".encode()).hexdigest()
    payment_id = f"{visit.id}/pay/{digest[:24]}"
    for _ in range(MAX_ATTEMPTS):
        now = city.now()
        known = next((one for one in visit.payments if one.id == payment_id), None)
        if known is None:
            _check_payable(visit, amount_fen, scope, now)
            method = "citizen" if payer == visit.person else "family"
            try:
                visit = await request_payment(city, visit, Payment(payment_id, amount_fen, payer, method, now), now)
            except Conflict:
                visit = await _reload(city, visit)
                continue
            known = next(one for one in visit.payments if one.id == payment_id)
        await advance_visit.enqueue(city.jobs, visit.id)
        if known.state == "failed":
            raise PaymentFailed(
                Text(
                    zh="银行未能完成付款，请更换付款方式后重试。",
                    en="The bank declined the payment; please try another way to pay.",
                ),
                reason=known.reason,
            )
        return visit
    raise Conflict(Visit.collection, visit.id, visit.revision)


async def record_bank_answer(city: City, transfer_id: str, answer: BankAnswer) -> None:
    """Record the bank's answer on one of our payments or refunds; its id begins with the id of its visit."""
    visit_id, _, kind = transfer_id.partition("/")
    visit = await city.store.get(Visit, visit_id)
    if visit is None:
        return
    record = record_refund_outcome if kind.startswith("refund/") else record_payment_outcome
    await record(city, visit_id, transfer_id, answer)
    await advance_visit.enqueue(city.jobs, visit_id)


async def _reload(city: City, visit: Visit) -> Visit:
    found = await city.store.get(Visit, visit.id)
    assert found is not None, "visits are not deleted"
    return found


def _check_payable(visit: Visit, amount_fen: int, scope: PaymentScope, now: datetime) -> None:
    if visit.pending_payment() is not None:
        raise PaymentInProgress(
            Text(
                zh="银行正在处理一笔付款，请勿重复支付。",
                en="The bank is processing a payment of this bill; please do not pay again.",
            )
        )
    owed_fen = visit.owed_fen() if scope == "all" else visit.payable_now_fen(now)
    if visit.stage() != "billed" or owed_fen <= 0:
        raise NothingToPay(Text(zh="该就诊目前没有应付账单。", en="This visit has nothing to pay now."))
    if amount_fen != owed_fen:
        raise NothingToPay(
            Text(
                zh=f"账单金额已变为{yuan(owed_fen)}元，请刷新核对后再付。",
                en="The bill has changed; please review it and pay again.",
            ),
            payable_fen=owed_fen,
        )
