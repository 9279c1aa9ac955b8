"""Why a condition holds or not: the operands that decided, with the values in them."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from backend.rulebook.language.explainer import explain
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


class Reason(Struct, frozen=True):
    """An operand that decided: its text, its truth, and the values in it by their text.

    `element` is the number of the element of the list that it is about, from 1, of `elements`; a list without any
    element has the operand's own text, and 0 elements.
    """

    text: str
    holds: bool
    values: dict[str, Any]
    element: int | None = None
    elements: int | None = None


Names = Mapping[str, Any]


def reasons_of(text: str, node: Node, names: Names) -> list[Reason]:
    """Return why a condition, the checked tree of `text`, has the truth value that it has for these values."""
    return list(_reasons(text, node, names))


def _value(text: str, node: Node, names: Names) -> Any:  # noqa: ANN401  a value of the rule language
    return explain(text, node, names).value


def _reasons(text: str, node: Node, names: Names) -> Iterator[Reason]:
    match node:
        case Logic():
            yield from _logic(text, node, names)
        case Apply(name="!_"):
            yield from _reasons(text, node.arguments[0], names)
        case Conditional():
            yield from _reasons(text, node.condition, names)
            yield from _reasons(text, node.chosen if _value(text, node.condition, names) else node.other, names)
        case Macro(name="exists" | "all"):
            yield from _elements(text, node, names)
        case _:
            holds = _value(text, node, names) is True
            yield Reason(_source(text, node), holds, dict(_operands(text, node, names)))


def _logic(text: str, node: Logic, names: Names) -> Iterator[Reason]:
    """Yield the operand that decided alone, or both if both were needed."""
    decisive = node.operator == "||"
    for side in (node.left, node.right):
        if _value(text, side, names) is decisive:
            yield from _reasons(text, side, names)
            return
    yield from _reasons(text, node.left, names)
    yield from _reasons(text, node.right, names)


def _elements(text: str, node: Macro, names: Names) -> Iterator[Reason]:
    assert node.test is not None
    items: list[Any] = list(_value(text, node.source, names))
    if not items:
        yield Reason(_source(text, node.source), holds=False, values={}, elements=0)
        return
    tests = [{**names, node.variable: item} for item in items]
    decisive = node.name == "exists"
    decided = next((number for number, test in enumerate(tests) if _value(text, node.test, test) is decisive), None)
    chosen = decided if decided is not None else max(range(len(items)), key=lambda n: _met(text, node.test, tests[n]))
    for reason in _reasons(text, node.test, tests[chosen]):
        if reason.elements is not None:
            yield reason
        else:
            yield Reason(reason.text, reason.holds, reason.values, chosen + 1, len(items))


def _met(text: str, node: Node | None, names: Names) -> int:
    """Return how many operands of a chain of `&&` hold before the first that does not."""
    if isinstance(node, Logic) and node.operator == "&&":
        left = _met(text, node.left, names)
        return left + _met(text, node.right, names) if _value(text, node.left, names) is True else left
    return int(node is not None and _value(text, node, names) is True)


def _operands(text: str, node: Node, names: Names) -> Iterator[tuple[str, Any]]:
    """Yield the facts, parameters and computed numbers in an operand, with their values."""
    match node:
        case Constant():
            return
        case Variable() | Field():
            yield _source(text, node), _value(text, node, names)
        case Has():
            yield _source(text, node)[len("has(") : -1], getattr(_value(text, node.operand, names), node.name)
        case Macro():
            yield _source(text, node), _value(text, node, names)
        case Apply() if any(isinstance(child, Macro) for child in children(node)):
            yield _source(text, node), _value(text, node, names)
        case _:
            for child in children(node):
                yield from _operands(text, child, names)


def _source(text: str, node: Node) -> str:
    source = " ".join(text[node.start : node.end].split())
    return source[1:-1] if source[:1] == "(" and source[-1:] == ")" and _is_closed(source[1:-1]) else source


def _is_closed(inner: str) -> bool:
    """Return whether no parenthesis of a text closes one that is opened before it."""
    depth = 0
    for character in inner:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0
