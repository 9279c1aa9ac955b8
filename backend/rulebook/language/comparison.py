"""Comparisons, membership, and functions of strings and lists."""

import operator
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import re2

from backend.i18n import Text
from backend.rulebook.language.operation import EvaluationError, Operation, Value
from backend.rulebook.language.types import BOOL, NUMERIC, Type

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
    """Return the overload resolver of a comparison such as `==` or `<`."""
    compare = COMPARISONS[sign]

    def as_doubles(left: float, right: float) -> bool:
        return compare(float(left), float(right))

    def lists(left: Value, right: Value) -> bool:
        return equal(left, right) is (sign == "==")

    def find(left: Type, right: Type) -> Operation | None:
        if left.kind != right.kind and left.kind in NUMERIC and right.kind in NUMERIC:
            # CEL compares an int with a double as doubles, where Python would compare exactly.
            return Operation(BOOL, as_doubles, f"(float({{0}}) {sign} float({{1}}))")
        if left.kind == right.kind and left.kind in ORDERED:
            return Operation(BOOL, compare, f"({{0}} {sign} {{1}})")
        if sign in ("==", "!=") and left.kind == right.kind == "list" and _comparable(left, right):
            return Operation(BOOL, lists)
        return None

    return find


def _comparable(left: Type, right: Type) -> bool:
    if left.kind == right.kind == "list":
        assert left.element is not None
        assert right.element is not None
        return "nothing" in (left.element.kind, right.element.kind) or _comparable(left.element, right.element)
    return (left.kind == right.kind and left.kind in ORDERED) or (left.kind in NUMERIC and right.kind in NUMERIC)


def equal(left: Value, right: Value) -> bool:
    """Compare as CEL does: lists item by item, and a number with a double as doubles."""
    if isinstance(left, list | tuple):
        items = cast("Sequence[Value]", left)
        return len(items) == len(right) and all(map(equal, items, right))
    if isinstance(left, float) or isinstance(right, float):
        return float(left) == float(right)
    return bool(left == right)


def membership(element: Type, container: Type) -> Operation | None:
    """Return the overload of `in` for these types, or None."""
    if container.kind != "list" or container.element is None:
        return None
    if container.element.kind == "nothing" or element.kind == container.element.kind != "double":
        plain = element.kind in ORDERED
        return Operation(BOOL, _holds, "({0} in {1})") if plain else None
    if _comparable(element, container.element):
        return Operation(BOOL, _holds_equal)
    return None


def _holds(element: Value, container: Sequence[Value]) -> bool:
    return element in container


def _holds_equal(element: Value, container: Sequence[Value]) -> bool:
    return any(equal(element, item) for item in container)


_SIZE = Type("int", 0, 2**32)


def size(operand: Type) -> Operation | None:
    """Return the overload of `size`: the characters of a string, or the elements of a list."""
    return Operation(_SIZE, len, "len({0})") if operand.kind in ("string", "list") else None


def text_test(method: str, python: str) -> Callable[[Type, Type], Operation | None]:
    """Return the overload resolver of a test of two strings, implemented by a method of str."""
    evaluate = getattr(str, method)

    def find(text: Type, part: Type) -> Operation | None:
        return Operation(BOOL, evaluate, python) if text.kind == part.kind == "string" else None

    return find


@cache
def _pattern(text: str) -> Any:  # noqa: ANN401  the library has no types
    try:
        return re2.compile(text)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  untyped library
    except re2.error as error:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  untyped library
        raise EvaluationError(
            Text(zh=f"不是 RE2 正则表达式：{error}", en=f"not a regular expression of RE2: {error}")
        ) from None


def _matches_pattern(text: str, pattern: str) -> bool:
    return _pattern(pattern).search(text) is not None


def matches(text: Type, pattern: Type) -> Operation | None:
    """Return the overload of `matches`: a search with an RE2 pattern, which is compiled when the rules are loaded."""
    if text.kind != "string" or pattern.kind != "string":
        return None
    failure_mode = None
    if pattern.words is None:
        failure_mode = Text(zh="正则表达式不是常量", en="its pattern is not a constant")
    else:
        try:
            for word in pattern.words:
                _pattern(word)
        except EvaluationError as error:
            failure_mode = error.message
    return Operation(BOOL, _matches_pattern, failure_mode=failure_mode)


def _item(items: list[Value], position: int) -> Value:
    if not 0 <= position < len(items):
        raise EvaluationError(Text(zh="序号超出列表", en="the index is outside the list"))
    return items[position]


def index(items: Type, position: Type) -> Operation | None:
    """Return the overload of `[...]`. Rules cannot use it: nothing proves that the index is within the list."""
    if items.kind != "list" or position.kind != "int" or items.element is None or items.element.kind == "nothing":
        return None
    failure_mode = Text(
        zh="序号可能超出列表；请用 exists() 或 all()", en="the index can be outside the list; use exists() or all()"
    )
    return Operation(items.element, _item, failure_mode=failure_mode)
