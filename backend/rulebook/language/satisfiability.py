"""Satisfiability of conditions: finds rules that can never fire, never decide, or overlap.

A condition is converted to disjunctive normal form (DNF) over atoms: a fact is one of these words, a sum is within
these intervals, a list has such an element. The test is conservative: an expression that it does not understand is
assumed satisfiable, so no valid rule is rejected.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from backend.rulebook.language.extremum import MIRRORED
from backend.rulebook.language.tree import Apply, Conditional, Constant, Key, Logic, Macro, Node, key_of, rename, walk
from backend.rulebook.language.types import RANGED, microseconds

MAX_DISJUNCTS = 32
_INFINITY = 2**80

Intervals = tuple[tuple[int, int], ...]
"""A set of whole numbers, as closed intervals in order."""

_ALL_NUMBERS: Intervals = ((-_INFINITY, _INFINITY),)
_TRUE: Intervals = ((1, 1),)
_FALSE: Intervals = ((0, 0),)


@dataclass(frozen=True)
class _WordSet:
    """A set of words: those given, or all except those."""

    words: frozenset[str]
    included: bool


@dataclass(frozen=True)
class _Conjunction:
    """Atoms that hold together: ranges and words by the term they constrain; elements that lists have, or lack."""

    numbers: dict[Key, Intervals] = field(default_factory=dict[Key, Intervals])
    words: dict[Key, _WordSet] = field(default_factory=dict[Key, _WordSet])
    present: tuple[Macro, ...] = ()
    absent: tuple[Macro, ...] = ()

    def __and__(self, other: "_Conjunction") -> "_Conjunction | None":
        numbers, words = dict(self.numbers), dict(self.words)
        for key, intervals in other.numbers.items():
            numbers[key] = _intersect(numbers.get(key, _ALL_NUMBERS), intervals)
            if not numbers[key]:
                return None
        for key, found in other.words.items():
            words[key] = _intersect_words(words[key], found) if key in words else found
            if words[key].included and not words[key].words:
                return None
        return _Conjunction(numbers, words, self.present + other.present, self.absent + other.absent)


Dnf = list[_Conjunction]


def satisfiable(*goals: tuple[Node, bool]) -> bool:
    """Return whether some facts may give all conditions these truth values; True if undecided."""
    dnf: Dnf = [_Conjunction()]
    for node, truth in goals:
        other = _dnf(node, truth=truth)
        joined = [both for one in dnf for two in other if (both := one & two) is not None]
        if len(joined) > MAX_DISJUNCTS * MAX_DISJUNCTS:
            return True
        dnf = joined
    return any(map(_lists_are_consistent, dnf))


class _Identical:
    """A node as a key of a cache: compared by identity, as hashing a condition costs more than what is cached."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def __hash__(self) -> int:
        return id(self.node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identical) and self.node is other.node


def compared_terms(node: Node) -> frozenset[Key]:
    """Return the terms that a condition constrains; conditions without a common term cannot imply one another."""
    return _compared_terms(_Identical(node))


@lru_cache(maxsize=1_000)
def _compared_terms(same: _Identical) -> frozenset[Key]:
    node = same.node
    found = {key for part in _dnf(node, truth=True) for key in (*part.numbers, *part.words)}
    lists = {key_of(part.source) for part in walk(node) if isinstance(part, Macro)}
    return frozenset(found | lists)


def _lists_are_consistent(part: _Conjunction) -> bool:
    """Return whether each required element is possible, and not excluded by an atom of the same list."""
    for macro in part.present:
        assert macro.test is not None
        if not satisfiable((macro.test, True)):
            return False
        for other in part.absent:
            if key_of(other.source) != key_of(macro.source):
                continue
            assert other.test is not None
            if not satisfiable((macro.test, True), (rename(other.test, other.variable, macro.variable), False)):
                return False
    return True


def _dnf(node: Node, *, truth: bool) -> Dnf:
    """Convert a condition, or its negation, to DNF; one that grows too large becomes an opaque atom."""
    return _dnf_of(_Identical(node), truth)


@lru_cache(maxsize=4_000)
def _dnf_of(same: _Identical, truth: bool) -> Dnf:
    """Return the DNF, which nobody may change: it is shared."""
    dnf = _expand(same.node, truth=truth)
    return dnf if len(dnf) <= MAX_DISJUNCTS else [_opaque_atom(same.node, truth=truth)]


