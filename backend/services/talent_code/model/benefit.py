"""Benefits of the talent code in a rulebook: services that a person is entitled to, and what they narrowly miss."""

from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.benefits.offers import Judgement, Offers
from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.services.talent_code.facts import BenefitFacts, BenefitTerms, Partner, class_above
from backend.services.talent_code.model.talent import Talent, benefit_facts

NearMissKind = Literal["one_condition", "next_class", "later"]


def offers_of(rulebook: Rulebook) -> Offers[BenefitTerms]:
    """Return the benefits of a rulebook."""
    return Offers(rulebook, BenefitTerms)


def services_for(
    rulebook: Rulebook, talent: Talent, at: datetime, kind: Partner | None = None
) -> list[Judgement[BenefitTerms]]:
    """Return the services that a person is entitled to: all, or those offered by a kind of partner."""
    offers, facts = offers_of(rulebook), benefit_facts(talent, {}, at)
    judged = [offers.judge(benefit, facts, at) for benefit in offers.names()]
    services = [one for one in judged if one is not None and one.terms.gives == "service" and one.is_entitled]
    return [one for one in services if kind is None or kind in one.terms.partners]


class NearMiss(Struct, frozen=True):
    """A benefit that a person would have but for one thing: the reason, the remedy, and when it changes on its own."""

    kind: NearMissKind | Literal["own_claims"]
    because: Text
    remedy: Text | None = None
    from_at: datetime | None = None


def near_miss(rulebook: Rulebook, judged: Judgement[BenefitTerms], facts: BenefitFacts) -> NearMiss | None:
    """Return the one thing that a person lacks for a benefit: a condition, the next class, or time. None if more."""
    offers, at = offers_of(rulebook), judged.verdict.at
    for verdict in rulebook.timeline(offers.module(judged.benefit), facts, at):
        if verdict.result > 0:
            return NearMiss("later", judged.verdict.because, judged.verdict.remedy, verdict.at)
    if judged.blocked_figure and len(judged.blocking_rules) == 1:
        (rule,) = judged.blocking_rules
        return NearMiss("one_condition", rule.because, rule.remedy)
    above = class_above(facts.talent_class)
    if above is not None and not judged.blocking_rules:
        higher = offers.judge(judged.benefit, replace(facts, talent_class=above), at)
        if higher is not None and higher.is_entitled:
            letter = above.upper()
            because = Text(zh=f"认定为{letter}类人才后可以享受", en=f"This benefit is available from class {letter}")
            return NearMiss("next_class", because, judged.verdict.remedy)
    return None
