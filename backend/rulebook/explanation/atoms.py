"""What the conditions of a module ask of each field: the values between which an answer changes.

A condition is a truth function of atoms: a comparison of sums, a word among words, a presence, a truth value. An atom
has the same value for all values of a field between two of its thresholds. So it is enough to try one value of each
region: the thresholds and their neighbours. What is not of this form is recorded in `unknown`, and nothing that
depends on it is called proved.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, cast

from msgspec import Struct

from backend.rulebook.explanation.ages import AgeDifference
from backend.rulebook.language.calendar import AGE, AgeOperation
from backend.rulebook.language.extremum import MIRRORED
from backend.rulebook.language.tree import (
    Apply,
    Conditional,
    Constant,
    Field,
    Has,
    Logic,
    Macro,
    Node,
    Variable,
    children,
)
from backend.rulebook.language.types import RANGED, microseconds
from backend.rulebook.verdict import Law

Path = tuple[str, ...]
NOW: Path = ("now",)
OPAQUE = "#"
"""The first part of the path of a number that is no field, such as the size of a list."""

MAX_VALUES = 200
"""The most values of one field that are tried."""


@dataclass(frozen=True)
class Difference:
    """A comparison of two instants: one answer needs `later >= earlier + rise`, the other `earlier >= later + fall`.

    Both are in microseconds.
    """

    later: Path
    earlier: Path
    rise: int
    fall: int


@dataclass
class Atoms:
    """The thresholds of a module's conditions, by field.

    `differences` are those between two instants, `ages` those in full years; `sums` are linear sums of numbers, each
    with its constant, that change an answer where they pass zero; `instants` are fixed thresholds, in microseconds
    since 1970; `words` are the constants that a text is compared with; `read` are all fields that a condition reads,
    `instant_fields` those of them that are instants, and `unknown` those that are read in another form.
    """

    facts: Struct
    differences: set[Difference] = field(default_factory=set[Difference])
    ages: set[AgeDifference] = field(default_factory=set[AgeDifference])
    sums: list[tuple[dict[Path, int], int]] = field(default_factory=list[tuple[dict[Path, int], int]])
    instants: dict[Path, set[int]] = field(default_factory=dict[Path, set[int]])
    instant_fields: set[Path] = field(default_factory=set[Path])
    words: dict[Path, set[str]] = field(default_factory=dict[Path, set[str]])
    read: set[Path] = field(default_factory=set[Path])
    unknown: set[Path] = field(default_factory=set[Path])

    def numbers_for(self, path: Path, others: Mapping[Path, Iterable[int]]) -> tuple[set[int], bool]:
        """Return the thresholds of a number, and whether they are all of them.

        `others` are the values that fields which may change can have; the others have those of the facts.
        """
        found, complete = set[int](), path not in self.unknown
        for terms, constant in self.sums:
            if path not in terms:
                continue
            rest = [(factor, self._values(other, others)) for other, factor in terms.items() if other != path]
            if any(values is None for _, values in rest):
                complete = False
                continue
            lists = [[factor * value for value in values or ()] for factor, values in rest]
            for combination in product(*lists):
                threshold = -(sum(combination) + constant) // terms[path]
                found |= {threshold - 1, threshold, threshold + 1}
                if len(found) > MAX_VALUES:
                    return found, False
        return found, complete

    def _values(self, path: Path, others: Mapping[Path, Iterable[int]]) -> set[int] | None:
        if path[0] == OPAQUE:
            return None
        values = {value for value in values_at(self.facts, path) if isinstance(value, int)}
        return values | set(others.get(path, ()))


def values_at(facts: Struct, path: Path) -> Iterator[Any]:
    """Yield the values at a path, of each element of a list on the way; none if it is absent."""
    values: list[Any] = [facts]
    for name in path:
        values = [getattr(value, name) for value in values]
        values = [item for value in values for item in (_items(value) if isinstance(value, tuple | list) else [value])]
        values = [value for value in values if value is not None]
    yield from values


def _items(value: Any) -> list[Any]:  # noqa: ANN401  a list of the facts
    return list(cast("Iterable[Any]", value))


def atoms_of(laws: Iterable[Law], facts: Struct) -> Atoms:
    """Return the atoms of all rules of these laws, with the values of their parameters."""
    atoms = Atoms(facts)
    for law in laws:
        reader = _Reader(atoms, law.parameter_values)
        for rule in law.rules:
            reader.condition(rule.condition, {})
    return atoms


Bound = Mapping[str, "Path | None"]


@dataclass(frozen=True)
class _Reader:
    atoms: Atoms
    parameters: Mapping[str, Any]

    def condition(self, node: Node, bound: Bound) -> None:
        """Record the atoms of a condition; what is not understood makes its fields unknown."""
        match node:
            case Logic():
                self.condition(node.left, bound)
                self.condition(node.right, bound)
            case Conditional():
                for part in (node.condition, node.chosen, node.other):
                    self.condition(part, bound)
            case Apply(name="!_"):
                self.condition(node.arguments[0], bound)
            case Macro() if node.value is None and node.test is not None:
                self._list(node, bound)
            case Has():
                self._has(node, bound)
            case Field() if node.type.kind == "bool" and self.path(node, bound) is not None:
                self._note(node, bound)
            case Apply() if self._comparison(node, bound) or self._words(node, bound):
                pass
            case Constant():
                pass
            case _:
                self._unknown(node, bound)

    def path(self, node: Node, bound: Bound) -> Path | None:
        """Return the path of a field below the facts; None for anything else."""
        match node:
            case Variable():
                return () if node.name == "facts" else bound.get(node.name)
            case Field():
                before = self.path(node.operand, bound)
                return None if before is None else (*before, node.name)
            case Macro(name="filter"):
                return self.path(node.source, bound)
            case _:
                return None

    def _list(self, node: Macro, bound: Bound) -> None:
        source = self.path(node.source, bound)
        self._note(node.source, bound)
        if isinstance(node.source, Macro):
            self.condition(node.source, bound)
        elif source is None:
            self._unknown(node.source, bound)
        assert node.test is not None
        self.condition(node.test, {**bound, node.variable: source})

    def _has(self, node: Has, bound: Bound) -> None:
        before = self.path(node.operand, bound)
        if before is None:
            self._unknown(node, bound)
        else:
            self.atoms.read.add((*before, node.name))

    def _note(self, node: Node, bound: Bound) -> None:
        path = self.path(node, bound)
        if path:
            self.atoms.read.add(path)

    def _unknown(self, node: Node, bound: Bound) -> None:
        if path := self.path(node, bound):
            self.atoms.read.add(path)
            self.atoms.unknown.add(path)
        inner = {**bound, node.variable: self.path(node.source, bound)} if isinstance(node, Macro) else bound
        for child in children(node):
            self._unknown(child, inner)

    # ── words ──

    def _words(self, node: Apply, bound: Bound) -> bool:
        """Record `text == "word"`, `!=` or `in [...]`; return whether it is one."""
        if node.name not in ("_==_", "_!=_", "_in_"):
            return False
        operand, constant = node.arguments
        if node.name != "_in_" and self._constant(operand) is not None:
            operand, constant = constant, operand
        path, value = self.path(operand, bound), self._constant(constant)
        if path is None or value is None or operand.type.kind not in ("string", "bool", "int"):
            return False
        self.atoms.read.add(path)
        words = cast("tuple[Any, ...]", value) if isinstance(value, tuple | list) else (value,)
        if operand.type.kind == "int":
            self.atoms.sums.extend(({path: 1}, -word) for word in words)
        else:
            self.atoms.words.setdefault(path, set()).update(word for word in words if isinstance(word, str))
        return True

    def _constant(self, node: Node) -> Any:  # noqa: ANN401  a value of the rule language
        if isinstance(node, Constant):
            return node.value
        return self.parameters.get(node.name) if isinstance(node, Variable) else None

    # ── numbers, instants and durations ──

    def _comparison(self, node: Apply, bound: Bound) -> bool:
        """Record a comparison of sums; return whether it is one."""
        if node.name.strip("_") not in MIRRORED or any(side.type.kind not in RANGED for side in node.arguments):
            return False
        if any(isinstance(side, Apply) and side.name == AGE for side in node.arguments):
            return self._age(node, bound)
        left, right = (self._sums(side, bound) for side in node.arguments)
        if left is None or right is None or len(left) * len(right) > MAX_VALUES:
            return False
        for one in left:
            for other in right:
                self._record(_added(one, other, -1), node.name.strip("_"))
        return True

    def _age(self, node: Apply, bound: Bound) -> bool:
        """Record `age(since, at) >= years` and the like; return whether it is one."""
        age, number = node.arguments if _is_age(node.arguments[0]) else node.arguments[::-1]
        assert isinstance(age, Apply)
        if not isinstance(age.operation, AgeOperation) or _is_age(number):
            return False
        ends = [self._sums(part, bound) for part in age.arguments]
        years = self._sums(number, bound)
        if ends[0] is None or ends[1] is None or years is None or any(one.factors for one in years):
            return False
        for since, at in product(ends[0], ends[1]):
            if any(len(one.factors) != 1 or {*one.factors.values()} != {1} for one in (since, at)):
                return False
            ((earlier, _),), ((later, _),) = since.factors, at.factors
            for one, more in product(years, (0, 1)):
                offsets = (at.constant, since.constant)
                zone = age.operation.zone
                self.atoms.ages.add(AgeDifference(later, earlier, one.constant + more, *offsets, zone))
        return True

    def _sums(self, node: Node, bound: Bound) -> "list[_Sum] | None":
        """Return the sums that an expression can be, one for each outcome of the conditions in it, or None."""
        match node:
            case Constant():
                return [_constant_sum(node.value)]
            case Variable() if node.name == "now":
                return [_Sum({(NOW, ""): 1}, 0)]
            case Variable() if node.name in self.parameters and node.name not in bound:
                return [_constant_sum(self.parameters[node.name])]
            case Variable() | Field():
                return self._leaf(node, bound)
            case Apply(name="_+_" | "_-_" | "_*_"):
                left, right = (self._sums(part, bound) for part in node.arguments)
                return None if left is None or right is None else _combined(node.name, left, right)
            case Conditional():
                self.condition(node.condition, bound)
                chosen, other = self._sums(node.chosen, bound), self._sums(node.other, bound)
                return None if chosen is None or other is None else [*chosen, *other]
            case Apply(name="size") if isinstance(node.arguments[0], Macro):
                self._list_size(node.arguments[0], bound)
                return [_Sum({((OPAQUE, str(node.start)), ""): 1}, 0)]
            case Apply(name="size") if self.path(node.arguments[0], bound) is not None:
                self._note(node.arguments[0], bound)
                return [_Sum({((OPAQUE, str(node.start)), ""): 1}, 0)]
            case _:
                self._unknown(node, bound)
                return [_Sum({((OPAQUE, str(node.start)), ""): 1}, 0)] if node.type.kind == "int" else None

    def _list_size(self, node: Macro, bound: Bound) -> None:
        if node.name == "filter":
            self._list(node, bound)
        else:
            self._unknown(node, bound)

    def _leaf(self, node: Variable | Field, bound: Bound) -> "list[_Sum] | None":
        path = self.path(node, bound)
        if not path:
            return None
        self.atoms.read.add(path)
        if node.type.kind == "duration":
            return [_constant_sum(value) for value in {*values_at(self.atoms.facts, path)}]
        if node.type.kind == "timestamp":
            self.atoms.instant_fields.add(path)
        return [_Sum({(path, _variable_of(node)): 1}, 0)]

    def _record(self, found: "_Sum", sign: str) -> None:
        """Record the comparison of a sum with zero."""
        factors = {term: factor for term, factor in found.factors.items() if factor}
        paths = [path for path, _ in factors]
        if not any(path == NOW or path in self.atoms.instant_fields for path in paths):
            if len(set(paths)) < len(paths):  # one field of two elements
                self.atoms.unknown.update(paths)
            self.atoms.sums.append(({path: factor for (path, _), factor in factors.items()}, found.constant))
            return
        plus = [path for (path, _), factor in factors.items() if factor == 1]
        minus = [path for (path, _), factor in factors.items() if factor == -1]
        steps = _STEPS[MIRRORED[sign] if minus and not plus else sign]
        if len(factors) == 1 and (plus or minus):
            bound = -found.constant if plus else found.constant
            self.atoms.instants.setdefault(paths[0], set()).update(bound + rise for rise, _ in steps)
        elif len(plus) == len(minus) == 1 and len(factors) == 2:  # noqa: PLR2004  a difference has two sides
            gap = -found.constant
            self.atoms.differences |= {Difference(plus[0], minus[0], gap + up, down - gap) for up, down in steps}
        else:
            self.atoms.unknown.update(paths)


_STEPS: dict[str, tuple[tuple[int, int], ...]] = {
    "<": ((0, 1),),
    ">=": ((0, 1),),
    "<=": ((1, 0),),
    ">": ((1, 0),),
    "==": ((0, 0), (1, 1)),
    "!=": ((0, 0), (1, 1)),
}
"""The microseconds past a bound at which a comparison changes: of the later instant, and of the earlier one."""


@dataclass(frozen=True)
class _Sum:
    """A sum of fields, each with a factor, and a constant. A field is named by its path and its macro's variable."""

    factors: Mapping[tuple[Path, str], int]
    constant: int


def _is_age(node: Node) -> bool:
    return isinstance(node, Apply) and node.name == AGE


def _constant_sum(value: Any) -> _Sum:  # noqa: ANN401  a whole number, an instant or a duration
    return _Sum({}, value if isinstance(value, int) else microseconds(value))


def _added(one: _Sum, other: _Sum, sign: int) -> _Sum:
    terms = one.factors.keys() | other.factors.keys()
    factors = {term: one.factors.get(term, 0) + sign * other.factors.get(term, 0) for term in terms}
    return _Sum(factors, one.constant + sign * other.constant)


def _combined(name: str, left: list[_Sum], right: list[_Sum]) -> list[_Sum] | None:
    if name != "_*_":
        return [_added(one, other, 1 if name == "_+_" else -1) for one in left for other in right]
    if any(one.factors for one in left):
        left, right = right, left
    if any(one.factors for one in left):
        return None
    return [
        _Sum({term: factor * one.constant for term, factor in other.factors.items()}, one.constant * other.constant)
        for one in left
        for other in right
    ]


def _variable_of(node: Node) -> str:
    while isinstance(node, Field):
        node = node.operand
    return node.name if isinstance(node, Variable) else str(node.start)
