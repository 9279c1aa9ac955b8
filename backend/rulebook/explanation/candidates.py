"""The single changes that are tried: for each declared change, one for each region between thresholds.

Instants need more than the thresholds of facts that exist, because several new instants may depend on one another, as
with two tests a day apart. The rules compare differences of instants with fixed spans. Among the solutions of such a
system one is earliest in every instant at once; each of its instants is a fixed one plus the spans on a path that
visits each new instant and `now` at most once. So the instants that can be reached in that number of steps suffice.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import product
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backend.rulebook.explanation.atoms import NOW, Atoms, Path, values_at
from backend.rulebook.explanation.changes import Change, type_at
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.types import EPOCH, Type, fields_of, microseconds

MAX_INSTANTS = 48
"""The most instants of one field that are tried."""

MAX_DAYS = 60
"""The most days in a row that a daily duty is tried for."""


class Candidate(Struct, frozen=True):
    """One change of the facts: its declaration, the element (by its number, if any) and the new value.

    `values` are the fields that it sets, `before` is the former value of a set field, `at` the latest instant that it
    sets, and `days` the number of days of a daily duty.
    """

    change: Change
    element: int | None
    value: Any
    values: tuple[tuple[str, Any], ...] = ()
    before: Any = None
    at: datetime | None = None
    days: int = 0

    @property
    def slot(self) -> tuple[Any, ...] | None:
        """Return what it changes; only one change of a set has the same slot. None for an added element."""
        return None if self.change.act == "add" else (self.change.path, self.element)


def apply(facts: Struct, candidates: Iterable[Candidate]) -> Struct | None:
    """Return the facts after these changes; None if a list would be longer than its Struct allows."""
    changed, removed = facts, dict[str, set[int]]()
    added = dict[str, list[Candidate]]()
    for candidate in candidates:
        change = candidate.change
        if change.act == "remove":
            assert candidate.element is not None
            removed.setdefault(change.path, set()).add(candidate.element)
        elif change.act == "add":
            added.setdefault(change.path, []).append(candidate)
        else:
            changed = _with_value(changed, change.names, candidate.element, candidate.value)
    for name, numbers in removed.items():
        items = tuple(item for number, item in enumerate(getattr(changed, name)) if number not in numbers)
        changed = replace(changed, **{name: items})
    for name, found in added.items():
        new = sorted(found, key=lambda candidate: candidate.at or datetime.min.replace(tzinfo=EPOCH.tzinfo))
        items = (*getattr(changed, name), *(candidate.value for candidate in new))
        longest = _max_length(type(facts), name)
        if longest is not None and len(items) > longest:
            return None
        changed = replace(changed, **{name: items})
    return changed


def _with_value(struct: Any, path: Path, element: int | None, value: Any) -> Any:  # noqa: ANN401  any Struct
    name, *rest = path
    if not rest:
        return replace(struct, **{name: value})
    inner = getattr(struct, name)
    if not isinstance(inner, tuple):
        return replace(struct, **{name: _with_value(inner, tuple(rest), None, value)})
    assert element is not None
    items = cast("tuple[Any, ...]", inner)
    new = _with_value(items[element], tuple(rest), None, value)
    return replace(struct, **{name: (*items[:element], new, *items[element + 1 :])})


@cache
def _info(struct: type[Struct], name: str) -> msgspec.structs.FieldInfo:
    return next(field for field in msgspec.structs.fields(struct) if field.name == name)


@cache
def _max_length(struct: type[Struct], name: str) -> int | None:
    notes = getattr(_info(struct, name).type, "__metadata__", ())
    return next((note.max_length for note in notes if isinstance(note, msgspec.Meta)), None)


@dataclass
class CandidateFinder:
    """Finds the single changes of facts from an instant `at` until another; `steps` is the number of changes in a set.

    `complete` is False once something was found that the regions of the atoms do not cover.
    """

    atoms: Atoms
    changes: tuple[Change, ...]
    at: datetime
    until: datetime
    steps: int
    zone: ZoneInfo
    law_starts: tuple[datetime, ...] = ()
    complete: bool = True

    def __post_init__(self) -> None:
        self.facts = self.atoms.facts
        self.struct = type(self.facts)
        self.event_fields = set(self._event_fields())
        touched = [path for change in self.changes for path in (change.names, *self._fields_of(change))]
        if any(path == one[: len(path)] for path in touched for one in self.atoms.unknown):
            self.complete = False
        self.instants = self._instants()
        first = {path: self._thresholds(path, {}) for path in self._number_fields()}
        self.numbers = {path: self._thresholds(path, first) for path in first}

    def candidates(self) -> list[Candidate]:
        """Return the single changes that a rule can notice, in the order of their declarations."""
        return [one for change in self.changes if self._is_read(change) for one in self._candidates(change)]

    def _is_read(self, change: Change) -> bool:
        path = change.names
        return any(path[: len(read)] == read or read[: len(path)] == path for read in self.atoms.read)

    def _candidates(self, change: Change) -> Iterator[Candidate]:
        match change.act:
            case "add":
                yield from self._additions(change)
            case "remove":
                for number, item in enumerate(getattr(self.facts, change.path)):
                    if not (change.unless and getattr(item, change.unless) is not None):
                        yield Candidate(change, number, None, _values(item))
            case "set":
                for number, holder in self._holders(change):
                    yield from self._settings(change, number, getattr(holder, change.names[-1]))
            case "add_daily":
                for number, holder in self._holders(change):
                    yield from self._duties(change, number, getattr(holder, change.names[-1]))

    def _holders(self, change: Change) -> Iterator[tuple[int | None, Any]]:
        """Yield what has the last field of the path: the facts, a Struct in them, or the elements of a list."""
        if len(change.names) == 1:
            yield None, self.facts
            return
        inner = getattr(self.facts, change.names[0])
        numbered = enumerate(cast("tuple[Any, ...]", inner)) if isinstance(inner, tuple) else [(None, inner)]
        for number, holder in numbered:
            if holder is not None and not (change.unless and getattr(holder, change.unless) is not None):
                yield number, holder

    # ── elements ──

    def _additions(self, change: Change) -> Iterator[Candidate]:
        element = type_at(self.struct, change.names)[0].element
        assert element is not None
        assert element.struct is not None, "an element that joins a list is a Struct"
        names: list[str] = []
        choices: list[list[Any]] = []
        for name, field in fields_of(element.struct).items():
            if name in change.fields:
                names, choices = [*names, name], [*choices, list(change.fields[name])]
            elif not field.optional and (values := self._element_values((*change.names, name), field.type)):
                names, choices = [*names, name], [*choices, values]
        for chosen in product(*choices):
            values = dict(zip(names, chosen, strict=True))
            events = [value for value in chosen if isinstance(value, datetime)]
            value = element.struct(**values)
            yield Candidate(change, None, value, _values(value), None, max(events, default=None))

    def _element_values(self, path: Path, kind: Type) -> list[Any]:
        """Return the values of a field of a new element; none if its default will do."""
        if kind.kind == "timestamp":
            return self.instants.get(path) or [self.at]
        if path not in self.atoms.read:
            needed = _info(self._holder(path), path[-1]).required
            return _some_value(kind) if needed else []
        return self._values_of(path, kind)

    def _values_of(self, path: Path, kind: Type) -> list[Any]:
        match kind.kind:
            case "bool":
                return [True, False]
            case "string":
                return self._words_of(path, kind)
            case "int":
                return sorted(self.numbers.get(path) or {max(kind.low, min(0, kind.high))})
            case _:
                self.complete = False
                return []

    def _words_of(self, path: Path, kind: Type) -> list[Any]:
        read = self.atoms.words.get(path, set())
        others = [word for word in kind.words or ("",) if word not in read]
        return [*(word for word in kind.words or sorted(read) if word in read), *others[:1]]

    # ── fields ──

    def _settings(self, change: Change, number: int | None, before: Any) -> Iterator[Candidate]:  # noqa: ANN401
        path = change.names
        kind, optional = type_at(self.struct, path)
        if kind.kind == "timestamp":
            if optional and before is not None:
                return
            values = self.instants.get(path) or [self.at]
        elif change.fields:
            values = list(change.fields[""])
        else:
            values = self._values_of(path, kind)
        if kind.kind == "int" and before is not None:
            values = [value for value in values if _is_in_direction(value - before, change.direction)]
            values.sort(key=lambda value: abs(value - before))
        for value in values:
            if value != before:
                at = value if isinstance(value, datetime) else None
                yield Candidate(change, number, value, ((path[-1], value),), before, at)

    def _duties(self, change: Change, number: int | None, before: tuple[datetime, ...]) -> Iterator[Candidate]:
        today = self.at.astimezone(self.zone).date()
        days = [midnight(today + timedelta(days=ahead), self.zone) for ahead in range(MAX_DAYS)]
        missing = [day for day in days if day not in before]
        longest = _max_length(self._holder(change.names), change.names[-1])
        for count, last in enumerate(missing, 1):
            if last > self.until or (longest is not None and len(before) + count > longest):
                return
            items = tuple(sorted((*before, *missing[:count])))
            at = max(last, self.at)
            yield Candidate(change, number, items, ((change.names[-1], last),), None, at, count)

    def _holder(self, path: Path) -> type[Struct]:
        """Return the Struct that has the last field of a path."""
        kind = type_at(self.struct, path[:-1])[0]
        struct = (kind.element or kind).struct
        assert struct is not None, "a field belongs to a Struct"
        return struct

    # ── thresholds ──

    def _number_fields(self) -> Iterator[Path]:
        """Yield the numbers that may change."""
        for change in self.changes:
            for path in self._fields_of(change):
                if type_at(self.struct, path)[0].kind == "int":
                    yield path

    def _event_fields(self) -> Iterator[Path]:
        """Yield the instants that may be new."""
        for change in self.changes:
            for path in self._fields_of(change):
                kind = type_at(self.struct, path)[0]
                if kind.kind == "timestamp" or (kind.element is not None and kind.element.kind == "timestamp"):
                    yield path

    def _fields_of(self, change: Change) -> list[Path]:
        element = type_at(self.struct, change.names)[0].element
        if change.act == "remove" or (change.act == "add" and (element is None or element.struct is None)):
            return []
        if change.act == "add" and element is not None and element.struct is not None:
            return [(*change.names, name) for name in fields_of(element.struct)]
        return [change.names]

    def _thresholds(self, path: Path, others: Mapping[Path, Iterable[int]]) -> set[int]:
        kind = type_at(self.struct, path)[0]
        named = next((change.fields[path[-1]] for change in self.changes if self._names(change, path)), None)
        if named is not None:
            return set(named)
        if path not in self.atoms.read:
            return set()
        found, complete = self.atoms.numbers_for(path, others)
        together = [terms for terms, _ in self.atoms.sums if path in terms and terms.keys() & others.keys() - {path}]
        self.complete = self.complete and complete and not together
        return {value for value in found if kind.low <= value <= kind.high}

    @staticmethod
    def _names(change: Change, path: Path) -> bool:
        return bool(path) and change.names == path[:-1] and path[-1] in change.fields

    def _instants(self) -> dict[Path, list[datetime]]:
        """Return the instants to try, by field."""
        low, high = microseconds(self.at), microseconds(self.until)
        variable = {*self.event_fields, NOW}
        fixed = {
            path: {microseconds(value) for value in values_at(self.facts, path)}
            for path in self.atoms.instant_fields | {one for one in self.event_fields if one in self.atoms.read}
        }
        reached = {path: {low, *self.atoms.instants.get(path, ())} for path in variable}
        reached[NOW] |= {microseconds(start) for start in self.law_starts}
        for _ in range(self.steps + 1):
            sources = {path: fixed.get(path, set()) | reached.get(path, set()) for path in {*fixed, *reached}}
            for difference in self.atoms.differences:
                for target, source, gap in (
                    (difference.later, difference.earlier, difference.rise),
                    (difference.earlier, difference.later, difference.fall),
                ):
                    if target in variable:
                        reached[target] |= {value + gap for value in sources.get(source, ())}
            for age in self.atoms.ages:
                if age.later in variable:
                    reached[age.later] |= {age.rises(value) for value in sources.get(age.earlier, ())}
                if age.earlier in variable:
                    found = (age.falls(value) for value in sources.get(age.later, ()))
                    reached[age.earlier] |= {value for values in found for value in values}
            for path, values in reached.items():
                kept = sorted(value for value in values if low <= value <= high)
                self.complete = self.complete and len(kept) <= MAX_INSTANTS
                reached[path] = set(kept[:MAX_INSTANTS])
        return {path: [EPOCH + timedelta(microseconds=one) for one in sorted(reached[path])] for path in reached}


def _is_in_direction(step: int, direction: str) -> bool:
    return direction == "any" or (step > 0) == (direction == "up")


def _some_value(kind: Type) -> list[Any]:
    match kind.kind:
        case "bool":
            return [False]
        case "string":
            return [(kind.words or ("",))[0]]
        case "int":
            return [max(kind.low, min(0, kind.high))]
        case _:
            return []


def _values(item: Any) -> tuple[tuple[str, Any], ...]:  # noqa: ANN401  an element of a list
    if not isinstance(item, Struct):
        return (("", item),)
    return tuple((name, value) for name in item.__struct_fields__ if (value := getattr(item, name)) is not None)
