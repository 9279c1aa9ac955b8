"""Conversions from one type of the rule language to another."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from backend.i18n import Text
from backend.rulebook.language.operation import EvaluationError, Operation, Value, in_range
from backend.rulebook.language.temporal import parse_duration, parse_timestamp
from backend.rulebook.language.types import (
    ANY_DURATION,
    ANY_TIMESTAMP,
    BOOL,
    DOUBLE,
    EPOCH,
    INT,
    INT64,
    MICROSECOND,
    STRING,
    Type,
)

_BOOL_WORDS = dict.fromkeys(("1", "t", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "false", "FALSE", "False"), False
)


def _to_int(value: Value) -> int:
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(seconds=1)
    if isinstance(value, float):
        # CEL's range for this is open: the double next to the largest integer is already outside of it.
        if not INT64[0] < value < INT64[1]:
            raise EvaluationError(Text(zh="数字超出64位整数", en="the number does not fit into a 64-bit integer"))
        return int(value)
    if isinstance(value, str) and not re.fullmatch(r"-?\d{1,19}", value, re.ASCII):
        raise EvaluationError(Text(zh=f"“{value}”不是整数", en=f"{value!r} is not an integer"))
    return in_range(int(value))


def _to_double(value: Value) -> float:
    try:
        return float(value)
    except ValueError:
        raise EvaluationError(Text(zh=f"“{value}”不是数字", en=f"{value!r} is not a number")) from None


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
            raise EvaluationError(Text(zh=f"“{value}”不是真假值", en=f"{value!r} is not a truth value"))
        return _BOOL_WORDS[value]
    return bool(value)


def _to_timestamp(value: Value) -> datetime:
    if isinstance(value, str):
        return parse_timestamp(value)
    if isinstance(value, int):
        try:
            return EPOCH + timedelta(seconds=value)
        except OverflowError:
            raise EvaluationError(Text(zh="时刻超出范围", en="the instant is out of range")) from None
    return value


def _to_duration(value: Value) -> timedelta:
    return parse_duration(value) if isinstance(value, str) else value


CONVERSIONS: dict[str, tuple[Type, Callable[[Value], Value], tuple[str, ...], tuple[str, ...]]] = {
    # name: (result, function, argument kinds that never fail, argument kinds that may)
    "dyn": (DOUBLE, lambda value: value, ("int", "double"), ()),
    "int": (INT, _to_int, ("int", "timestamp"), ("double", "string")),
    "double": (DOUBLE, _to_double, ("int", "double"), ("string",)),
    "string": (STRING, _to_string, ("string", "int", "bool", "double", "timestamp", "duration"), ()),
    "bool": (BOOL, _to_bool, ("bool",), ("string",)),
    "timestamp": (ANY_TIMESTAMP, _to_timestamp, ("timestamp",), ("string", "int")),
    "duration": (ANY_DURATION, _to_duration, ("duration",), ("string",)),
}


def conversion(name: str) -> Callable[[Type], Operation | None]:
    """Return the overload resolver of a conversion such as `int(...)`."""
    result, evaluate, safe, unsafe = CONVERSIONS[name]

    def find(operand: Type) -> Operation | None:
        if operand.kind in safe:
            return Operation(operand if name in (operand.kind, "dyn") else result, evaluate)
        if operand.kind in unsafe:
            failure_mode = Text(
                zh=f"不是每个{operand.text.zh}都能转换为 {name}；只有常量可以转换",
                en=f"not every {operand.kind} is a {name}; only a constant may be converted",
            )
            return Operation(result, evaluate, failure_mode=failure_mode)
        return None

    return find
