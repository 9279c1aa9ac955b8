"""Transfers of money by the bank: payouts of instalments, and collections of what is to be paid back.

A claim has at most one transfer at a time. It is recorded before the bank is asked, and only the bank's first decision
on it has an effect.
"""

from datetime import datetime

from msgspec.structs import replace

from backend.benefits.accounts import account_of
from backend.benefits.claim import C, ClaimInstalment, Collection, cancel_remaining, notify, prepare_entry
from backend.benefits.ports import PayoutBank
from backend.benefits.problems import NothingToRepay, RepaymentInProgress
from backend.benefits.process import RETRY_INTERVAL, next_payable
from backend.benefits.reservations import post_entry
from backend.benefits.service import AnyBenefits
from backend.benefits.terms import Terms
from backend.city.bank_cards import NAME_DIFFERS
from backend.city.service import City
from backend.city.upstream import BankAnswer, UpstreamTimeout, with_timeout


def request_payout(claim: C, now: datetime, _term: Terms) -> C:
    """Record that the bank is asked to pay the next instalment."""
    index = next_payable(claim)
    assert index is not None, "there is an instalment to pay"
    instalment = claim.instalments[index]
    payout = f"{claim.id}/payout/{index + 1}/{instalment.attempts + 1}"
    return _with_instalment(claim, index, replace(instalment, state="requested", payout=payout, requested_at=now))


def request_collection(claim: C, now: datetime, _term: Terms) -> C:
    """Record that the bank is asked to collect what is owed."""
    collection_id = f"{claim.id}/collection/{len(claim.collections) + 1}"
    return _with_collections(claim, *claim.collections, Collection(collection_id, claim.owed_fen, now, "city"))


def request_repayment(claim: C, now: datetime, _term: Terms, *, collection_id: str, amount_fen: int) -> C:
    """Record that the subject pays back what is owed, once per id. Raises NothingToRepay or RepaymentInProgress."""
    if any(one.id == collection_id for one in claim.collections):
        return claim
    owed_fen = claim.owed_fen if claim.clawback is not None and not claim.clawback.has_open_appeal else 0
    if owed_fen <= 0 or owed_fen != amount_fen:
        raise NothingToRepay(
            zh="目前没有该笔应退款项，请刷新后查看。",
            en="This amount is not due now; please refresh.",
            owed_fen=owed_fen,
        )
    if claim.pending_transfer() is not None or claim.entry is not None:
        raise RepaymentInProgress(
            zh="银行正在处理，请稍候再试。", en="The bank is processing this; please try again in a moment."
        )
    return _with_collections(claim, *claim.collections, Collection(collection_id, amount_fen, now, "person"))


async def send_transfer(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Request the recorded transfer, and record the answer. Raises UpstreamTimeout or UpstreamRejected.

    What was paid is posted to the budget before the answer is stored, so that one write stores both.
    """
    transfer, bank = claim.pending_transfer(), city.port(PayoutBank)
    if transfer is None:
        return claim
    move = bank.collect if isinstance(transfer, Collection) else bank.pay_out
    account, name = await account_of(benefits, city, claim), await benefits.payee(city, claim)
    answer = await with_timeout(move(transfer.id, account, name, transfer.amount_fen))
    answered = apply_answer(claim, transfer.id, answer, now, benefits.terms(city, now))
    if answered.entry is None or answered.entry.kind != "pay":
        return answered
    return await post_entry(benefits, city, answered, now)


async def look_up_transfer(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Query the state of a transfer; request it again under the same id if the bank never received it."""
    transfer = claim.pending_transfer()
    assert transfer is not None, "a transfer is with the bank"
    answer = await with_timeout(city.port(PayoutBank).look_up(transfer.id))
    changed = apply_answer(claim, transfer.id, answer, now, benefits.terms(city, now))
    waits = claim.payable_from is not None and now < claim.payable_from  # the card was changed meanwhile
    if answer.outcome == "unknown" and (not waits or isinstance(transfer, Collection)):
        changed = await send_transfer(benefits, city, claim, now)
    if changed is claim:
        raise UpstreamTimeout("the bank has not decided yet")
    return changed


def apply_answer(claim: C, transfer_id: str, answer: BankAnswer, now: datetime, term: Terms) -> C:
    """Record the bank's decision on a transfer; only the first one has an effect."""
    transfer = claim.pending_transfer()
    if transfer is None or transfer.id != transfer_id or answer.outcome in ("pending", "unknown"):
        return claim
    claim = replace(claim, failures=0)
    if isinstance(transfer, Collection):
        return _apply_collection(claim, transfer, answer, now)
    return _apply_payout(claim, claim.instalments.index(transfer), answer, now, term)


def _apply_payout(claim: C, index: int, answer: BankAnswer, now: datetime, term: Terms) -> C:
    instalment = claim.instalments[index]
    if answer.outcome == "done":
        assert instalment.requested_at is not None, "it was requested"
        claim = replace(claim, name_differs=False)
        paid = replace(instalment, state="paid", paid_at=now, receipt=answer.receipt)
        # Every process that learns the answer dates the entry alike, so that a budget knows it, or refuses it as late.
        dated = instalment.requested_at
        paying = prepare_entry(_with_instalment(claim, index, paid), "pay", instalment.amount_fen, dated)
        return notify(paying, "paid", instalment.amount_fen, now)
    attempts = instalment.attempts + 1
    reopened = replace(instalment, state="open", attempts=attempts, retry_at=now + RETRY_INTERVAL)
    name_differs = answer.reason == NAME_DIFFERS
    failed = replace(_with_instalment(claim, index, reopened), name_differs=name_differs)
    if claim.paid_fen == 0 and instalment.milestone == 0:
        return cancel_remaining(failed, now, "name_differs" if name_differs else "failed")
    if attempts >= term("payout_tries"):
        return cancel_remaining(failed, now, "cancelled")
    return notify(failed, "name_differs" if name_differs else "payout_failed", instalment.amount_fen, now)


def _apply_collection(claim: C, collection: Collection, answer: BankAnswer, now: datetime) -> C:
    done = answer.outcome == "done"
    decided = replace(collection, state="done" if done else "failed", receipt=answer.receipt)
    claim = _with_collections(claim, *(decided if one is collection else one for one in claim.collections))
    if not done:
        return claim
    returned = prepare_entry(claim, "return", collection.amount_fen, now)
    return notify(returned, "repayment_received", collection.amount_fen, now)


def _with_instalment(claim: C, index: int, instalment: ClaimInstalment) -> C:
    return replace(claim, instalments=(*claim.instalments[:index], instalment, *claim.instalments[index + 1 :]))


def _with_collections(claim: C, *collections: Collection) -> C:
    assert claim.clawback is not None, "there is a claw-back"
    return replace(claim, clawback=replace(claim.clawback, collections=collections))
