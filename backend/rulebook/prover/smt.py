"""The few functions of the solver that the prover uses, typed, with constants folded on the way.

A term is a Python value (bool, int, Fraction) while it is constant, and an expression of the solver otherwise.
"""
# z3 does not declare its types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Literal

import z3

Term = Any
"""A truth value or a number: a Python value, or an expression of the solver."""

Answer = Literal["sat", "unsat", "unknown"]


def integer(name: str) -> Term:
    """Return a variable for a whole number."""
    return z3.Int(name)


def boolean(name: str) -> Term:
    """Return a variable for a truth value."""
    return z3.Bool(name)


def real(name: str) -> Term:
    """Return a variable for a real number."""
    return z3.Real(name)


def as_real(term: Term) -> Term:
    """Return a number as a real one."""
    if isinstance(term, bool | int | float | Fraction):
        return z3.RealVal(str(Fraction(term)))
    return z3.ToReal(term) if z3.is_int(term) else term


def is_constant(term: Term) -> bool:
    """Return whether a term has a known value."""
    return isinstance(term, bool | int | Fraction)


def is_truth(term: Term) -> bool:
    """Return whether a term is a truth value."""
    return isinstance(term, bool) or (not is_constant(term) and z3.is_bool(term))


def conj(terms: Iterable[Term]) -> Term:
    """Return whether all terms hold."""
    parts: list[Term] = []
    for term in terms:
        if term is False:
            return False
        if term is not True:
            parts.append(term)
    return True if not parts else parts[0] if len(parts) == 1 else z3.And(parts)


def disj(terms: Iterable[Term]) -> Term:
    """Return whether one of the terms holds."""
    parts: list[Term] = []
    for term in terms:
        if term is True:
            return True
        if term is not False:
            parts.append(term)
    return False if not parts else parts[0] if len(parts) == 1 else z3.Or(parts)


def neg(term: Term) -> Term:
    """Return whether a term does not hold."""
    return not term if isinstance(term, bool) else z3.Not(term)


def choose(condition: Term, chosen: Term, other: Term) -> Term:
    """Return `chosen` if the condition holds, else `other`."""
    if isinstance(condition, bool):
        return chosen if condition else other
    if is_constant(chosen) and is_constant(other) and chosen == other:
        return chosen
    return z3.If(condition, chosen, other)


def total(terms: Sequence[Term]) -> Term:
    """Return the sum of whole numbers."""
    known = sum(term for term in terms if is_constant(term))
    unknown = [term for term in terms if not is_constant(term)]
    return known if not unknown else z3.Sum([*unknown, known]) if known or len(unknown) > 1 else unknown[0]


def count(conditions: Iterable[Term]) -> Term:
    """Return how many conditions hold."""
    return total([choose(condition, 1, 0) for condition in conditions])


def quotient(number: Term, divisor: int) -> Term:
    """Return the whole quotient by a positive constant, rounded down."""
    return number // divisor if is_constant(number) else number / divisor


def truncated_quotient(left: Term, right: Term) -> Term:
    """Divide whole numbers towards zero, as the rule language does; the divisor is not 0."""
    magnitude = z3.IntVal(0) + choose(left >= 0, left, -left)
    magnitude = magnitude / choose(right >= 0, right, -right)
    return choose(_same(left >= 0, right >= 0), magnitude, -magnitude)


def _same(one: Term, other: Term) -> Term:
    return one == other


class Solver:
    """A solver with a time limit, whose assertions can be withdrawn in the opposite order."""

    def __init__(self, seconds: float) -> None:
        self._solver = z3.Solver()
        self.limit(seconds)

    def limit(self, seconds: float) -> None:
        """Give each later question at most this time."""
        self._solver.set("timeout", max(1, int(seconds * 1000)))

    def add(self, *terms: Term) -> None:
        """Assert terms."""
        for term in terms:
            if term is not True:
                self._solver.add(z3.BoolVal(False) if term is False else term)

    def push(self) -> None:
        """Begin assertions that `pop` withdraws."""
        self._solver.push()

    def pop(self) -> None:
        """Withdraw the assertions since the last `push`."""
        self._solver.pop()

    def check(self, *assumptions: Term) -> Answer:
        """Return whether the assertions can hold together with the assumptions."""
        if any(term is False for term in assumptions):
            return "unsat"
        found = self._solver.check(*(term for term in assumptions if term is not True))
        return "sat" if found == z3.sat else "unsat" if found == z3.unsat else "unknown"

    def model(self) -> "Model":
        """Return the values that the last `check` found."""
        return Model(self._solver.model())


class Model:
    """Values of variables for which the assertions hold."""

    def __init__(self, model: z3.ModelRef) -> None:
        self._model = model

    def number(self, term: Term) -> int:
        """Return the value of a whole number."""
        return term if is_constant(term) else self._model.eval(term, model_completion=True).as_long()  # pyright: ignore[reportAttributeAccessIssue, reportReturnType, reportOptionalMemberAccess]  an integer

    def truth(self, term: Term) -> bool:
        """Return a truth value."""
        return term if isinstance(term, bool) else z3.is_true(self._model.eval(term, model_completion=True))

    def fraction(self, term: Term) -> Fraction:
        """Return the value of a real number."""
        if is_constant(term):
            return Fraction(term)
        value = self._model.eval(term, model_completion=True)
        return Fraction(value.numerator_as_long(), value.denominator_as_long())  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]  a rational number
