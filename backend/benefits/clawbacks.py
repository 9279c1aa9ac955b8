"""Money that comes back: claw-backs and reductions after an audit, appeals against them, and collections."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from backend.benefits.claim import (
    Appeal,
    Audit,
    C,
    ClaimInstalment,
    ClaimNotificationKind,
    Clawback,
    Collection,
    notify,
    prepare_entry,
)
from backend.benefits.payouts import account_number
from backend.benefits.ports import PayoutBank
from backend.benefits.problems import NothingToAppeal, NothingToRepay, RepaymentInProgress
from backend.benefits.service import AnyBenefits
from backend.benefits.terms import Terms
from backend.city.service import City
from backend.city.upstream import BankAnswer, UpstreamTimeout, with_timeout
from backend.i18n import Text


def record_audit(claim: C, audit: Audit, now: datetime, term: Terms) -> C:
    """Record the result of an audit and claim back what was paid in excess.

    Open instalments in excess are withheld, and reduced once no appeal can be won.
    """
    claim = replace(claim, audit=audit, failures=0)
    if not audit.differing_facts or audit.entitled_fen >= claim.sum_fen("open", "paid"):
        return claim
    overpaid_fen = max(0, claim.paid_fen - audit.entitled_fen)
    appeal_until = now + timedelta(days=term("appeal_days"))
    clawback = Clawback(overpaid_fen, now, appeal_until, appeal_until + timedelta(days=term("repay_days")))
    claim = replace(claim, clawback=clawback)
    if overpaid_fen:
        return notify(claim, "clawed_back", overpaid_fen, now)
    return notify(claim, "reduction_announced", claim.excess_fen, now)


def reduce_open_instalments(claim: C, now: datetime, _term: Terms) -> C:
    """Reduce the open instalments to the audited amount, the last one first, and release the rest to the budget."""
    assert claim.audit is not None, "the audit gives the amount"
    allowed_fen, reduction_fen = max(0, claim.audit.entitled_fen - claim.paid_fen), 0
    instalments: list[ClaimInstalment] = []
    for instalment in claim.instalments:
        if instalment.state != "open":
            instalments.append(instalment)
            continue
        remaining_fen = min(instalment.amount_fen, allowed_fen)
        allowed_fen, reduction_fen = allowed_fen - remaining_fen, reduction_fen + instalment.amount_fen - remaining_fen
        if remaining_fen:
            instalments.append(replace(instalment, amount_fen=remaining_fen))
    claim = replace(claim, instalments=tuple(instalments))
    return notify(prepare_entry(claim, "release", reduction_fen, now), "reduced", reduction_fen, now)


# ── appeals ──


def file_appeal(claim: C, now: datetime, *, text: str) -> C:
    """Appeal against a claw-back or a reduction of open instalments. Raises NothingToAppeal."""
    clawback = claim.clawback
    if clawback is not None and clawback.appeal is not None and clawback.appeal.text == text:
        return claim
    if clawback is None or clawback.appeal is not None:
        raise _nothing_to_appeal()
    if now >= clawback.appeal_until or clawback.may_have_collected:
        raise _nothing_to_appeal()
    return replace(claim, clawback=replace(clawback, appeal=Appeal(text, now)))


def decide_appeal(claim: C, now: datetime, *, decision_upheld: bool, reason: Text) -> C:
    """Decide an appeal: the decision of the audit is upheld, or dropped. Raises NothingToAppeal."""
    clawback = claim.clawback
    if clawback is None or clawback.appeal is None:
        raise _nothing_to_appeal()
    if clawback.appeal.decided_at is not None:
        if clawback.appeal.decision_upheld == decision_upheld and clawback.appeal.reason == reason:
            return claim
        raise _nothing_to_appeal()
    decided = replace(clawback.appeal, decided_at=now, decision_upheld=decision_upheld, reason=reason)
    collect_at = max(clawback.collect_at, now + (clawback.collect_at - clawback.appeal_until))
    dropped_at = None if decision_upheld else now
    changed = replace(clawback, appeal=decided, collect_at=collect_at, dropped_at=dropped_at)
    kind = _APPEAL_NOTIFICATIONS[clawback.amount_fen > 0, decision_upheld]
    return notify(replace(claim, clawback=changed), kind, clawback.amount_fen, now)


_APPEAL_NOTIFICATIONS: dict[tuple[bool, bool], ClaimNotificationKind] = {
    (True, True): "appeal_rejected",
    (True, False): "appeal_granted",
    (False, True): "reduction_confirmed",
    (False, False): "reduction_cancelled",
}
"""The notification of a decided appeal: by whether something was to be paid back, and whether the audit is upheld."""


def _nothing_to_appeal() -> NothingToAppeal:
    return NothingToAppeal(
        Text(zh="没有可申诉的事项，或已过申诉期。", en="There is nothing to appeal, or the time for an appeal is over.")
    )


# ── collections ──


def request_collection(claim: C, now: datetime, _term: Terms) -> C:
    """Record that the bank is asked to collect what is owed."""
    assert claim.clawback is not None, "there is a claw-back"
    collection_id = f"{claim.id}/collection/{len(claim.clawback.collections) + 1}"
    return _with_collection(claim, Collection(collection_id, claim.clawback.owed_fen, now, "city"))


def request_repayment(claim: C, collection_id: str, amount_fen: int, now: datetime) -> C:
    """Record that the subject pays back what is owed, once per id. Raises NothingToRepay or RepaymentInProgress."""
    clawback = claim.clawback
    if clawback is not None and any(one.id == collection_id for one in clawback.collections):
        return claim
    owed_fen = clawback.owed_fen if clawback is not None and not clawback.has_open_appeal else 0
    if owed_fen <= 0 or owed_fen != amount_fen:
        raise NothingToRepay(
            Text(zh="目前没有该笔应退款项，请刷新后查看。", en="This amount is not due now; please refresh."),
            owed_fen=owed_fen,
        )
    if claim.pending_collection() is not None or claim.pending_instalment() is not None or claim.entry is not None:
        raise RepaymentInProgress(
            Text(zh="银行正在处理，请稍候再试。", en="The bank is processing this; please try again in a moment.")
        )
    return _with_collection(claim, Collection(collection_id, amount_fen, now, "person"))


def _with_collection(claim: C, collection: Collection) -> C:
    assert claim.clawback is not None, "there is a claw-back"
    return replace(claim, clawback=replace(claim.clawback, collections=(*claim.clawback.collections, collection)))


async def send_collection(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Request the recorded collection, and record the answer. Raises UpstreamTimeout or UpstreamRejected."""
    collection = claim.pending_collection()
    if collection is None:
        return claim
    account = await account_number(benefits, city, claim)
    answer = await with_timeout(city.port(PayoutBank).collect(collection.id, account, collection.amount_fen))
    return apply_collection_answer(claim, collection.id, answer, now)


