"""From any counterexample to the smallest: fewest list elements and facts, then the simplest values and instants."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from backend.rulebook.language.types import Type, fields_of
from backend.rulebook.prover.calendar import DAY, HOUR, text_of
from backend.rulebook.prover.question import Question
from backend.rulebook.prover.smt import Model, Solver, Term, conj, count, integer, is_truth, neg
from backend.rulebook.prover.symbols import SymbolicList, SymbolicStruct, Value, lists_of, present_elements

_UNITS = (DAY, HOUR, HOUR // 60, HOUR // 3_600)
_DISTANCES = tuple(DAY * days for days in (0, 1, 7, 14, 30, 366, 7_305, 36_525))


@dataclass
class Minimiser:
    """Adds wishes to a solver one after the other, as long as they can be granted and time is left."""

    question: Question
    solver: Solver
    model: Model
    zone: ZoneInfo
    near: int
    deadline: float

    def fewest_elements(self) -> Mapping[str, int]:
        """Find the fewest list elements and facts; return the lengths of the lists by path."""
        self._fewest_elements()
        lengths: dict[str, int] = {}
        for path, found in lists_of(self.question.facts, "facts"):
            present = sum(self.model.truth(there) for there, _ in found.elements)
            lengths[path] = max(present, lengths.get(path, 0))
        return lengths

    def simplest_values(self) -> Model:
        """Return the simplest values that were found in time. `near` is the instant to which `now` is drawn."""
        self._fewest_elements()
        self._simplest_instant(self.question.now, self.near)
        now = self.model.number(self.question.now)
        self._fix(self.question.now)
        roots = [self.question.facts] if self.question.other is None else [self.question.facts, self.question.other]
        for kind, term in (leaf for root in roots for leaf in _leaves(root, self)):
            match kind.kind:
                case "timestamp":
                    self._simplest_instant(term, now)
                case "int" | "duration":
                    self._smallest_number(term, kind)
                case "bool":
                    self._wish(neg(term))
                case "string" if kind.words is not None:
                    words = self.question.space.words
                    any(self._wish(term == words.number(word)) for word in kind.words)  # the first that can be
                case _:
                    pass
            if kind.kind != "double":
                self._fix(term)
        return self.model

    def _wish(self, term: Term) -> bool:
        """Assert a term if the counterexample can have it."""
        if term is True or time.monotonic() > self.deadline:
            return term is True
        if self.solver.check(term) != "sat":
            return False
        self.model = self.solver.model()
        self.solver.add(term)
        return True

    def _fix(self, term: Term) -> None:
        value = self.model.truth(term) if is_truth(term) else self.model.number(term)
        self.solver.add(term == value)

    def _fewest_elements(self) -> None:
        elements = list(present_elements(self.question.facts, exists=True))
        number = count(elements)
        self._least(lambda: self.model.number(number), lambda most: number <= most)
        for element in reversed(elements):  # which ones must not depend on what the solver found first
            if element is not True and element is not False and not self._wish(neg(element)):
                self.solver.add(element == self.model.truth(element))

    def _simplest_instant(self, term: Term, near: int) -> None:
        """Draw an instant near to another, to the nearest midnight, full hour, full minute or full second."""
        for distance in _DISTANCES:
            if self._wish(conj([term >= near - distance, term <= near + distance])):
                break
        offset = text_of(self.model.number(term)).astimezone(self.zone).utcoffset()
        shift = 0 if offset is None else int(offset.total_seconds()) * (HOUR // 3_600)
        for unit in _UNITS:
            if self._wish(term + shift == unit * integer(f"{term}/{unit}")):
                self._nearest(term, near, unit)
                return

    def _nearest(self, term: Term, near: int, unit: int) -> None:
        """Find the multiple of a unit that is nearest to an instant."""
        self._least(
            lambda: -(-abs(self.model.number(term) - near) // unit),
            lambda most: conj([term >= near - most * unit, term <= near + most * unit]),
        )
        self._wish(term <= near)  # of two that are as near, the earlier

    def _smallest_number(self, term: Term, kind: Type) -> None:
        """Find the least number that is not negative; of durations, one of whole days, hours, minutes or seconds."""
        if kind.kind == "duration":
            any(self._wish(term == unit * integer(f"{term}/{unit}")) for unit in _UNITS)  # the first that can be
        if self._wish(term >= 0) is False:
            return
        self._least(lambda: self.model.number(term), lambda most: term <= most, max(0, kind.low))

    def _least(self, value: Callable[[], int], at_most: Callable[[int], Term], low: int = 0) -> None:
        """Make a number the least that it can be, `low` or more, and keep it: `value` returns what the model has."""
        high = value()
        while low < high and time.monotonic() < self.deadline:
            middle = (low + high) // 2
            if self._wish(at_most(middle)):
                high = value()
            else:
                low = middle + 1
        self.solver.add(at_most(high))


def _leaves(value: Value, minimiser: Minimiser) -> Iterator[tuple[Type, Term]]:
    """Yield the single facts that the counterexample has, with their types."""
    assert isinstance(value, SymbolicStruct)
    for name, held in value.fields.items():
        if minimiser.model.truth(held.present):
            yield from _within(held.value, fields_of(value.struct)[name].type, minimiser)


def _within(value: Value, kind: Type, minimiser: Minimiser) -> Iterator[tuple[Type, Term]]:
    if isinstance(value, SymbolicStruct):
        yield from _leaves(value, minimiser)
    elif isinstance(value, SymbolicList):
        assert kind.element is not None
        for there, item in value.elements:
            if minimiser.model.truth(there):
                yield from _within(item, kind.element, minimiser)
    else:
        yield kind, value
