"""Arithmetic and negation of the rule language, with the range of each result."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from backend.i18n import Text
from backend.rulebook.language.operation import EvaluationError, Operation, Value, in_range
from backend.rulebook.language.types import ANY_DURATION, ANY_TIMESTAMP, BOOL, DOUBLE, INT, INT64, STRING, Type, join

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_KINDS_ADDED = {
    ("timestamp", "duration"): "timestamp",
    ("duration", "timestamp"): "timestamp",
    ("duration", "duration"): "duration",
}
_KINDS_SUBTRACTED = {
    ("timestamp", "duration"): "timestamp",
    ("timestamp", "timestamp"): "duration",
    ("duration", "duration"): "duration",
}


_OUTSIDE = {
    "int": Text(zh="结果可能超出64位整数", en="its result can leave a 64-bit integer"),
    "timestamp": Text(zh="结果可能超出公元1年至9999年", en="its result can leave the years 1 to 9999"),
    "duration": Text(zh="结果可能超过292年", en="its result can leave 292 years"),
}
_BY_ZERO = Text(zh="除数为零", en="division by zero")


def arithmetic(sign: str) -> Callable[[Type, Type], Operation | None]:
    """Return the overload resolver of `+`, `-` or `*`."""

    def find(left: Type, right: Type) -> Operation | None:
        kinds = (left.kind, right.kind)
        python = f"({{0}} {sign} {{1}})"
        if kinds == ("int", "int"):
            return _within(INT, _product_range(sign, left, right), _checked(SIGNS[sign]), python)
        if kinds == ("double", "double"):
            return Operation(DOUBLE, SIGNS[sign], python)
        if sign == "+" and kinds == ("string", "string"):
            return Operation(STRING, operator.add, python)
        if sign == "+" and kinds == ("list", "list"):
            joined = join(left, right)
            return None if joined is None else Operation(joined, _concatenate, "[*{0}, *{1}]")
        result = (_KINDS_ADDED if sign == "+" else _KINDS_SUBTRACTED).get(kinds) if sign != "*" else None
        if result is None:
            return None
        whole = ANY_TIMESTAMP if result == "timestamp" else ANY_DURATION
        return _within(whole, _product_range(sign, left, right), _checked(SIGNS[sign]), python)

    return find


def _concatenate(left: Sequence[Value], right: Sequence[Value]) -> list[Value]:
    return [*left, *right]


def _product_range(sign: str, left: Type, right: Type) -> tuple[int, int]:
    apply = SIGNS[sign]
    corners = [apply(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    return min(corners), max(corners)


def _within(whole: Type, found: tuple[int, int], evaluate: Callable[..., Value], python: str) -> Operation:
    """Return an operation whose result has this range; if it exceeds the kind's range, it names the failure."""
    low, high = max(found[0], whole.low), min(found[1], whole.high)
    fits = found == (low, high)
    result = Type(whole.kind, low, high) if low <= high else whole
    return Operation(result, evaluate, python, None if fits else _OUTSIDE[whole.kind])


def _checked(apply: Callable[..., Value]) -> Callable[..., Value]:
    def evaluate(*arguments: Value) -> Value:
        try:
            return in_range(apply(*arguments))
        except OverflowError:
            raise EvaluationError(Text(zh="结果超出范围", en="the result is out of range")) from None

    return evaluate


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError(_BY_ZERO)
    return in_range(truncated_quotient(left, right))


def remainder(left: int, right: int) -> int:
    """Return the remainder with the sign of the dividend, as in CEL."""
    if right == 0:
        raise EvaluationError(Text(zh="求余时除数为零", en="modulus by zero"))
    return left - right * truncated_quotient(left, right)


def truncated_quotient(left: int, right: int) -> int:
    """Divide towards zero, as in CEL."""
    magnitude = abs(left) // abs(right)
    return magnitude if (left < 0) == (right < 0) else -magnitude


def _float_quotient(left: float, right: float) -> float:
    """Divide as in IEEE 754, where Python would raise."""
    if right != 0:
        return left / right
    if left == 0 or left != left:  # noqa: PLR0124  NaN is the one number that differs from itself
        return float("nan")
    negative = (left < 0) != (str(right)[0] == "-")
    return float("-inf") if negative else float("inf")


def divide(left: Type, right: Type) -> Operation | None:
    """Return the overload of `/`, or None."""
    if (left.kind, right.kind) == ("double", "double"):
        return Operation(DOUBLE, _float_quotient)
    if (left.kind, right.kind) != ("int", "int"):
        return None
    failure_mode = _divisor_failure_mode(right)
    if left.low == INT64[0] and right.low <= -1 <= right.high:
        failure_mode = failure_mode or Text(
            zh="最小的整数除以 -1 会超出范围", en="the smallest integer divided by -1 is out of range"
        )
    largest = max(abs(left.low), abs(left.high))
    return Operation(Type("int", max(-largest, INT64[0]), min(largest, INT64[1])), _quotient, failure_mode=failure_mode)


def modulo(left: Type, right: Type) -> Operation | None:
    """Return the overload of `%`, which takes integers only, or None."""
    if (left.kind, right.kind) != ("int", "int"):
        return None
    largest = min(max(abs(right.low), abs(right.high)), INT64[1])
    return Operation(Type("int", -largest, largest), remainder, failure_mode=_divisor_failure_mode(right))


def _divisor_failure_mode(divisor: Type) -> Text | None:
    return Text(zh="除数可能为零", en="the divisor can be zero") if divisor.low <= 0 <= divisor.high else None


def negate(operand: Type) -> Operation | None:
    """Return the overload of unary `-`, or None."""
    if operand.kind == "double":
        return Operation(DOUBLE, operator.neg, "(-{0})")
    if operand.kind == "int":
        return _within(INT, (-operand.high, -operand.low), _checked(operator.neg), "(-{0})")
    return None


def negation(operand: Type) -> Operation | None:
    """Return the overload of `!`, or None."""
    return Operation(BOOL, operator.not_, "(not {0})") if operand.kind == "bool" else None
