"""Responses of the talent code's routes, built from its documents and rules."""

from datetime import datetime

from msgspec import convert
from msgspec.structs import astuple

from backend.benefits.answers import asked_facts, expected_answer
from backend.benefits.offers import Judgement, split_into_instalments
from backend.benefits.responses import claim_stage, clawback_details, stage_message
from backend.benefits.terms import MAX_FEN
from backend.city.service import City
from backend.i18n import Text
from backend.rulebook.modules.declared_facts import DeclaredFact, declared_facts
from backend.services.talent_code.api.schemas import (
    BenefitQuestion,
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
    QuestionsOfBenefit,
    TalentDetails,
)
from backend.services.talent_code.declared import facts_of_benefit
from backend.services.talent_code.facts import TALENT_CLASSES, BenefitFacts, BenefitTerms, Partner, class_above
from backend.services.talent_code.model.benefit import NearMiss, near_miss, offers_of, services_for
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.grants import class_verdict, review_starts_at
from backend.services.talent_code.model.redemption import Usage, remaining_uses, usage_id
from backend.services.talent_code.model.talent import Talent, TalentTerms, benefit_facts
from backend.services.talent_code.rule_modules import CLASS_MODULE

# ── the class ──


def talent_details(city: City, talent: Talent) -> TalentDetails:
    """Return a person's class with its reason, their evidence, and the ways to the next class."""
    now = city.now()
    grant, talent_class = talent.grant(now), talent.class_at(now)
    expected = class_verdict(talent, now, city.rulebook, ("confirmed", "declared")).result
    above = class_above(talent_class)
    ways = [rule for rule in city.rulebook.in_force(CLASS_MODULE, now) if rule.then == above]
    previous = [one for one in reversed(talent.grants) if one is not grant]
    return TalentDetails(
        talent_class=talent_class,
        grant=convert(grant, GrantDetails | None, from_attributes=True),
        review_at=grant and review_starts_at(grant, TalentTerms(city.rulebook, now)),
        evidence=convert(talent.evidence, list[EvidenceDetails], from_attributes=True),
        class_if_confirmed=max(expected, talent_class, key=TALENT_CLASSES.index),
        next_class=above,
        next_class_options=[NextClassOption(rule.id, rule.because, rule.remedy) for rule in ways],
        previous_grants=convert(previous, list[GrantDetails], from_attributes=True),
        account_ending=talent.account_ending,
        account_usable_from=talent.payable_from if talent.payable_from and now < talent.payable_from else None,
    )


# ── services ──


async def own_entitlements(city: City, talent: Talent, now: datetime) -> list[OwnEntitlement]:
    """Return the services that a person is entitled to now, as shown to that person."""
    return [
        OwnEntitlement(*astuple(entitlement(judged, usage)), because=judged.verdict.because)
        for judged, usage in await services_with_usage(city, talent, now)
    ]


async def services_with_usage(
    city: City, talent: Talent, now: datetime, kind: Partner | None = None
) -> list[tuple[Judgement[BenefitTerms], Usage | None]]:
    """Return a person's services, all or those offered by a kind of partner, with their use in this year."""
    services = services_for(city.rulebook, talent, now, kind)
    ids = [usage_id(talent.id, judged.benefit, city.today().year) for judged in services]
    usages = await city.store.get_many(Usage, ids)
    return [(judged, usages.get(key)) for judged, key in zip(services, ids, strict=True)]


def entitlement(judged: Judgement[BenefitTerms], usage: Usage | None) -> Entitlement:
    """Return a service with the remaining uses of the year."""
    terms, figure = judged.terms, judged.verdict.result
    assert terms.unit is not None, "a service has a unit"
    return Entitlement(judged.benefit, judged.title, figure, terms.unit, remaining_uses(usage, terms.quota))


# ── money ──


def offers_and_near_misses(city: City, talent: Talent, now: datetime) -> tuple[list[Offer], list[NearMissDetails]]:
    """Return the money that a person can claim, and the benefits of any kind that they narrowly miss.

    Until the person states what they spent, it is assumed to be more than any limit.
    """
    offers: list[Offer] = []
    misses: list[NearMissDetails] = []
    offered = offers_of(city.rulebook)
    for benefit in offered.names():
        terms = offered.terms(benefit, now)
        if terms is None:
            continue
        facts = benefit_facts(talent, {"spent_fen": MAX_FEN} if terms.depends_on_spending else {}, now)
        judged, miss = offered.judge(benefit, facts, now), None
        if judged is None:  # it depends on facts of its own, see questions_of_benefits
            continue
        if not judged.is_entitled:
            miss = near_miss(city.rulebook, judged, facts)
        elif (restriction := offered.restriction(talent, benefit, now)) is None:
            offers += [offer_details(judged)] if terms.gives == "money" else []
        elif not restriction.limit_reached:
            miss = NearMiss("own_claims", restriction.because, from_at=restriction.ends_at)
        if miss is not None:
            misses.append(NearMissDetails(benefit, judged.title, miss.kind, miss.because, miss.remedy, miss.from_at))
    return offers, misses


def questions_of_benefits(city: City, talent: Talent, now: datetime) -> list[QuestionsOfBenefit]:
    """Return the benefits in money that declare facts of their own, with what they ask of the person.

    It leaves out those of which no answer could give the person anything now, and those that earlier claims exclude.
    """
    offered, facts = offers_of(city.rulebook), benefit_facts(talent, {}, now)
    found: list[QuestionsOfBenefit] = []
    for benefit in offered.names():
        terms, struct = offered.terms(benefit, now), facts_of_benefit(offered, benefit)
        if terms is None or terms.gives != "money" or struct is BenefitFacts:
            continue
        unknown = {fact.name for fact in declared_facts(struct)} | _STATED
        if offered.restriction(talent, benefit, now) is None and offered.may_give(benefit, facts, unknown, now):
            questions = [_question(fact) for fact in asked_facts(struct)]
            found.append(QuestionsOfBenefit(benefit, offered.title(benefit), questions))
    return found


_STATED = frozenset({"homes", "spent_fen"})
"""The facts of every benefit that the person states with the claim."""


def _question(fact: DeclaredFact) -> BenefitQuestion:
    fields = tuple(map(_question, fact.fields))
    answer = expected_answer(fact)
    return BenefitQuestion(fact.name, fact.type, fact.meaning, answer, fact.optional, fact.words, fields)


def offer_details(judged: Judgement[BenefitTerms]) -> Offer:
    """Return the money that a judgement entitles to."""
    verdict, terms, amount_fen = judged.verdict, judged.terms, judged.amount_fen
    if terms.depends_on_spending:
        max_amount_fen = amount_fen if terms.amount == "up_to" else None
        return Offer(judged.benefit, judged.title, verdict.rule, verdict.because, None, max_amount_fen, [])
    parts = split_into_instalments(amount_fen, terms.instalments)
    instalments = [OfferedInstalment(fen, one.milestone) for one, fen in parts]
    return Offer(judged.benefit, judged.title, verdict.rule, verdict.because, amount_fen, None, instalments)


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
        instalments=convert(claim.instalments, list[ClaimInstalmentDetails], from_attributes=True),
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
