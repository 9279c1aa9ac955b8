"""The solver's terms for a law, evaluated for facts that are known: the fifth evaluator of rules."""
# z3 does not declare its types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any, cast

import z3
from msgspec import Struct

from backend.rulebook.language.types import microseconds
from backend.rulebook.modules.module import Module
from backend.rulebook.prover.encoder import Encoder, Unencodable
from backend.rulebook.prover.outcome import outcome_of
from backend.rulebook.prover.smt import Term, integer
from backend.rulebook.prover.symbols import FactSpace, SymbolicList, SymbolicStruct, Value, Words, constant
from backend.rulebook.verdict import Law
from tests.rulebook.five_evaluators import bits_of

LONGEST = 4
"""The most elements of a list of the people drawn."""


class SolverModel:
    """A law as terms of the solver over symbolic facts, of which it then knows all values."""

    def __init__(self, module: Module, law: Law) -> None:
        self.module, self.law = module, law
        self.space = FactSpace(_Always(LONGEST), Words())
        self.space.unordered = _Everything()
        self.facts = self.space.facts(module.facts)
        self.now = integer("now")
        encoder = Encoder(self.space, law.parameter_values)
        self.outcome = outcome_of(module, law, encoder, {"facts": self.facts, "now": self.now})

    def decide(self, facts: Struct, at: datetime) -> tuple[int, set[str], Any]:
        """Return which rules fire, which one decides or several do, and the result."""
        known = [(self.now, z3.IntVal(microseconds(at))), *self._known(self.facts, facts)]
        outcome = self.outcome
        terms = [*outcome.fired.values(), *outcome.decisive.values(), *outcome.words.values(), outcome.result]
        values = self._values(terms, known)
        number, rules = len(outcome.fired), len(self.law.rules)
        bits = bits_of(values[:rules])
        decisive = {name for name, truth in zip(outcome.decisive, values[number:], strict=False) if truth}
        if self.module.strategy == "collect":
            words = values[number + len(outcome.decisive) : -1]
            return bits, decisive, {word for word, there in zip(outcome.words, words, strict=True) if there}
        result = cast("int", values[-1])
        return bits, decisive, result if self.module.numeric else self.module.result[result]

    def _values(self, terms: Sequence[Term], known: Sequence[tuple[Term, Term]]) -> list[object]:
        """Return the values of terms: those that facts alone decide, or else those that the solver finds."""
        found = [_value(z3.simplify(z3.substitute(_term(term), *known))) for term in terms]
        if all(value is not None for value in found):
            return found
        solver = z3.Solver()
        solver.set("timeout", 30_000)
        solver.add(*(z3.substitute(_term(term), *known) for term in self.space.all_constraints()))
        assert solver.check() == z3.sat, known
        model = solver.model()
        return [_value(model.eval(z3.substitute(_term(term), *known), model_completion=True)) for term in terms]

    def _known(self, symbol: Value, value: Any) -> list[tuple[Term, Term]]:  # noqa: ANN401  any fact
        """Return the variables of facts with their values; what was never read has none."""
        found: list[tuple[Term, Term]] = []
        if isinstance(symbol, SymbolicStruct):
            for name, field in symbol.fields.items():
                held = getattr(value, name)
                if field.present is not True:
                    found.append((field.present, z3.BoolVal(held is not None)))
                found += [] if held is None else self._known(field.value, held)
            return found
        if isinstance(symbol, SymbolicList):
            found.append((symbol.length, z3.IntVal(len(value))))
            for (_, element), held in zip(symbol.elements, value, strict=False):
                found += self._known(element, held)
            return found
        return [(symbol, _term(self._constant(value), real=z3.is_real(symbol)))]

    def _constant(self, value: object) -> Term:
        """Return a value as a term; a text that no rule knows is any other text, and the same one everywhere."""
        if isinstance(value, str) and value not in self.space.words.numbers:
            return -1 - sorted(UNKNOWN_TEXTS).index(value) if value in UNKNOWN_TEXTS else -100
        return constant(value, self.space.words)


UNKNOWN_TEXTS = ("", "a", "IT", "浙江")


class _Always(dict[str, int]):
    """A mapping in which every list has the same length."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def get(self, _key: str, _default: Any = None, /) -> int:  # noqa: ANN401  as in dict
        return self.length


class _Everything(set[str]):
    """A set with everything in it."""

    def __contains__(self, _element: object) -> bool:
        return True


def _term(value: Term, *, real: bool = False) -> Any:  # noqa: ANN401  z3 does not declare its types
    if isinstance(value, bool):
        return z3.BoolVal(value)
    if isinstance(value, int) and not real:
        return z3.IntVal(value)
    return z3.RealVal(str(Fraction(value))) if isinstance(value, int | Fraction) else value


def _value(term: Any) -> object:  # noqa: ANN401  z3 does not declare its types
    """Return the value of a term that is constant, or None."""
    if z3.is_true(term) or z3.is_false(term):
        return z3.is_true(term)
    return term.as_long() if z3.is_int_value(term) else None


def solver_model(module: Module, law: Law) -> SolverModel | None:
    """Return a law as terms of the solver, or None if it cannot express the rules."""
    try:
        return SolverModel(module, law)
    except Unencodable:
        return None
