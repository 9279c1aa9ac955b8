"""The typed tree: an expression that has been checked, on which the explainer and the compiler both work.

Every node keeps its characters [start, end) of the expression's text, its type, and `slope`: how many microseconds its
value moves when `now` moves by one. Only instants and durations have a slope other than 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from backend.rulebook.language.operation import Operation
from backend.rulebook.language.types import Type

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
Key = tuple[object, ...]


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


def key_of(node: Node, bound: Mapping[str, str] = MappingProxyType({})) -> Key:
    """Give what makes two expressions the same, wherever they stand and whatever their macros call the elements."""
    match node:
        case Constant():
            return ("constant", type(node.value).__name__, node.value)
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


def rename(node: Node, old: str, new: str) -> Node:
    """Give the same expression with another name for a macro's element."""

    def renamed(child: Node) -> Node:
        return rename(child, old, new)

    match node:
        case Constant():
            return node
        case Variable():
            return replace(node, name=new) if node.name == old else node
        case Field() | Has():
            return replace(node, operand=renamed(node.operand))
        case Apply():
            return replace(node, arguments=tuple(map(renamed, node.arguments)))
        case Logic():
            return replace(node, left=renamed(node.left), right=renamed(node.right))
        case Conditional():
            outcomes = {"chosen": renamed(node.chosen), "other": renamed(node.other)}
            return replace(node, condition=renamed(node.condition), **outcomes)
        case Items():
            return replace(node, elements=tuple(map(renamed, node.elements)))
        case Macro():
            test, value = (part and renamed(part) for part in (node.test, node.value))
            return replace(node, source=renamed(node.source), test=test, value=value)
