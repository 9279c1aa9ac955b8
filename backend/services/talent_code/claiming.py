"""Claiming a benefit with one tap, leaving the line, appealing, and paying back."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable
from backend.i18n import Text
from backend.services.talent_code import tasks
from backend.services.talent_code.advancing import advance, change_claim, collect, own_claims
from backend.services.talent_code.budgets import current_budget, open_budget
from backend.services.talent_code.looking_after import learn
from backend.services.talent_code.model.benefit import Judgement, barrier, judge, rests_on, terms_in, title_of
from backend.services.talent_code.model.claim import Appeal, Claim, Collection, Told, new_claim, notify
from backend.services.talent_code.model.problems import (
    ClaimedAlready,
    MoneyOwed,
    NoBankAccount,
    NotEntitled,
    NothingToAppeal,
    NothingToRepay,
    NotInLine,
    RepaymentFailed,
    RepaymentInFlight,
    UnknownBenefit,
)
from backend.services.talent_code.model.steps import ANSWERED_WITHIN, given_up, tried_at_once
from backend.services.talent_code.model.talent import Talent, benefit_facts
from backend.store import Conflict, Duplicate
from backend.web.idempotency import IdempotencyKeyReused

STATED = {"homes", "spent_fen"}
"""The facts that nobody confirms: whoever says nothing of them states that there are none."""

MAX_ATTEMPTS = 20


async def claim_benefit(city: City, person: str, benefit: str, key: str, stated: Mapping[str, Any]) -> Claim:
    """Have a person claim a benefit, once for this key, and bring the claim as far as it goes now.

    Raises UnknownBenefit, NotEntitled, ClaimedAlready, NoBankAccount, MoneyOwed, KeyReused, or RegistryAway where the
    answer hangs on registries that never answered.
    """
    claim_id = hashlib.sha256(f"{person}\n{key}".encode()).hexdigest()[:24]
    known = await city.store.get(Claim, claim_id)
    if known is not None and known.benefit != benefit:
        raise IdempotencyKeyReused(
            Text(zh="同一幂等键用于不同的请求。", en="This Idempotency-Key was used for another claim.")
        )
    if known is None:
        claim = await _judged(city, person, benefit, claim_id, stated)
        with suppress(Duplicate):  # the same tap came twice, and both go on with the one claim
            await city.store.insert(claim)
    claim = await advance(city, claim_id)
    if claim is None:
        raise ClaimedAlready(Text(zh="您已申领该项政策。", en="Another claim of yours was faster."), ends_at=None)
    if claim.state == "waiting":
        left = await open_budget(city, current_budget(city, benefit))
        if left.leaves(claim.amount_fen):
            await tasks.serve_benefit.enqueue(city.jobs, benefit)
    return claim


async def _judged(city: City, person: str, benefit: str, claim_id: str, stated: Mapping[str, Any]) -> Claim:
    """Judge a claim by what is known now."""
    talent = await learn(city, person)
    now = city.now()
    facts = benefit_facts(talent, stated, now)
    judged = judge(city.rulebook, benefit, facts, now)
    if judged is None or judged.terms.gives != "money":
        raise UnknownBenefit(Text(zh="目前没有该项政策。", en="There is no such benefit now."))
    rests = rests_on(city.rulebook, benefit, now)
    if rests & _untold(talent, city.today().year - 1) or (talent.figures is None and not judged.is_given):
        raise UpstreamUnavailable(
            Text(
                zh="社保或税务系统暂未响应，请稍后再试。", en="Social insurance or tax bureau do not answer; try later."
            )
        )
    if not judged.is_given:
        raise _not_entitled(talent, judged)
    barred = barrier(talent, benefit, terms_in(city.rulebook), now)
    if barred is not None:
        raise ClaimedAlready(barred.because, ends_at=barred.ends_at)
    await _refuse_debtor(city, person, now)
    if talent.account is None:
        raise NoBankAccount(
            Text(
                zh="请先登记收款账户。",
                en="Say first to which account money shall be paid (PUT /v1/me/talent/account).",
            )
        )
    return replace(
        new_claim(claim_id, person, title_of(city.rulebook, benefit), judged, facts, sorted(rests & STATED)),
        due_ms=int((now + ANSWERED_WITHIN).timestamp() * 1_000),
    )


def _untold(talent: Talent, last_year: int) -> set[str]:
    """Name the figures that no registry has told of a person: without them nothing that rests on them is paid."""
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


async def _refuse_debtor(city: City, person: str, now: datetime) -> None:
    owed = [
        one.clawback.owed_fen
        for one in await own_claims(city, person)
        if one.clawback is not None and not one.clawback.is_appealed and now >= one.clawback.appeal_until
    ]
    if sum(owed) > 0:
        raise MoneyOwed(
            Text(zh="请先退还多发的款项。", en="Pay back first what was paid on false facts."), owed_fen=sum(owed)
        )


async def _change(city: City, claim: Claim, change: Callable[[Claim, datetime], Claim]) -> Claim:
    """Change a claim and bring it on."""
    await change_claim(city, claim.id, change)
    return await _brought_on(city, claim)


async def give_up(city: City, claim: Claim) -> Claim:
    """Leave the line. Raises NotInLine."""

    def change(claim: Claim, now: datetime) -> Claim:
        if claim.state == "given_up":
            return claim
        if claim.state != "waiting":
            raise NotInLine(Text(zh="该申领不在排队中。", en="The claim does not wait in line any more."))
        return given_up(claim, now)

    return await _change(city, claim, change)


async def pay_to_new_account(city: City, person: str) -> None:
    """Try at once what could not be paid to a person's former account."""
    for claim in await own_claims(city, person):
        changed = await change_claim(city, claim.id, lambda claim, _now: tried_at_once(claim))
        if changed is not None and changed.revision != claim.revision:
            await tasks.advance.enqueue(city.jobs, claim.id)


