"""From a checked module to verdicts: which law is in force, which rules fire, and until when that stands."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Any, cast
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.rulebook.compile import NEVER, Decide, fuse
from backend.rulebook.module import OTHERWISE, Module, Rule, in_force
from backend.rulebook.types import INSTANTS
from backend.text import Text

_OUTCOMES_AT_MOST = 10_000


class Verdict(Struct, frozen=True):
    """What a rulebook decided, and why.

    `result` is one of the module's words (a whole number for the strategy sum, a tuple of words for collect). `rule` is
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


class _Outcome(Struct, frozen=True):
    result: Any
    rule: str
    because: Text
    remedy: Text | None
    fired: tuple[str, ...]


class _Law:
    """The rules and figures of a module as they stand between two days of change."""

    def __init__(self, rules: Sequence[Rule], figures: dict[str, Any], ends: datetime) -> None:
        self.rules = tuple(rules)
        self.figures = figures
        self.ends = ends
        self.outcomes: dict[int, _Outcome] = {}

    @cached_property
    def decide(self) -> Decide:
        return fuse([rule.condition for rule in self.rules], self.figures)


class Decider:
    """A module made ready to decide. Each span of law is compiled when it is first asked for."""

    def __init__(self, module: Module, zone: ZoneInfo, digest: str) -> None:
        self.module = module
        self.digest = digest
        self.zone = zone
        self._interned: dict[_Outcome, _Outcome] = {}
        days = sorted(_days_of_change(module))
        self._starts = [self._midnight(day) for day in days]
        ends = [*self._starts, NEVER]
        self._laws = [self._law(day, end) for day, end in zip([date.min, *days], ends, strict=True)]

    def evaluate(self, facts: Struct, at: datetime, on: date | None = None) -> Verdict:
        """Decide on facts as of the instant `at`, by the law of the day `on` where one is given."""
        if not INSTANTS[0] <= at < INSTANTS[1]:
            raise ValueError(f"{at.isoformat()} lies outside the years 1900 to 2149")
        law = self._laws[bisect_right(self._starts, at if on is None else self._midnight(on))]
        fired, soon = law.decide(facts, at)
        outcome = law.outcomes.get(fired) or self._outcome(law, fired)
        changes_at = self._change(facts, outcome, law, soon, fixed=on is not None)
        return Verdict(
            self.module.name,
            outcome.result,
            outcome.rule,
            outcome.because,
            outcome.remedy,
            outcome.fired,
            at,
            changes_at,
            self.digest,
        )

    def law(self, at: datetime, on: date | None = None) -> tuple[tuple[Rule, ...], dict[str, Any]]:
        """Give the rules in force and the figures they use."""
        found = self._laws[bisect_right(self._starts, at if on is None else self._midnight(on))]
        return found.rules, found.figures

    def compile(self) -> None:
        """Compile every span of law now."""
        for law in self._laws:
            _ = law.decide

    def _change(self, facts: Struct, outcome: _Outcome, law: _Law, soon: datetime, *, fixed: bool) -> datetime | None:
        """Try each instant at which a comparison or the law turns over, until one changes the outcome."""
        while True:
            law_ends = not fixed and law.ends <= soon
            at = law.ends if law_ends else soon
            if at >= INSTANTS[1]:
                return None
            if law_ends:
                law = self._laws[bisect_right(self._starts, at)]
            fired, soon = law.decide(facts, at)
            if (law.outcomes.get(fired) or self._outcome(law, fired)) is not outcome:
                return at

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)

    def _law(self, day: date, ends: datetime) -> _Law:
        rules = [rule for rule in self.module.rules if in_force(rule.since, rule.until, day)]
        figures: dict[str, Any] = {}
        for name, parameter in self.module.parameters.items():
            value = parameter.on(day)
            if value is not None:
                figures[name] = value.value
        return _Law(rules, figures, ends)

    def _outcome(self, law: _Law, bits: int) -> _Outcome:
        fired = [rule for position, rule in enumerate(law.rules) if bits >> position & 1]
        names = tuple(rule.id for rule in fired)
        if fired:
            decided = self._deciding(fired)
            outcome = _Outcome(self._result(law, fired, decided), decided.id, decided.because, decided.remedy, names)
        else:
            otherwise = self.module.otherwise
            result = (otherwise.then,) if self.module.strategy == "collect" else otherwise.then
            outcome = _Outcome(result, OTHERWISE, otherwise.because, otherwise.remedy, names)
        outcome = self._interned.setdefault(outcome, outcome)
        if len(law.outcomes) < _OUTCOMES_AT_MOST:
            law.outcomes[bits] = outcome
        return outcome

    def _deciding(self, fired: list[Rule]) -> Rule:
        if self.module.strategy != "most_severe":
            return fired[0]
        words = cast("tuple[str, ...]", self.module.result)
        return max(fired, key=lambda rule: words.index(cast("str", rule.then)))

    def _result(self, law: _Law, fired: list[Rule], decided: Rule) -> Any:  # noqa: ANN401  see Verdict.result
        match self.module.strategy:
            case "sum":
                low, high = cast("tuple[int, int]", self.module.result)
                total = sum(law.figures[rule.then] if isinstance(rule.then, str) else rule.then for rule in fired)
                return min(max(total, low), high)
            case "collect":
                return tuple(dict.fromkeys(cast("str", rule.then) for rule in fired))
            case _:
                return decided.then


def _days_of_change(module: Module) -> set[date]:
    dated = [*module.rules, *(value for parameter in module.parameters.values() for value in parameter.values)]
    return {day for item in dated for day in (item.since, item.until) if day is not None}
