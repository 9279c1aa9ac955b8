"""The operators and functions of the rule language: their types, their meaning, and how they can fail.

Each operation stands here once, with the three things that the checker, the explainer and the compiler need of it.
Their meaning is CEL's ("List of Standard Definitions" in its language definition), which the conformance tests judge.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import re2

from backend.rulebook.types import (
    ANY_DURATION,
    ANY_TIMESTAMP,
    BOOL,
    DOUBLE,
    DURATION_AT_MOST,
    EPOCH,
    INT,
    INT64,
    MICROSECOND,
    NUMERIC,
    STRING,
    Type,
    join,
)

Value = Any


class EvaluationError(Exception):
    """What CEL calls an error: a division by zero, a number out of range, text that is no number."""


class TooFine(EvaluationError):
    """An instant or duration with nanoseconds, which CEL has and this profile has not."""


@dataclass(frozen=True)
class Operation:
    """What an operator or function means for arguments of given types.

    `evaluate` takes the arguments' values and may raise EvaluationError. `python` is the same as a Python expression
    over `{0}`, `{1}`, ..., used where the operation cannot fail; None leaves it to a call of `evaluate`. `hazard` says
    how it can fail, in words for the author; None means that it never does.
    """

    result: Type
    evaluate: Callable[..., Value]
    python: str | None = None
    hazard: str | None = None


def find_operation(name: str, arguments: tuple[Type, ...]) -> Operation | None:
    """Find what `name` means for arguments of these types; None if it has no such overload."""
    found = _OPERATIONS.get(name)
    return found(*arguments) if found is not None and len(arguments) in _arity(name) else None


def function_names() -> list[str]:
    """Give the functions and methods that an author may call."""
    return sorted(name for name in _OPERATIONS if name[0] != "_" and name[-1] != "_")


# ── Arithmetic ──────────────────────────────────────────────────────────────────────────────────────────────────────

_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
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


def _arithmetic(sign: str) -> Callable[[Type, Type], Operation | None]:
    def find(left: Type, right: Type) -> Operation | None:
        kinds = (left.kind, right.kind)
        python = f"({{0}} {sign} {{1}})"
        if kinds == ("int", "int"):
            return _within(INT, _product_range(sign, left, right), _checked(_SIGNS[sign]), python)
        if kinds == ("double", "double"):
            return Operation(DOUBLE, _SIGNS[sign], python)
        if sign == "+" and kinds == ("string", "string"):
            return Operation(STRING, operator.add, python)
        if sign == "+" and kinds == ("list", "list"):
            joined = join(left, right)
            return None if joined is None else Operation(joined, lambda a, b: [*a, *b], "[*{0}, *{1}]")
        result = (_KINDS_ADDED if sign == "+" else _KINDS_SUBTRACTED).get(kinds) if sign != "*" else None
        if result is None:
            return None
        whole = ANY_TIMESTAMP if result == "timestamp" else ANY_DURATION
        return _within(whole, _product_range(sign, left, right), _checked(_SIGNS[sign]), python)

    return find


def _product_range(sign: str, left: Type, right: Type) -> tuple[int, int]:
    apply = _SIGNS[sign]
    corners = [apply(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    return min(corners), max(corners)


def _within(whole: Type, found: tuple[int, int], evaluate: Callable[..., Value], python: str) -> Operation:
    """Narrow the result to the range found, and name the hazard where that leaves the kind's own range."""
    low, high = max(found[0], whole.low), min(found[1], whole.high)
    fits = found == (low, high)
    result = Type(whole.kind, low, high) if low <= high else whole
    names = {"int": "a 64-bit integer", "timestamp": "the years 1 to 9999", "duration": "292 years"}
    return Operation(result, evaluate, python, None if fits else f"its result can leave {names[whole.kind]}")


def _checked(apply: Callable[..., Value]) -> Callable[..., Value]:
    def evaluate(*arguments: Value) -> Value:
        try:
            return in_range(apply(*arguments))
        except OverflowError:
            raise EvaluationError("the result is out of range") from None

    return evaluate


def in_range(value: Value) -> Value:
    """Give a value back if its type can hold it. Raises EvaluationError."""
    if isinstance(value, int) and not INT64[0] <= value <= INT64[1]:
        raise EvaluationError("the result does not fit into a 64-bit integer")
    if isinstance(value, timedelta) and abs(value) > DURATION_AT_MOST:
        raise EvaluationError("the duration is longer than 292 years")
    return value


