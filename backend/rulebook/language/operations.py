"""The operators and functions of the rule language, by name.

Each is defined once, with what the checker, the explainer and the compiler need. Their meaning is CEL's ("List of
Standard Definitions" in its language definition); the conformance tests verify it. `age` is the one addition.
"""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from backend.rulebook.language.arithmetic import SIGNS, arithmetic, divide, modulo, negate, negation
from backend.rulebook.language.calendar import AGE, age_in
from backend.rulebook.language.comparison import COMPARISONS, comparison, index, matches, membership, size, text_test
from backend.rulebook.language.conversions import CONVERSIONS, conversion
from backend.rulebook.language.operation import Operation
from backend.rulebook.language.temporal import TIMESTAMP_PARTS, part_of
from backend.rulebook.language.types import Type


def find_operation(name: str, arguments: tuple[Type, ...], zone: ZoneInfo) -> Operation | None:
    """Return the overload of `name` for arguments of these types, or None. Days begin and end in `zone`."""
    if name == AGE:
        return age_in(zone, *arguments) if len(arguments) == 2 else None  # noqa: PLR2004  from one instant to another
    found = _OPERATIONS.get(name)
    return found(*arguments) if found is not None and len(arguments) in _arity(name) else None


def function_names() -> list[str]:
    """Return the names of the functions and methods that an author may call."""
    return sorted(name for name in (AGE, *_OPERATIONS) if name[0] != "_" and name[-1] != "_")


_OPERATIONS: dict[str, Callable[..., Operation | None]] = {
    **{f"_{sign}_": arithmetic(sign) for sign in SIGNS},
    **{f"_{sign}_": comparison(sign) for sign in COMPARISONS},
    **{name: part_of(name) for name in TIMESTAMP_PARTS},
    **{name: conversion(name) for name in CONVERSIONS},
    "_/_": divide,
    "_%_": modulo,
    "-_": negate,
    "!_": negation,
    "_in_": membership,
    "_[_]": index,
    "size": size,
    "startsWith": text_test("startswith", "{0}.startswith({1})"),
    "endsWith": text_test("endswith", "{0}.endswith({1})"),
    "contains": text_test("__contains__", "({1} in {0})"),
    "matches": matches,
}


def _arity(name: str) -> tuple[int, ...]:
    if name in TIMESTAMP_PARTS:
        return (1, 2)
    return (1,) if name in CONVERSIONS or name in ("-_", "!_", "size") else (2,)
