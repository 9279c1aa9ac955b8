"""The best result that some answers could give a person, of whom a preview does not know all facts.

Nobody's answers are stored before they claim, and a register is asked only then. What is stored decides as usual. The
tests in the conditions that read other facts may be true or false, unless they contradict one another: nobody is
registered in two districts. So the result is an upper bound: nobody can get more, whatever they answer.

Several answers often give the same, above all nothing. Then those are taken with which the fewest rules fire, so that
the known facts explain the result; in a later edition of the law, before others, those that a person gave before.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from msgspec import Struct

from backend.rulebook.explanation.unknown_facts import fields_read
from backend.rulebook.language.compiler import compile_conditions
from backend.rulebook.language.satisfiability import satisfiable
from backend.rulebook.language.tree import (
    Apply,
    Conditional,
    Constant,
    Key,
    Logic,
    Node,
    Variable,
    key_of,
    with_children,
)
from backend.rulebook.language.types import type_of_value
from backend.rulebook.verdict import Law, ModuleEvaluator, Outcome

MAX_ANSWERS = 20_000
"""The most combinations of answers that are tried for a law; the rules of an order tell a few dozen apart."""

NEVER, ALWAYS = -1, -2


class PartlyKnown(Struct, frozen=True):
    """What is known about a person: `facts` has those facts as attributes, and may lack the `unknown` ones."""

    facts: Any
    unknown: frozenset[str]


class TooManyAnswers(Exception):
    """The rules tell more combinations of answers apart than can be tried."""


Answers = dict[Key, tuple[Node, bool]]
"""The truth values of tests that read unknown facts, by the tests with their figures."""


@dataclass(frozen=True, eq=False)
class Best:
    """Answers that give a person most, and the bits of the rules that fire with them."""

    fired: int
    answers: Answers


class Possible:
    """What a law of a module of numbers can decide if some facts are unknown. Raises TooManyAnswers.

    `open` are the names of the unknown facts that it reads.
    """

    def __init__(self, evaluator: ModuleEvaluator, law: Law, unknown: AbstractSet[str]) -> None:
        self.evaluator = evaluator
        self.law = law
        self.open = frozenset(name for rule in law.rules for name in fields_read(rule.condition) if name in unknown)
        tests: dict[Key, Node] = {}
        for rule in law.rules:
            tests |= _open_tests(rule.condition, self.open)
        known: dict[Key, Node] = {}
        places: dict[Key, int] = {}
        rows: dict[tuple[int, ...], list[Answers]] = {}
        nodes = {key: _with_figures(test, law.parameter_values) for key, test in tests.items()}
        for truths in _consistent(nodes):
            row: list[int] = []
            for rule in law.rules:
                rest = _settled(rule.condition, truths)
                if isinstance(rest, Constant):
                    row.append(ALWAYS if rest.value else NEVER)
                else:
                    key = key_of(rest)
                    known.setdefault(key, rest)
                    row.append(places.setdefault(key, len(places)))
            rows.setdefault(tuple(row), []).append({key_of(nodes[key]): (nodes[key], truths[key]) for key in nodes})
        self.rows = rows
        self._decide = compile_conditions(list(known.values()), law.parameter_values)
        self._best: dict[tuple[int, Best | None], Best] = {}
        self._differ: dict[int, bool] = {}

    def best(self, facts: Any, at: datetime, before: Best | None = None) -> Best:  # noqa: ANN401  whatever has the known facts as attributes
        """Return the answers that give most: if it gives as much, those of `before`, an earlier edition of the law."""
        mask, _ = self._decide(facts, at)
        found = self._best.get((mask, before))
        if found is None:
            found = self._best[mask, before] = self._chosen(mask, before)
        return found

    def depends_on_answers(self, facts: Any, at: datetime) -> bool:  # noqa: ANN401  likewise
        """Return whether different answers give different results."""
        mask, _ = self._decide(facts, at)
        differ = self._differ.get(mask)
        if differ is None:
            differ = self._differ[mask] = len({self.outcome(_bits(row, mask)).result for row in self.rows}) > 1
        return differ

    def outcome(self, fired: int) -> Outcome:
        """Return what is decided if the rules of these bits fire."""
        return self.law.outcomes.get(fired) or self.evaluator.outcome(self.law, fired)

    def _chosen(self, mask: int, before: Best | None) -> Best:
        fired = {row: _bits(row, mask) for row in self.rows}
        results = {row: self.outcome(bits).result for row, bits in fired.items()}
        most = max(results.values())
        ties = sorted((row for row in self.rows if results[row] == most), key=lambda row: fired[row].bit_count())
        found = (Best(fired[row], answers) for row in ties for answers in self.rows[row])
        first = next(found)
        if before is None or _agree(first.answers, before.answers):
            return first
        return next((one for one in found if _agree(one.answers, before.answers)), first)


def _agree(some: Answers, others: Answers) -> bool:
    """Return whether one person can give both answers."""
    if any(key in others and others[key][1] is not truth for key, (_, truth) in some.items()):
        return False
    return satisfiable(*(some | others).values())


def _bits(row: Sequence[int], mask: int) -> int:
    """Return the rules that fire: `mask` has the truth of what the known facts decide."""
    fires = (place == ALWAYS or (place >= 0 and mask >> place & 1) for place in row)
    return sum(1 << number for number, one in enumerate(fires) if one)


def _open_tests(node: Node, unknown: AbstractSet[str]) -> dict[Key, Node]:
    """Return the smallest tests in a condition that read unknown facts."""
    if not fields_read(node) & unknown:
        return {}
    match node:
        case Logic():
            return _open_tests(node.left, unknown) | _open_tests(node.right, unknown)
        case Apply(name="!_"):
            return _open_tests(node.arguments[0], unknown)
        case Conditional():
            parts = (node.condition, node.chosen, node.other)
            return {key: test for part in parts for key, test in _open_tests(part, unknown).items()}
        case _:
            return {key_of(node): node}


def _consistent(tests: Mapping[Key, Node]) -> Iterator[dict[Key, bool]]:
    """Yield the truth values that the tests can have together; some that they cannot have may be among them."""
    keys, nodes = list(tests), list(tests.values())
    waiting: list[tuple[bool, ...]] = [()]
    found = 0
    while waiting:
        truths = waiting.pop()
        if len(truths) == len(keys):
            found += 1
            if found > MAX_ANSWERS:
                raise TooManyAnswers
            yield dict(zip(keys, truths, strict=True))
            continue
        for truth in (False, True):
            further = (*truths, truth)
            if satisfiable(*zip(nodes, further, strict=False)):
                waiting.append(further)


def _with_figures(node: Node, parameters: Mapping[str, Any]) -> Node:
    """Return an expression with the values of the parameters in place of their names."""
    if isinstance(node, Variable):
        if node.name not in parameters:
            return node
        value = parameters[node.name]
        return Constant(node.start, node.end, type_of_value(value), value)
    return with_children(node, lambda child: _with_figures(child, parameters))


def _settled(node: Node, truths: Mapping[Key, bool]) -> Node:
    """Return what is left of a condition if these tests have these truth values."""
    match node:
        case Logic():
            decisive = node.operator == "||"
            left, right = _settled(node.left, truths), _settled(node.right, truths)
            for one, other in ((left, right), (right, left)):
                if isinstance(one, Constant):
                    return one if one.value is decisive else other
            return replace(node, left=left, right=right)
        case Apply(name="!_"):
            inner = _settled(node.arguments[0], truths)
            if isinstance(inner, Constant):
                return replace(inner, value=not inner.value)
            return replace(node, arguments=(inner,))
        case Conditional(type=kind) if kind.kind == "bool":
            condition, chosen, other = (_settled(part, truths) for part in (node.condition, node.chosen, node.other))
            if isinstance(condition, Constant):
                return chosen if condition.value else other
            return replace(node, condition=condition, chosen=chosen, other=other)
        case _:
            truth = truths.get(key_of(node))
            return node if truth is None else Constant(node.start, node.end, node.type, truth)
