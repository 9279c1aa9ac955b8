"""Two editions of a module over the same people: at one instant, on the days after it, and when later laws begin."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.language.types import fields_of
from backend.rulebook.modules.module import Module, Otherwise
from backend.rulebook.preview.districts import DistrictsOf
from backend.rulebook.preview.groups import Groups
from backend.rulebook.preview.layout import Layout, Mentioned, layout_of, mentioned_by
from backend.rulebook.preview.possible import Best, PartlyKnown
from backend.rulebook.preview.tally import (
    MAX_SAMPLES_OF_A_CELL,
    Cell,
    Counted,
    Decision,
    Edition,
    Kind,
    Tally,
    counts_of,
    decision_of,
    rank_of,
)
from backend.rulebook.verdict import Law

Integers = NDArray[np.int64]
Ids = Callable[[Integers], list[str]]
Codes = tuple[Integers, Integers]
"""The numbers of the decisions of the old and of the new edition, for each person."""

DAYS = 14
MAX_LAWS_AHEAD = 5


class Subject(Struct, frozen=True):
    """What is compared: a module of two editions, at an instant, in the terms of the service that keeps the facts.

    A result later in the module's order is worse, or an earlier one; a smaller number always is.
    """

    old: Rulebook
    new: Rulebook
    module: str
    at: datetime
    later_is_worse: bool = True
    groups: Groups | None = None


class DifferentFacts(Exception):
    """The two editions decide on different facts, so no columns hold the facts of both."""


def with_nothing(rulebook: Rulebook, module: Module) -> Rulebook:
    """Return a rulebook with a module, of numbers, of which it gives 0 to everybody, as if it had none such."""
    nothing = replace(
        module, strategy="first", parameters={}, rules=(), terms=(), orders=(), otherwise=Otherwise(0, NO_MODULE, None)
    )
    modules = {**rulebook.modules, module.name: nothing}
    return Rulebook(modules, rulebook.texts, rulebook.digest, rulebook.time_zone, rulebook)


NO_MODULE = Text(zh="没有该项规定", en="There is no such module")


@dataclass
class Comparison:
    """Counts people by what both editions decide for them."""

    subject: Subject
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        subject = self.subject
        self.old = Edition(subject.old, subject.module)
        self.new = Edition(subject.new, subject.module)
        self.days = [subject.at + timedelta(days=day) for day in range(DAYS + 1)]
        self.ahead = beginnings_of_laws(subject)

    @property
    def instants(self) -> list[datetime]:
        """Return the instants at which people are compared: those of the days, then those of later laws."""
        return [*self.days, *self.ahead]

    @property
    def facts(self) -> type[Struct]:
        """Return the facts that both editions decide on. Raises DifferentFacts."""
        if self.old.module.facts is not self.new.module.facts:
            raise DifferentFacts(self.subject.module)
        return self.old.module.facts

    def laws(self, at: datetime) -> tuple[Law, Law]:
        """Return the old and the new law of an instant."""
        subject = self.subject
        return subject.old.law(subject.module, at), subject.new.law(subject.module, at)

    def mentioned(self) -> Mentioned:
        """Return the fields that either edition reads, at any time, or that the groups need."""
        conditions = [rule.condition for edition in (self.old, self.new) for rule in edition.module.rules]
        groups = self.subject.groups
        mentioned = mentioned_by(conditions)
        if groups is not None and groups.born in fields_of(self.facts):
            return mentioned | {(self.facts, groups.born)}
        return mentioned

    def layout(self) -> Layout:
        """Return the columns that both editions need. Raises UnsupportedLayout."""
        return layout_of(self.facts, self.mentioned())

    def count(
        self,
        codes: Sequence[Codes],
        groups: Sequence[str],
        group: Integers,
        worst: Integers,
        ids: Ids,
        districts: DistrictsOf | None = None,
    ) -> None:
        """Count people: `codes` at each of the instants, their `group` among `groups`, and their worst result so far.

        `ids` returns the ids of people at these places. `districts` are those of these people, if they are known.
        """
        old, new = codes[0]
        self.tally.people += len(old)
        old_ranks, new_ranks = self._ranks(self.old), self._ranks(self.new)
        again = (new_ranks[new] > old_ranks[old]) & (worst >= new_ranks[new])
        keys = (((old * len(new_ranks)) + new) * len(groups) + group) * 2 + again
        for key, people in counts_of(keys):
            decided, place = divmod(key >> 1, len(groups))
            before, after = divmod(decided, len(new_ranks))
            cell = Cell(self.old.decisions[before], self.new.decisions[after], groups[place], bool(key & 1))
            self.tally.cells[cell] += people
            if cell.old.result != cell.new.result:
                self._sample(cell, keys == key, ids)
        if districts is not None:
            differ, change = self._differ(old, new), new_ranks[new] - old_ranks[old]
            changes: dict[Counted, NDArray[np.bool_]] = {
                "worse": differ & (change > 0),
                "better": differ & (change < 0),
                "again": again,
            }
            self._count_districts(districts, changes)
        for place, pair in enumerate(codes):
            self._count_instant(place, pair)

    def _sample(self, cell: Cell, among: NDArray[np.bool_], ids: Ids) -> None:
        known = self.tally.samples.setdefault(cell, [])
        if len(known) < MAX_SAMPLES_OF_A_CELL:
            known += ids(np.nonzero(among)[0][: MAX_SAMPLES_OF_A_CELL - len(known)])

    def _count_districts(self, districts: DistrictsOf, changes: Mapping[Counted, NDArray[np.bool_]]) -> None:
        for place, people in counts_of(districts.numbers):
            self.tally.districts[districts.codes[place], "people"] += people
        for name, mask in changes.items():
            for place, people in counts_of(districts.numbers[mask]):
                self.tally.districts[districts.codes[place], name] += people

    def count_unanswered(self, people: Iterable[Any]) -> None:
        """Count those whose result under the new edition depends on facts that are not known."""
        _, law = self.laws(self.subject.at)
        for one in people:
            if isinstance(one, PartlyKnown):
                possible = self.new.possible(law, one.unknown)
                if possible.depends_on_answers(one.facts, self.subject.at):
                    self.tally.unanswered.update(("", *possible.open))

    def kind(self, old: Decision, new: Decision) -> Kind:
        """Return what changes for people."""
        if old.result == new.result:
            return "same"
        before, after = self.rank(self.old, old.result), self.rank(self.new, new.result)
        return "worse" if after > before else "better" if after < before else "other"

    def _count_instant(self, place: int, pair: Codes) -> None:
        old, new = pair
        for key, people in counts_of(old * len(self.new.decisions) + new):
            before, after = divmod(key, len(self.new.decisions))
            one, other = self.old.decisions[before], self.new.decisions[after]
            if place < len(self.days):
                self.tally.days[place, "old", one.result] += people
                self.tally.days[place, "new", other.result] += people
            if one.result != other.result:
                self.tally.changes[place, self.kind(one, other)] += people
            for name, decision in (("old", one), ("new", other)):
                if isinstance(decision.result, int):
                    self.tally.sums[place, name] += decision.result * people

    def _differ(self, old: Integers, new: Integers) -> NDArray[np.bool_]:
        """Return for whom the results differ."""
        numbers: dict[str | int, int] = {}
        before, after = (
            np.array([numbers.setdefault(one.result, len(numbers)) for one in edition.decisions], dtype=np.int64)
            for edition in (self.old, self.new)
        )
        return before[old] != after[new]

    def _ranks(self, edition: Edition) -> Integers:
        return np.array([self.rank(edition, decision.result) for decision in edition.decisions], dtype=np.int64)

    def rank(self, edition: Edition, result: str | int) -> int:
        """Return how bad a result is."""
        return rank_of(edition.module, result, later_is_worse=self.subject.later_is_worse)


NOTHING_BEFORE = -(2**62)
"""The worst result of a person of whom no earlier result is known: better than any."""


def beginnings_of_laws(subject: Subject) -> list[datetime]:
    """Return the first instants after the preview's at which a law of either edition begins."""
    found: set[datetime] = set()
    for rulebook in (subject.old, subject.new):
        law = rulebook.law(subject.module, subject.at)
        while law is not rulebook.law(subject.module, LAST):
            found.add(law.ends)
            law = rulebook.law(subject.module, law.ends)
    return sorted(found)[:MAX_LAWS_AHEAD]


