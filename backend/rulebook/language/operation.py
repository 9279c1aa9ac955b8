"""An operation of the rule language: its type, its implementation, and how it can fail."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from backend.i18n import Text
from backend.rulebook.language.types import INT64, MAX_DURATION, Type

Value = Any


class EvaluationError(Exception):
    """A run-time error of CEL: a division by zero, a number out of range, or a text that is not a number."""

    def __init__(self, message: Text) -> None:
        super().__init__(message.en)
        self.message = message


class PrecisionError(EvaluationError):
    """An instant or duration with nanoseconds, which CEL supports and this profile does not."""


@dataclass(frozen=True)
class Operation:
    """One overload: an operator or function for arguments of given types.

    `evaluate` takes the arguments' values and may raise EvaluationError. `python` is the equivalent Python expression
    over `{0}`, `{1}`, ..., used if the operation cannot fail; if it is None, `evaluate` is called. `failure_mode`
    explains to the author how it can fail; None if it never does.
    """

    result: Type
    evaluate: Callable[..., Value]
    python: str | None = None
    failure_mode: Text | None = None


def in_range(value: Value) -> Value:
    """Return a value that is within the range of its type. Raises EvaluationError."""
    if isinstance(value, int) and not INT64[0] <= value <= INT64[1]:
        raise EvaluationError(Text(zh="结果超出64位整数", en="the result does not fit into a 64-bit integer"))
    if isinstance(value, timedelta) and abs(value) > MAX_DURATION:
        raise EvaluationError(Text(zh="时长超过292年", en="the duration is longer than 292 years"))
    return value
