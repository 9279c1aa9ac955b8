"""The smallest way to a better result: the fewest changes of the facts, and with as many the earliest instant.

Every set of one, then of two, then of three single changes is tried, and for each set every instant at which a
comparison changes; `candidates` says why the single changes suffice. Before that, a bound is computed: the rules that
no change touches fire as they would without any, the others are assumed to fire or not as it suits. If that cannot
reach the result before time alone does, no number of changes can.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations_with_replacement, product
from time import monotonic, sleep
from typing import Any, Literal, cast

from msgspec import Struct

from backend.rulebook import Rulebook, Verdict
from backend.rulebook.explanation.atoms import atoms_of
from backend.rulebook.explanation.candidates import Candidate, CandidateFinder, apply
from backend.rulebook.explanation.changes import Change, changes_of
from backend.rulebook.explanation.unknown_facts import fields_read, truth_without
from backend.rulebook.language.types import INSTANT_RANGE, MICROSECOND
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.verdict import Law, ModuleEvaluator

MAX_CHANGES = 3
MAX_TRIALS = 60_000
"""The most sets of changes that are tried for one answer."""

MAX_WAYS = 5
"""The most ways of the same size that are shown."""

Best = Literal["first", "last"]
By = Literal["person", "authority"]
Kind = Literal["best", "change", "time", "nothing", "unknown"]


class Way(Struct, frozen=True):
    """A way to a better result: the changes, the earliest instant, and the verdict at it."""

    changes: tuple[Candidate, ...]
    verdict: Verdict


class WayOut(Struct, frozen=True):
    """How a better result is reached.

    `kind` is `best` if there is none; `change` if changes reach it before time alone does; `time` if only time does;
    `nothing` if neither does; `unknown` if no way was found among the sets of up to `searched` changes, and larger ones
    are not excluded. `ways` are all of the smallest size at the earliest instant, `sooner` larger ones that reach it
    earlier. `waiting` is the verdict at the instant at which it is reached without any change. `by` says whose acts the
    ways are: the person's own, or those of authorities too. `proved` says that no smaller way exists.
    """

    kind: Kind
    waiting: Verdict | None = None
    ways: tuple[Way, ...] = ()
    sooner: tuple[Way, ...] = ()
    by: By | None = None
    searched: int = 0
    proved: bool = True


@dataclass(frozen=True)
class Goal:
    """The results that are good enough, of a module whose best result is the first or the last one that it lists."""

    module: Module
    best: Best
    current: Any
    wanted: str | int | None = None

    def reached(self, result: Any) -> bool:  # noqa: ANN401  see Verdict.result
        """Return whether a result is the wanted one or a better one; without one, whether it is better than now."""
        if self.module.strategy == "collect":
            words, now = self._words(result), self._words(self.current)
            return words < now if self.wanted is None else words <= {self.wanted}
        rank = self.rank(result)
        return rank > self.rank(self.current) if self.wanted is None else rank >= self.rank(self.wanted)

    def rank(self, result: Any) -> int:  # noqa: ANN401  see Verdict.result
        """Return a number that is larger for a better result."""
        if self.module.numeric:
            return cast("int", result)
        place = cast("tuple[str, ...]", self.module.result).index(result)
        return place if self.best == "last" else -place

    def _words(self, result: Sequence[str]) -> set[str]:
        return set(result) - {cast("str", self.module.otherwise.then)}

    def attainable(self) -> bool:
        """Return whether any result of the module is good enough and not already reached."""
        if self.module.numeric:
            return self.reached(self.module.result[1])
        if self.module.strategy == "collect":
            return bool(self._words(self.current))
        return any(self.reached(word) for word in self.module.result)

    def possible(self, law: Law, fired: int, touched: int, outcome: Callable[[Law, int], Any]) -> bool:
        """Return whether the result can be reached if the rules in `touched` fire or not as it suits."""
        fixed = fired & ~touched
        if self.reached(outcome(law, fixed)):
            return True
        free = [bit for bit in range(len(law.rules)) if touched >> bit & 1]
        match self.module.strategy:
            case "collect":
                return False
            case "sum":
                gains = [bit for bit in free if _number(law, law.rules[bit]) > 0]
                return self.reached(outcome(law, fixed | sum(1 << bit for bit in gains)))
            case _:
                return any(self.reached(outcome(law, fixed | 1 << bit)) for bit in free)


def _number(law: Law, rule: Rule) -> int:
    return law.parameter_values[rule.then] if isinstance(rule.then, str) else rule.then


def find_way_out(
    rulebook: Rulebook,
    module: str,
    facts: Struct,
    at: datetime,
    *,
    best: Best = "first",
    wanted: str | int | None = None,
    seconds: float | None = None,
) -> WayOut:
    """Return the smallest way to a better result, or to the `wanted` one, from the instant `at`.

    After so many `seconds` it returns what it has found until then; nothing smaller is then called impossible.
    Raises KeyError for a module that is not in this rulebook, and ValueError for a `wanted` word that is no result.
    """
    evaluator = rulebook.evaluator(module)
    law = evaluator.law_at(at, None)
    current = evaluator.outcome(law, law.decide(facts, at)[0]).result
    goal = Goal(evaluator.module, best, current, wanted)
    if not goal.attainable() or (wanted is not None and goal.reached(current)):
        return WayOut("best")
    search = _Search(evaluator, facts, at, goal, None if seconds is None else monotonic() + seconds)
    try:
        until = search.earliest(facts, at, INSTANT_RANGE[1], search.is_reached)
    except _OutOfTime:
        return WayOut("unknown", proved=False)
    waiting = None if until is None else rulebook.evaluate(module, facts, until)
    declared = changes_of(evaluator.module.facts)
    result = _Result()
    callers: tuple[By, ...] = ("person", "authority")
    for by in callers:
        changes = tuple(one for one in declared if by in (one.by, "authority"))
        result = search.smallest(changes, until or INSTANT_RANGE[1])
        if result.found:
            ways, sooner = (
                tuple(Way(one, rulebook.evaluate(module, after, then)) for one, after, then in found)
                for found in (result.found, result.sooner)
            )
            assert all(goal.reached(way.verdict.result) for way in (*ways, *sooner)), "the engine confirms each way"
            return WayOut("change", waiting, ways, sooner, by, result.searched, result.complete)
    kind: Kind = "time" if waiting is not None else "nothing" if result.complete else "unknown"
    return WayOut(kind, waiting, searched=result.searched, proved=result.complete)


Found = tuple[tuple[Candidate, ...], Struct, datetime]


@dataclass
class _Result:
    """What a search found: sets of changes with the facts after them and the instant at which they reach the goal.

    `sooner` are larger sets that reach it earlier.
    """

    found: Sequence[Found] = ()
    sooner: list[Found] = field(default_factory=list[Found])
    searched: int = 0
    complete: bool = True


class _OutOfTime(Exception):
    """The search takes too long."""


@dataclass(frozen=True)
class _Search:
    evaluator: ModuleEvaluator
    facts: Struct
    at: datetime
    goal: Goal
    deadline: float | None
    touched: dict[tuple[datetime, frozenset[str]], int] = field(
        default_factory=dict[tuple[datetime, frozenset[str]], int]
    )

    def _touched(self, law: Law, names: frozenset[str]) -> int:
        """Return the bits of the rules whose outcome may depend on these fields."""
        key = (law.begins, names)
        if key not in self.touched:
            values = {"facts": self.facts, **law.parameter_values}
            self.touched[key] = sum(
                1 << bit
                for bit, rule in enumerate(law.rules)
                if fields_read(rule.condition) & names and truth_without(rule.condition, values, names) is None
            )
        return self.touched[key]

    def is_reached(self, law: Law, fired: int) -> bool:
        return self.goal.reached(self._result(law, fired))

    def _result(self, law: Law, fired: int) -> Any:  # noqa: ANN401  see Verdict.result
        return (law.outcomes.get(fired) or self.evaluator.outcome(law, fired)).result

    def earliest(
        self, facts: Struct, at: datetime, until: datetime, holds: Callable[[Law, int], bool]
    ) -> datetime | None:
        """Return the first instant in [at, until) at which the rules that fire satisfy `holds`."""
        until = min(until, INSTANT_RANGE[1])
        if at >= until:
            return None
        law = self.evaluator.law_at(at, None)
        while True:
            if self.deadline is not None:
                sleep(0)  # an event loop in another thread has its turn
                if monotonic() > self.deadline:
                    raise _OutOfTime
            fired, candidate = law.decide(facts, at)
            if holds(law, fired):
                return at
            at = min(candidate, law.ends)
            if at >= until:
                return None
            if at >= law.ends:
                law = self.evaluator.law_at(at, None)

    def smallest(self, changes: tuple[Change, ...], until: datetime) -> _Result:
        """Return the smallest sets of these changes that reach the goal before `until`."""
        result = _Result(searched=0, complete=False)
        try:
            for result in self._by_size(changes, until):  # noqa: B007  the last one counts
                pass
        except _OutOfTime:
            pass
        return result

    def _by_size(self, changes: tuple[Change, ...], until: datetime) -> Iterator[_Result]:
        """Yield what is known after the sets of each size."""
        laws = [law for law in self.evaluator.laws if law.begins < until and law.ends > self.at]
        start = self._bound(laws, {change.names[0] for change in changes}, until)
        if start is None:
            yield _Result()
            return
        atoms = atoms_of(laws, self.facts)
        starts = tuple(law.begins for law in laws if law.begins > self.at)
        result, budget, complete = _Result(), [MAX_TRIALS], True
        for size in range(1, MAX_CHANGES + 1):
            last, found = until, list[Found]()
            for steps in (0, size):  # first changes at once, which bound the instants of all others
                end, zone = last - MICROSECOND, self.evaluator.zone
                finder = CandidateFinder(atoms, changes, self.at, end, steps, zone, starts)
                found = self._reaching(finder.candidates(), size, laws, last, budget)
                last = found[0][2] + MICROSECOND if found else last
            complete = complete and finder.complete
            if not finder.candidates():
                yield _Result(searched=MAX_CHANGES, complete=complete)
                return
            if found:
                until = found[0][2]
                result.sooner.extend(found[:1] if result.found else ())
                result = result if result.found else _Result(found, [], size, complete)
            yield result if result.found else _Result(searched=size, complete=False)
            if result.found and until <= start:
                return

    def _bound(self, laws: Sequence[Law], names: set[str], until: datetime) -> datetime | None:
        """Return the instant before which changes of these fields do not reach the goal; None if not before `until`."""
        touched = {law.begins: self._touched(law, frozenset(names)) for law in laws}
        return self.earliest(
            self.facts,
            self.at,
            until,
            lambda law, fired: self.goal.possible(law, fired, touched[law.begins], self._result),
        )

    def _reaching(
        self, candidates: Sequence[Candidate], size: int, laws: Sequence[Law], until: datetime, budget: list[int]
    ) -> list[Found]:
        """Return the sets of this size that reach the goal earliest, one for each combination of acts.

        Takes the number of sets that were tried from the budget, and ends when it is spent.
        """
        groups = dict[str, list[Candidate]]()
        for candidate in candidates:
            groups.setdefault(candidate.change.names[0], []).append(candidate)
        earliest, found = until, list[Found]()
        for names in combinations_with_replacement(groups, size):
            start = self._bound(laws, set(names), min(until, earliest + MICROSECOND))
            if start is None:
                continue
            for chosen in _sets_of(groups, names):
                budget[0] -= 1
                if budget[0] <= 0:
                    raise _OutOfTime
                at = self._try(chosen, start, earliest + MICROSECOND)
                if at is None or at[1] >= until:
                    continue
                if at[1] < earliest:
                    earliest, found = at[1], []
                found.append((chosen, *at))
        found.sort(key=lambda one: [_step(candidate) for candidate in one[0]])  # a stable sort
        acts = dict[tuple[Any, ...], Found]()
        for one in found:
            fired = self.evaluator.law_at(one[2], None).decide(one[1], one[2])[0]
            acts.setdefault((fired, *map(_act, one[0])), one)
        return list(acts.values())[:MAX_WAYS]

    def _try(self, chosen: Sequence[Candidate], start: datetime, until: datetime) -> tuple[Struct, datetime] | None:
        """Return the facts after a set of changes, and the instant before `until` at which they reach the goal."""
        begin = max(start, self.at, *(one.at for one in chosen if one.at is not None))
        facts = apply(self.facts, chosen) if begin < until and _is_consistent(chosen) else None
        at = None if facts is None else self.earliest(facts, begin, until, self.is_reached)
        return None if facts is None or at is None else (facts, at)


def _sets_of(groups: dict[str, list[Candidate]], names: tuple[str, ...]) -> Iterator[tuple[Candidate, ...]]:
    """Yield the sets with as many candidates of each group as it is named."""
    times = Counter(names)
    for parts in product(*(combinations_with_replacement(groups[name], count) for name, count in times.items())):
        yield tuple(candidate for part in parts for candidate in part)


def _is_consistent(chosen: Sequence[Candidate]) -> bool:
    slots = [one.slot for one in chosen if one.slot is not None]
    return len(set(slots)) == len(slots)


def _act(candidate: Candidate) -> tuple[Any, ...]:
    """Return what is done, whatever the values."""
    return candidate.change.path, candidate.change.what.zh, candidate.element


def _step(candidate: Candidate) -> int:
    """Return the size of a change of a number; 0 for other changes."""
    if isinstance(candidate.value, int) and isinstance(candidate.before, int):
        return abs(candidate.value - candidate.before)
    return 0