def _expand(node: Node, *, truth: bool) -> Dnf:
    match node:
        case Constant():
            return [_Conjunction()] if node.value is truth else []
        case Apply(name="!_"):
            return _dnf(node.arguments[0], truth=not truth)
        case Logic():
            left, right = _dnf(node.left, truth=truth), _dnf(node.right, truth=truth)
            return _conjoin(left, right) if (node.operator == "&&") is truth else left + right
        case Conditional():
            chosen = _conjoin(_dnf(node.condition, truth=True), _dnf(node.chosen, truth=truth))
            return chosen + _conjoin(_dnf(node.condition, truth=False), _dnf(node.other, truth=truth))
        case Macro(name="exists"):
            return [_Conjunction(present=(node,)) if truth else _Conjunction(absent=(node,))]
        case Apply():
            return [
                _words_atom(node, truth=truth) or _number_atom(node, truth=truth) or _opaque_atom(node, truth=truth)
            ]
        case _:
            return [_opaque_atom(node, truth=truth)]


def _conjoin(left: Dnf, right: Dnf) -> Dnf:
    return [both for one in left for two in right if (both := one & two) is not None]


def _opaque_atom(node: Node, *, truth: bool) -> _Conjunction:
    return _Conjunction(numbers={key_of(node): _TRUE if truth else _FALSE})


# ── words ──


def _words_atom(node: Apply, *, truth: bool) -> _Conjunction | None:
    """Convert `fact == "word"`, `fact != "word"` or `fact in ["word", ...]` to an atom; None for anything else."""
    if node.name not in ("_==_", "_!=_", "_in_"):
        return None
    operand, constant = node.arguments
    if isinstance(operand, Constant) and node.name != "_in_":
        operand, constant = constant, operand
    if operand.type.kind != "string" or not isinstance(constant, Constant):
        return None
    included = (node.name != "_!=_") is truth
    words = frozenset(cast("Sequence[str]", constant.value) if node.name == "_in_" else [constant.value])
    if not included and operand.type.words is not None:
        words, included = frozenset(operand.type.words) - words, True
    return _Conjunction(words={key_of(operand): _WordSet(words, included)})


def _intersect_words(one: _WordSet, other: _WordSet) -> _WordSet:
    if one.included and other.included:
        return _WordSet(one.words & other.words, included=True)
    if one.included:
        return _WordSet(one.words - other.words, included=True)
    if other.included:
        return _WordSet(other.words - one.words, included=True)
    return _WordSet(one.words | other.words, included=False)


# ── numbers, instants and durations ──


def _number_atom(node: Apply, *, truth: bool) -> _Conjunction | None:
    """Convert a comparison of sums to an interval: variable terms on the left, the constant on the right."""
    sign = node.name.strip("_")
    if sign not in MIRRORED or node.arguments[0].type.kind not in RANGED:
        return None
    if node.arguments[1].type.kind != node.arguments[0].type.kind:
        return None
    terms: dict[Key, int] = {}
    constant = _add_terms(terms, node.arguments[0], 1) + _add_terms(terms, node.arguments[1], -1)
    varying = sorted(((repr(key), key, factor) for key, factor in terms.items() if factor), key=lambda term: term[0])
    if not varying:
        return None
    if varying[0][2] < 0:
        sign, constant = MIRRORED[sign], -constant
        varying = [(text, key, -factor) for text, key, factor in varying]
    subject = ("sum", *((key, factor) for _, key, factor in varying))
    holds = _interval(sign, -constant)
    return _Conjunction(numbers={subject: holds if truth else _complement(holds)})


def _add_terms(terms: dict[Key, int], node: Node, factor: int) -> int:
    """Add the variable terms of a sum to `terms`; return its constant."""
    if isinstance(node, Constant):
        value = node.value
        return factor * (value if isinstance(value, int) else microseconds(value))
    if isinstance(node, Apply) and node.name in ("_+_", "_-_"):
        left, right = node.arguments
        return _add_terms(terms, left, factor) + _add_terms(terms, right, factor if node.name == "_+_" else -factor)
    key = key_of(node)
    terms[key] = terms.get(key, 0) + factor
    return 0


def _interval(sign: str, bound: int) -> Intervals:
    match sign:
        case "<":
            return ((-_INFINITY, bound - 1),)
        case "<=":
            return ((-_INFINITY, bound),)
        case ">":
            return ((bound + 1, _INFINITY),)
        case ">=":
            return ((bound, _INFINITY),)
        case "==":
            return ((bound, bound),)
        case _:
            return _complement(((bound, bound),))


def _complement(intervals: Intervals) -> Intervals:
    ends = [-_INFINITY - 1, *(end for low, high in intervals for end in (low, high)), _INFINITY + 1]
    gaps = zip(ends[::2], ends[1::2], strict=True)
    return tuple((before + 1, after - 1) for before, after in gaps if before + 1 <= after - 1)


def _intersect(one: Intervals, other: Intervals) -> Intervals:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return tuple((low, high) for low, high in pairs if low <= high)
