"""The typed tree: a checked expression, the input of the explainer and the compiler.

Every node has its character range [start, end) in the source text, its type, and `now_coefficient`, the factor of
`now` in its value. Only instants and durations have a coefficient other than 0.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from backend.rulebook.language.operation import Operation
from backend.rulebook.language.types import Type

MacroName = Literal["exists", "all", "exists_one", "filter", "map"]


@dataclass(frozen=True)
class Constant:
    """A literal, or a constant folded from literals."""

    start: int
    end: int
    type: Type
    value: Any
    now_coefficient: int = 0


@dataclass(frozen=True)
class Variable:
    """The facts, `now`, a parameter, or the element of a list in a macro."""

    start: int
    end: int
    type: Type
    name: str
    now_coefficient: int = 0


@dataclass(frozen=True)
class Field:
    """A field of the facts; the checker has verified that it is present."""

    start: int
    end: int
    type: Type
    operand: "Node"
    name: str
    now_coefficient: int = 0


@dataclass(frozen=True)
class Has:
    """Whether an optional field is present."""

    start: int
    end: int
    type: Type
    operand: "Node"
    name: str
    now_coefficient: int = 0


@dataclass(frozen=True)
class Apply:
    """An operation on its arguments, all of which are evaluated."""

    start: int
    end: int
    type: Type
    name: str
    operation: Operation
    arguments: tuple["Node", ...]
    now_coefficient: int = 0


@dataclass(frozen=True)
class Logic:
    """`&&` or `||`; the right side is evaluated only if the left does not decide."""

    start: int
    end: int
    type: Type
    operator: Literal["&&", "||"]
    left: "Node"
    right: "Node"
    now_coefficient: int = 0


@dataclass(frozen=True)
class Conditional:
    """`condition ? chosen : other`."""

    start: int
    end: int
    type: Type
    condition: "Node"
    chosen: "Node"
    other: "Node"
    now_coefficient: int = 0


@dataclass(frozen=True)
class Items:
    """A list of values."""

    start: int
    end: int
    type: Type
    elements: tuple["Node", ...]
    now_coefficient: int = 0


@dataclass(frozen=True)
class Macro:
    """A test or transformation of a list; `variable` is bound to each element in turn.

    `test` is the condition of exists, all, exists_one, filter and the longer map; `value` is the result of map.
    """

    start: int
    end: int
    type: Type
    name: MacroName
    variable: str
    source: "Node"
    test: "Node | None"
    value: "Node | None"
    now_coefficient: int = 0


Node = Constant | Variable | Field | Has | Apply | Logic | Conditional | Items | Macro
Key = tuple[object, ...]


def children(node: Node) -> tuple[Node, ...]:
    """Return the direct sub-expressions of a node, in source order."""
    match node:
        case Constant() | Variable():
            return ()
        case Field() | Has():
            return (node.operand,)
        case Apply():
            return node.arguments
        case Logic():
            return (node.left, node.right)
        case Conditional():
            return (node.condition, node.chosen, node.other)
        case Items():
            return node.elements
        case Macro():
            return tuple(child for child in (node.source, node.test, node.value) if child is not None)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all its descendants, parents first and in source order."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(reversed(children(found)))


def key_of(node: Node, bound: Mapping[str, str] = MappingProxyType({})) -> Key:
    """Return the structural key of an expression, which ignores its position and the names of macro variables.

    The node keeps it: the compiler asks for it again for each law that has the rule, and for each part of a condition.
    """
    if bound:
        return _key(node, bound)
    known = vars(node).get("key")
    if known is None:
        known = vars(node)["key"] = _key(node, bound)
    return known


def _key(node: Node, bound: Mapping[str, str]) -> Key:
    match node:
        case Constant():
            value = (
                repr(node.value) if isinstance(node.value, float) else node.value
            )  # 0.0 and -0.0 are equal, but differ
            return ("constant", type(node.value).__name__, value)
        case Variable():
            return ("variable", bound.get(node.name, node.name))
        case Field():
            return ("field", node.name, key_of(node.operand, bound))
        case Has():
            return ("has", node.name, key_of(node.operand, bound))
        case Macro():
            within = {**bound, node.variable: f"@{len(bound)}"}
            parts = [part and key_of(part, within) for part in (node.test, node.value)]
            return ("macro", node.name, key_of(node.source, bound), *parts)
        case Apply() | Logic():
            name = node.name if isinstance(node, Apply) else node.operator
            return ("apply", name, *(key_of(child, bound) for child in children(node)))
        case Conditional() | Items():
            return (type(node).__name__, *(key_of(child, bound) for child in children(node)))


def with_children(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return the same expression with each direct sub-expression changed."""
    match node:
        case Constant() | Variable():
            return node
        case Field() | Has():
            return replace(node, operand=change(node.operand))
        case Apply():
            return replace(node, arguments=tuple(map(change, node.arguments)))
        case Logic():
            return replace(node, left=change(node.left), right=change(node.right))
        case Conditional():
            outcomes = {"chosen": change(node.chosen), "other": change(node.other)}
            return replace(node, condition=change(node.condition), **outcomes)
        case Items():
            return replace(node, elements=tuple(map(change, node.elements)))
        case Macro():
            test, value = (part and change(part) for part in (node.test, node.value))
            return replace(node, source=change(node.source), test=test, value=value)


def rename(node: Node, old: str, new: str) -> Node:
    """Return the same expression with a macro variable renamed."""
    if isinstance(node, Variable):
        return replace(node, name=new) if node.name == old else node
    return with_children(node, lambda child: rename(child, old, new))
