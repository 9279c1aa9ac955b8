"""Questions about a list that its latest or earliest element answers, asked once instead of for each other element.

"Has there been a negative test since?" is asked of each symptom, contact and stay; the latest test answers for all.
"""

from dataclasses import dataclass
from typing import TypeGuard

from backend.rulebook.language.tree import Apply, Field, Key, Logic, Macro, Node, Variable, key_of, walk
from backend.rulebook.language.types import fields_of

TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
"""The comparison that says the same with its sides exchanged."""


@dataclass(frozen=True)
class Extreme:
    """What `list.exists(e, tests of e && e.field sign limit)` asks of a list: its latest or earliest such instant."""

    source: Node
    variable: str
    tests: tuple[Node, ...]
    field: str
    sign: str
    limit: Node

    @property
    def key(self) -> Key:
        """Give what two such questions share when one answer serves both."""
        tests = (key_of(test, {self.variable: "@"}) for test in self.tests)
        return ("extreme", self.sign[0], self.field, key_of(self.source), *tests)


def extreme_of(node: Node) -> Extreme | None:
    """Read an `exists` as a question for the latest or earliest instant of a list of the facts, where it is one."""
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
    return Extreme(node.source, node.variable, tests, field_name, sign, limit) if alone else None


def _conjuncts(node: Node) -> list[Node]:
    if isinstance(node, Logic) and node.operator == "&&":
        return [*_conjuncts(node.left), *_conjuncts(node.right)]
    return [node]


def _limit(node: Node, variable: str) -> tuple[str, str, Node] | None:
    """Read `e.field sign limit`, either way round, where the field is an instant that is always there."""
    sign = node.name.strip("_") if isinstance(node, Apply) else ""
    if not isinstance(node, Apply) or sign not in ("<", "<=", ">", ">="):
        return None
    left, right = node.arguments
    for asked, limit, turned in ((left, right, sign), (right, left, TURNED[sign])):
        if not _is_instant_of(asked, variable) or limit.slope:
            continue
        mentions = any(isinstance(inner, Variable) and inner.name == variable for inner in walk(limit))
        return None if mentions else (asked.name, turned, limit)
    return None


def _is_instant_of(node: Node, variable: str) -> TypeGuard[Field]:
    if not isinstance(node, Field) or not isinstance(node.operand, Variable) or node.operand.name != variable:
        return False
    return node.type.kind == "timestamp" and not is_optional(node)


def is_optional(node: Field) -> bool:
    """Tell that a field may be absent."""
    struct = node.operand.type.struct
    return struct is not None and fields_of(struct)[node.name].optional


def is_plain_field(node: Node, root: str = "facts") -> TypeGuard[Field]:
    """Tell that a field can be read at any time: nothing on the way to it may be absent."""
    if not isinstance(node, Field):
        return False
    operand = node.operand
    if isinstance(operand, Variable):
        return operand.name == root
    return is_plain_field(operand, root) and not is_optional(operand)
