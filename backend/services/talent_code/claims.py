"""One-tap claims: the rules judge what the registries and the person say."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from backend.benefits.accounts import account_number
from backend.benefits.answers import Answers, answered_values, asked_facts
from backend.benefits.claims import check_past_claims, claim_id, new_claim, submit_claim
from backend.benefits.offers import Judgement
from backend.benefits.problems import NoBankAccount, NotEntitled, UnknownBenefit
from backend.city.bank_cards import keep_card
from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable
from backend.services.talent_code.declared import complete_facts, declared_values, facts_of_benefit
from backend.services.talent_code.facts import BenefitFacts, BenefitTerms
from backend.services.talent_code.model.benefit import offers_of
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.talent import Talent, benefit_facts
from backend.services.talent_code.review import CARD_USER, refresh_talent
from backend.services.talent_code.saga import benefits, claims
from backend.web.idempotency import IdempotencyKeyReused

NO_ANSWERS: Answers = MappingProxyType({})

SELF_DECLARED_FACTS = {"homes", "spent_fen"}
"""Facts that only the person states, without confirmation; omitting one states that there is none."""


async def claim_benefit(
    city: City, person: str, benefit: str, key: str, stated: Mapping[str, Any], answers: Answers = NO_ANSWERS
) -> Claim:
    """Claim a benefit for a person, once per key, and carry out the steps that are due.

    `stated` are homes and the amount spent, `answers` those to the benefit's own questions. Raises InvalidRequest for
    a wrong answer, UnknownBenefit, NotEntitled, AlreadyClaimed, NoBankAccount, CardRefused, RepaymentOutstanding,
    IdempotencyKeyReused, or UpstreamUnavailable if the decision depends on registries that have never answered.
    """
    talent, repeated = await refresh_talent(city, person), claim_id(person, key)
    was_made = any(past.claim == repeated for past in talent.past_claims)
    known = await city.store.get(Claim, repeated) if was_made else None
    claim = known or await claims.start(city, await _judge_claim(city, talent, benefit, key, stated, answers))
    if claim.benefit != benefit:
        raise IdempotencyKeyReused(
            zh="这次提交与之前的内容不同，请刷新页面后重试。",
            en="This Idempotency-Key was used for another claim; please refresh and try again.",
        )
    return await submit_claim(claims, city, claim, talent if known is None else None)


def check_answers(city: City, benefit: str, answers: Answers) -> None:
    """Check the answers to the questions of a benefit. Raises InvalidRequest, which names each wrong one."""
    offers = offers_of(city.rulebook)
    if offers.terms(benefit, city.now()) is not None:
        answered_values(facts_of_benefit(offers, benefit), answers, city.rulebook.time_zone)


async def judge_benefit(
    city: City, talent: Talent, benefit: str, stated: Mapping[str, Any], answers: Answers, now: datetime
) -> tuple[Judgement[BenefitTerms], BenefitFacts]:
    """Judge what a person would get of a benefit that is paid in money, and return the facts that decide it.

    Raises UnknownBenefit, InvalidRequest for a wrong answer, or UpstreamUnavailable.
    """
    offers = offers_of(city.rulebook)
    terms = offers.terms(benefit, now)
    if terms is None or terms.gives != "money":
        raise UnknownBenefit(zh="目前没有该项政策。", en="This benefit does not exist or is not available now.")
    known, struct = benefit_facts(talent, stated, now), facts_of_benefit(offers, benefit)
    facts = await complete_facts(city, talent.id, known, struct, answers)
    judged = offers.judge(benefit, facts, now)
    assert judged is not None, "its terms are in force, and its facts are complete"
    return judged, facts


async def _judge_claim(
    city: City, talent: Talent, benefit: str, key: str, stated: Mapping[str, Any], answers: Answers
) -> Claim:
    """Judge a claim by the facts known now."""
    now, offers = city.now(), offers_of(city.rulebook)
    judged, facts = await judge_benefit(city, talent, benefit, stated, answers, now)
    used = offers.facts_used(benefit, now)
    if used & unknown_figures(talent, city.today().year - 1) or (talent.figures is None and not judged.is_entitled):
        raise UpstreamUnavailable(
            zh="社保或税务系统暂未响应，请稍后再试。",
            en="The social insurance or the tax bureau does not answer; please try again later.",
        )
    if not judged.is_entitled:
        verdict, ended = judged.verdict, max((one.ended_at or one.until for one in talent.grants), default=None)
        raise NotEntitled(
            verdict.because,
            rule=verdict.rule,
            because=verdict.because,
            remedy=verdict.remedy,
            class_ended_at=ended if talent.grant(now) is None else None,
        )
    await check_past_claims(benefits, city, talent, benefit, now)
    number = account_number(city, talent)
    if number is None:
        raise NoBankAccount(
            zh="请先在“人才码—收款账户”中登记本人银行卡，再申领。",
            en="Register your bank card for payouts first (PUT /v1/me/talent/account).",
        )
    if talent.card is None:  # an earlier edition let several people register a card
        await keep_card(city, number, talent.id, CARD_USER)
    return new_claim(
        Claim,
        claim_id(talent.id, key),
        talent.id,
        judged,
        facts=msgspec.convert(facts, BenefitFacts, from_attributes=True),
        declared=declared_values(facts),
        stated=tuple(sorted(used & (SELF_DECLARED_FACTS | {fact.name for fact in asked_facts(type(facts))}))),
        progress=facts.insured_months,
    )


def unknown_figures(talent: Talent, last_year: int) -> set[str]:
    """Return the figures that no registry has provided; nothing that depends on them is paid."""
    if talent.figures is None:
        return {"insured_months", "income_fen", "tax_fen"}
    return set() if talent.figures.year == last_year else {"income_fen", "tax_fen"}
