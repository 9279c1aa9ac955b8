"""What an operation of the rule language is: its type, its meaning, and how it can fail."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from backend.rulebook.language.types import INT64, MAX_DURATION, Type

Value = Any


class EvaluationError(Exception):
    """What CEL calls an error: a division by zero, a number out of range, text that is no number."""


class TooFineError(EvaluationError):
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


def in_range(value: Value) -> Value:
    """Give a value back if its type can hold it. Raises EvaluationError."""
    if isinstance(value, int) and not INT64[0] <= value <= INT64[1]:
        raise EvaluationError("the result does not fit into a 64-bit integer")
    if isinstance(value, timedelta) and abs(value) > MAX_DURATION:
        raise EvaluationError("the duration is longer than 292 years")
    return value
