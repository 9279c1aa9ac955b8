"""What conditions can hold together: it finds rules that can never fire, never count, or contradict one another.

A condition is brought into disjunctive form over atoms (`this fact is one of these words`, `this sum lies in these
intervals`, `the list has such an element`). A combination is refused only where it is surely impossible; whatever is
not understood counts as possible, so no sound rule is ever refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from backend.rulebook.language.extreme import TURNED
from backend.rulebook.language.tree import Apply, Conditional, Constant, Key, Logic, Macro, Node, key_of, rename, walk
from backend.rulebook.language.types import RANGED, microseconds

MAX_DISJUNCTS = 32
_FAR = 2**80

Intervals = tuple[tuple[int, int], ...]
"""A set of whole numbers, as closed intervals in order."""

_EVERYTHING: Intervals = ((-_FAR, _FAR),)
_TRUE: Intervals = ((1, 1),)
_FALSE: Intervals = ((0, 0),)


@dataclass(frozen=True)
class _Words:
    """The words listed, or all but them."""

    words: frozenset[str]
    listed: bool


@dataclass(frozen=True)
class _Conjunction:
    """Atoms that hold together: numbers and words by what they are asked of; lists with and without an element."""

    numbers: dict[Key, Intervals] = field(default_factory=dict[Key, Intervals])
    words: dict[Key, _Words] = field(default_factory=dict[Key, _Words])
    present: tuple[Macro, ...] = ()
    absent: tuple[Macro, ...] = ()

    def __and__(self, other: "_Conjunction") -> "_Conjunction | None":
        numbers, words = dict(self.numbers), dict(self.words)
        for key, intervals in other.numbers.items():
            numbers[key] = _both(numbers.get(key, _EVERYTHING), intervals)
            if not numbers[key]:
                return None
        for key, found in other.words.items():
            words[key] = _both_words(words[key], found) if key in words else found
            if words[key].listed and not words[key].words:
                return None
        return _Conjunction(numbers, words, self.present + other.present, self.absent + other.absent)


Form = list[_Conjunction]


def possible(*asked: tuple[Node, bool]) -> bool:
    """Tell whether the conditions can all have the truth values that are asked of them, for all that is known."""
    form: Form = [_Conjunction()]
    for node, truth in asked:
        other = _form(node, truth=truth)
        joined = [both for one in form for two in other if (both := one & two) is not None]
        if len(joined) > MAX_DISJUNCTS * MAX_DISJUNCTS:
            return True
        form = joined
    return any(map(_lists_agree, form))


def subjects(node: Node) -> frozenset[Key]:
    """Give what a condition asks about; two conditions that share nothing cannot imply one another."""
    found = {key for part in _form(node, truth=True) for key in (*part.numbers, *part.words)}
    lists = {key_of(part.source) for part in walk(node) if isinstance(part, Macro)}
    return frozenset(found | lists)


def _lists_agree(part: _Conjunction) -> bool:
    """Tell that no list must hold an element that cannot be, or that another condition says it does not hold."""
    for macro in part.present:
        assert macro.test is not None
        if not possible((macro.test, True)):
            return False
        for other in part.absent:
            if key_of(other.source) != key_of(macro.source):
                continue
            assert other.test is not None
            if not possible((macro.test, True), (rename(other.test, other.variable, macro.variable), False)):
                return False
    return True


def _form(node: Node, *, truth: bool) -> Form:
    """Bring a condition, or its contrary, into disjunctive form; one that is too large becomes opaque."""
    form = _split(node, truth=truth)
    return form if len(form) <= MAX_DISJUNCTS else [_opaque(node, truth=truth)]


def _split(node: Node, *, truth: bool) -> Form:
    match node:
        case Constant():
            return [_Conjunction()] if node.value is truth else []
        case Apply(name="!_"):
            return _form(node.arguments[0], truth=not truth)
        case Logic():
            left, right = _form(node.left, truth=truth), _form(node.right, truth=truth)
            return _product(left, right) if (node.operator == "&&") is truth else left + right
        case Conditional():
            chosen = _product(_form(node.condition, truth=True), _form(node.chosen, truth=truth))
            return chosen + _product(_form(node.condition, truth=False), _form(node.other, truth=truth))
        case Macro(name="exists"):
            return [_Conjunction(present=(node,)) if truth else _Conjunction(absent=(node,))]
        case Apply():
            return [_words_atom(node, truth=truth) or _number_atom(node, truth=truth) or _opaque(node, truth=truth)]
        case _:
            return [_opaque(node, truth=truth)]


def _product(left: Form, right: Form) -> Form:
    return [both for one in left for two in right if (both := one & two) is not None]


def _opaque(node: Node, *, truth: bool) -> _Conjunction:
    return _Conjunction(numbers={key_of(node): _TRUE if truth else _FALSE})


# ── words ──


def _words_atom(node: Apply, *, truth: bool) -> _Conjunction | None:
    """Understand `fact == "word"`, `fact != "word"` and `fact in ["word", ...]`."""
    if node.name not in ("_==_", "_!=_", "_in_"):
        return None
    asked, constant = node.arguments
    if isinstance(asked, Constant) and node.name != "_in_":
        asked, constant = constant, asked
    if asked.type.kind != "string" or not isinstance(constant, Constant):
        return None
    listed = (node.name != "_!=_") is truth
    words = frozenset(cast("Sequence[str]", constant.value) if node.name == "_in_" else [constant.value])
    if not listed and asked.type.words is not None:
        words, listed = frozenset(asked.type.words) - words, True
    return _Conjunction(words={key_of(asked): _Words(words, listed)})


def _both_words(one: _Words, other: _Words) -> _Words:
    if one.listed and other.listed:
        return _Words(one.words & other.words, listed=True)
    if one.listed:
        return _Words(one.words - other.words, listed=True)
    if other.listed:
        return _Words(other.words - one.words, listed=True)
    return _Words(one.words | other.words, listed=False)


# ── numbers, instants and durations ──


def _number_atom(node: Apply, *, truth: bool) -> _Conjunction | None:
    """Understand a comparison of sums: all that varies goes to the left, all that is constant to the right."""
    sign = node.name.strip("_")
    if sign not in TURNED or node.arguments[0].type.kind not in RANGED:
        return None
    if node.arguments[1].type.kind != node.arguments[0].type.kind:
        return None
    terms: dict[Key, int] = {}
    constant = _add(terms, node.arguments[0], 1) + _add(terms, node.arguments[1], -1)
    varying = sorted(((repr(key), key, factor) for key, factor in terms.items() if factor), key=lambda term: term[0])
    if not varying:
        return None
    if varying[0][2] < 0:
        sign, constant = TURNED[sign], -constant
        varying = [(text, key, -factor) for text, key, factor in varying]
    subject = ("sum", *((key, factor) for _, key, factor in varying))
    holds = _interval(sign, -constant)
    return _Conjunction(numbers={subject: holds if truth else _complement(holds)})


def _add(terms: dict[Key, int], node: Node, factor: int) -> int:
    """Add a sum's varying terms to `terms`, and give its constant part."""
    if isinstance(node, Constant):
        value = node.value
        return factor * (value if isinstance(value, int) else microseconds(value))
    if isinstance(node, Apply) and node.name in ("_+_", "_-_"):
        left, right = node.arguments
        return _add(terms, left, factor) + _add(terms, right, factor if node.name == "_+_" else -factor)
    key = key_of(node)
    terms[key] = terms.get(key, 0) + factor
    return 0


def _interval(sign: str, bound: int) -> Intervals:
    match sign:
        case "<":
            return ((-_FAR, bound - 1),)
        case "<=":
            return ((-_FAR, bound),)
        case ">":
            return ((bound + 1, _FAR),)
        case ">=":
            return ((bound, _FAR),)
        case "==":
            return ((bound, bound),)
        case _:
            return _complement(((bound, bound),))


def _complement(intervals: Intervals) -> Intervals:
    ends = [-_FAR - 1, *(end for low, high in intervals for end in (low, high)), _FAR + 1]
    gaps = zip(ends[::2], ends[1::2], strict=True)
    return tuple((before + 1, after - 1) for before, after in gaps if before + 1 <= after - 1)


def _both(one: Intervals, other: Intervals) -> Intervals:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return tuple((low, high) for low, high in pairs if low <= high)