def _quotient(left: int, right: int) -> int:
    """Divide as CEL does: towards zero."""
    if right == 0:
        raise EvaluationError("division by zero")
    magnitude = abs(left) // abs(right)
    return in_range(magnitude if (left < 0) == (right < 0) else -magnitude)


def _remainder(left: int, right: int) -> int:
    """Give the remainder with the sign of the dividend, as CEL does."""
    if right == 0:
        raise EvaluationError("modulus by zero")
    return left - right * _quotient_unchecked(left, right)


def _quotient_unchecked(left: int, right: int) -> int:
    magnitude = abs(left) // abs(right)
    return magnitude if (left < 0) == (right < 0) else -magnitude


def _float_quotient(left: float, right: float) -> float:
    """Divide as IEEE 754 does, where Python raises."""
    if right != 0:
        return left / right
    if left == 0 or left != left:  # noqa: PLR0124  NaN is the one number that differs from itself
        return float("nan")
    negative = (left < 0) != (str(right)[0] == "-")
    return float("-inf") if negative else float("inf")


def _divide(left: Type, right: Type) -> Operation | None:
    if (left.kind, right.kind) == ("double", "double"):
        return Operation(DOUBLE, _float_quotient)
    if (left.kind, right.kind) != ("int", "int"):
        return None
    hazard = _divisor_hazard(right)
    if left.low == INT64[0] and right.low <= -1 <= right.high:
        hazard = hazard or "the smallest integer divided by -1 is out of range"
    largest = max(abs(left.low), abs(left.high))
    return Operation(Type("int", max(-largest, INT64[0]), min(largest, INT64[1])), _quotient, hazard=hazard)


def _modulo(left: Type, right: Type) -> Operation | None:
    if (left.kind, right.kind) != ("int", "int"):
        return None
    largest = min(max(abs(right.low), abs(right.high)), INT64[1])
    return Operation(Type("int", -largest, largest), _remainder, hazard=_divisor_hazard(right))


def _divisor_hazard(divisor: Type) -> str | None:
    return "the divisor can be zero" if divisor.low <= 0 <= divisor.high else None


def _negate(operand: Type) -> Operation | None:
    if operand.kind == "double":
        return Operation(DOUBLE, operator.neg, "(-{0})")
    if operand.kind == "int":
        return _within(INT, (-operand.high, -operand.low), _checked(operator.neg), "(-{0})")
    return None


def _not(operand: Type) -> Operation | None:
    return Operation(BOOL, operator.not_, "(not {0})") if operand.kind == "bool" else None


# ── Comparison ──────────────────────────────────────────────────────────────────────────────────────────────────────

_ORDERED = ("bool", "int", "double", "string", "timestamp", "duration")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _comparison(sign: str) -> Callable[[Type, Type], Operation | None]:
    def find(left: Type, right: Type) -> Operation | None:
        equality = sign in ("==", "!=")
        if left.kind != right.kind and left.kind in NUMERIC and right.kind in NUMERIC:
            # CEL compares an int with a double as doubles, where Python would compare exactly.
            compare = _COMPARE[sign]
            return Operation(BOOL, lambda a, b: compare(float(a), float(b)), f"(float({{0}}) {sign} float({{1}}))")
        if left.kind == right.kind and left.kind in _ORDERED:
            return Operation(BOOL, _COMPARE[sign], f"({{0}} {sign} {{1}})")
        if equality and left.kind == right.kind == "list" and _comparable(left, right):
            same = sign == "=="
            return Operation(BOOL, lambda a, b: _equal(a, b) is same)
        return None

    return find


def _comparable(left: Type, right: Type) -> bool:
    if left.kind == right.kind == "list":
        assert left.element is not None
        assert right.element is not None
        return "nothing" in (left.element.kind, right.element.kind) or _comparable(left.element, right.element)
    return (left.kind == right.kind and left.kind in _ORDERED) or (left.kind in NUMERIC and right.kind in NUMERIC)


def _equal(left: Value, right: Value) -> bool:
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_equal, left, right))  # pyright: ignore[reportUnknownArgumentType]  checked by type
    if isinstance(left, float) or isinstance(right, float):
        return float(left) == float(right)
    return bool(left == right)


def _in(element: Type, container: Type) -> Operation | None:
    if container.kind != "list" or container.element is None:
        return None
    if container.element.kind == "nothing" or element.kind == container.element.kind != "double":
        plain = element.kind in _ORDERED
        return Operation(BOOL, lambda a, b: a in b, "({0} in {1})") if plain else None
    if _comparable(element, container.element):
        return Operation(BOOL, lambda a, b: any(_equal(a, item) for item in b))
    return None


