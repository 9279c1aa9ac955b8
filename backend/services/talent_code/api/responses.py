"""Responses of the talent code's routes, built from its documents and rules."""

from datetime import datetime
from typing import Literal

from msgspec.structs import astuple

from backend.city.service import City
from backend.i18n import Text, yuan
from backend.services.talent_code.api.schemas import (
    ClaimDetails,
    ClaimInstalmentDetails,
    ClaimStage,
    ClawbackDetails,
    Entitlement,
    EvidenceDetails,
    GrantDetails,
    NearMissDetails,
    NextClassOption,
    Offer,
    OfferedInstalment,
    OwnEntitlement,
    TalentDetails,
)
from backend.services.talent_code.eligibility import talent_terms, time_zone_of
from backend.services.talent_code.facts import TALENT_CLASSES, Partner
from backend.services.talent_code.model.benefit import (
    Judgement,
    benefit_names,
    benefit_title,
    claim_restriction,
    judge,
    near_miss,
    restriction_reason,
    split_into_instalments,
    terms_lookup,
)
from backend.services.talent_code.model.claim import Audit, Claim, Clawback
from backend.services.talent_code.model.grants import CLASS_MODULE, review_starts_at
from backend.services.talent_code.model.redemption import Usage, remaining_uses, services_for, usage_id
from backend.services.talent_code.model.talent import Grant, Talent, benefit_facts, talent_facts

ASSUMED_SPENDING_FEN = 10**13
"""Until a person states what they spent, offers assume more than any limit."""


# ── the class ──


def talent_details(city: City, talent: Talent) -> TalentDetails:
    """Return a person's class with its reason, their evidence, and the ways to the next class."""
    now, zone = city.now(), time_zone_of(city)
    grant, talent_class = talent.grant(now), talent.class_at(now)
    with_declared = talent_facts(talent, now, zone, ("confirmed", "declared"))
    expected = city.rulebook.evaluate(CLASS_MODULE, with_declared, now).result
    rank = TALENT_CLASSES.index(talent_class) + 1
    above = TALENT_CLASSES[rank] if rank < len(TALENT_CLASSES) else None
    return TalentDetails(
        talent_class=talent_class,
        grant=_grant_details(grant) if grant is not None else None,
        review_at=review_starts_at(grant, talent_terms(city, now)("review_days")) if grant is not None else None,
        evidence=[
            EvidenceDetails(one.id, one.qualification, one.state, one.declared_at, one.answered_at)
            for one in talent.evidence
        ],
        class_if_confirmed=max(expected, talent_class, key=TALENT_CLASSES.index),
        next_class=above if above != "none" else None,
        next_class_options=[
            NextClassOption(rule.id, rule.because, rule.remedy)
            for rule in city.rulebook.in_force(CLASS_MODULE, now)
            if rule.then == above
        ],
        previous_grants=[_grant_details(one) for one in reversed(talent.grants) if one is not grant],
        account_ending=talent.account_ending,
    )


def _grant_details(grant: Grant) -> GrantDetails:
    return GrantDetails(
        grant.talent_class,
        grant.rule,
        grant.because,
        grant.granted_at,
        grant.until,
        grant.ended_at,
        grant.end,
        grant.rulebook,
    )


# ── services ──


async def own_entitlements(city: City, talent: Talent, now: datetime) -> list[OwnEntitlement]:
    """Return the services that a person is entitled to now, as shown to that person."""
    return [
        OwnEntitlement(*astuple(entitlement(city, one, usage)), because=one.verdict.because)
        for one, usage in await services_with_usage(city, talent, now)
    ]


async def services_with_usage(
    city: City, talent: Talent, now: datetime, kind: Partner | None = None
) -> list[tuple[Judgement, Usage | None]]:
    """Return a person's services, all or those offered by a kind of partner, with their use in this year."""
    judged = services_for(city.rulebook, benefit_facts(talent, {}, now), now, kind)
    ids = [usage_id(talent.id, one.benefit, city.today().year) for one in judged]
    usages = await city.store.get_many(Usage, ids)
    return [(one, usages.get(key)) for one, key in zip(judged, ids, strict=True)]


def entitlement(city: City, judged: Judgement, usage: Usage | None) -> Entitlement:
    """Return a service with the remaining uses of the year."""
    assert judged.terms.unit is not None, "a service has a unit"
    return Entitlement(
        benefit=judged.benefit,
        title=benefit_title(city.rulebook, judged.benefit),
        figure=judged.verdict.result,
        unit=judged.terms.unit,
        remaining=remaining_uses(usage, judged.terms.quota),
    )


# ── money ──


def offers_and_near_misses(city: City, talent: Talent, now: datetime) -> tuple[list[Offer], list[NearMissDetails]]:
    """Return the money that a person can claim, and the benefits of any kind that they narrowly miss."""
    offers: list[Offer] = []
    misses: list[NearMissDetails] = []
    terms_of = terms_lookup(city.rulebook)
    for benefit in benefit_names(city.rulebook):
        terms = terms_of(benefit, now)
        if terms is None:
            continue
        stated = {"spent_fen": ASSUMED_SPENDING_FEN} if terms.base is not None and terms.base.of == "spent_fen" else {}
        facts, title = benefit_facts(talent, stated, now), benefit_title(city.rulebook, benefit)
        judged = judge(city.rulebook, benefit, facts, now)
        assert judged is not None, "its terms are in force"
        if not judged.is_entitled:
            miss = near_miss(city.rulebook, judged, facts, now)
            if miss is not None:
                misses.append(NearMissDetails(benefit, title, miss.kind, miss.because, miss.remedy, miss.from_at))
            continue
        restriction = claim_restriction(talent, benefit, terms_of, now)
        if restriction is not None and not restriction.limit_reached:
            because = restriction_reason(city.rulebook, restriction)
            misses.append(NearMissDetails(benefit, title, "own_claims", because, None, restriction.ends_at))
        elif restriction is None and terms.gives == "money":
            offers.append(_offer(judged, title))
    return offers, misses