async def look_up_collection(benefits: AnyBenefits, city: City, claim: C, now: datetime) -> C:
    """Query the state of a collection; request it again under the same id if the bank never received it."""
    collection = claim.pending_collection()
    assert collection is not None, "a collection is with the bank"
    answer = await with_timeout(city.port(PayoutBank).look_up(collection.id))
    if answer.outcome == "unknown":
        changed = await send_collection(benefits, city, claim, now)
    else:
        changed = apply_collection_answer(claim, collection.id, answer, now)
    if changed is claim:
        raise UpstreamTimeout("the bank has not decided yet")
    return changed


def apply_collection_answer(claim: C, collection_id: str, answer: BankAnswer, now: datetime) -> C:
    """Record the bank's decision on a collection, once."""
    pending = claim.pending_collection()
    if pending is None or pending.id != collection_id or answer.outcome in ("pending", "unknown"):
        return claim
    assert claim.clawback is not None, "it was requested"
    done = answer.outcome == "done"
    decided = replace(pending, state="done" if done else "failed", receipt=answer.receipt)
    collections = tuple(decided if one is pending else one for one in claim.clawback.collections)
    claim = replace(claim, clawback=replace(claim.clawback, collections=collections), failures=0)
    if not done:
        return claim
    return notify(
        prepare_entry(claim, "return", pending.amount_fen, now), "repayment_received", pending.amount_fen, now
    )
