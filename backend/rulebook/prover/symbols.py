"""Symbolic facts: one person of whom nothing is known but the types of the facts.

A fact is a variable of the solver, made when a rule reads it: an instant or a duration in whole microseconds, a word as
a number, an optional fact with a variable for its presence, and a list as a bounded number of elements with a length.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, cast

import msgspec
from msgspec import Struct, inspect

from backend.rulebook.language.types import TIMESTAMP, Type, fields_of, microseconds
from backend.rulebook.prover.calendar import Calendar
from backend.rulebook.prover.smt import Term, boolean, conj, disj, integer, neg, real


@dataclass
class Words:
    """Numbers for texts: those that appear in rules and facts are 0, 1, ...; a negative number is any other text."""

    numbers: dict[str, int] = field(default_factory=dict[str, int])

    def number(self, text: str) -> int:
        """Return the number of a text."""
        return self.numbers.setdefault(text, len(self.numbers))

    def text(self, number: int) -> str:
        """Return the text of a number that is not negative."""
        return list(self.numbers)[number]


@dataclass
class SymbolicList:
    """Elements, each with the condition under which the list has it; `length` is their number, if it is a variable."""

    elements: list[tuple[Term, "Value"]]
    length: Term | None = None


@dataclass
class Held:
    """The value of a field, and whether it is present; True if it is not optional."""

    present: Term
    value: "Value"


@dataclass
class SymbolicStruct:
    """A Struct whose fields are made when they are read. `path` names it, such as `facts.tests[]`."""

    space: "FactSpace"
    struct: type[Struct]
    path: str
    name: str
    fields: dict[str, Held] = field(default_factory=dict[str, Held])

    def read(self, name: str) -> Held:
        """Return a field."""
        if name not in self.fields:
            self.fields[name] = self.space.make_field(self, name)
        return self.fields[name]

    def original_facts(self) -> "SymbolicStruct | None":
        """Return the Struct of which this one is a changed copy, or None."""
        return None

    def replaced(self, name: str, value: "Value") -> "SymbolicStruct":
        """Return the same Struct with another value of one field, which is present."""
        return _Replaced(self.space, self.struct, self.path, self.name, {name: Held(True, value)}, original=self)


@dataclass
class _Replaced(SymbolicStruct):
    original: SymbolicStruct = field(kw_only=True)

    def read(self, name: str) -> Held:
        return self.fields[name] if name in self.fields else self.original.read(name)

    def original_facts(self) -> SymbolicStruct:
        return self.original


Value = Any
"""A Term, a SymbolicList or a SymbolicStruct."""


@dataclass
class OpenText:
    """A variable for a text that is not one of a closed set of words, and the values that its field accepts."""

    term: Term
    kind: inspect.Type


class FactSpace:
    """Makes the variables of facts; `sizes` are the lengths of lists by their paths, such as `facts.tests`."""

    def __init__(self, sizes: Mapping[str, int], words: Words) -> None:
        self.sizes = sizes
        self.words = words
        self.constraints: list[Term] = []
        self.calendar = Calendar(self.constraints)
        self.texts: list[OpenText] = []
        self.has_decimals = False
        self.lists: list[tuple[SymbolicList, Type]] = []
        self.unordered: set[str] = set()

    def facts(self, struct: type[Struct]) -> SymbolicStruct:
        """Return the facts about the symbolic person."""
        return SymbolicStruct(self, struct, "facts", "facts")

    def make_field(self, owner: SymbolicStruct, name: str) -> Held:
        """Make the variables of one field."""
        found = fields_of(owner.struct)[name]
        path, variable = f"{owner.path}.{name}", f"{owner.name}.{name}"
        present: Term = boolean(f"{variable}?") if found.optional else True
        return Held(present, self.make(found.type, kind_of_field(owner.struct, name), path, variable))

    def make(self, kind: Type, held: inspect.Type, path: str, name: str) -> Value:
        """Make the variables of a value of this type."""
        if kind.struct is not None:
            return SymbolicStruct(self, kind.struct, path, name)
        if kind.element is not None:
            return self._list(kind.element, held, path, name)
        if kind.kind == "bool":
            return boolean(name)
        if kind.kind == "double":
            self.has_decimals = True
            return real(name)
        term = integer(name)
        if kind.kind == "string":
            self._bound_text(kind, held, term)
        else:
            high = kind.high - 1 if kind == TIMESTAMP else kind.high  # facts are before the end of the range
            self.constraints += [term >= kind.low, term <= high]
        return term

    def _list(self, element: Type, held: inspect.Type, path: str, name: str) -> SymbolicList:
        size = self.sizes.get(path, 1)
        least = getattr(held, "min_length", None) or 0
        length = integer(f"{name}#")
        self.constraints += [length >= least, length <= size]
        inner = item_kind(held)
        made = [self.make(element, inner, f"{path}[]", f"{name}[{position}]") for position in range(size)]
        found = SymbolicList([(length > position, value) for position, value in enumerate(made)], length)
        if path not in self.unordered:
            self.lists.append((found, element))
        return found

    def _bound_text(self, kind: Type, held: inspect.Type, term: Term) -> None:
        if kind.words is not None:
            self.constraints.append(disj(term == self.words.number(word) for word in kind.words))
        else:
            self.texts.append(OpenText(term, held))

    def all_constraints(self) -> list[Term]:
        """Return what holds of the variables made so far, given the texts that appear anywhere."""
        ordered = (term for found, element in self.lists for term in _in_order(found, element))
        return [*self.constraints, *ordered, *map(self._text_is_valid, self.texts)]

    def _text_is_valid(self, text: OpenText) -> Term:
        known = [number for word, number in self.words.numbers.items() if accepts(text.kind, word)]
        return disj([text.term < 0, *(text.term == number for number in known)])


def _in_order(found: SymbolicList, element: Type) -> Iterator[Term]:
    """Yield that the elements are in order of time. Rules do not depend on their order; so fewer lists are tried."""
    if element.kind == "timestamp":
        instants = [value for _, value in found.elements]
    else:
        known = fields_of(element.struct) if element.struct is not None else {}
        dated = [name for name, held in known.items() if held.type.kind == "timestamp" and not held.optional]
        read = [name for name in dated if all(name in value.fields for _, value in found.elements)]
        instants = [value.fields[read[0]].value for _, value in found.elements] if read else []
    for position in range(1, len(instants)):
        yield disj([neg(found.elements[position][0]), instants[position - 1] <= instants[position]])


@cache
def kind_of_field(struct: type[Struct], name: str) -> inspect.Type:
    """Return how msgspec describes a field's values, without None."""
    annotation = next(found.type for found in msgspec.structs.fields(struct) if found.name == name)
    return without_metadata(inspect.type_info(annotation))