def _offer(judged: Judgement, title: Text) -> Offer:
    verdict, terms = judged.verdict, judged.terms
    if terms.base is not None and terms.base.of == "spent_fen":
        max_amount_fen = judged.amount_fen if terms.amount == "up_to" else None
        return Offer(judged.benefit, title, verdict.rule, verdict.because, None, max_amount_fen, [])
    instalments = [
        OfferedInstalment(fen, one.insured_months)
        for one, fen in split_into_instalments(judged.amount_fen, terms.instalments)
    ]
    return Offer(judged.benefit, title, verdict.rule, verdict.because, judged.amount_fen, None, instalments)


# ── claims ──

_MESSAGES: dict[ClaimStage, Text] = {
    "claimed": Text(zh="申领已受理，正在处理。", en="Your claim is being processed."),
    "waiting": Text(
        zh="本年度预算已用完，您的申领已进入排队，有预算后自动发放，无需再次申领。",
        en="This year's budget is used up. Your claim is on the waiting list. "
        "It will be paid automatically when funds are available; you need not do anything.",
    ),
    "granted": Text(
        zh="已批准，满足发放条件后自动发放。", en="It was granted and will be paid automatically when it is due."
    ),
    "paying": Text(
        zh="银行正在处理，请勿重复申领。", en="The bank is processing your payment; please do not claim again."
    ),
    "partly_paid": Text(
        zh="已发放{yuan}元，其余满足发放条件后自动发放。",
        en="{yuan} yuan were paid; the rest will be paid automatically when it is due.",
    ),
    "paid": Text(zh="已发放{yuan}元。", en="{yuan} yuan were paid."),
    "failed": Text(
        zh="未能发放。如仍符合条件，请核对收款账户后重新申领。",
        en="It could not be paid. If you are still entitled, check your account and claim again.",
    ),
    "withdrawn": Text(zh="您已撤回本次申领。", en="You have withdrawn this claim."),
}


def claim_details(claim: Claim) -> ClaimDetails:
    """Return a claim in its present stage."""
    stage = claim_stage(claim)
    words, amount = _MESSAGES[stage], yuan(claim.paid_fen)
    return ClaimDetails(
        id=claim.id,
        benefit=claim.benefit,
        title=claim.title,
        stage=stage,
        message=Text(zh=words.zh.format(yuan=amount), en=words.en.format(yuan=amount)),
        claimed_at=claim.claimed_at,
        rule=claim.rule,
        because=claim.because,
        rulebook=claim.rulebook,
        amount_fen=claim.amount_fen,
        paid_fen=claim.paid_fen,
        returned_fen=claim.returned_fen,
        instalments=[
            ClaimInstalmentDetails(one.amount_fen, one.insured_months, one.state, one.paid_at, one.receipt)
            for one in claim.instalments
        ],
        clawback=_clawback_details(claim, claim.clawback, claim.audit) if claim.clawback and claim.audit else None,
        read_by_officers=[view.at for view in claim.officer_views],
    )


def claim_stage(claim: Claim) -> ClaimStage:
    """Return the stage of a claim."""
    match claim.state:
        case "draft" | "claimed":
            return "claimed"
        case "waiting" | "failed" | "withdrawn":
            return claim.state
        case "granted":
            if claim.pending_instalment() is not None:
                return "paying"
            if claim.sum_fen("open") == 0:
                return "paid"
            return "partly_paid" if claim.paid_fen else "granted"


def _clawback_details(claim: Claim, clawback: Clawback, audit: Audit) -> ClawbackDetails:
    appeal = clawback.appeal
    outcome: Literal["none", "pending", "granted", "rejected"] = "none"
    if appeal is not None and appeal.decision_upheld is None:
        outcome = "pending"
    elif appeal is not None:
        outcome = "rejected" if appeal.decision_upheld else "granted"
    return ClawbackDetails(
        amount_fen=clawback.amount_fen,
        owed_fen=clawback.owed_fen,
        reduction_fen=claim.excess_fen,
        because=Text(
            zh="经核查，以下信息与主管部门记录不一致：" + "、".join(_FACTS[name].zh for name in audit.differing_facts),
            en="An audit found that these facts differ from the registries: "
            + ", ".join(_FACTS[name].en for name in audit.differing_facts),
        ),
        differing_facts=audit.differing_facts,
        notified_at=clawback.notified_at,
        appeal_until=clawback.appeal_until,
        collect_at=clawback.collect_at,
        appeal=outcome,
        decision=appeal.reason if appeal is not None else None,
    )


_FACTS: dict[str, Text] = {
    "talent_class": Text(zh="人才类别", en="talent class"),
    "class_since": Text(zh="人才类别起始时间", en="start of the talent class"),
    "degree": Text(zh="最高学位", en="highest degree"),
    "graduated_at": Text(zh="毕业时间", en="date of graduation"),
    "income_fen": Text(zh="年收入", en="annual income"),
    "tax_fen": Text(zh="个人所得税", en="income tax"),
    "homes": Text(zh="名下住房", en="homes owned"),
    "spent_fen": Text(zh="支出金额", en="amount spent"),
}
