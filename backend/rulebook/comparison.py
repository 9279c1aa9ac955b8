"""Comparisons, membership, and what can be asked of strings and lists."""

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import re2

from backend.rulebook.operation import EvaluationError, Operation, Value
from backend.rulebook.types import BOOL, NUMERIC, Type

ORDERED = ("bool", "int", "double", "string", "timestamp", "duration")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def comparison(sign: str) -> Callable[[Type, Type], Operation | None]:
    def find(left: Type, right: Type) -> Operation | None:
        equality = sign in ("==", "!=")
        if left.kind != right.kind and left.kind in NUMERIC and right.kind in NUMERIC:
            # CEL compares an int with a double as doubles, where Python would compare exactly.
            compare = COMPARISONS[sign]
            return Operation(BOOL, lambda a, b: compare(float(a), float(b)), f"(float({{0}}) {sign} float({{1}}))")
        if left.kind == right.kind and left.kind in ORDERED:
            return Operation(BOOL, COMPARISONS[sign], f"({{0}} {sign} {{1}})")
        if equality and left.kind == right.kind == "list" and _comparable(left, right):
            same = sign == "=="
            return Operation(BOOL, lambda a, b: equal(a, b) is same)
        return None

    return find


def _comparable(left: Type, right: Type) -> bool:
    if left.kind == right.kind == "list":
        assert left.element is not None
        assert right.element is not None
        return "nothing" in (left.element.kind, right.element.kind) or _comparable(left.element, right.element)
    return (left.kind == right.kind and left.kind in ORDERED) or (left.kind in NUMERIC and right.kind in NUMERIC)


def equal(left: Value, right: Value) -> bool:
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))  # pyright: ignore[reportUnknownArgumentType]  checked by type
    if isinstance(left, float) or isinstance(right, float):
        return float(left) == float(right)
    return bool(left == right)


def membership(element: Type, container: Type) -> Operation | None:
    if container.kind != "list" or container.element is None:
        return None
    if container.element.kind == "nothing" or element.kind == container.element.kind != "double":
        plain = element.kind in ORDERED
        return Operation(BOOL, lambda a, b: a in b, "({0} in {1})") if plain else None
    if _comparable(element, container.element):
        return Operation(BOOL, lambda a, b: any(equal(a, item) for item in b))
    return None


_SIZE = Type("int", 0, 2**32)


def size(operand: Type) -> Operation | None:
    return Operation(_SIZE, len, "len({0})") if operand.kind in ("string", "list") else None


def text_test(method: str, python: str) -> Callable[[Type, Type], Operation | None]:
    evaluate = getattr(str, method)

    def find(text: Type, part: Type) -> Operation | None:
        return Operation(BOOL, evaluate, python) if text.kind == part.kind == "string" else None

    return find


@cache
def _pattern(text: str) -> Any:  # noqa: ANN401  the library has no types
    try:
        return re2.compile(text)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  untyped library
    except re2.error as error:  # pyright: ignore[reportUnknownMemberType]  untyped library
        raise EvaluationError(f"not a regular expression of RE2: {error}") from None


def _matches_pattern(text: str, pattern: str) -> bool:
    return _pattern(pattern).search(text) is not None


def matches(text: Type, pattern: Type) -> Operation | None:
    if text.kind != "string" or pattern.kind != "string":
        return None
    hazard = None
    if pattern.words is None:
        hazard = "its pattern is not a constant"
    else:
        try:
            for word in pattern.words:
                _pattern(word)
        except EvaluationError as error:
            hazard = str(error)
    return Operation(BOOL, _matches_pattern, hazard=hazard)


def _item(items: list[Value], position: int) -> Value:
    if not 0 <= position < len(items):
        raise EvaluationError("the index is outside the list")
    return items[position]


def index(items: Type, position: Type) -> Operation | None:
    if items.kind != "list" or position.kind != "int" or items.element is None or items.element.kind == "nothing":
        return None
    return Operation(items.element, _item, hazard="the index can be outside the list; use exists() or all()")
