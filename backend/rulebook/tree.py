"""The typed tree: an expression that has been checked, on which the explainer and the compiler both work.

Every node keeps its characters [start, end) of the expression's text, its type, and `slope`: how many microseconds its
value moves when `now` moves by one. Only instants and durations have a slope other than 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from backend.rulebook.operation import Operation
from backend.rulebook.types import Type

MacroName = Literal["exists", "all", "exists_one", "filter", "map"]


@dataclass(frozen=True)
class Constant:
    """A value that the author wrote, or that follows from such values alone."""

    start: int
    end: int
    type: Type
    value: Any
    slope: int = 0


@dataclass(frozen=True)
class Variable:
    """The facts, `now`, a parameter, or the element of a list in a macro."""

    start: int
    end: int
    type: Type
    name: str
    slope: int = 0


@dataclass(frozen=True)
class Field:
    """A fact's field; the checker has seen that it is there."""

    start: int
    end: int
    type: Type
    operand: "Node"
    name: str
    slope: int = 0


@dataclass(frozen=True)
class Has:
    """Whether an optional field is there."""

    start: int
    end: int
    type: Type
    operand: "Node"
    name: str
    slope: int = 0


@dataclass(frozen=True)
class Apply:
    """An operation on its arguments, all of which are evaluated."""

    start: int
    end: int
    type: Type
    name: str
    operation: Operation
    arguments: tuple["Node", ...]
    slope: int = 0


@dataclass(frozen=True)
class Logic:
    """`&&` or `||`: the right side counts only where the left does not decide."""

    start: int
    end: int
    type: Type
    operator: Literal["&&", "||"]
    left: "Node"
    right: "Node"
    slope: int = 0


@dataclass(frozen=True)
class Conditional:
    """`condition ? chosen : other`."""

    start: int
    end: int
    type: Type
    condition: "Node"
    chosen: "Node"
    other: "Node"
    slope: int = 0


@dataclass(frozen=True)
class Items:
    """A list of values."""

    start: int
    end: int
    type: Type
    elements: tuple["Node", ...]
    slope: int = 0


@dataclass(frozen=True)
class Macro:
    """A test or a transformation of a list's elements, each of which is `variable` in turn.

    `test` is the condition of exists, all, exists_one, filter and of the longer map; `value` is what map gives.
    """

    start: int
    end: int
    type: Type
    name: MacroName
    variable: str
    source: "Node"
    test: "Node | None"
    value: "Node | None"
    slope: int = 0


Node = Constant | Variable | Field | Has | Apply | Logic | Conditional | Items | Macro


def children(node: Node) -> tuple[Node, ...]:
    """Give the direct sub-expressions of a node, in the order in which they stand."""
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
    """Give a node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)
