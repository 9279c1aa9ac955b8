"""How long lists must be, so that no longer list can change the answer to a claim.

A counterexample needs only witnesses: one element for each `exists` that must hold, k for each count up to k, one for
each `all` that must not hold. Every other element can be left out, because what must hold of all elements holds of
fewer as well. What must hold of each element of one list may need witnesses in another; these are added once per
element. Only if a list needs witnesses in itself without end is there no such length.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from msgspec import Struct

from backend.rulebook.language.extremum import MIRRORED
from backend.rulebook.language.satisfiability import satisfiable
from backend.rulebook.language.tree import (
    Apply,
    Conditional,
    Constant,
    Field,
    Logic,
    Macro,
    Node,
    Variable,
    children,
    rename,
    walk,
)
from backend.rulebook.language.types import Type, fields_of
from backend.rulebook.prover.symbols import kind_of_field

MAX_SIZE = 40
"""The longest list that the prover builds; an answer that needs longer ones says so."""

Paths = Mapping[str, str]
"""The path of the list that each macro's variable is an element of."""


@dataclass(frozen=True)
class Demand:
    """The witnesses that a condition needs.

    `base` are elements by the path of their list. `each[(x, y)]` are elements of y for each element of x. A nested list
    such as `facts.isolations[].check_ins` has its elements in each element of the outer one. `loops[x]` are elements of
    x for each other element of x, which ask for no more themselves. `open_lists` are lists whose length the condition
    does not bound.
    """

    base: Counter[str] = field(default_factory=Counter[str])
    each: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    loops: Counter[str] = field(default_factory=Counter[str])
    open_lists: frozenset[str] = frozenset()


def both(*demands: Demand) -> Demand:
    """Return the demand of conditions that hold together."""
    base: Counter[str] = Counter()
    each: Counter[tuple[str, str]] = Counter()
    loops: Counter[str] = Counter()
    for demand in demands:
        base.update(demand.base)
        each.update(demand.each)
        loops.update(demand.loops)
    return Demand(base, each, loops, frozenset[str]().union(*(demand.open_lists for demand in demands)))


def either(demands: Iterable[Demand]) -> Demand:
    """Return a demand that is enough for any one of the conditions."""
    found = Demand()
    for one in demands:
        each = Counter(found.each) | Counter(one.each)
        found = Demand(found.base | one.base, each, found.loops | one.loops, found.open_lists | one.open_lists)
    return found


