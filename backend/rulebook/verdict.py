"""Evaluation of a checked module: which rules are in force, which fire, and when the verdict changes."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.compiler import Decide, compile_conditions
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.types import INSTANT_RANGE
from backend.rulebook.modules.figures import TextsOfTheDay
from backend.rulebook.modules.module import OTHERWISE, Module, Otherwise, Rule
from backend.rulebook.modules.periods import in_force, value_on

_MAX_OUTCOMES = 10_000


class Verdict(Struct, frozen=True, gc=False):
    """What a rulebook decided, and why.

    `result` is one of the results that the module declares (a tuple of them for the strategy `collect`), or a whole
    number. `rule` is the rule that decided, or "otherwise"; `fired` are all rules that fired. `changes_at` is the
    earliest instant after `at` at which result, rule or fired change if the facts stay the same; None if they never do.
    `rulebook` is the digest of the rulebook.
    """

    module: str
    result: Any
    rule: str
    because: Text
    remedy: Text | None
    fired: tuple[str, ...]
    at: datetime
    changes_at: datetime | None
    rulebook: str


class Outcome(Struct, frozen=True, gc=False):
    """The part of a verdict that depends only on which rules fire."""

    result: Any
    rule: str
    because: Text
    remedy: Text | None
    fired: tuple[str, ...]


class Law:
    """The rules, parameter values and terms of a module between two days on which they change, and its texts.

    `decide` returns a bit mask of the rules that fire (bit n is `rules[n]`), and the earliest later instant at which a
    comparison changes.
    """

    __slots__ = ("begins", "decide", "ends", "otherwise", "outcomes", "parameter_values", "rules", "terms")

    def __init__(
        self,
        rules: Sequence[Rule],
        otherwise: Otherwise,
        parameter_values: dict[str, Any],
        terms: Struct | None,
        begins: datetime,
        ends: datetime,
    ) -> None:
        self.rules = tuple(rules)
        self.otherwise = otherwise
        self.parameter_values = parameter_values
        self.terms = terms
        self.begins = begins
        self.ends = ends
        self.outcomes: dict[int, Outcome] = {}
        self.decide: Decide = self._compile_and_decide

    def compile(self) -> None:
        """Compile the rules now rather than at the first call; later calls do nothing."""
        if self.decide == self._compile_and_decide:
            self.decide = compile_conditions([rule.condition for rule in self.rules], self.parameter_values)

    def _compile_and_decide(self, facts: Struct, now: datetime) -> tuple[int, datetime]:
        self.compile()
        return self.decide(facts, now)


class ModuleEvaluator:
    """Evaluates a module. The law of each period is compiled at its first use."""

    def __init__(self, module: Module, zone: ZoneInfo) -> None:
        self.module = module
        self.zone = zone
        days = sorted(_change_days(module))
        self._starts = [midnight(day, self.zone) for day in days]
        begins, ends = [INSTANT_RANGE[0], *self._starts], [*self._starts, INSTANT_RANGE[1]]
        self.laws = [self._law(*span) for span in zip([date.min, *days], begins, ends, strict=True)]
        self.latest = self.laws[-1]

    def compile(self) -> None:
        """Compile the law of every period now."""
        for law in self.laws:
            law.compile()

    def law_at(self, at: datetime, on: date | None) -> Law:
        """Return the law of an instant, or of the day `on`. Raises ValueError outside 1900 to 2149."""
        if not INSTANT_RANGE[0] <= at < INSTANT_RANGE[1]:
            raise ValueError(f"{at.isoformat()} is outside the years 1900 to 2149")
        return self.laws[bisect_right(self._starts, at if on is None else midnight(on, self.zone))]

    def next_change(
        self, facts: Struct, outcome: Outcome, law: Law, candidate: datetime, *, fixed: bool
    ) -> datetime | None:
        """Return the instant at which the outcome changes, or None.

        Tries each instant at which a comparison or the law changes, beginning with `candidate`. With `fixed`, the law
        stays the same.
        """
        while True:
            law_ends = not fixed and law.ends <= candidate
            at = law.ends if law_ends else candidate
            if at >= INSTANT_RANGE[1]:
                return None
            if law_ends:
                law = self.laws[bisect_right(self._starts, at)]
            fired, candidate = law.decide(facts, at)
            found = law.outcomes.get(fired) or self.outcome(law, fired)
            if found.result != outcome.result or found.rule != outcome.rule or found.fired != outcome.fired:
                return at

    def outcome(self, law: Law, bits: int) -> Outcome:
        """Return the outcome if the rules of these bits fire, and cache it."""
        fired = [rule for position, rule in enumerate(law.rules) if bits >> position & 1]
        names = tuple(rule.id for rule in fired)
        if fired:
            decisive = self._deciding_rule(fired)
            outcome = Outcome(self._result(law, fired, decisive), decisive.id, decisive.because, decisive.remedy, names)
        else:
            otherwise = law.otherwise
            result = (otherwise.then,) if self.module.strategy == "collect" else otherwise.then
            outcome = Outcome(result, OTHERWISE, otherwise.because, otherwise.remedy, names)
        if len(law.outcomes) < _MAX_OUTCOMES:
            law.outcomes[bits] = outcome
        return outcome

    def _law(self, day: date, begins: datetime, ends: datetime) -> Law:
        texts = TextsOfTheDay(self.module, day, self.zone)
        rules = [texts.rule(rule) for rule in self.module.rules if in_force(rule.since, rule.until, day)]
        parameter_values: dict[str, Any] = {}
        for name, parameter in self.module.parameters.items():
            value = parameter.on(day)
            if value is not None:
                parameter_values[name] = value.value
        terms = value_on(self.module.terms, day)
        return Law(rules, texts.otherwise(self.module.otherwise), parameter_values, terms and terms.value, begins, ends)

    def _deciding_rule(self, fired: list[Rule]) -> Rule:
        if self.module.strategy != "most_severe":
            return fired[0]
        severities = cast("tuple[str, ...]", self.module.result)
        return max(fired, key=lambda rule: severities.index(cast("str", rule.then)))

    def _result(self, law: Law, fired: list[Rule], decisive: Rule) -> Any:  # noqa: ANN401  see Verdict.result
        match self.module.strategy:
            case "sum":
                low, high = cast("tuple[int, int]", self.module.result)
                return min(max(sum(self._rule_number(law, rule) for rule in fired), low), high)
            case "collect":
                return tuple(dict.fromkeys(cast("str", rule.then) for rule in fired))
            case _:
                return self._rule_number(law, decisive) if self.module.numeric else decisive.then

    @staticmethod
    def _rule_number(law: Law, rule: Rule) -> int:
        return law.parameter_values[rule.then] if isinstance(rule.then, str) else rule.then


def _change_days(module: Module) -> set[date]:
    parameter_values = (value for parameter in module.parameters.values() for value in parameter.values)
    dated = [*module.rules, *parameter_values, *module.terms]
    return {day for item in dated for day in (item.since, item.until) if day is not None}