LAST = datetime.fromisoformat("2149-12-31T00:00:00+00:00")


Answered = Sequence[Best | None] | None
"""The answers by which people were decided: None for one of whom all is known, or for all of them."""


def codes_of_objects(
    edition: Edition, people: Iterable[Any], at: datetime, before: Answered = None
) -> tuple[Integers, Answered]:
    """Return the numbers of an edition's decisions, by its fused function, person by person, and the answers.

    People of whom not all is known are decided by the answers that give most: those of `before` if others do not give
    more.
    """
    law = edition.rulebook.law(edition.name, at)
    numbers: dict[int, int] = {}
    found: list[int] = []
    answered: list[Best | None] = []
    for place, facts in enumerate(people):
        best = None
        if isinstance(facts, PartlyKnown):
            earlier = before[place] if before is not None else None
            best = edition.possible(law, facts.unknown).best(facts.facts, at, earlier)
            fired = best.fired
        else:
            fired, _ = law.decide(facts, at)
        number = numbers.get(fired)
        if number is None:
            number = numbers[fired] = edition.number(decision_of(edition.rulebook, edition.name, law, fired))
        found.append(number)
        answered.append(best)
    return np.array(found, dtype=np.int64), answered


def instant_codes(
    comparison: Comparison, codes: Callable[[Edition, datetime, Answered], tuple[Integers, Answered]]
) -> list[Codes]:
    """Return the codes of both editions at each instant of a comparison."""
    found: list[Codes] = []
    for at in comparison.instants:
        old, answered = codes(comparison.old, at, None)
        found.append((old, codes(comparison.new, at, answered)[0]))
    return found
