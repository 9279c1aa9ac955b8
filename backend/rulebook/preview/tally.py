"""How many people get which result under two editions of a module, counted batch by batch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backend.rulebook import Rulebook
from backend.rulebook.modules.module import OTHERWISE, Module
from backend.rulebook.preview.possible import Possible
from backend.rulebook.verdict import Law

Integers = NDArray[np.int64]

MAX_SAMPLES_OF_A_CELL = 20
_MAX_COUNTED_DIRECTLY = 1 << 20


Kind = Literal["same", "worse", "better", "other"]
"""What changes for people; `other` if the results differ and neither is worse."""

Counted = Literal["people", "worse", "better", "again"]
"""What is counted of a district: all people, those who become worse or better off, and those worse off once more."""
COUNTED: tuple[Counted, ...] = get_args(Counted)


class Decision(Struct, frozen=True, order=True):
    """What was decided and by which rule; a `result` of several words is joined by commas."""

    rule: str
    result: str | int


class Cell(Struct, frozen=True):
    """People for whom both editions decide the same, in one group; `again` if they were as badly off before."""

    old: Decision
    new: Decision
    group: str
    again: bool


@dataclass
class Edition:
    """One of the two editions of a module: the decisions of its laws as numbers."""

    rulebook: Rulebook
    name: str
    decisions: list[Decision] = field(default_factory=list[Decision])
    numbers: dict[Decision, int] = field(default_factory=dict[Decision, int])
    tried: dict[tuple[int, frozenset[str]], Possible] = field(
        default_factory=dict[tuple[int, frozenset[str]], Possible]
    )

    @property
    def module(self) -> Module:
        """Return the module."""
        return self.rulebook.modules[self.name]

    def number(self, decision: Decision) -> int:
        """Return the number of a decision."""
        found = self.numbers.get(decision)
        if found is None:
            found = self.numbers[decision] = len(self.decisions)
            self.decisions.append(decision)
        return found

    def possible(self, law: Law, unknown: frozenset[str]) -> Possible:
        """Return what a law can decide if these facts are unknown. Raises TooManyAnswers."""
        key = (id(law), unknown)
        if key not in self.tried:
            self.tried[key] = Possible(self.rulebook.evaluator(self.name), law, unknown)
        return self.tried[key]

    def decision(self, law: Law, decisive: int, result: int) -> Decision:
        """Return a decision as a kernel writes it."""
        if self.module.strategy == "collect":
            return decision_of(self.rulebook, self.name, law, result)
        rule = law.rules[decisive] if decisive >= 0 else None
        if self.module.strategy == "sum":
            return Decision(rule.id if rule else OTHERWISE, result)
        return decision_of(self.rulebook, self.name, law, 0 if rule is None else 1 << decisive)


def decision_of(rulebook: Rulebook, module: str, law: Law, fired: int) -> Decision:
    """Return what a law decides if the rules of these bits fire."""
    outcome = rulebook.outcome(module, law, fired)
    return Decision(outcome.rule, shown_result(outcome.result))


def shown_result(result: Any) -> str | int:  # noqa: ANN401  as Verdict.result
    """Return a result as one word or number: several words are joined by commas."""
    return ", ".join(cast("tuple[str, ...]", result)) if isinstance(result, tuple) else result


@dataclass
class Tally:
    """The counts of one module. Those of several processes are added with `merge`.

    `days` counts people by day from the start of the preview, edition and result. `changes` counts those for whom the
    editions differ, by the place of the instant among those of the comparison, and by the kind; `sums` are those of the
    results that are numbers, by place and edition. `districts` counts people by the code of their district, ""
    if it is not known, and by what changes for them. `unanswered` counts people whose result under the new edition
    depends on facts that are not known, by the fact, and all of them under "".
    """

    people: int = 0
    cells: Counter[Cell] = field(default_factory=Counter)
    samples: dict[Cell, list[str]] = field(default_factory=dict[Cell, list[str]])
    days: Counter[tuple[int, str, str | int]] = field(default_factory=Counter)
    changes: Counter[tuple[int, Kind]] = field(default_factory=Counter)
    sums: Counter[tuple[int, str]] = field(default_factory=Counter)
    districts: Counter[tuple[str, Counted]] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)

    def merge(self, other: "Tally") -> None:
        """Add the counts of other people."""
        self.people += other.people
        self.cells.update(other.cells)
        self.days.update(other.days)
        self.changes.update(other.changes)
        self.sums.update(other.sums)
        self.districts.update(other.districts)
        self.unanswered.update(other.unanswered)
        for cell, ids in other.samples.items():
            known = self.samples.setdefault(cell, [])
            known += ids[: MAX_SAMPLES_OF_A_CELL - len(known)]


def rank_of(module: Module, result: str | int, *, later_is_worse: bool) -> int:
    """Return how bad a result is, to be compared with others of the module; a smaller number of money is worse."""
    if isinstance(result, int):
        return -result
    words: Sequence[str | int] = module.result
    ranks = [words.index(word) for word in result.split(", ") if word in words]
    return (max(ranks) if later_is_worse else -max(ranks)) if ranks else 0


def counts_of(keys: Integers | NDArray[np.int32]) -> list[tuple[int, int]]:
    """Return the different keys, which are not negative, each with how often it is there."""
    if not len(keys):
        return []
    if int(keys.max()) < _MAX_COUNTED_DIRECTLY:
        counted = np.bincount(keys)
        found = np.nonzero(counted)[0]
        counts = counted[found]
    else:
        found, counts = np.unique(keys, return_counts=True)
    return list(zip(map(int, found), map(int, counts), strict=True))
