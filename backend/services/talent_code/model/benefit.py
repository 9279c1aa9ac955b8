"""Benefits of a rulebook, what the rules decide about a person's claim, and how an amount is split into instalments."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal, cast

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook import Rulebook, Verdict
from backend.rulebook.language.tree import Field, Has, Variable, walk
from backend.rulebook.modules.module import Rule
from backend.services.talent_code.facts import (
    BENEFIT_PREFIX,
    TALENT_CLASSES,
    BenefitFacts,
    BenefitTerms,
    Instalment,
)
from backend.services.talent_code.model.dates import date_text
from backend.services.talent_code.model.talent import PastClaim, Talent

SINGLE_INSTALMENT = (Instalment(percent=100),)

FOREVER = datetime.max.replace(tzinfo=UTC)

TermsLookup = Callable[[str, datetime], BenefitTerms | None]
"""Returns the terms of a benefit at an instant, or None if it is not available then."""


def benefit_names(rulebook: Rulebook) -> list[str]:
    """Return the names of the benefits of a rulebook: past, present and future."""
    return [name.removeprefix(BENEFIT_PREFIX) for name in rulebook.modules if name.startswith(BENEFIT_PREFIX)]


def benefit_title(rulebook: Rulebook, benefit: str) -> Text:
    """Return the title of a benefit."""
    return rulebook.modules[BENEFIT_PREFIX + benefit].title


def terms_lookup(rulebook: Rulebook) -> TermsLookup:
    """Return a function that looks up the terms of benefits in a rulebook."""

    def terms(benefit: str, at: datetime) -> BenefitTerms | None:
        if BENEFIT_PREFIX + benefit not in rulebook.modules:
            return None
        return cast("BenefitTerms | None", rulebook.terms(BENEFIT_PREFIX + benefit, at))

    return terms


def facts_used(rulebook: Rulebook, benefit: str, at: datetime) -> set[str]:
    """Return the names of the facts that decide a benefit at an instant: those its rules and its base use."""
    conditions = [rule.condition for rule in rulebook.in_force(BENEFIT_PREFIX + benefit, at)]
    read = {
        node.name
        for condition in conditions
        for node in walk(condition)
        if isinstance(node, Field | Has) and isinstance(node.operand, Variable) and node.operand.name == "facts"
    }
    terms = terms_lookup(rulebook)(benefit, at)
    return read | set(terms.figures() if terms is not None else ())


class Judgement(Struct, frozen=True):
    """What the rules decide about a person's claim to a benefit; the same facts always give the same judgement.

    `amount_fen` is the amount to pay; it is 0 if nothing is due or the benefit is a service. `blocking_rules` are the
    rules that exclude the person, `blocked_figure` is the figure they would get without these rules.
    """

    benefit: str
    verdict: Verdict
    terms: BenefitTerms
    amount_fen: int
    blocking_rules: tuple[Rule, ...]
    blocked_figure: int

    @property
    def is_entitled(self) -> bool:
        """Return True if the person is entitled to the benefit."""
        return self.verdict.result > 0 and (self.terms.gives == "service" or self.amount_fen > 0)


def judge(rulebook: Rulebook, benefit: str, facts: BenefitFacts, at: datetime) -> Judgement | None:
    """Judge a claim by the rules in force at an instant; return None if the benefit is not available then."""
    terms = terms_lookup(rulebook)(benefit, at)
    if terms is None:
        return None
    module = rulebook.modules[BENEFIT_PREFIX + benefit]
    verdict = rulebook.evaluate(module.name, facts, at)
    day = at.astimezone(rulebook.time_zone).date()
    blocking: list[Rule] = []
    blocked_figure = 0
    for rule in rulebook.in_force(module.name, at):
        if rule.id not in verdict.fired:
            continue
        figure = module.number_of(rule.then, day)
        if figure == 0:
            blocking.append(rule)
        elif blocked_figure == 0:
            blocked_figure = figure
    amount_fen = amount_in_fen(terms, verdict.result, facts) if terms.gives == "money" else 0
    return Judgement(benefit, verdict, terms, amount_fen, tuple(blocking), blocked_figure)


def amount_in_fen(terms: BenefitTerms, figure: int, facts: BenefitFacts) -> int:
    """Return the amount in fen for a figure of the rules; fractions of a fen are dropped."""
    if terms.base is None:
        return figure
    base_fen: int = getattr(facts, terms.base.of)
    if terms.base.less is not None:
        base_fen -= getattr(facts, terms.base.less.of) * terms.base.less.percent // 100
    base_fen = max(0, base_fen)
    return base_fen * figure // 100 if terms.amount == "share" else min(base_fen, figure)


def split_into_instalments(amount_fen: int, instalments: Sequence[Instalment]) -> list[tuple[Instalment, int]]:
    """Split an amount into its instalments, to the fen; the last one includes the remainder of the rounding."""
    parts = [(one, amount_fen * one.percent // 100) for one in instalments or SINGLE_INSTALMENT]
    last, fen = parts[-1]
    return [*parts[:-1], (last, fen + amount_fen - sum(part for _, part in parts))]


# ── restrictions from earlier claims ──


class ClaimRestriction(Struct, frozen=True):
    """Why a person's earlier claims prevent another one, and when that ends; `ends_at` is None if it never does."""

    kind: Literal["limit_reached", "cooldown", "excluded"]
    ends_at: datetime | None = None
    excluded_by: str = ""

    @property
    def limit_reached(self) -> bool:
        """Return True if the benefit was claimed the maximum number of times."""
        return self.kind == "limit_reached"


