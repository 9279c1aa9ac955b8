"""Which benefits there are, what the rules say of a person's claim to one, and how an amount comes in parts."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal, cast

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook import Rulebook, Verdict
from backend.rulebook.language.tree import Field, Has, Variable, walk
from backend.rulebook.modules.module import Rule
from backend.services.talent_code.facts import BENEFITS, STANDINGS, BenefitFacts, BenefitTerms, Instalment
from backend.services.talent_code.model.talent import Taken, Talent

AT_ONCE = (Instalment(percent=100),)

FOR_EVER = datetime.max.replace(tzinfo=UTC)

TermsOf = Callable[[str, datetime], BenefitTerms | None]
"""Gives the terms of a benefit at an instant, or None where it is not given then."""


def benefit_names(rulebook: Rulebook) -> list[str]:
    """Name the benefits of a rulebook, past, present and future."""
    return [name.removeprefix(BENEFITS) for name in rulebook.modules if name.startswith(BENEFITS)]


def title_of(rulebook: Rulebook, benefit: str) -> Text:
    """Give the title of a benefit."""
    return rulebook.modules[BENEFITS + benefit].title


def terms_in(rulebook: Rulebook) -> TermsOf:
    """Give what finds the terms of benefits in a rulebook."""

    def terms(benefit: str, at: datetime) -> BenefitTerms | None:
        if BENEFITS + benefit not in rulebook.modules:
            return None
        return cast("BenefitTerms | None", rulebook.terms(BENEFITS + benefit, at))

    return terms


def rests_on(rulebook: Rulebook, benefit: str, at: datetime) -> set[str]:
    """Name the facts that a benefit rests on at an instant: those that its rules read, and those of its base."""
    conditions = [rule.condition for rule in rulebook.in_force(BENEFITS + benefit, at)]
    read = {
        node.name
        for condition in conditions
        for node in walk(condition)
        if isinstance(node, Field | Has) and isinstance(node.operand, Variable) and node.operand.name == "facts"
    }
    terms = terms_in(rulebook)(benefit, at)
    return read | set(terms.figures() if terms is not None else ())


class Judgement(Struct, frozen=True):
    """What the rules say of a person's claim to a benefit, with the same facts always the same.

    `amount_fen` is what is paid, 0 where nothing is, or where the benefit is a service; `objections` are the rules that
    stand against it, `would_be` is the figure that they stand in the way of.
    """

    benefit: str
    verdict: Verdict
    terms: BenefitTerms
    amount_fen: int
    objections: tuple[Rule, ...]
    would_be: int

    @property
    def is_given(self) -> bool:
        """Tell whether the person has the benefit."""
        return self.verdict.result > 0 and (self.terms.gives == "service" or self.amount_fen > 0)


def judge(rulebook: Rulebook, benefit: str, facts: BenefitFacts, at: datetime) -> Judgement | None:
    """Judge a claim by the law of an instant; None where the benefit is not given then."""
    terms = terms_in(rulebook)(benefit, at)
    if terms is None:
        return None
    module = rulebook.modules[BENEFITS + benefit]
    verdict = rulebook.evaluate(module.name, facts, at)
    day = at.astimezone(rulebook.time_zone).date()
    objections: list[Rule] = []
    would_be = 0
    for rule in rulebook.in_force(module.name, at):
        if rule.id not in verdict.fired:
            continue
        figure = module.number_of(rule.then, day)
        if figure == 0:
            objections.append(rule)
        elif would_be == 0:
            would_be = figure
    amount_fen = money_of(terms, verdict.result, facts) if terms.gives == "money" else 0
    return Judgement(benefit, verdict, terms, amount_fen, tuple(objections), would_be)


def money_of(terms: BenefitTerms, figure: int, facts: BenefitFacts) -> int:
    """Give the amount in fen that a figure of the rules means; fractions of a fen are dropped."""
    if terms.base is None:
        return figure
    base_fen: int = getattr(facts, terms.base.of)
    if terms.base.less is not None:
        base_fen -= getattr(facts, terms.base.less.of) * terms.base.less.percent // 100
    base_fen = max(0, base_fen)
    return base_fen * figure // 100 if terms.amount == "share" else min(base_fen, figure)


def divide(amount_fen: int, instalments: Sequence[Instalment]) -> list[tuple[Instalment, int]]:
    """Divide an amount into its instalments, to the fen: what rounding leaves comes with the last."""
    parts = [(one, amount_fen * one.percent // 100) for one in instalments or AT_ONCE]
    last, fen = parts[-1]
    return [*parts[:-1], (last, fen + amount_fen - sum(part for _, part in parts))]


# ── what stands beside a claim ──


class Barrier(Struct, frozen=True):
    """Why a benefit that the rules give cannot be claimed just now; `ends_at` says when that ends by itself."""

    because: Text
    ends_at: datetime | None = None
    over: bool = False


def barrier(talent: Talent, benefit: str, terms_of: TermsOf, now: datetime) -> Barrier | None:
    """Give what a person's other claims have against another one, or None.

    `over` says that the benefit was had as often as it can be. Exclusion counts both ways, by the terms under which
    each was claimed.
    """
    terms = terms_of(benefit, now)
    assert terms is not None, "only what is given is claimed"
    own = [taken.at for taken in talent.taken if taken.benefit == benefit]
    if len(own) >= terms.times_at_most:
        return Barrier(Text(zh="该项政策您已享受完毕。", en="You have had this as often as it can be had."), over=True)
    if own and now < (ends_at := max(own) + terms.cooldown):
        return Barrier(Text(zh="距上次申领时间未满。", en="You claimed this too recently."), ends_at)
    for taken in talent.taken:
        ends_at = _excludes_until(taken, benefit, terms, terms_of)
        if now < ends_at:
            because = Text(zh="您已享受与之互斥的政策。", en="You have had a benefit that excludes this one.")
            return Barrier(because, None if ends_at == FOR_EVER else ends_at)
    return None


def _excludes_until(taken: Taken, benefit: str, terms: BenefitTerms, terms_of: TermsOf) -> datetime:
    """Give until when a claim that was made excludes another benefit; where both say so, the longer time counts."""
    theirs = terms_of(taken.benefit, taken.at)
    said = [one for one in terms.excludes if one.benefit == taken.benefit]
    said += [one for one in theirs.excludes if one.benefit == benefit] if theirs is not None else []
    return max((FOR_EVER if one.within is None else taken.at + one.within for one in said), default=taken.at)


# ── what a person just misses ──

Miss = Literal["one_reason", "one_class", "later"]


class NearMiss(Struct, frozen=True):
    """What a person would have but for one thing: why not, what would change it, and from when by itself."""

    kind: Miss
    because: Text
    remedy: Text | None = None
    from_at: datetime | None = None
    figure: int = 0


def near_miss(rulebook: Rulebook, judged: Judgement, facts: BenefitFacts, at: datetime) -> NearMiss | None:
    """Tell what one thing keeps a person from a benefit: an objection, the next class, or time. None if it is more."""
    for verdict in rulebook.timeline(BENEFITS + judged.benefit, facts, at):
        if verdict.result > 0:
            return NearMiss("later", judged.verdict.because, judged.verdict.remedy, verdict.at, verdict.result)
    if judged.would_be and len(judged.objections) == 1:
        (rule,) = judged.objections
        return NearMiss("one_reason", rule.because, rule.remedy, figure=judged.would_be)
    place = STANDINGS.index(facts.talent_class) + 1
    if not judged.objections and place < len(STANDINGS):
        above = STANDINGS[place]
        if (higher := judge(rulebook, judged.benefit, replace(facts, talent_class=above), at)) and higher.is_given:
            letter = above.upper()
            because = Text(zh=f"{letter}类人才方可享受", en=f"Class {letter} has this")
            return NearMiss("one_class", because, judged.verdict.remedy, figure=higher.verdict.result)
    return None
