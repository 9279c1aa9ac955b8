"""Counts people for a comparison by kernels over columns."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backend.rulebook.language.types import microseconds
from backend.rulebook.preview.columns import Columns
from backend.rulebook.preview.comparison import NOTHING_BEFORE, Comparison
from backend.rulebook.preview.districts import DistrictsOf
from backend.rulebook.preview.groups import UNKNOWN, groups_of_ages
from backend.rulebook.preview.kernel import Decisions, Kernel, kernel_of
from backend.rulebook.preview.layout import Path
from backend.rulebook.preview.tally import Edition, Integers
from backend.rulebook.verdict import Law


class ColumnCounter:
    """Counts people for a comparison; `history` is the path of their earlier results among the columns.

    Raises Unsupported, UnsupportedLayout or TooManyRules if the rules cannot be computed over columns.
    """

    def __init__(self, comparison: Comparison, zone: ZoneInfo, history: Path | None = None, threads: int = 1) -> None:
        self.comparison = comparison
        self.zone = zone
        self.history = history
        self.threads = threads
        self.kernels: dict[tuple[str, int], Kernel] = {}
        for at in comparison.instants:
            for edition, law in zip((comparison.old, comparison.new), comparison.laws(at), strict=True):
                key = (edition.rulebook.digest, id(law))
                if key not in self.kernels:
                    self.kernels[key] = kernel_of(edition.module, law)

    def add(self, columns: Columns, ids: Callable[[Integers], list[str]], districts: DistrictsOf | None = None) -> None:
        """Count the people of columns. `ids` returns the ids of people at these places; `districts` are theirs."""
        comparison = self.comparison
        codes: list[tuple[Integers, Integers]] = []
        for at in comparison.instants:
            old_law, new_law = comparison.laws(at)
            old = self._codes(comparison.old, old_law, columns, microseconds(at))
            same = old_law.rules == new_law.rules and old_law.parameter_values == new_law.parameter_values
            new = self._codes(comparison.new, new_law, columns, microseconds(at)) if not same else None
            codes.append((old, self._renumbered(old) if new is None else new))
        names, groups = self._groups(columns)
        comparison.count(codes, names, groups, self._worst(columns), ids, districts)

    def _renumbered(self, codes: Integers) -> Integers:
        """Return the old edition's numbers of decisions as the new edition's, whose law is the same."""
        old, new = self.comparison.old, self.comparison.new
        numbers = np.array([new.number(decision) for decision in old.decisions], dtype=np.int64)
        return numbers[codes]

    def _codes(self, edition: Edition, law: Law, columns: Columns, now: int) -> Integers:
        kernel = self.kernels[edition.rulebook.digest, id(law)]
        decisions = kernel.decide(columns, now, self.threads)
        if kernel.counts:
            return _codes_of_numbers(edition, law, decisions)
        numbers = [edition.number(edition.decision(law, place - 1, 0)) for place in range(len(law.rules) + 1)]
        return np.array(numbers, dtype=np.int64)[decisions.decisive + 1]

    def _groups(self, columns: Columns) -> tuple[list[str], Integers]:
        groups = self.comparison.subject.groups
        if groups is not None and groups.ages:
            born = columns.arrays[f"c_{groups.born}"]
            return groups.names, groups_of_ages(groups, born, self.comparison.subject.at, self.zone)
        texts = columns.arrays.get(f"c_{groups.field}") if groups is not None else None
        if texts is None:
            return [UNKNOWN], np.zeros(columns.people, dtype=np.int64)
        names = [*columns.texts.numbers, UNKNOWN]
        return names, np.where(texts < 0, len(names) - 1, texts).astype(np.int64)

    def _worst(self, columns: Columns) -> Integers:
        """Return how bad the worst earlier result of each person was."""
        worst = np.full(columns.people, NOTHING_BEFORE, dtype=np.int64)
        if self.history is None:
            return worst
        column = columns.layout.columns[self.history]
        comparison = self.comparison
        ranks = np.array([comparison.rank(comparison.new, word) for word in column.words], dtype=np.int64)
        offsets = columns.arrays[f"o_{'__'.join(self.history[:-1])}"]
        words = columns.arrays[f"c_{column.name}"]
        held = np.nonzero(offsets[1:] > offsets[:-1])[0]
        if len(held):
            worst[held] = np.maximum.reduceat(ranks[words], offsets[held])
        return worst


def _codes_of_numbers(edition: Edition, law: Law, decisions: Decisions) -> Integers:
    """Return the codes of decisions with numbers or bits, of which there may be many."""
    results, places = np.unique(decisions.results, return_inverse=True)
    rules = decisions.decisive.astype(np.int64) + 1
    pairs, pair_places = np.unique(places * (len(law.rules) + 1) + rules, return_inverse=True)
    numbers: list[int] = []
    for pair in pairs.tolist():
        place, rule = divmod(pair, len(law.rules) + 1)
        numbers.append(edition.number(edition.decision(law, rule - 1, int(results[place]))))
    codes: NDArray[np.int64] = np.array(numbers, dtype=np.int64)[pair_places]
    return codes
