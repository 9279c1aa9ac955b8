"""How stored documents are read into rows without decoding objects: tables of numbers that drive the readers.

A document is a tree of named fields; for each, the tables say where its value goes. Fields that no rule reads are
passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backend.rulebook.language.types import Type
from backend.rulebook.preview.layout import (
    ABSENT,
    PEOPLE,
    Column,
    Form,
    Layout,
    Path,
    UnsupportedLayout,
    add_column,
    add_table,
)

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Encoding = Literal["bson", "msgpack"]

SKIP, INSTANT, INTEGER, DOUBLE, BOOL, WORD, TEXT, STRUCT, LIST = range(9)

KEY_AT, KEY_LENGTH, KEY_BEGIN, KEY_MASK, KIND, TABLE, SLOT, TARGET, WORDS, WORDS_END, DEFAULT = range(11)
"""The columns of `fields`. The slot is that of a column of the table, 0 for a Struct and for what no rule reads. The
target of a Struct is its number, that of a list its table. The default is the slot of a document without the field.

A key is a name as it is encoded. KEY_BEGIN are its first 8 bytes as a number, of which KEY_MASK has those that count.
"""

WORD_AT, WORD_LENGTH, WORD_BEGIN, WORD_MASK = range(4)
"""The columns of `words`, likewise."""

WIDTH = 8
"""Names and words are compared by so many bytes at once, so their array ends with as many zeros."""

FIRST, END = range(2)
"""The columns of `structs`: its fields, from the first to before the end."""

ELEMENT_KIND, ELEMENT_STRUCT, ELEMENT_WORDS, ELEMENT_WORDS_END, ELEMENT_SLOT = range(5)
"""The columns of `tables`."""

_KINDS: dict[Form, int] = {
    "instant": INSTANT,
    "int": INTEGER,
    "double": DOUBLE,
    "bool": BOOL,
    "word": WORD,
    "text": TEXT,
    "place": TEXT,
}

_SKIPPED = (SKIP, PEOPLE, 0, -1, 0, 0, 0)
"""What is said of a field that no rule reads."""

ID: Path = ("id",)
TEXT_BITS = 24
"""A text in a row is where it begins in the batch, followed by these bits for its length."""


class UnreadableDocument(Exception):
    """A stored document is not what its kind promises; the message is its beginning, with its id."""


@dataclass(frozen=True)
class Reading:
    """The tables of one kind of document in one encoding."""

    encoding: Encoding
    layout: Layout
    names: Bytes
    fields: Integers
    structs: Integers
    words: Integers
    tables: Integers

    def pool(self, people: int, elements: int) -> "Pool":
        """Return columns with room for so many people, and for so many elements of each list."""
        capacities = np.array([people, *[elements] * (len(self.layout.tables) - 1)])
        widths = np.array([len(table.columns) for table in self.layout.tables])
        begins = np.cumsum([0, *capacities * widths])
        fields, tables = self.fields.copy(), self.tables.copy()
        is_read = ~np.isin(fields[:, KIND], (SKIP, STRUCT))
        table = fields[is_read, TABLE]
        fields[is_read, SLOT] = begins[table] + fields[is_read, SLOT] * capacities[table]
        tables[:, ELEMENT_SLOT] = begins[:-1]
        room = np.zeros((len(capacities), 3), dtype=np.int64)
        room[:, CAPACITY] = capacities
        numbers = np.empty(begins[-1], dtype=np.int64)
        return Pool(self.layout, begins, (self.names, fields, self.structs, self.words, tables), numbers, room)


CAPACITY, ROWS, ROWS_BEFORE = range(3)
"""The columns of `room`: how many rows a table may have, how many it has, and how many before this document."""


@dataclass(frozen=True)
class Pool:
    """The columns into which documents are read, one after the other in an array of numbers.

    In `reading`, the tables of a Reading, a slot is where its column begins.
    """

    layout: Layout
    begins: Integers
    reading: tuple[Bytes, Integers, Integers, Integers, Integers]
    numbers: Integers
    room: Integers

    def clear(self) -> None:
        """Remove all rows. A person then has the defaults of all fields, an element gets them when it is read."""
        self.room[:, ROWS] = 0
        self.columns(PEOPLE)[:] = np.array(self.layout.defaults(PEOPLE), dtype=np.int64)[:, None]

    def columns(self, table: int) -> Integers:
        """Return the columns of a table, with its whole room."""
        part = self.numbers[self.begins[table] : self.begins[table + 1]]
        return part.reshape(-1, self.room[table, CAPACITY])

    def rows(self, table: int) -> Integers:
        """Return the rows of a table, to be indexed by row and slot."""
        return self.columns(table)[:, : self.room[table, ROWS]].T


@dataclass
class _Tables:
    """The tables while they are made."""

    encoding: Encoding
    layout: Layout
    names: bytearray = field(default_factory=bytearray)
    fields: list[list[int]] = field(default_factory=list[list[int]])
    structs: list[list[int]] = field(default_factory=list[list[int]])
    words: list[list[int]] = field(default_factory=list[list[int]])

    def key(self, name: str) -> list[int]:
        """Add a name as it is encoded: in BSON a zero byte ends it, in MessagePack its length comes first."""
        return self._bytes(name.encode() + b"\0" if self.encoding == "bson" else msgspec.msgpack.encode(name))

    def _bytes(self, encoded: bytes) -> list[int]:
        self.names += encoded
        begin = encoded[:WIDTH]
        return [len(self.names) - len(encoded), len(encoded), _number(begin), _number(b"\xff" * len(begin))]

    def vocabulary(self, words: Sequence[str]) -> tuple[int, int]:
        """Add the words of a field."""
        begin = len(self.words)
        self.words += [self._bytes(word.encode()) for word in words]
        return begin, len(self.words)

    def struct(self, described: Sequence[tuple[str, list[int]]]) -> int:
        """Add a Struct with its fields, each with what follows KEY_MASK, and return its number."""
        begin = len(self.fields)
        for name, what in described:
            self.fields.append([*self.key(name), *what])
        self.structs.append([begin, len(self.fields)])
        return len(self.structs) - 1


def _number(data: bytes) -> int:
    return int.from_bytes(data.ljust(WIDTH, b"\0"), "little", signed=True)


def reading_of(
    kind: type[Struct], facts_field: str, layout: Layout, encoding: Encoding, others: Sequence[Path] = ()
) -> Reading:
    """Return how documents of a kind are read, whose facts are in `facts_field`.

    `others` are columns of the layout outside of the facts, by their path in the document. Raises UnsupportedLayout.
    """
    tables = _Tables(encoding, layout)
    tables.structs.append([0, 0])  # the document; its fields are added last, but readers begin with it
    facts = _struct(tables, layout.facts, ())
    described: list[tuple[str, list[int]]] = []
    for info in msgspec.structs.fields(kind):
        name = "_id" if encoding == "bson" and info.name == "id" else info.encode_name
        if info.name == facts_field:
            described.append((name, [STRUCT, PEOPLE, 0, facts, 0, 0, 0]))
        else:
            described.append((name, _outside(tables, (info.name,), others)))
    tables.structs[0] = tables.structs.pop() if tables.struct(described) else [0, 0]
    return _finished(tables)


def _outside(tables: _Tables, path: Path, others: Sequence[Path]) -> list[int]:
    """Return a field of the document that is not one of the facts."""
    column = tables.layout.columns.get(path) if path in others else None
    if column is None:
        return list(_SKIPPED)
    return _list(tables, column) if column.form == "count" else _leaf(tables, column)


def _struct(tables: _Tables, struct: type[Struct], path: Path) -> int:
    described = [
        (info.encode_name, _field(tables, (*path, info.name), info.type)) for info in msgspec.structs.fields(struct)
    ]
    return tables.struct(described)


def _field(tables: _Tables, path: Path, annotation: Any) -> list[int]:  # noqa: ANN401  an annotation may be any form
    del annotation
    layout = tables.layout
    column = layout.columns.get(path)
    if column is not None and column.form == "count":
        return _list(tables, column)
    if column is not None:
        return _leaf(tables, column)
    if any(known[: len(path)] == path for known in layout.columns):
        raise UnsupportedLayout(f"{'.'.join(path)} is a Struct within the facts")
    return list(_SKIPPED)


def _leaf(tables: _Tables, column: Column) -> list[int]:
    if column.form not in _KINDS:
        raise UnsupportedLayout(f"{column.name} is a {column.form}")
    default = ABSENT if column.default is None else column.default
    return [_KINDS[column.form], column.table, column.slot, -1, *tables.vocabulary(column.words), default]


def _list(tables: _Tables, column: Column) -> list[int]:
    if (*column.path, "?") in tables.layout.columns:
        raise UnsupportedLayout(f"the list {column.name} may be absent")  # the readers would take it for absent always
    return [LIST, column.table, column.slot, tables.layout.lists[column.path], 0, 0, 0]


def _finished(tables: _Tables) -> Reading:
    layout = tables.layout
    rows: list[list[int]] = []
    for number, table in enumerate(layout.tables):
        kind, struct, words = STRUCT, 0, (0, 0)
        if number != PEOPLE and table.element is not None:
            struct = _struct(tables, table.element, table.path)
        elif number != PEOPLE:
            kind, _, _, struct, *plain = _leaf(tables, table.columns[0])
            words = (plain[0], plain[1])
        rows.append([kind, struct, *words, 0])
    return Reading(
        tables.encoding,
        layout,
        np.frombuffer(bytes(tables.names) + bytes(WIDTH), dtype=np.uint8),
        np.array(tables.fields, dtype=np.int64).reshape(-1, DEFAULT + 1),
        np.array(tables.structs, dtype=np.int64),
        np.array(tables.words, dtype=np.int64).reshape(-1, WORD_MASK + 1),
        np.array(rows, dtype=np.int64),
    )


def add_id(layout: Layout) -> None:
    """Add the id of the document to the layout."""
    add_column(layout, Column(ID, "place", PEOPLE, 0, optional=False))


def add_words_of_list(layout: Layout, path: Path, element: type[Struct], name: str, words: tuple[str, ...]) -> None:
    """Add a list outside of the facts, of which one field with known words is read, such as the history of results."""
    table = add_table(layout, path, PEOPLE, element)
    add_column(layout, Column((*path, name), "word", table, 0, optional=False, words=words))


def without_document(layout: Layout, reading: Sequence[Path]) -> Layout:
    """Return the layout without the columns outside of the facts."""
    columns = {path: column for path, column in layout.columns.items() if path not in reading}
    return replace(layout, columns=columns)


def plain_column(path: Path, type_: Type, form: Form) -> Column:
    """Return a column of the document itself, such as its revision."""
    return Column(path, form, PEOPLE, 0, optional=False, low=type_.low, high=type_.high)
