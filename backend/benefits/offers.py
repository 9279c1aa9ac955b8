"""What a rulebook offers, what it decides about a claim, and what earlier claims exclude."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Generic, TypeVar, cast

from msgspec import Struct

from backend.benefits.claim import Claimant, PastClaim
from backend.benefits.problems import AlreadyClaimed
from backend.benefits.terms import Instalment, OfferTerms
from backend.i18n import Text, date_text
from backend.rulebook import Rulebook, Verdict
from backend.rulebook.explanation.unknown_facts import truth_without
from backend.rulebook.language.tree import Field, Has, Variable, walk
from backend.rulebook.modules.module import Rule

FOREVER = datetime.max.replace(tzinfo=UTC)

T_co = TypeVar("T_co", bound=OfferTerms, covariant=True)


class Judgement(Struct, Generic[T_co], frozen=True):
    """What the rules decide about a claim to a benefit; the same facts always give the same judgement.

    `amount_fen` is the amount to pay; it is 0 if nothing is due or the benefit is a service. `blocking_rules` are the
    rules that exclude the subject, `blocked_figure` is what the other rules would decide: an amount, a
    percentage or a limit, depending on the terms.
    """

    benefit: str
    title: Text
    verdict: Verdict
    terms: T_co
    amount_fen: int
    blocking_rules: tuple[Rule, ...]
    blocked_figure: int

    @property
    def is_entitled(self) -> bool:
        """Return True if the subject is entitled to the benefit."""
        return self.verdict.result > 0 and (self.terms.gives == "service" or self.amount_fen > 0)


class ClaimRestriction(Struct, frozen=True):
    """Why earlier claims prevent another one, and when that ends; `ends_at` is None if it never does.

    `limit_reached` is True if the benefit was claimed the maximum number of times.
    """

    because: Text
    ends_at: datetime | None = None
    limit_reached: bool = False


class Offers(Struct, Generic[T_co], frozen=True):
    """The benefits of a service in a rulebook: those whose rule modules have its prefix."""

    rulebook: Rulebook
    kind: type[T_co]

    def names(self) -> list[str]:
        """Return the names of the benefits: past, present and future."""
        prefix = self.kind.module_prefix
        return [name.removeprefix(prefix) for name in self.rulebook.modules if name.startswith(prefix)]

    def module(self, benefit: str) -> str:
        """Return the name of the rule module of a benefit."""
        return self.kind.module_prefix + benefit

    def title(self, benefit: str) -> Text:
        """Return the title of a benefit."""
        return self.rulebook.modules[self.module(benefit)].title

    def terms(self, benefit: str, at: datetime) -> T_co | None:
        """Return the terms of a benefit at an instant, or None if it is not available then."""
        if self.module(benefit) not in self.rulebook.modules:
            return None
        return cast("T_co | None", self.rulebook.terms(self.module(benefit), at))

    def facts_used(self, benefit: str, at: datetime) -> set[str]:
        """Return the names of the facts that decide a benefit at an instant: those its rules and its base use."""
        conditions = [rule.condition for rule in self.rulebook.in_force(self.module(benefit), at)]
        read = {
            node.name
            for condition in conditions
            for node in walk(condition)
            if isinstance(node, Field | Has) and isinstance(node.operand, Variable) and node.operand.name == "facts"
        }
        terms = self.terms(benefit, at)
        return read | set(terms.figures() if terms is not None else ())

    def judge(self, benefit: str, facts: Struct, at: datetime) -> Judgement[T_co] | None:
        """Judge a claim by the rules in force at an instant.

        Returns None if the benefit is not available then, or if the facts lack those that its module declares.
        """
        terms = self.terms(benefit, at)
        if terms is None:
            return None
        module = self.rulebook.modules[self.module(benefit)]
        if not isinstance(facts, module.facts):
            return None
        verdict = self.rulebook.evaluate(module.name, facts, at)
        day = at.astimezone(self.rulebook.time_zone).date()
        in_force = self.rulebook.in_force(module.name, at)
        fired = [(rule, module.number_of(rule.then, day)) for rule in in_force if rule.id in verdict.fired]
        blocking_rules = tuple(rule for rule, figure in fired if figure == 0)
        blocked_figure = next((figure for _, figure in fired if figure != 0), 0)
        amount_fen = amount_in_fen(terms, verdict.result, facts) if terms.gives == "money" else 0
        return Judgement(benefit, module.title, verdict, terms, amount_fen, blocking_rules, blocked_figure)

    def may_give(self, benefit: str, facts: Struct, unknown: AbstractSet[str], at: datetime) -> bool:
        """Return whether a benefit could give something at an instant, for some values of the `unknown` facts.

        `facts` may lack those. False is certain; what is not decided by the other facts counts as possible.
        """
        module = self.rulebook.modules[self.module(benefit)]
        law, day = self.rulebook.law(module.name, at), at.astimezone(self.rulebook.time_zone).date()
        names = {"facts": facts, "now": at, **law.parameter_values}
        for rule in law.rules:
            truth = truth_without(rule.condition, names, unknown)
            if truth is False:
                continue
            if module.number_of(rule.then, day) > 0:
                return True
            if truth and module.strategy == "first":
                return False
        return module.number_of(module.otherwise.then, day) > 0

    def check_restrictions(self, claimant: Claimant, benefit: str, now: datetime) -> None:
        """Check that earlier claims permit another one. Raises AlreadyClaimed."""
        restriction = self.restriction(claimant, benefit, now)
        if restriction is not None:
            raise AlreadyClaimed(restriction.because, ends_at=restriction.ends_at)

    def restriction(self, claimant: Claimant, benefit: str, now: datetime) -> ClaimRestriction | None:
        """Return the restriction on claiming a benefit that follows from a subject's earlier claims, or None.

        An exclusion works in both directions, by the terms under which each benefit was claimed.
        """
        terms = self.terms(benefit, now)
        assert terms is not None, "only available benefits are claimed"
        own = [past.at for past in claimant.past_claims if past.benefit == benefit]
        if len(own) >= terms.times_at_most:
            because = Text(
                zh="您已按规定次数享受该项政策，不能再次申领。", en="You have claimed this the maximum number of times."
            )
            return ClaimRestriction(because, limit_reached=True)
        if own and now < (ends_at := max(own) + terms.cooldown):
            because = Text(
                zh="距上次申领未满规定间隔，{ends}起可再次申领。",
                en="You claimed this too recently; you can claim it again from {ends}.",
            )
            ends = date_text(ends_at, self.rulebook.time_zone, with_year=True)
            return ClaimRestriction(because.format(ends=ends), ends_at)
        for past in claimant.past_claims:
            ends_at = self._excludes_until(past, benefit, terms)
            if now < ends_at:
                because = Text(
                    zh="您已享受“{title}”，两项不能同时享受。",
                    en="You have claimed “{title}”, which excludes this benefit.",
                ).format(title=self.title(past.benefit))
                return ClaimRestriction(because, None if ends_at == FOREVER else ends_at)
        return None

    def _excludes_until(self, past: PastClaim, benefit: str, terms: OfferTerms) -> datetime:
        """Return until when an earlier claim excludes another benefit; of two exclusions the longer applies."""
        theirs = self.terms(past.benefit, past.at)
        exclusions = [one for one in terms.excludes if one.benefit == past.benefit]
        exclusions += [one for one in theirs.excludes if one.benefit == benefit] if theirs is not None else []
        return max((FOREVER if one.within is None else past.at + one.within for one in exclusions), default=past.at)


def amount_in_fen(terms: OfferTerms, figure: int, facts: Struct) -> int:
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
    parts = [(one, amount_fen * one.percent // 100) for one in instalments or [Instalment(percent=100)]]
    last, fen = parts[-1]
    return [*parts[:-1], (last, fen + amount_fen - sum(part for _, part in parts))]
