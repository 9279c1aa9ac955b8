"""Paying a bill, by the patient or a family member, and hearing from the bank."""

import hashlib
from datetime import datetime
from typing import Annotated, Literal

from litestar import Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from backend.city.service import City
from backend.city.upstream import BankAnswer, BankSignature, ForgedNotice
from backend.i18n import Text
from backend.problems import NotAllowed
from backend.security.identity import CitizenRequest, citizen, citizen_id, public
from backend.services.medical_credit import tasks
from backend.services.medical_credit.api import visible_visit
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.problems import NothingToPay, PaymentFailed, PaymentInFlight
from backend.services.medical_credit.model.visit import Payment, Visit
from backend.services.medical_credit.ports import Bank
from backend.services.medical_credit.shown import VisitShown, visit_shown
from backend.services.medical_credit.transfers import ask_bank_to_pay, note_payment, note_refund
from backend.store import Conflict
from backend.web.idempotency import IdempotencyKey, IdempotencyKeyReused, RequestInProgress, once

MAX_ATTEMPTS = 20


class PaymentWanted(Struct, forbid_unknown_fields=True):
    """What is to be paid: what is due `now`, or `all` that is owed; `amount_fen` is what the caller saw it to be."""

    amount_fen: Annotated[int, Meta(ge=1, le=10**13)]
    what: Literal["now", "all"] = "now"


@post(
    "/v1/me/visits/{visit_id:str}/payments",
    guards=[citizen],
    problems=(NothingToPay, PaymentInFlight, PaymentFailed, IdempotencyKeyReused, RequestInProgress),
)
async def pay_bill(
    data: JSONBody[PaymentWanted],
    request: CitizenRequest,
    city: NamedDependency[City],
    visit_id: FromPath[str],
    idempotency_key: IdempotencyKey,
) -> VisitShown:
    """Pay the bill of a visit once, however often the button is pressed.

    The same Idempotency-Key gives the same answer, errors included. Where the bank has not decided yet the payment
    stands as `asked` in the answer, and nothing else can be paid until it has.
    """
    visit = await visible_visit(city, request, visit_id)
    payer = citizen_id(request)

    async def work() -> VisitShown:
        return await pay(city, visit, payer, idempotency_key, data)

    return await once(
        city.store, city.now(), payer, idempotency_key, ("pay", visit_id, data.amount_fen, data.what), VisitShown, work
    )


async def pay(city: City, visit: Visit, payer: str, key: str, wanted: PaymentWanted) -> VisitShown:
    """Have `payer` pay what is wanted, once for this key. Raises NothingToPay, PaymentInFlight or PaymentFailed."""
    digest = hashlib.sha256(f"{payer}\n{key}".encode()).hexdigest()
    payment_id = f"{visit.id}/pay/{digest[:24]}"
    for _ in range(MAX_ATTEMPTS):
        now = city.now()
        known = next((one for one in visit.payments if one.id == payment_id), None)
        if known is None:
            _refuse_unpayable(visit, wanted, now)
            means = "citizen" if payer == visit.person else "family"
            try:
                visit = await ask_bank_to_pay(
                    city, visit, Payment(payment_id, wanted.amount_fen, payer, means, now), now
                )
            except Conflict:
                visit = await _again(city, visit)
                continue
            known = next(one for one in visit.payments if one.id == payment_id)
        await tasks.advance.enqueue(city.jobs, visit.id)
        if known.state == "failed":
            raise PaymentFailed(
                Text(
                    zh="银行未能完成付款，请更换方式重试。",
                    en="The bank did not carry the payment out; try another way.",
                ),
                reason=known.reason,
            )
        return visit_shown(visit, await city.store.get(Hospital, visit.hospital), now)
    raise Conflict(Visit.collection, visit.id, visit.revision)


async def _again(city: City, visit: Visit) -> Visit:
    found = await city.store.get(Visit, visit.id)
    assert found is not None, "visits are not deleted"
    return found


def _refuse_unpayable(visit: Visit, wanted: PaymentWanted, now: datetime) -> None:
    if visit.asked() is not None:
        raise PaymentInFlight(
            Text(zh="有一笔付款正在处理，请勿重复支付。", en="A payment is with the bank; do not pay twice.")
        )
    owed_fen = visit.owed_fen() if wanted.what == "all" else visit.payable_now_fen(now)
    if visit.stage() != "billed" or owed_fen <= 0:
        raise NothingToPay(Text(zh="该就诊目前没有应付账单。", en="Nothing of this visit is to be paid now."))
    if wanted.amount_fen != owed_fen:
        raise NothingToPay(
            Text(zh="账单金额已变更，请刷新后再付。", en="The bill is another by now; look at it again, then pay."),
            payable_fen=owed_fen,
        )


@post("/v1/bank-notices", guards=[public], status_code=202, problems=(NotAllowed,))
async def take_bank_notice(
    request: Request[None, None, State], city: NamedDependency[City], bank_signature: BankSignature
) -> None:
    """Take what the bank tells by itself of a payment or refund; late or twice, it changes nothing that stands."""
    try:
        notice = city.port(Bank).read_notice(await request.body(), bank_signature)
    except ForgedNotice as error:
        raise NotAllowed(Text(zh="签名无效。", en="The notice does not carry the bank's signature.")) from error
    await note_bank_answer(city, notice.id, notice.answer)


async def note_bank_answer(city: City, transfer_id: str, answer: BankAnswer) -> None:
    """Note what the bank says of one of our payments or refunds, whose id begins with that of its visit."""
    visit_id, _, kind = transfer_id.partition("/")
    visit = await city.store.get(Visit, visit_id)
    if visit is None:
        return
    note = note_refund if kind.startswith("refund/") else note_payment
    await note(city, visit_id, transfer_id, answer)
    await tasks.advance.enqueue(city.jobs, visit_id)
