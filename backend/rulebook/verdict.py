"""From a checked module to verdicts: which law is in force, which rules fire, and until when that stands."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.compile import Decide, fuse
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.types import INSTANTS
from backend.rulebook.modules.dated import dated_on, in_force
from backend.rulebook.modules.module import OTHERWISE, Module, Rule

_MAX_OUTCOMES = 10_000


class Verdict(Struct, frozen=True, gc=False):
    """What a rulebook decided, and why.

    `result` is one of the module's words (a tuple of them for the strategy collect), or a whole number. `rule` is
    the rule that decided, or "otherwise"; `fired` are all that held. `changes_at` is the earliest instant after `at` at
    which, with the same facts, result, rule or fired are others; None if they never are. `rulebook` is the digest of
    the rules that were read.
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
    """What follows where certain rules fire."""

    result: Any
    rule: str
    because: Text
    remedy: Text | None
    fired: tuple[str, ...]


class Law:
    """The rules, figures and terms of a module as they stand between two days of change.

    `decide` tells which rules fire, as bits in their order, and when the first comparison turns over.
    """

    __slots__ = ("begins", "decide", "ends", "figures", "outcomes", "rules", "terms")

    def __init__(
        self,
        rules: Sequence[Rule],
        figures: dict[str, Any],
        terms: Struct | None,
        begins: datetime,
        ends: datetime,
    ) -> None:
        self.rules = tuple(rules)
        self.figures = figures
        self.terms = terms
        self.begins = begins
        self.ends = ends
        self.outcomes: dict[int, Outcome] = {}
        self.decide: Decide = self._compile_and_decide

    def compile(self) -> None:
        """Compile it now rather than when it is first asked; once it is, that stands."""
        if self.decide == self._compile_and_decide:
            self.decide = fuse([rule.condition for rule in self.rules], self.figures)

    def _compile_and_decide(self, facts: Struct, now: datetime) -> tuple[int, datetime]:
        self.compile()
        return self.decide(facts, now)


class Decider:
    """A module made ready to decide. Each span of law is compiled when it is first asked for."""

    def __init__(self, module: Module, zone: ZoneInfo) -> None:
        self.module = module
        self.zone = zone
        days = sorted(_days_of_change(module))
        self._starts = [midnight(day, self.zone) for day in days]
        begins, ends = [INSTANTS[0], *self._starts], [*self._starts, INSTANTS[1]]
        self._laws = [self._law(*span) for span in zip([date.min, *days], begins, ends, strict=True)]
        self.latest = self._laws[-1]

    def compile(self) -> None:
        """Compile every span of law now."""
        for law in self._laws:
            law.compile()

    def law_at(self, at: datetime, on: date | None) -> Law:
        """Find the law of an instant, or that of the day `on`. Raises ValueError outside 1900 to 2149."""
        if not INSTANTS[0] <= at < INSTANTS[1]:
            raise ValueError(f"{at.isoformat()} lies outside the years 1900 to 2149")
        return self._laws[bisect_right(self._starts, at if on is None else midnight(on, self.zone))]

    def change(self, facts: Struct, outcome: Outcome, law: Law, soon: datetime, *, fixed: bool) -> datetime | None:
        """Find the instant at which the outcome changes: try each at which a comparison or the law turns over.

        `soon` is the first of them. With `fixed`, the law stays as it is.
        """
        while True:
            law_ends = not fixed and law.ends <= soon
            at = law.ends if law_ends else soon
            if at >= INSTANTS[1]:
                return None
            if law_ends:
                law = self._laws[bisect_right(self._starts, at)]
            fired, soon = law.decide(facts, at)
            if (law.outcomes.get(fired) or self.outcome(law, fired)) != outcome:
                return at

    def outcome(self, law: Law, bits: int) -> Outcome:
        """Work out what follows where the rules of these bits fire, and remember it."""
        fired = [rule for position, rule in enumerate(law.rules) if bits >> position & 1]
        names = tuple(rule.id for rule in fired)
        if fired:
            decided = self._deciding(fired)
            outcome = Outcome(self._result(law, fired, decided), decided.id, decided.because, decided.remedy, names)
        else:
            otherwise = self.module.otherwise
            result = (otherwise.then,) if self.module.strategy == "collect" else otherwise.then
            outcome = Outcome(result, OTHERWISE, otherwise.because, otherwise.remedy, names)
        if len(law.outcomes) < _MAX_OUTCOMES:
            law.outcomes[bits] = outcome
        return outcome

    def _law(self, day: date, begins: datetime, ends: datetime) -> Law:
        rules = [rule for rule in self.module.rules if in_force(rule.since, rule.until, day)]
        figures: dict[str, Any] = {}
        for name, parameter in self.module.parameters.items():
            value = parameter.on(day)
            if value is not None:
                figures[name] = value.value
        terms = dated_on(self.module.terms, day)
        return Law(rules, figures, terms and terms.value, begins, ends)

    def _deciding(self, fired: list[Rule]) -> Rule:
        if self.module.strategy != "most_severe":
            return fired[0]
        words = cast("tuple[str, ...]", self.module.result)
        return max(fired, key=lambda rule: words.index(cast("str", rule.then)))

    def _result(self, law: Law, fired: list[Rule], decided: Rule) -> Any:  # noqa: ANN401  see Verdict.result
        match self.module.strategy:
            case "sum":
                low, high = cast("tuple[int, int]", self.module.result)
                return min(max(sum(self._number(law, rule) for rule in fired), low), high)
            case "collect":
                return tuple(dict.fromkeys(cast("str", rule.then) for rule in fired))
            case _:
                return self._number(law, decided) if self.module.numeric else decided.then

    @staticmethod
    def _number(law: Law, rule: Rule) -> int:
        return law.figures[rule.then] if isinstance(rule.then, str) else rule.then


def _days_of_change(module: Module) -> set[date]:
    figures = (value for parameter in module.parameters.values() for value in parameter.values)
    dated = [*module.rules, *figures, *module.terms]
    return {day for item in dated for day in (item.since, item.until) if day is not None}
