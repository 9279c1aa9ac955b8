"""Claims as people make them: claim with one tap, leave the waiting list, appeal, and pay back."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable
from backend.i18n import Text, yuan
from backend.jobs.tasks import TaskReference
from backend.services.talent_code.budgets import current_budget_id, get_or_create_budget
from backend.services.talent_code.model.benefit import (
    Judgement,
    benefit_title,
    claim_restriction,
    facts_used,
    judge,
    restriction_reason,
    terms_lookup,
)
from backend.services.talent_code.model.claim import (
    Appeal,
    Claim,
    ClaimNotificationKind,
    Collection,
    new_claim,
    notify,
)
from backend.services.talent_code.model.problems import (
    AlreadyClaimed,
    NoBankAccount,
    NotEntitled,
    NothingToAppeal,
    NothingToRepay,
    NotOnWaitlist,
    RepaymentFailed,
    RepaymentInProgress,
    RepaymentOutstanding,
    UnknownBenefit,
)
from backend.services.talent_code.model.steps import BANK_TIMEOUT, retry_now, withdraw
from backend.services.talent_code.model.talent import Talent, benefit_facts
from backend.services.talent_code.review import refresh_talent
from backend.services.talent_code.saga import advance_claim, claims_of, collect, update_claim
from backend.store import Conflict, Duplicate
from backend.store.time import to_ms
from backend.web.idempotency import IdempotencyKeyReused

SELF_DECLARED_FACTS = {"homes", "spent_fen"}
"""Facts that only the person states, without confirmation; leaving one out states that there is none."""

MAX_ATTEMPTS = 20

advance_claim_task = TaskReference("talent_code.advance_claim")
serve_waitlist = TaskReference("talent_code.serve_waitlist")


async def claim_benefit(city: City, person: str, benefit: str, key: str, stated: Mapping[str, Any]) -> Claim:
    """Claim a benefit for a person, once per key, and carry out the steps that are due.

    Raises UnknownBenefit, NotEntitled, AlreadyClaimed, NoBankAccount, RepaymentOutstanding, IdempotencyKeyReused, or
    UpstreamUnavailable if the decision depends on registries that have never answered.
    """
    claim_id = hashlib.sha256(f"{person}\n{key}".encode()).hexdigest()[:24]
    known = await city.store.get(Claim, claim_id)
    if known is not None and known.benefit != benefit:
        raise IdempotencyKeyReused(
            Text(
                zh="这次提交与之前的内容不同，请刷新页面后重试。",
                en="This Idempotency-Key was used for another claim; please refresh and try again.",
            )
        )
    if known is None:
        claim = await _judge_claim(city, person, benefit, claim_id, stated)
        with suppress(Duplicate):  # the same request arrived twice, and both continue with the one claim
            await city.store.insert(claim)
    claim = await advance_claim(city, claim_id)
    if claim is None:
        raise AlreadyClaimed(
            Text(zh="您已申领该项政策，请勿重复申领。", en="You have already claimed this benefit."), ends_at=None
        )
    if claim.state == "waiting":
        budget = await get_or_create_budget(city, current_budget_id(city, benefit))
        if budget.covers(claim.amount_fen):
            await serve_waitlist.enqueue(city.jobs, benefit)
    return claim


async def _judge_claim(city: City, person: str, benefit: str, claim_id: str, stated: Mapping[str, Any]) -> Claim:
    """Judge a claim by the facts known now."""
    talent = await refresh_talent(city, person)
    now = city.now()
    facts = benefit_facts(talent, stated, now)
    judged = judge(city.rulebook, benefit, facts, now)
    if judged is None or judged.terms.gives != "money":
        raise UnknownBenefit(Text(zh="目前没有该项政策。", en="This benefit does not exist or is not available now."))
    used = facts_used(city.rulebook, benefit, now)
    if used & _unknown_figures(talent, city.today().year - 1) or (talent.figures is None and not judged.is_entitled):
        raise UpstreamUnavailable(
            Text(
                zh="社保或税务系统暂未响应，请稍后再试。",
                en="The social insurance or the tax bureau does not answer; please try again later.",
            )
        )
    if not judged.is_entitled:
        raise _not_entitled(talent, judged)
    restriction = claim_restriction(talent, benefit, terms_lookup(city.rulebook), now)
    if restriction is not None:
        raise AlreadyClaimed(restriction_reason(city.rulebook, restriction), ends_at=restriction.ends_at)
    await _require_no_debt(city, person, now)
    if talent.account is None:
        raise NoBankAccount(
            Text(
                zh="请先在“人才码—收款账户”中登记本人银行卡，再申领。",
                en="Register your bank card for payouts first (PUT /v1/me/talent/account).",
            )
        )
    stated_facts = sorted(used & SELF_DECLARED_FACTS)
    return replace(
        new_claim(claim_id, person, benefit_title(city.rulebook, benefit), judged, facts, stated_facts),
        due_ms=to_ms(now + BANK_TIMEOUT),
    )


def _unknown_figures(talent: Talent, last_year: int) -> set[str]:
    """Return the figures that no registry has provided; nothing that depends on them is paid."""
    if talent.figures is None:
        return {"insured_months", "income_fen", "tax_fen"}
    return set() if talent.figures.year == last_year else {"income_fen", "tax_fen"}


def _not_entitled(talent: Talent, judged: Judgement) -> NotEntitled:
    verdict = judged.verdict
    ended = max((one.ended_at or one.until for one in talent.grants), default=None)
    return NotEntitled(
        verdict.because,
        rule=verdict.rule,
        because=verdict.because,
        remedy=verdict.remedy,
        class_ended_at=ended if talent.grant(verdict.at) is None else None,
    )


async def _require_no_debt(city: City, person: str, now: datetime) -> None:
    owed_fen = sum(
        one.clawback.owed_fen
        for one in await claims_of(city, person)
        if one.clawback is not None and not one.clawback.has_open_appeal and now >= one.clawback.appeal_until
    )
    if owed_fen > 0:
        amount = yuan(owed_fen)
        raise RepaymentOutstanding(
            Text(
                zh=f"您有{amount}元多发款项尚未退还，退还后可继续申领。",
                en=f"Pay back the {amount} yuan that you were paid in excess first; then you can claim again.",
            ),
            owed_fen=owed_fen,
        )


async def _update_claim(city: City, claim: Claim, change: Callable[[Claim, datetime], Claim]) -> Claim:
    """Change a claim and carry out the steps that are due."""
    await update_claim(city, claim.id, change)
    return await _advance(city, claim)


async def withdraw_claim(city: City, claim: Claim) -> Claim:
    """Withdraw a claim from the waiting list. Raises NotOnWaitlist."""

    def change(claim: Claim, now: datetime) -> Claim:
        if claim.state == "withdrawn":
            return claim
        if claim.state != "waiting":
            raise NotOnWaitlist(Text(zh="该申领不在排队中，不能撤回。", en="This claim is not on the waiting list."))
        return withdraw(claim, now)

    return await _update_claim(city, claim, change)


async def retry_payouts(city: City, person: str) -> None:
    """Retry failed payouts at once, after the person has registered another account."""
    for claim in await claims_of(city, person):
        changed = await update_claim(city, claim.id, lambda claim, _now: retry_now(claim))
        if changed is not None and changed.revision != claim.revision:
            await advance_claim_task.enqueue(city.jobs, claim.id)


async def file_appeal(city: City, claim: Claim, text: str) -> Claim:
    """Appeal against a claw-back or a reduction of open instalments. Raises NothingToAppeal."""

    def change(claim: Claim, now: datetime) -> Claim:
        clawback = claim.clawback
        if clawback is not None and clawback.appeal is not None and clawback.appeal.text == text:
            return claim
        if clawback is None or clawback.appeal is not None:
            raise _nothing_to_appeal()
        if now >= clawback.appeal_until or clawback.may_have_collected:
            raise _nothing_to_appeal()
        return replace(claim, clawback=replace(clawback, appeal=Appeal(text, now)))

    return await _update_claim(city, claim, change)


async def decide_appeal(city: City, claim: Claim, *, decision_upheld: bool, reason: Text) -> Claim:
    """Decide an appeal: the decision of the audit is upheld, or dropped. Raises NothingToAppeal."""

    def change(claim: Claim, now: datetime) -> Claim:
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

    return await _update_claim(city, claim, change)


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


async def repay(city: City, claim: Claim, key: str, amount_fen: int) -> Claim:
    """Pay back what is owed, once per key. Raises NothingToRepay, RepaymentInProgress or RepaymentFailed."""
    digest = hashlib.sha256(f"{claim.subject}\n{key}".encode()).hexdigest()[:24]
    collection_id = f"{claim.id}/repayment/{digest}"
    for _ in range(MAX_ATTEMPTS):
        clawback, now = claim.clawback, city.now()
        if clawback is not None and any(one.id == collection_id for one in clawback.collections):
            return await _collection_result(city, claim, collection_id)
        owed_fen = clawback.owed_fen if clawback is not None and not clawback.has_open_appeal else 0
        if clawback is None or owed_fen <= 0 or owed_fen != amount_fen:
            raise NothingToRepay(
                Text(zh="目前没有该笔应退款项，请刷新后查看。", en="This amount is not due now; please refresh."),
                owed_fen=owed_fen,
            )
        if clawback.pending_collection() is not None or claim.pending_instalment() is not None:
            raise RepaymentInProgress(
                Text(zh="银行正在处理，请稍候再试。", en="The bank is processing this; please try again in a moment.")
            )
        if claim.entry is None:
            try:
                await collect(city, claim, Collection(collection_id, amount_fen, now, "person"), now)
            except Conflict:
                pass
            else:
                return await _collection_result(city, claim, collection_id)
        claim = await _advance(city, claim)
    raise Conflict(Claim.collection, claim.id, claim.revision)


async def _collection_result(city: City, claim: Claim, collection_id: str) -> Claim:
    claim = await _advance(city, claim)
    assert claim.clawback is not None, "a collection belongs to a claw-back"
    if any(one.id == collection_id and one.state == "failed" for one in claim.clawback.collections):
        raise RepaymentFailed(
            Text(
                zh="银行未能扣款，请核对收款账户余额后重试。",
                en="The bank could not debit your account; please check its balance and try again.",
            )
        )
    return claim


async def _advance(city: City, claim: Claim) -> Claim:
    changed = await advance_claim(city, claim.id)
    assert changed is not None, "a registered claim is never deleted"
    return changed