def claim_restriction(talent: Talent, benefit: str, terms_of: TermsLookup, now: datetime) -> ClaimRestriction | None:
    """Return the restriction on claiming a benefit that follows from a person's earlier claims, or None.

    An exclusion works in both directions, by the terms under which each benefit was claimed.
    """
    terms = terms_of(benefit, now)
    assert terms is not None, "only available benefits are claimed"
    own = [past.at for past in talent.past_claims if past.benefit == benefit]
    if len(own) >= terms.times_at_most:
        return ClaimRestriction("limit_reached")
    if own and now < (ends_at := max(own) + terms.cooldown):
        return ClaimRestriction("cooldown", ends_at)
    for past in talent.past_claims:
        ends_at = _excludes_until(past, benefit, terms, terms_of)
        if now < ends_at:
            return ClaimRestriction("excluded", None if ends_at == FOREVER else ends_at, past.benefit)
    return None


def _excludes_until(past: PastClaim, benefit: str, terms: BenefitTerms, terms_of: TermsLookup) -> datetime:
    """Return until when an earlier claim excludes another benefit; if both terms say so, the longer time applies."""
    theirs = terms_of(past.benefit, past.at)
    exclusions = [one for one in terms.excludes if one.benefit == past.benefit]
    exclusions += [one for one in theirs.excludes if one.benefit == benefit] if theirs is not None else []
    return max((FOREVER if one.within is None else past.at + one.within for one in exclusions), default=past.at)


def restriction_reason(rulebook: Rulebook, restriction: ClaimRestriction) -> Text:
    """Return the reason of a restriction, for the citizen."""
    match restriction.kind:
        case "limit_reached":
            return Text(
                zh="您已按规定次数享受该项政策，不能再次申领。", en="You have claimed this the maximum number of times."
            )
        case "cooldown":
            assert restriction.ends_at is not None, "a cooldown ends"
            ends = date_text(restriction.ends_at, rulebook.time_zone, with_year=True)
            return Text(
                zh=f"距上次申领未满规定间隔，{ends.zh}起可再次申领。",
                en=f"You claimed this too recently; you can claim it again from {ends.en}.",
            )
        case "excluded":
            title = benefit_title(rulebook, restriction.excluded_by)
            return Text(
                zh=f"您已享受“{title.zh}”，两项不能同时享受。",
                en=f"You have claimed “{title.en}”, which excludes this benefit.",
            )


# ── near misses ──

NearMissKind = Literal["one_condition", "next_class", "later"]


class NearMiss(Struct, frozen=True):
    """A benefit that a person would have but for one thing: the reason, the remedy, and when it changes on its own."""

    kind: NearMissKind
    because: Text
    remedy: Text | None = None
    from_at: datetime | None = None
    figure: int = 0


def near_miss(rulebook: Rulebook, judged: Judgement, facts: BenefitFacts, at: datetime) -> NearMiss | None:
    """Return the one thing that a person lacks for a benefit: a condition, the next class, or time. None if more."""
    for verdict in rulebook.timeline(BENEFIT_PREFIX + judged.benefit, facts, at):
        if verdict.result > 0:
            return NearMiss("later", judged.verdict.because, judged.verdict.remedy, verdict.at, verdict.result)
    if judged.blocked_figure and len(judged.blocking_rules) == 1:
        (rule,) = judged.blocking_rules
        return NearMiss("one_condition", rule.because, rule.remedy, figure=judged.blocked_figure)
    rank = TALENT_CLASSES.index(facts.talent_class) + 1
    if not judged.blocking_rules and rank < len(TALENT_CLASSES):
        above = TALENT_CLASSES[rank]
        higher = judge(rulebook, judged.benefit, replace(facts, talent_class=above), at)
        if higher is not None and higher.is_entitled:
            letter = above.upper()
            because = Text(zh=f"认定为{letter}类人才后可以享受", en=f"This benefit is available from class {letter}")
            return NearMiss("next_class", because, judged.verdict.remedy, figure=higher.verdict.result)
    return None