@dataclass(frozen=True)
class Demands:
    """Computes demands under the parameters of one law."""

    parameters: Mapping[str, object]

    def of(self, node: Node, *, truth: bool, paths: Paths | None = None, under: frozenset[str] = frozenset()) -> Demand:
        """Return what a condition needs to be `truth`. `under` are the lists of which each element is considered."""
        paths = paths or {}
        match node:
            case Logic():
                parts = [self.of(part, truth=truth, paths=paths, under=under) for part in (node.left, node.right)]
                return both(*parts) if (node.operator == "&&") is truth else either(parts)
            case Apply(name="!_"):
                return self.of(node.arguments[0], truth=not truth, paths=paths, under=under)
            case Conditional():
                return self._any(node, paths, under)
            case Macro():
                return self._macro(node, truth=truth, paths=paths, under=under)
            case Apply() if node.name.strip("_") in MIRRORED:
                return self._comparison(node, truth=truth, paths=paths, under=under)
            case _:
                return self._any(node, paths, under)

    def _any(self, node: Node, paths: Paths, under: frozenset[str]) -> Demand:
        """Return a demand for either value of all parts; lists that are read in no known way are open."""
        parts = [
            both(*(self.of(part, truth=truth, paths=paths, under=under) for truth in (True, False)))
            for part in children(node)
            if any(isinstance(inner, Macro) or inner.type.kind == "list" for inner in walk(part))
        ]
        found = path_of(node, paths) if node.type.kind == "list" and isinstance(node, Field) else None
        unknown = frozenset([found]) if found is not None else frozenset[str]()
        return both(*parts, Demand(open_lists=unknown))

    def _macro(self, node: Macro, *, truth: bool, paths: Paths, under: frozenset[str]) -> Demand:
        wanted = {"exists": (1, truth), "all": (1, not truth), "exists_one": (1 if truth else 2, True)}.get(node.name)
        if wanted is None or node.test is None:
            return self._any(node, paths, under)
        number, exists = wanted
        test_holds = node.name != "all"
        source, filters = _source(node.source)
        path = path_of(source, paths)
        if path is None:
            return self._any(node, paths, under)
        inner = {**paths, node.variable: path}
        conditions = [(test, {**paths, variable: path}) for variable, test in filters]
        if exists or node.name == "exists_one":
            holds = [self.of(node.test, truth=test_holds, paths=inner, under=under)]
            holds += [self.of(test, truth=True, paths=names, under=under) for test, names in conditions]
            found = [self._elements(path, number, under), *(demand for demand in holds for _ in range(number))]
            if node.name != "exists_one":
                return both(*found)
        else:
            found = []
        # What must be false of each element may need witnesses for each of them.
        lacks = self.of(node.test, truth=not test_holds, paths=inner, under=under | {path})
        outside = [self.of(test, truth=False, paths=names, under=under | {path}) for test, names in conditions]
        return both(*found, self._without_cycles(either([lacks, *outside]), path, node))

    def _elements(self, path: str, number: int, under: frozenset[str]) -> Demand:
        """Return a demand of elements of a list: once, or for each element of the lists around it."""
        if not under:
            return Demand(Counter({path: number}))
        return Demand(each={(outer, path): number for outer in under})

    @staticmethod
    def _without_cycles(demand: Demand, path: str, node: Macro) -> Demand:
        """Return the demand with that of a list on itself made once, if its witnesses make no demand themselves."""
        if (path, path) not in demand.each or node.test is None or node.name != "exists":
            return demand
        macros = (inner for inner in walk(node.test) if isinstance(inner, Macro))
        for witness in (inner for inner in macros if path_of(inner.source, {}) == path):
            goals = [(rename(part, witness.variable, node.variable), True) for part in _plain_conjuncts(witness.test)]
            if satisfiable(*goals, *((part, True) for part in _plain_conjuncts(node.test))):
                return demand
        once = {key: number for key, number in demand.each.items() if key != (path, path)}
        return Demand(demand.base, once, demand.loops + Counter({path: demand.each[path, path]}), demand.open_lists)

    def _comparison(self, node: Apply, *, truth: bool, paths: Paths, under: frozenset[str]) -> Demand:
        """Return the demand of a comparison of a list's size with a number, or of parts without lists."""
        left, right = node.arguments
        sign = node.name.strip("_")
        if not _is_size(left) and _is_size(right):
            left, right, sign = right, left, MIRRORED[sign]
        if not _is_size(left):
            return self._any(node, paths, under)
        source, filters = _source(cast("Apply", left).arguments[0])
        path, number = path_of(source, paths), self._number(right)
        if path is None or number is None:
            return self._any(node, paths, under)
        at_least = {">=": (number, 0), ">": (number + 1, 0), "<": (0, number), "<=": (0, number + 1)}
        needed = at_least.get(sign, (number, number + 1) if sign == "==" else (number + 1, number))
        elements = max(0, needed[0 if truth else 1])
        inner = [(test, {**paths, variable: path}) for variable, test in filters]
        holds = [self.of(test, truth=True, paths=names, under=under) for test, names in inner]
        lacks = [self.of(test, truth=False, paths=names, under=under | {path}) for test, names in inner]
        return both(
            self._elements(path, elements, under) if elements else Demand(),
            *(demand for demand in holds for _ in range(elements)),
            *lacks,
        )

    def _number(self, node: Node) -> int | None:
        if isinstance(node, Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, Variable):
            value = self.parameters.get(node.name)
            return value if isinstance(value, int) else None
        return None


def _is_size(node: Node) -> bool:
    return isinstance(node, Apply) and node.name == "size" and node.arguments[0].type.kind == "list"


def _source(node: Node) -> tuple[Node, list[tuple[str, Node]]]:
    """Return the list under filters, and the filters' variables and tests."""
    filters: list[tuple[str, Node]] = []
    while isinstance(node, Macro) and node.name == "filter" and node.test is not None:
        filters.append((node.variable, node.test))
        node = node.source
    return node, filters


