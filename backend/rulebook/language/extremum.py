"""Optimisation: an `exists` that only depends on the latest or earliest instant of a list is computed once.

"Has there been a negative test since?" applies to each symptom, contact and stay; the latest test answers it for all.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from backend.rulebook.language.guards import Path, field_path, guards_itself, is_optional, present_fields
from backend.rulebook.language.tree import Apply, Field, Key, Logic, Macro, Node, Variable, children, key_of, walk

MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
"""The equivalent comparison with its sides swapped."""


@dataclass(frozen=True)
class Extremum:
    """The parts of `list.exists(e, tests && e.field sign limit)`, which depends on one extreme `field` of the list."""

    source: Node
    variable: str
    tests: tuple[Node, ...]
    field: str
    sign: str
    limit: Node

    @property
    def key(self) -> Key:
        """Return the key of the extremum: expressions with equal keys share one computed value."""
        tests = (key_of(test, {self.variable: "@"}) for test in self.tests)
        return ("extreme", self.sign[0], self.field, key_of(self.source), *tests)


def extremum_of(node: Node) -> Extremum | None:
    """Return an `exists` over the facts as a comparison with an extreme instant, or None if it is not one."""
    if not isinstance(node, Macro) or node.name != "exists" or not is_plain_field(node.source) or node.test is None:
        return None
    parts = _conjuncts(node.test)
    found = [(part, sides) for part in parts if (sides := _limit(part, node.variable)) is not None]
    if len(found) != 1:
        return None
    ((limited, (field_name, sign, limit)),) = found
    tests = tuple(part for part in parts if part is not limited)
    alone = all(
        not isinstance(inner, Macro) and (not isinstance(inner, Variable) or inner.name in (node.variable, "facts"))
        for test in tests
        for inner in walk(test)
    )
    if not alone or not _can_be_separated(tests, limit):
        return None
    return Extremum(node.source, node.variable, tests, field_name, sign, limit)


def _can_be_separated(tests: Iterable[Node], limit: Node) -> bool:
    """Return whether the tests can be evaluated before all else, and the limit without them."""
    present: frozenset[Path] = frozenset()
    for test in tests:
        if not guards_itself(test, present):
            return False
        present |= present_fields(test, truth=True)
    return not any(isinstance(inner, Field) and field_path(inner) in present for inner in walk(limit))


def _conjuncts(node: Node) -> list[Node]:
    if isinstance(node, Logic) and node.operator == "&&":
        return [*_conjuncts(node.left), *_conjuncts(node.right)]
    return [node]


def _limit(node: Node, variable: str) -> tuple[str, str, Node] | None:
    """Match `e.field sign limit`, with either side first, for an instant that is always present."""
    sign = node.name.strip("_") if isinstance(node, Apply) else ""
    if not isinstance(node, Apply) or sign not in ("<", "<=", ">", ">="):
        return None
    left, right = node.arguments
    for operand, limit, turned in ((left, right, sign), (right, left, MIRRORED[sign])):
        if not _is_instant_of(operand, variable) or limit.now_coefficient:
            continue
        mentions = any(isinstance(inner, Variable) and inner.name == variable for inner in walk(limit))
        return None if mentions else (operand.name, turned, limit)
    return None


def _is_instant_of(node: Node, variable: str) -> TypeGuard[Field]:
    if not isinstance(node, Field) or not isinstance(node.operand, Variable) or node.operand.name != variable:
        return False
    return node.type.kind == "timestamp" and not is_optional(node)


def is_plain_field(node: Node, root: str = "facts") -> TypeGuard[Field]:
    """Return whether a field can always be read: nothing on the path to it may be absent."""
    if not isinstance(node, Field):
        return False
    operand = node.operand
    if isinstance(operand, Variable):
        return operand.name == root
    return is_plain_field(operand, root) and not is_optional(operand)


def hoistable_macros(node: Node) -> Iterable[Macro]:
    """Yield the `exists` over lists of the facts that are safe to evaluate early, because they guard themselves."""
    if isinstance(node, Macro):
        if node.name == "exists" and is_plain_field(node.source) and guards_itself(node):
            yield node
        return
    for child in children(node):
        yield from hoistable_macros(child)