async def appeal(city: City, claim: Claim, text: str) -> Claim:
    """Appeal against a claw-back, or against the reduction of what is still to come. Raises NothingToAppeal."""

    def change(claim: Claim, now: datetime) -> Claim:
        clawback = claim.clawback
        if clawback is not None and clawback.appeal is not None and clawback.appeal.text == text:
            return claim
        if clawback is None or clawback.appeal is not None or now >= clawback.appeal_until or clawback.is_collected:
            raise _nothing_to_appeal()
        return replace(claim, clawback=replace(clawback, appeal=Appeal(text, now)))

    return await _change(city, claim, change)


async def decide_appeal(city: City, claim: Claim, *, upheld: bool, reason: Text) -> Claim:
    """Decide an appeal: what the audit had decided is `upheld`, or dropped. Raises NothingToAppeal."""

    def change(claim: Claim, now: datetime) -> Claim:
        clawback = claim.clawback
        if clawback is None or clawback.appeal is None:
            raise _nothing_to_appeal()
        if clawback.appeal.decided_at is not None:
            if clawback.appeal.upheld == upheld and clawback.appeal.reason == reason:
                return claim
            raise _nothing_to_appeal()
        decided = replace(clawback.appeal, decided_at=now, upheld=upheld, reason=reason)
        later = max(clawback.collect_at, now + (clawback.collect_at - clawback.appeal_until))
        changed = replace(clawback, appeal=decided, collect_at=later, dropped_at=None if upheld else now)
        kind = _DECIDED[clawback.amount_fen > 0, upheld]
        return notify(replace(claim, clawback=changed), kind, clawback.amount_fen, now)

    return await _change(city, claim, change)


_DECIDED: dict[tuple[bool, bool], Told] = {
    (True, True): "appeal_upheld",
    (True, False): "appeal_won",
    (False, True): "reduction_upheld",
    (False, False): "reduction_dropped",
}
"""What a person is told, by whether something was to be paid back, and whether the decision of the audit stands."""


def _nothing_to_appeal() -> NothingToAppeal:
    return NothingToAppeal(Text(zh="没有可申诉的事项，或已过申诉期。", en="There is nothing to appeal against now."))


async def repay(city: City, claim: Claim, key: str, amount_fen: int) -> Claim:
    """Pay back what is owed, once for this key. Raises NothingToRepay, RepaymentInFlight or RepaymentFailed."""
    digest = hashlib.sha256(f"{claim.subject}\n{key}".encode()).hexdigest()[:24]
    collection_id = f"{claim.id}/repayment/{digest}"
    for _ in range(MAX_ATTEMPTS):
        clawback, now = claim.clawback, city.now()
        if clawback is not None and any(one.id == collection_id for one in clawback.collections):
            return await _repaid(city, claim, collection_id)
        if clawback is None or clawback.owed_fen <= 0 or clawback.is_appealed or clawback.owed_fen != amount_fen:
            owed_fen = clawback.owed_fen if clawback is not None and not clawback.is_appealed else 0
            raise NothingToRepay(
                Text(zh="目前没有该笔应退款项。", en="This is not what is to be paid back now."), owed_fen=owed_fen
            )
        if clawback.asked() is not None or claim.asked() is not None:
            raise RepaymentInFlight(Text(zh="银行正在处理，请稍候。", en="The bank is at it; wait a moment."))
        if claim.entry is None:
            try:
                await collect(city, claim, Collection(collection_id, amount_fen, now, "person"), now)
            except Conflict:
                pass
            else:
                return await _repaid(city, claim, collection_id)
        claim = await _brought_on(city, claim)
    raise Conflict(Claim.collection, claim.id, claim.revision)


async def _repaid(city: City, claim: Claim, collection_id: str) -> Claim:
    claim = await _brought_on(city, claim)
    assert claim.clawback is not None, "something was paid back of it"
    if any(one.id == collection_id and one.state == "failed" for one in claim.clawback.collections):
        raise RepaymentFailed(
            Text(zh="银行未能扣款，请核对账户。", en="The bank could not take it; check your account.")
        )
    return claim


async def _brought_on(city: City, claim: Claim) -> Claim:
    changed = await advance(city, claim.id)
    assert changed is not None, "claims that were taken are not deleted"
    return changed