def _conjuncts(node: Node | None) -> Sequence[Node]:
    if node is None:
        return ()
    if isinstance(node, Logic) and node.operator == "&&":
        return (*_conjuncts(node.left), *_conjuncts(node.right))
    return (node,)


def _plain_conjuncts(node: Node | None) -> list[Node]:
    return [part for part in _conjuncts(node) if not any(isinstance(inner, Macro) for inner in walk(part))]


def path_of(node: Node, paths: Paths) -> str | None:
    """Return the path of a list of the facts, such as `facts.isolations[].check_ins`, or None for another list."""
    if isinstance(node, Variable):
        return "facts" if node.name == "facts" else f"{paths[node.name]}[]" if node.name in paths else None
    if isinstance(node, Field):
        before = path_of(node.operand, paths)
        return None if before is None else f"{before}.{node.name}"
    return None


@dataclass(frozen=True)
class Sizes:
    """Lengths of lists by path, and those lists of which a longer one might still change the answer."""

    lengths: Mapping[str, int]
    incomplete: frozenset[str]


def solve(slots: Sequence[Sequence[Demand]], others: Sequence[Demand], facts: type[Struct]) -> Sizes:
    """Return lengths that are enough for one demand of each slot at once, within the facts' own limits.

    `others` are the demands of all conditions that have to be true or false besides; only what they ask for each
    element of a list matters.
    """
    limits = dict(_lists(facts, "facts"))
    together = both(*others)
    alternatives = (demand for slot in slots for demand in slot)
    incomplete = {path for demand in (*others, *alternatives) for path in demand.open_lists}
    wanted: Counter[str] = Counter()
    for slot in slots:
        most: Counter[str] = Counter()
        for demand in slot:
            most |= _closure(demand.base, together, len(limits), incomplete)
        wanted += most
    for (outer, inner), number in together.each.items():
        if _is_nested(outer, inner) and wanted[outer]:
            wanted[inner] += number
    found: dict[str, int] = {}
    for path, limit in limits.items():
        length = max(wanted[path], 2 if path in incomplete else 0)
        found[path] = min(length, MAX_SIZE, *(() if limit is None else (limit,)))
        if found[path] == limit:
            incomplete.discard(path)
        elif found[path] < length:
            incomplete.add(path)
    return Sizes(found, frozenset(incomplete))


def _closure(base: Counter[str], together: Demand, lists: int, incomplete: set[str]) -> Counter[str]:
    """Add what the elements of `base` ask of other lists, and so on; a demand without end makes a list incomplete.

    What an element asks of a list within itself is left out: it is the same, however many elements there are.
    """
    lengths = Counter(base)
    for _ in range(lists + 1):
        following = Counter(base)
        for (outer, inner), number in together.each.items():
            if lengths[outer]:
                following[inner] += number if _is_nested(outer, inner) else number * _elements_of(outer, lengths)
        for path, number in together.loops.items():
            following[path] *= 1 + number
        if following == lengths:
            break
        lengths = following
    else:
        incomplete |= {inner for (_, inner) in together.each if lengths[inner]}
    for (outer, inner), number in together.each.items():
        if _is_nested(outer, inner) and lengths[outer]:
            lengths[inner] -= number
    return +lengths


def _is_nested(outer: str, inner: str) -> bool:
    return inner.startswith(f"{outer}[]")


def _elements_of(path: str, lengths: Mapping[str, int]) -> int:
    """Return how many elements a list has in all, given those around it."""
    total, begin = 1, 0
    while (end := path.find("[]", begin)) >= 0:
        total *= max(1, lengths[path[:end]])
        begin = end + 2
    return total * lengths[path]


def _lists(struct: type[Struct], path: str) -> Iterable[tuple[str, int | None]]:
    """Yield the path of each list within facts, and its greatest length if the facts limit it."""
    for name, held in fields_of(struct).items():
        yield from _within(held.type, f"{path}.{name}", getattr(kind_of_field(struct, name), "max_length", None))


def _within(kind: Type, path: str, limit: int | None) -> Iterable[tuple[str, int | None]]:
    if kind.struct is not None:
        yield from _lists(kind.struct, path)
    elif kind.element is not None:
        yield path, limit
        yield from _within(kind.element, f"{path}[]", None)
