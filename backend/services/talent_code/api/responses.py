"""Responses of the talent code's routes, built from its documents and rules."""

from datetime import datetime

from msgspec.structs import asdict, astuple

from backend.benefits.offers import Judgement, split_into_instalments
from backend.benefits.responses import claim_stage, clawback_details, stage_message
from backend.city.service import City
from backend.i18n import Text
from backend.services.talent_code.api.schemas import (
    ClaimDetails,
    ClaimInstalmentDetails,
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
from backend.services.talent_code.eligibility import talent_terms
from backend.services.talent_code.facts import TALENT_CLASSES, BenefitTerms, Partner
from backend.services.talent_code.model.benefit import near_miss, offers_of
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.grants import CLASS_MODULE, review_starts_at
from backend.services.talent_code.model.redemption import Usage, remaining_uses, services_for, usage_id
from backend.services.talent_code.model.talent import Grant, Talent, benefit_facts, talent_facts

ASSUMED_SPENDING_FEN = 10**13
"""Until a person states what they spent, offers assume more than any limit."""


# ── the class ──


def talent_details(city: City, talent: Talent) -> TalentDetails:
    """Return a person's class with its reason, their evidence, and the ways to the next class."""
    now, zone = city.now(), city.rulebook.time_zone
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
    return GrantDetails(**asdict(grant))


# ── services ──


async def own_entitlements(city: City, talent: Talent, now: datetime) -> list[OwnEntitlement]:
    """Return the services that a person is entitled to now, as shown to that person."""
    return [
        OwnEntitlement(*astuple(entitlement(city, one, usage)), because=one.verdict.because)
        for one, usage in await services_with_usage(city, talent, now)
    ]


async def services_with_usage(
    city: City, talent: Talent, now: datetime, kind: Partner | None = None
) -> list[tuple[Judgement[BenefitTerms], Usage | None]]:
    """Return a person's services, all or those offered by a kind of partner, with their use in this year."""
    judged = services_for(city.rulebook, benefit_facts(talent, {}, now), now, kind)
    ids = [usage_id(talent.id, one.benefit, city.today().year) for one in judged]
    usages = await city.store.get_many(Usage, ids)
    return [(one, usages.get(key)) for one, key in zip(judged, ids, strict=True)]


def entitlement(city: City, judged: Judgement[BenefitTerms], usage: Usage | None) -> Entitlement:
    """Return a service with the remaining uses of the year."""
    assert judged.terms.unit is not None, "a service has a unit"
    return Entitlement(
        benefit=judged.benefit,
        title=offers_of(city.rulebook).title(judged.benefit),
        figure=judged.verdict.result,
        unit=judged.terms.unit,
        remaining=remaining_uses(usage, judged.terms.quota),
    )


# ── money ──


def offers_and_near_misses(city: City, talent: Talent, now: datetime) -> tuple[list[Offer], list[NearMissDetails]]:
    """Return the money that a person can claim, and the benefits of any kind that they narrowly miss."""
    offers: list[Offer] = []
    misses: list[NearMissDetails] = []
    offered = offers_of(city.rulebook)
    for benefit in offered.names():
        terms = offered.terms(benefit, now)
        if terms is None:
            continue
        stated = {"spent_fen": ASSUMED_SPENDING_FEN} if terms.base is not None and terms.base.of == "spent_fen" else {}
        facts, title = benefit_facts(talent, stated, now), offered.title(benefit)
        judged = offered.judge(benefit, facts, now)
        assert judged is not None, "its terms are in force"
        if not judged.is_entitled:
            miss = near_miss(city.rulebook, judged, facts, now)
            if miss is not None:
                misses.append(NearMissDetails(benefit, title, miss.kind, miss.because, miss.remedy, miss.from_at))
            continue
        restriction = offered.restriction(talent, benefit, now)
        if restriction is not None and not restriction.limit_reached:
            because, ends_at = restriction.because, restriction.ends_at
            misses.append(NearMissDetails(benefit, title, "own_claims", because, None, ends_at))
        elif restriction is None and terms.gives == "money":
            offers.append(_offer(judged, title))
    return offers, misses


def _offer(judged: Judgement[BenefitTerms], title: Text) -> Offer:
    verdict, terms = judged.verdict, judged.terms
    if terms.base is not None and terms.base.of == "spent_fen":
        max_amount_fen = judged.amount_fen if terms.amount == "up_to" else None
        return Offer(judged.benefit, title, verdict.rule, verdict.because, None, max_amount_fen, [])
    instalments = [
        OfferedInstalment(fen, one.milestone)
        for one, fen in split_into_instalments(judged.amount_fen, terms.instalments)
    ]
    return Offer(judged.benefit, title, verdict.rule, verdict.because, judged.amount_fen, None, instalments)


# ── claims ──


def claim_details(claim: Claim) -> ClaimDetails:
    """Return a claim in its present stage."""
    return ClaimDetails(
        id=claim.id,
        benefit=claim.benefit,
        title=claim.title,
        stage=claim_stage(claim),
        message=stage_message(claim),
        claimed_at=claim.claimed_at,
        rule=claim.rule,
        because=claim.because,
        rulebook=claim.rulebook,
        amount_fen=claim.amount_fen,
        paid_fen=claim.paid_fen,
        returned_fen=claim.returned_fen,
        instalments=[
            ClaimInstalmentDetails(one.amount_fen, one.milestone, one.state, one.paid_at, one.receipt)
            for one in claim.instalments
        ],
        clawback=clawback_details(claim, _FACTS),
        read_by_officers=[view.at for view in claim.officer_views],
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