def without_metadata(kind: inspect.Type) -> inspect.Type:
    """Return a description of values without None and without what only a schema shows, such as a description."""
    if isinstance(kind, inspect.Metadata):
        return without_metadata(kind.type)
    if isinstance(kind, inspect.UnionType):
        return without_metadata(next(part for part in kind.types if not isinstance(part, inspect.NoneType)))
    return kind


def item_kind(kind: inspect.Type) -> inspect.Type:
    """Return a description of the elements of a list."""
    return without_metadata(cast("Any", kind).item_type)


def accepts(kind: inspect.Type, text: str) -> bool:
    """Return whether a field accepts a text, by its length and pattern."""
    if not isinstance(kind, inspect.StrType):
        return True
    meta = msgspec.Meta(pattern=kind.pattern, min_length=kind.min_length, max_length=kind.max_length)
    try:
        msgspec.convert(text, Annotated[str, meta])
    except msgspec.ValidationError:
        return False
    return True


def constant(value: object, words: Words) -> Value:
    """Return a value of the rule language as a term."""
    match value:
        case bool() | int():
            return value
        case float():
            return Fraction(value)
        case str():
            return words.number(value)
        case datetime() | timedelta():
            return microseconds(value)
        case list() | tuple():
            items = cast("tuple[object, ...]", value)
            return SymbolicList([(True, constant(item, words)) for item in items])
        case _:
            raise AssertionError(f"{value!r} is not a constant of the rule language")


def lists_of(value: Value, path: str) -> Iterator[tuple[str, SymbolicList]]:
    """Yield the lists within facts that were read, each with its path."""
    if isinstance(value, SymbolicStruct):
        for name, held in value.fields.items():
            yield from lists_of(held.value, f"{path}.{name}")
    elif isinstance(value, SymbolicList):
        yield path, value
        for _, element in value.elements:
            yield from lists_of(element, f"{path}[]")


def present_elements(value: Value, exists: Term) -> Iterator[Term]:
    """Yield, for each element of a list and each optional fact that was read, whether it is present."""
    if isinstance(value, SymbolicStruct):
        for held in value.fields.values():
            if held.present is not True:
                yield conj([exists, held.present])
            yield from present_elements(held.value, conj([exists, held.present]))
    elif isinstance(value, SymbolicList):
        for there, element in value.elements:
            yield conj([exists, there])
            yield from present_elements(element, conj([exists, there]))