# ── Strings and lists ───────────────────────────────────────────────────────────────────────────────────────────────

_SIZE = Type("int", 0, 2**32)


def _size(operand: Type) -> Operation | None:
    return Operation(_SIZE, len, "len({0})") if operand.kind in ("string", "list") else None


def _text_test(method: str, python: str) -> Callable[[Type, Type], Operation | None]:
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


def _matches(text: Type, pattern: Type) -> Operation | None:
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


def _index(items: Type, position: Type) -> Operation | None:
    if items.kind != "list" or position.kind != "int" or items.element is None or items.element.kind == "nothing":
        return None
    return Operation(items.element, _item, hazard="the index can be outside the list; use exists() or all()")


# ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)")
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
_UNITS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|ms|h|m|s)")

_TIMESTAMP_PARTS: dict[str, tuple[Callable[[datetime], int], Type]] = {
    "getFullYear": (lambda at: at.year, Type("int", 0, 10_000)),
    "getMonth": (lambda at: at.month - 1, Type("int", 0, 11)),
    "getDate": (lambda at: at.day, Type("int", 1, 31)),
    "getDayOfMonth": (lambda at: at.day - 1, Type("int", 0, 30)),
    "getDayOfWeek": (lambda at: at.isoweekday() % 7, Type("int", 0, 6)),
    "getDayOfYear": (lambda at: at.timetuple().tm_yday - 1, Type("int", 0, 365)),
    "getHours": (lambda at: at.hour, Type("int", 0, 23)),
    "getMinutes": (lambda at: at.minute, Type("int", 0, 59)),
    "getSeconds": (lambda at: at.second, Type("int", 0, 59)),
    "getMilliseconds": (lambda at: at.microsecond // 1000, Type("int", 0, 999)),
}
_DURATION_PARTS: dict[str, Callable[[timedelta], int]] = {
    "getHours": lambda span: _quotient_unchecked(span // MICROSECOND, 3_600_000_000),
    "getMinutes": lambda span: _quotient_unchecked(span // MICROSECOND, 60_000_000),
    "getSeconds": lambda span: _quotient_unchecked(span // MICROSECOND, 1_000_000),
    "getMilliseconds": lambda span: _remainder(_quotient_unchecked(span // MICROSECOND, 1_000), 1_000),
}


@cache
def _zone(name: str) -> tzinfo:
    offset = _OFFSET.fullmatch(name)
    if offset:
        span = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-span if offset[1] == "-" else span)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise EvaluationError(f"{name!r} is no time zone") from None


def _part(name: str) -> Callable[..., Operation | None]:
    def find(moment: Type, zone: Type = Type("string", words=("UTC",))) -> Operation | None:
        if moment.kind == "duration" and name in _DURATION_PARTS:
            return Operation(INT, _DURATION_PARTS[name])
        if moment.kind != "timestamp" or zone.kind != "string":
            return None
        part, result = _TIMESTAMP_PARTS[name]
        evaluate = lambda at, in_zone="UTC": part(at.astimezone(_zone(in_zone)))  # noqa: E731  a def would say no more
        return Operation(result, evaluate, hazard=_zone_hazard(zone))

    return find


def _zone_hazard(zone: Type) -> str | None:
    if zone.words is None:
        return "its time zone is not a constant"
    try:
        for name in zone.words:
            _zone(name)
    except EvaluationError as error:
        return str(error)
    return None


def parse_timestamp(text: str) -> datetime:
    """Read an RFC 3339 instant, to the microsecond. Raises EvaluationError."""
    match = _RFC3339.fullmatch(text)
    if not match:
        raise EvaluationError(f"{text!r} is no instant such as 2020-02-11T00:00:00+08:00")
    if len((match[7] or "").rstrip("0")) > 6:  # noqa: PLR2004  digits of a microsecond
        raise TooFine(f"{text!r} is finer than a microsecond")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise EvaluationError(f"{text!r} is out of range") from None


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `12h`, `1h30m` or `-1.5s`, to the microsecond. Raises EvaluationError."""
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    parts = _DURATION_PART.findall(unsigned)
    if unsigned != "0" and (not parts or "".join(number + unit for number, unit in parts) != unsigned):
        raise EvaluationError(f"{text!r} is no duration such as 12h, 30m or 90s (CEL has no days; a parameter has: 14d)")
    nanoseconds = 0
    for number, unit in parts:
        whole, _, fraction = number.partition(".")
        nanoseconds += int(whole or 0) * _UNITS[unit]
        nanoseconds += int(fraction or 0) * _UNITS[unit] // 10 ** len(fraction)
    if nanoseconds > INT64[1]:
        raise EvaluationError(f"{text!r} is longer than 292 years")
    if nanoseconds % 1_000:
        raise TooFine(f"{text!r} is finer than a microsecond")
    span = timedelta(microseconds=nanoseconds // 1_000)
    return -span if text[:1] == "-" else span


# ── Conversions ─────────────────────────────────────────────────────────────────────────────────────────────────────

_BOOL_WORDS = {word: True for word in ("1", "t", "true", "TRUE", "True")} | {
    word: False for word in ("0", "f", "false", "FALSE", "False")
}


def _to_int(value: Value) -> int:
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(seconds=1)
    if isinstance(value, float):
        # CEL's range for this is open: the double next to the largest integer is already outside of it.
        if not INT64[0] < value < INT64[1]:
            raise EvaluationError("the number does not fit into a 64-bit integer")
        return int(value)
    if isinstance(value, str) and not re.fullmatch(r"-?\d{1,19}", value, re.ASCII):
        raise EvaluationError(f"{value!r} is no integer")
    return in_range(int(value))


def _to_double(value: Value) -> float:
    try:
        return float(value)
    except ValueError:
        raise EvaluationError(f"{value!r} is no number") from None


def _to_string(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value).removesuffix(".0")
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            seconds = f"{value // MICROSECOND / 1_000_000:.6f}".rstrip("0").rstrip(".")
            return f"{seconds}s"
        case _:
            return str(value)


def _to_bool(value: Value) -> bool:
    if isinstance(value, str):
        if value not in _BOOL_WORDS:
            raise EvaluationError(f"{value!r} is no truth value")
        return _BOOL_WORDS[value]
    return bool(value)


def _to_timestamp(value: Value) -> datetime:
    if isinstance(value, str):
        return parse_timestamp(value)
    if isinstance(value, int):
        try:
            return EPOCH + timedelta(seconds=value)
        except OverflowError:
            raise EvaluationError("the instant is out of range") from None
    return value


def _to_duration(value: Value) -> timedelta:
    return parse_duration(value) if isinstance(value, str) else value


_CONVERSIONS: dict[str, tuple[Type, Callable[[Value], Value], tuple[str, ...], tuple[str, ...]]] = {
    # name: (result, meaning, argument kinds that never fail, argument kinds that may)
    "dyn": (DOUBLE, lambda value: value, ("int", "double"), ()),
    "int": (INT, _to_int, ("int", "timestamp"), ("double", "string")),
    "double": (DOUBLE, _to_double, ("int", "double"), ("string",)),
    "string": (STRING, _to_string, ("string", "int", "bool", "double", "timestamp", "duration"), ()),
    "bool": (BOOL, _to_bool, ("bool",), ("string",)),
    "timestamp": (ANY_TIMESTAMP, _to_timestamp, ("timestamp",), ("string", "int")),
    "duration": (ANY_DURATION, _to_duration, ("duration",), ("string",)),
}


def _conversion(name: str) -> Callable[[Type], Operation | None]:
    result, evaluate, safe, unsafe = _CONVERSIONS[name]

    def find(operand: Type) -> Operation | None:
        if operand.kind in safe:
            return Operation(operand if name in (operand.kind, "dyn") else result, evaluate)
        if operand.kind in unsafe:
            return Operation(result, evaluate, hazard=f"not every {operand.kind} is a {name}; only a constant may be converted")
        return None

    return find


_OPERATIONS: dict[str, Callable[..., Operation | None]] = {
    **{f"_{sign}_": _arithmetic(sign) for sign in _SIGNS},
    **{f"_{sign}_": _comparison(sign) for sign in _COMPARE},
    **{name: _part(name) for name in _TIMESTAMP_PARTS},
    **{name: _conversion(name) for name in _CONVERSIONS},
    "_/_": _divide,
    "_%_": _modulo,
    "-_": _negate,
    "!_": _not,
    "_in_": _in,
    "_[_]": _index,
    "size": _size,
    "startsWith": _text_test("startswith", "{0}.startswith({1})"),
    "endsWith": _text_test("endswith", "{0}.endswith({1})"),
    "contains": _text_test("__contains__", "({1} in {0})"),
    "matches": _matches,
}


def _arity(name: str) -> tuple[int, ...]:
    if name in _TIMESTAMP_PARTS:
        return (1, 2)
    return (1,) if name in _CONVERSIONS or name in ("-_", "!_", "size") else (2,)
