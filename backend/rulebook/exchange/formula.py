"""Conditions in CEL as text, put together with as few parentheses as the meaning needs."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

CONDITIONAL, OR, AND, RELATION, SUM, PRIMARY = range(6)


@dataclass(frozen=True)
class Formula:
    """An expression, how strongly its outermost operator binds, and the operands of `&&`, `||`, `?:` or `!`."""

    text: str
    rank: int = PRIMARY
    operands: tuple["Formula", ...] = ()

    def within(self, rank: int) -> str:
        """Return the text as an operand of an operator that binds as strongly as `rank`."""
        return self.text if self.rank >= rank else f"({self.text})"


TRUE, FALSE = Formula("true"), Formula("false")


def literal(value: str | int | bool) -> Formula:
    """Return a constant."""
    if isinstance(value, bool):
        return TRUE if value else FALSE
    return Formula(json.dumps(value, ensure_ascii=False))


def conjunction(parts: Iterable[Formula]) -> Formula:
    """Return `a && b`, without what is true or said before."""
    return _joined(parts, AND, " && ", TRUE, FALSE)


def disjunction(parts: Iterable[Formula]) -> Formula:
    """Return `a || b`, without what is false or said before."""
    return _joined(parts, OR, " || ", FALSE, TRUE)


def _joined(parts: Iterable[Formula], rank: int, operator: str, idle: Formula, decisive: Formula) -> Formula:
    found: dict[str, Formula] = {}
    for part in parts:
        for operand in part.operands if part.rank == rank else (part,):
            if operand == decisive:
                return decisive
            if operand != idle:
                found.setdefault(operand.text, operand)
    operands = tuple(found.values())
    if len(operands) < 2:  # noqa: PLR2004  nothing to join
        return operands[0] if operands else idle
    return Formula(operator.join(operand.within(rank) for operand in operands), rank, operands)


def negation(operand: Formula) -> Formula:
    """Return `!a`."""
    if operand in (TRUE, FALSE):
        return FALSE if operand == TRUE else TRUE
    if operand.rank == PRIMARY and operand.operands:
        return operand.operands[0]
    return Formula(f"!{operand.within(PRIMARY)}", PRIMARY, (operand,))


def choice(condition: Formula, chosen: Formula, other: Formula) -> Formula:
    """Return `condition ? chosen : other` for two conditions, in its simplest form."""
    if condition in (TRUE, FALSE):
        return chosen if condition == TRUE else other
    if chosen == other:
        return chosen
    if chosen == TRUE:
        return disjunction((condition, other))
    if other == FALSE:
        return conjunction((condition, chosen))
    if other == TRUE:
        return disjunction((negation(condition), chosen))
    if chosen == FALSE:
        return conjunction((negation(condition), other))
    text = f"{condition.within(OR)} ? {chosen.within(OR)} : {other.within(CONDITIONAL)}"
    return Formula(text, CONDITIONAL, (condition, chosen, other))


def relation(left: Formula, operator: str, right: Formula) -> Formula:
    """Return `a < b`."""
    return Formula(f"{left.within(SUM)} {operator} {right.within(SUM)}", RELATION)


def total(left: Formula, right: Formula) -> Formula:
    """Return `a + b`."""
    return Formula(f"{left.within(SUM)} + {right.within(PRIMARY)}", SUM)


def without_repetition(formula: Formula, known: frozenset[str] = frozenset()) -> Formula:
    """Return a formula without the `has(...)` that what is evaluated before it has made certain."""
    if formula.text in known:
        return TRUE
    if formula.rank == CONDITIONAL and formula.operands:
        condition, chosen, other = formula.operands
        return choice(
            without_repetition(condition, known),
            without_repetition(chosen, known | _certain(condition, truth=True)),
            without_repetition(other, known | _certain(condition, truth=False)),
        )
    if formula.rank == PRIMARY and formula.operands:
        return negation(without_repetition(formula.operands[0], known))
    if formula.rank not in (AND, OR):
        return formula
    parts: list[Formula] = []
    for operand in formula.operands:
        parts.append(without_repetition(operand, known))
        known |= _certain(operand, truth=formula.rank == AND)
    return conjunction(parts) if formula.rank == AND else disjunction(parts)


def _certain(formula: Formula, *, truth: bool) -> frozenset[str]:
    """Return the `has(...)` that hold for certain if a formula is true, or false."""
    if truth and formula.text.startswith("has(") and formula.rank == PRIMARY:
        return frozenset([formula.text])
    if not truth and formula.text.startswith("!has(") and formula.rank == PRIMARY:
        return frozenset([formula.text[1:]])
    if formula.rank == (AND if truth else OR):
        return frozenset[str]().union(*(_certain(operand, truth=truth) for operand in formula.operands))
    return frozenset()
