"""The types of the rule language, and how the facts' Structs map onto them.

The language is a typed profile of the Common Expression Language (CEL). The types of numbers, instants and durations
have a range, from which the checker proves that a rule cannot overflow at run time.
"""

import enum
import types
import typing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import Struct

from backend.i18n import Text

INT64 = (-(2**63), 2**63 - 1)
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

INSTANT_RANGE = (datetime(1900, 1, 1, tzinfo=UTC), datetime(2150, 1, 1, tzinfo=UTC))
"""The range of facts and `now`. Any two are closer than CEL's longest duration (2^63 ns, 292 years)."""

MAX_DURATION = timedelta(microseconds=(2**63 - 1) // 1000)
"""CEL counts durations in 64-bit nanoseconds; we count microseconds, within the same range."""

MAX_FACT_DURATION = timedelta(days=36_525)
"""A duration in the facts is at most a century."""


@dataclass(frozen=True)
class Type:
    """A type of the language: its `kind`, and its refinements.

    `low` and `high` bound an int, or the microseconds of a timestamp (since 1970) or duration. `words` are the values
    of an enum. A list has an `element`, facts have a `struct`.
    """

    kind: Literal["bool", "int", "double", "string", "timestamp", "duration", "list", "facts", "nothing"]
    low: int = 0
    high: int = 0
    words: tuple[str, ...] | None = None
    element: "Type | None" = None
    struct: type[Struct] | None = None

    @property
    def text(self) -> Text:
        """The type as authors read it."""
        return Text(zh=self._in_chinese(), en=str(self))

    def __str__(self) -> str:
        """Return the type as authors read it, in English."""
        if self.kind == "list":
            return f"list of {self.element}" if self.element and self.element.kind != "nothing" else "empty list"
        if self.struct is not None:
            return self.struct.__name__
        if self.words and len(self.words) > 1:
            return "one of " + ", ".join(map(repr, self.words))
        return self.kind

    def _in_chinese(self) -> str:
        if self.kind == "list":
            empty = self.element is None or self.element.kind == "nothing"
            return "空列表" if self.element is None or empty else f"{self.element.text.zh}的列表"
        if self.struct is not None:
            return f" {self.struct.__name__} "
        if self.words and len(self.words) > 1:
            return "词（" + "、".join(self.words) + "）"
        return _CHINESE_KINDS[self.kind]


_CHINESE_KINDS = {
    "bool": "真假值",
    "int": "整数",
    "double": "小数",
    "string": "文本",
    "timestamp": "时刻",
    "duration": "时长",
    "facts": "事实",
    "nothing": "空值",
}

BOOL = Type("bool")
INT = Type("int", *INT64)
DOUBLE = Type("double")
STRING = Type("string")
NOTHING = Type("nothing")
"""The type of the elements of `[]`."""


def microseconds(value: datetime | timedelta) -> int:
    """Return the microseconds of a duration, or of an instant since 1970."""
    return (value - EPOCH if isinstance(value, datetime) else value) // MICROSECOND


TIMESTAMP = Type("timestamp", microseconds(INSTANT_RANGE[0]), microseconds(INSTANT_RANGE[1]))
DURATION = Type("duration", -microseconds(MAX_FACT_DURATION), microseconds(MAX_FACT_DURATION))
ANY_TIMESTAMP = Type(
    "timestamp",
    microseconds(datetime.min.replace(tzinfo=UTC)),
    microseconds(datetime.max.replace(tzinfo=UTC)),
)
ANY_DURATION = Type("duration", -microseconds(MAX_DURATION), microseconds(MAX_DURATION))

NUMERIC = ("int", "double")
RANGED = ("int", "timestamp", "duration")


def list_of(element: Type) -> Type:
    """Return the type of a list of `element`s."""
    return Type("list", element=element)


def type_of_value(value: object) -> Type:
    """Return the narrowest type of a constant."""
    match value:
        case bool():
            return BOOL
        case int():
            return Type("int", value, value)
        case float():
            return DOUBLE
        case str():
            return Type("string", words=(value,))
        case datetime():
            return Type("timestamp", microseconds(value), microseconds(value))
        case timedelta():
            return Type("duration", microseconds(value), microseconds(value))
        case list() | tuple():
            elements = typing.cast("list[object]", value)
            element = NOTHING
            for item in elements:
                joined = join(element, type_of_value(item))
                assert joined is not None, "a constant list has elements of one type"
                element = joined
            return list_of(element)
        case Struct():
            return Type("facts", struct=type(value))
        case _:
            raise AssertionError(f"{value!r} is not a value of the rule language")


def join(one: Type, other: Type) -> Type | None:
    """Return the narrowest type that includes both, or None if they are of different kinds."""
    if one.kind == "nothing":
        return other
    if other.kind == "nothing":
        return one
    if one.kind != other.kind or one.struct != other.struct:
        return None
    if one.kind == "list":
        assert one.element is not None
        assert other.element is not None
        element = join(one.element, other.element)
        return None if element is None else list_of(element)
    if one.kind in RANGED:
        return replace(one, low=min(one.low, other.low), high=max(one.high, other.high))
    if one.words is not None and other.words is not None:
        return replace(one, words=tuple(dict.fromkeys(one.words + other.words)))
    return replace(one, words=None)


Unit = Literal["fen", "years", "months", "days", "minutes", "percent", "points", "persons", "times", "homes", "places"]
"""The unit of a number in the facts."""


class FactMeaning(Struct, frozen=True):
    """What a fact means to those who write rules: a phrase in Chinese and English, and the unit of a number.

    It is part of the annotation of the field: `Annotated[int, FactMeaning(zh="...", en="...", unit="months")]`.
    `labels` are what people read for its words, in their order; none if the words have no labels.
    """

    zh: str
    en: str
    unit: Unit | None = None
    labels: tuple[Text, ...] = ()

    @property
    def text(self) -> Text:
        """Return the phrase without its unit."""
        return Text(zh=self.zh, en=self.en)


@dataclass(frozen=True)
class Field:
    """A field that rules may read: its type, and whether it may be absent (then `has()` must guard it).

    A list has at most `max_length` elements, if that is not None.
    """

    type: Type
    optional: bool
    meaning: FactMeaning | None = None
    max_length: int | None = None


class UnsupportedFacts(Exception):
    """A facts Struct has a field of a type that the rule language does not support."""

    def __init__(self, message: Text) -> None:
        super().__init__(message.en)
        self.message = message


def terms_of(facts: type[Struct]) -> type[Struct] | None:
    """Return the Struct of the terms of each module on these facts, if the facts name one as `terms`."""
    terms = getattr(facts, "terms", None)
    return terms if isinstance(terms, type) and issubclass(terms, Struct) else None


@lru_cache(maxsize=1_024)
def fields_of(struct: type[Struct]) -> dict[str, Field]:
    """Return the fields of a Struct of facts or terms, by name. Raises UnsupportedFacts."""
    found: dict[str, Field] = {}
    for info in msgspec.structs.fields(struct):
        field = _field(info.type)
        if field is None:
            name = f"{struct.__name__}.{info.name}"
            raise UnsupportedFacts(
                Text(zh=f"{name}：规则不能读取 {info.type}", en=f"{name}: rules cannot read a {info.type}")
            )
        found[info.name] = field
    return found


def _field(annotation: Any) -> Field | None:  # noqa: ANN401  an annotation may be any form
    if typing.get_origin(annotation) is typing.Annotated:
        held, *notes = typing.get_args(annotation)
        found = _field(held)
        narrowed = None if found is None else _narrow(found.type, tuple(notes))
        if found is None or narrowed is None:
            return None
        meaning = next((note for note in notes if isinstance(note, FactMeaning)), found.meaning)
        lengths = [note.max_length for note in notes if isinstance(note, msgspec.Meta) and note.max_length is not None]
        max_length = min(lengths) if lengths and narrowed.kind == "list" else found.max_length
        return Field(narrowed, found.optional, meaning, max_length)
    optional = False
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        present = [part for part in typing.get_args(annotation) if part is not type(None)]
        if len(present) != 1 or len(present) == len(typing.get_args(annotation)):
            return None
        annotation, optional = present[0], True
    found = _type(annotation)
    return None if found is None else Field(found, optional)


def _type(annotation: Any) -> Type | None:  # noqa: ANN401  an annotation may be any form
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _narrow(_type(arguments[0]), arguments[1:])
    if origin is Literal:
        return Type("string", words=tuple(arguments)) if all(isinstance(word, str) for word in arguments) else None
    if origin in (list, tuple):
        if origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):  # noqa: PLR2004  tuple[X, ...]
            return None
        element = _type(arguments[0])
        return None if element is None else list_of(element)
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, enum.StrEnum):
        return Type("string", words=tuple(word.value for word in annotation))
    if issubclass(annotation, Struct):
        fields_of(annotation)
        return Type("facts", struct=annotation)
    plain: dict[Any, Type] = {
        bool: BOOL,
        int: INT,
        float: DOUBLE,
        str: STRING,
        datetime: TIMESTAMP,
        timedelta: DURATION,
    }
    return plain.get(annotation)


def _narrow(narrowed: Type | None, notes: tuple[object, ...]) -> Type | None:
    """Apply the bounds that a msgspec.Meta gives an int field."""
    for note in notes:
        if narrowed is None or narrowed.kind != "int" or not isinstance(note, msgspec.Meta):
            continue
        low = note.ge if note.ge is not None else None if note.gt is None else note.gt + 1
        high = note.le if note.le is not None else None if note.lt is None else note.lt - 1
        narrowed = replace(
            narrowed,
            low=narrowed.low if low is None else max(narrowed.low, int(low)),
            high=narrowed.high if high is None else min(narrowed.high, int(high)),
        )
    return narrowed
