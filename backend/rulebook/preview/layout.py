"""Which columns a rule module needs: one for each field that its rules read, at any depth of lists.

Each list of the facts is a table; a person, and each element of a list, is a row of 64-bit slots. A row holds its
plain fields and the lengths of its lists, so the elements of a list follow one another in the order of their owners.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, cast

import msgspec
import numpy as np
from msgspec import NODEFAULT, Struct

from backend.rulebook.language.tree import Field as Read
from backend.rulebook.language.tree import Has, Node, walk
from backend.rulebook.language.types import Field, Type, fields_of, microseconds

ABSENT = -(2**63)
"""The slot of a field without a value."""

DOUBLE_BITS = 0x7FF8_0000_0000_0001
"""The slot of a decimal number is its bits, with these ones inverted: so -0.0 is not ABSENT, and no number is."""

PEOPLE = 0
"""The table of the people themselves."""

Path = tuple[str, ...]
Mentioned = frozenset[tuple[type[Struct], str]]
Form = Literal["instant", "duration", "int", "double", "bool", "word", "text", "place", "count", "presence"]

FORMS: dict[str, Form] = {
    "timestamp": "instant",
    "duration": "duration",
    "int": "int",
    "double": "double",
    "bool": "bool",
}


class UnsupportedLayout(Exception):
    """The facts have a form that columns do not hold, such as a Struct encoded as an array."""


@dataclass(frozen=True)
class Column:
    """A field of a table: where its value is in a row, and which words it has.

    `default` is the slot of a document that does not have the field; None if every document must have it.
    """

    path: Path
    form: Form
    table: int
    slot: int
    optional: bool
    default: int | None = None
    words: tuple[str, ...] = ()
    low: int = 0
    high: int = 0

    @property
    def name(self) -> str:
        """Return the name of the column in the source of a kernel."""
        return "__".join(self.path)


@dataclass
class Table:
    """The people, or the elements of one list; `element` is None for a list of plain values."""

    path: Path
    owner: int
    element: type[Struct] | None
    columns: list[Column] = field(default_factory=list[Column])


@dataclass
class Layout:
    """The tables and columns of facts; `columns` and `lists` are by path."""

    facts: type[Struct]
    tables: list[Table]
    columns: dict[Path, Column]
    lists: dict[Path, int]

    def defaults(self, table: int) -> list[int]:
        """Return a row of a table in which no field was found yet."""
        return [ABSENT if column.default is None else column.default for column in self.tables[table].columns]


def mentioned_by(conditions: Iterable[Node]) -> Mentioned:
    """Return the fields that conditions read, each with its Struct."""
    return frozenset(
        (node.operand.type.struct, node.name)
        for condition in conditions
        for node in walk(condition)
        if isinstance(node, Read | Has) and node.operand.type.struct is not None
    )


def all_fields(struct: type[Struct]) -> Mentioned:
    """Return all fields of a Struct of facts, so that columns answer every draft."""
    found: set[tuple[type[Struct], str]] = set()
    for name, described in fields_of(struct).items():
        found.add((struct, name))
        for inner in _structs_in(described.type):
            found |= all_fields(inner)
    return frozenset(found)


def _structs_in(type_: Type) -> Iterator[type[Struct]]:
    if type_.struct is not None:
        yield type_.struct
    if type_.element is not None:
        yield from _structs_in(type_.element)


def layout_of(facts: type[Struct], mentioned: Mentioned) -> Layout:
    """Return the columns for the mentioned fields of facts. Raises UnsupportedLayout."""
    layout = Layout(facts, [Table((), -1, facts)], {}, {})
    _add_fields(layout, PEOPLE, facts, (), mentioned)
    return layout


def add_column(layout: Layout, column: Column) -> Column:
    """Add a column that no rule reads, such as the revision of the document, at the end of its table."""
    table = layout.tables[column.table]
    placed = replace(column, slot=len(table.columns))
    table.columns.append(placed)
    layout.columns[column.path] = placed
    return placed


def add_table(layout: Layout, path: Path, owner: int, element: type[Struct] | None) -> int:
    """Add the table of a list, whose length is a column of its owner."""
    layout.tables.append(Table(path, owner, element))
    number = len(layout.tables) - 1
    layout.lists[path] = number
    add_column(layout, Column(path, "count", owner, 0, optional=False, default=0))
    return number


def _add_fields(layout: Layout, table: int, struct: type[Struct], path: Path, mentioned: Mentioned) -> None:
    if struct.__struct_config__.array_like:
        raise UnsupportedLayout(f"{struct.__name__} is encoded as an array")
    described = fields_of(struct)
    for info in msgspec.structs.fields(struct):
        if (struct, info.name) in mentioned:
            default = _default_of(info)
            _add_field(layout, table, (*path, info.name), described[info.name], default, mentioned)


def _add_field(layout: Layout, table: int, path: Path, described: Field, default: object, mentioned: Mentioned) -> None:
    type_ = described.type
    if type_.kind == "list":
        if described.optional:
            add_column(layout, Column((*path, "?"), "presence", table, 0, optional=False, default=0))
        _add_list(layout, table, path, type_, mentioned)
    elif type_.struct is not None:
        if described.optional:
            add_column(layout, Column((*path, "?"), "presence", table, 0, optional=False, default=0))
        _add_fields(layout, table, type_.struct, path, mentioned)
    else:
        if type_.kind == "int" and described.optional and type_.low == ABSENT:
            raise UnsupportedLayout(f"{'.'.join(path)} may be absent, or the smallest number of 64 bits")
        add_column(layout, column_of(path, type_, table, optional=described.optional, default=default))


def _add_list(layout: Layout, owner: int, path: Path, type_: Type, mentioned: Mentioned) -> None:
    element = type_.element
    assert element is not None
    if element.kind == "list":
        raise UnsupportedLayout(f"{'.'.join(path)} is a list of lists")
    table = add_table(layout, path, owner, element.struct)
    if element.struct is not None:
        _add_fields(layout, table, element.struct, path, mentioned)
    else:
        add_column(layout, column_of((*path, ""), element, table, optional=False, default=NODEFAULT))


def column_of(path: Path, type_: Type, table: int, *, optional: bool, default: object) -> Column:
    """Return the column of a plain field."""
    form: Form = FORMS.get(type_.kind) or ("word" if type_.words else "text")
    words = type_.words or ()
    slot = None if default is NODEFAULT else ABSENT if default is None else slot_of(default, form, words)
    return Column(path, form, table, 0, optional, slot, words, type_.low, type_.high)


def slot_of(value: Any, form: Form, words: tuple[str, ...] = ()) -> int:  # noqa: ANN401  a value of any fact
    """Return a value as the 64 bits of its slot. Texts have none: columns number them."""
    match form:
        case "instant" | "duration":
            return microseconds(cast("datetime | timedelta", value))
        case "double":
            return int(np.float64(value).view(np.int64)) ^ DOUBLE_BITS
        case "word":
            return words.index(value)
        case "text":
            raise UnsupportedLayout("a text with a default")
        case _:
            return int(value)


def _default_of(info: msgspec.structs.FieldInfo) -> object:
    """Return the default of a field; of a list it does not matter, since a row has no elements before they are read."""
    if info.default_factory is not NODEFAULT:
        return info.default_factory()
    return info.default


SMALL = 127


def storage_of(column: Column) -> str:
    """Return the numpy type in which a column is kept."""
    match column.form:
        case "bool" | "presence":
            return "int8"
        case "word":
            return "int8" if len(column.words) <= SMALL else "int32"
        case "text":
            return "int32"
        case "double":
            return "float64"
        case "int":
            fits = (name for name in ("int8", "int16", "int32") if _fits(column, name))
            return next(fits, "int64")
        case _:
            return "int64"


def _fits(column: Column, name: str) -> bool:
    limits = np.iinfo(name)
    return int(limits.min) <= column.low and column.high <= int(limits.max)
