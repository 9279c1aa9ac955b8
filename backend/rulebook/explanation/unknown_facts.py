"""What a condition is whatever some facts are, at any time or at one: true, false, or undecided."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from backend.rulebook.language.explainer import explain
from backend.rulebook.language.tree import Apply, Conditional, Field, Has, Logic, Macro, Node, Variable, children, walk

MAX_ITEMS = 20
"""In a longer list no element is evaluated: undecided is always a safe answer, and lists may be nested."""


def fields_read(node: Node) -> set[str]:
    """Return the names of the facts' own fields that a condition reads."""
    found = set[str]()
    if isinstance(node, Field | Has) and isinstance(node.operand, Variable) and node.operand.name == "facts":
        found.add(node.name)
    return found.union(*(fields_read(child) for child in children(node)))


def truth_without(node: Node, names: Mapping[str, Any], unknown: AbstractSet[str]) -> bool | None:
    """Return the truth of a condition that holds for all values of the unknown facts, or None.

    It also holds for all values of `now` unless `names` has one.
    """
    match node:
        case Logic():
            decisive = node.operator == "||"
            left = truth_without(node.left, names, unknown)
            if left is decisive:
                return decisive
            right = truth_without(node.right, names, unknown)
            return decisive if right is decisive else None if left is None or right is None else right
        case Apply(name="!_"):
            inner = truth_without(node.arguments[0], names, unknown)
            return None if inner is None else not inner
        case Conditional():
            condition = truth_without(node.condition, names, unknown)
            return None if condition is None else truth_without(_branch(node, truth=condition), names, unknown)
        case Macro(name="exists" | "all") if node.test is not None and _is_known(node.source, names, unknown):
            items = explain("", node.source, names).value
            if len(items) > MAX_ITEMS:
                return None
            found = [truth_without(node.test, {**names, node.variable: item}, unknown) for item in items]
            decisive = node.name == "exists"
            return decisive if decisive in found else None if None in found else not decisive
        case _:
            return explain("", node, names).value is True if _is_known(node, names, unknown) else None


def _branch(node: Conditional, *, truth: bool) -> Node:
    return node.chosen if truth else node.other


def _is_known(node: Node, names: Mapping[str, Any], unknown: AbstractSet[str]) -> bool:
    return not fields_read(node) & unknown and (
        "now" in names or not any(isinstance(part, Variable) and part.name == "now" for part in walk(node))
    )
