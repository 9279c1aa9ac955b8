"""The types of the values that a CertLogic expression reads, found from what it does with them."""

import re
from collections.abc import Iterator
from typing import Literal as Words

from backend.i18n import Text
from backend.rulebook.exchange.certificate import CLOCK
from backend.rulebook.exchange.certlogic import (
    COMPARISONS,
    Array,
    Expression,
    Literal,
    Operation,
    Var,
    walk,
)
from backend.rulebook.exchange.refusal import KIND, CannotExpress

Kind = Words["instant", "number", "text", "bool", "present"]
"""`present` is for a path of which only matters whether there is anything."""

VALUE_SETS = "external.valueSets."

_DOSES = re.compile(r"payload\.v\.\d+\.(?:dn|sd)", re.ASCII)
"""The numbers of a certificate, by its schema."""


def kinds_of(expression: Expression) -> dict[str, Kind]:
    """Return the type of each path that the expression reads, in the order of reading. Raises CannotExpress."""
    found: dict[str, Kind] = {}
    for var, kind in _uses(expression):
        if found.setdefault(var.path, kind) != kind:
            message = Text(
                zh=f"{var.path} 在一处是 {found[var.path]}，在另一处是 {kind}",
                en=f"{var.path} is {found[var.path]} in one place, and {kind} in another",
            )
            raise CannotExpress(var.location, message, code=KIND)
    pairs = [pair for part in walk(expression) for pair in _compared(part)]
    for var in (var for pair in pairs for var in pair if _DOSES.fullmatch(var.path)):
        found.setdefault(var.path, "number")
    for one, other in [*pairs, *reversed(pairs)]:
        for known, unknown in ((one, other), (other, one)):
            if known.path in found:
                found.setdefault(unknown.path, found[known.path])
    for one, other in pairs:
        if found.get(one.path) is None or found.get(one.path) != found.get(other.path):
            message = Text(
                zh=f"无法得知 {one.path} 与 {other.path} 的类型",
                en=f"the types of {one.path} and {other.path} are unclear",
            )
            raise CannotExpress(one.location, message, code=KIND)
    read = [part.path for part in walk(expression) if isinstance(part, Var)]
    order = [path for path in dict.fromkeys(read) if path != CLOCK and not path.startswith(VALUE_SETS)]
    return {path: found.get(path, "present") for path in order}


def _uses(expression: Expression) -> Iterator[tuple[Var, Kind]]:
    for part in walk(expression):
        if not isinstance(part, Operation):
            continue
        if part.name in ("plusTime", "dccDateOfBirth"):
            yield from _each(part.operands[:1], "instant")
        elif part.name in COMPARISONS or part.name == "+":
            yield from _each(part.operands, "number")
        elif part.name == "===":
            constants = [operand for operand in part.operands if isinstance(operand, Literal)]
            yield from _each(part.operands, _kind(constants[0]) if constants else None)
        elif part.name == "in":
            yield from _each(part.operands[:1], _kind_of_members(part.operands[1]))


def _each(operands: tuple[Expression, ...], kind: Kind | None) -> Iterator[tuple[Var, Kind]]:
    for operand in operands:
        if isinstance(operand, Var) and operand.path != CLOCK and kind is not None:
            yield operand, kind


def _kind(literal: Literal) -> Kind:
    match literal.value:
        case bool():
            return "bool"
        case int():
            return "number"
        case str():
            return "text"


def _kind_of_members(members: Expression) -> Kind | None:
    if isinstance(members, Var) and members.path.startswith(VALUE_SETS):
        return "text"
    if isinstance(members, Array):
        kinds: list[Kind] = [_kind(item) for item in members.items if isinstance(item, Literal)]
        return kinds[0] if len(set(kinds)) == 1 else None
    return None


def _compared(part: Expression) -> Iterator[tuple[Var, Var]]:
    if isinstance(part, Operation) and part.name == "===":
        left, right = part.operands
        if isinstance(left, Var) and isinstance(right, Var):
            yield left, right
