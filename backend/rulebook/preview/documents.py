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

NAME_AT, NAME_LENGTH, KIND, SLOT, TARGET, WORDS, WORDS_END = range(7)
"""The columns of `fields`. The target of a Struct is its number, that of a list its table."""

FIRST, END = range(2)
"""The columns of `structs`: its fields, from the first to before the end."""

ELEMENT_KIND, ELEMENT_STRUCT, ELEMENT_WORDS, ELEMENT_WORDS_END, STRIDE, TEMPLATE = range(6)
"""The columns of `tables`; at TEMPLATE in `templates` begins the row in which no field was found yet."""

_KINDS: dict[Form, int] = {
    "instant": INSTANT,
    "int": INTEGER,
    "double": DOUBLE,
    "bool": BOOL,
    "word": WORD,
    "text": TEXT,
    "place": TEXT,
}

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
    templates: Integers

    @property
    def numbers(self) -> tuple[Bytes, Integers, Integers, Integers, Integers, Integers]:
        """Return the tables as the readers take them."""
        return self.names, self.fields, self.structs, self.words, self.tables, self.templates


@dataclass
class _Tables:
    """The tables while they are made."""

    encoding: Encoding
    layout: Layout
    names: bytearray = field(default_factory=bytearray)
    fields: list[list[int]] = field(default_factory=list[list[int]])
    structs: list[list[int]] = field(default_factory=list[list[int]])
    words: list[list[int]] = field(default_factory=list[list[int]])

    def name(self, text: str) -> tuple[int, int]:
        """Add a name; those of BSON end with a zero byte."""
        encoded = text.encode() + (b"\0" if self.encoding == "bson" else b"")
        self.names += encoded
        return len(self.names) - len(encoded), len(encoded)

    def vocabulary(self, words: Sequence[str]) -> tuple[int, int]:
        """Add the words of a field."""
        begin = len(self.words)
        for word in words:
            encoded = word.encode()
            self.words.append([len(self.names), len(encoded)])
            self.names += encoded
        return begin, len(self.words)

    def struct(self, described: Sequence[tuple[str, list[int]]]) -> int:
        """Add a Struct with its fields, each with what follows NAME_LENGTH, and return its number."""
        begin = len(self.fields)
        for name, what in described:
            self.fields.append([*self.name(name), *what])
        self.structs.append([begin, len(self.fields)])
        return len(self.structs) - 1


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
            described.append((name, [STRUCT, -1, facts, 0, 0]))
        else:
            described.append((name, _outside(tables, (info.name,), others)))
    tables.structs[0] = tables.structs.pop() if tables.struct(described) else [0, 0]
    return _finished(tables)


def _outside(tables: _Tables, path: Path, others: Sequence[Path]) -> list[int]:
    """Return a field of the document that is not one of the facts."""
    column = tables.layout.columns.get(path) if path in others else None
    if column is None:
        return [SKIP, -1, -1, 0, 0]
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
    return [SKIP, -1, -1, 0, 0]


def _leaf(tables: _Tables, column: Column) -> list[int]:
    if column.form not in _KINDS:
        raise UnsupportedLayout(f"{column.name} is a {column.form}")
    return [_KINDS[column.form], column.slot, -1, *tables.vocabulary(column.words)]


def _list(tables: _Tables, column: Column) -> list[int]:
    return [LIST, column.slot, tables.layout.lists[column.path], 0, 0]


def _finished(tables: _Tables) -> Reading:
    layout = tables.layout
    rows: list[list[int]] = []
    templates: list[int] = []
    for number, table in enumerate(layout.tables):
        kind, struct, words = STRUCT, 0, (0, 0)
        if number != PEOPLE and table.element is not None:
            struct = _struct(tables, table.element, table.path)
        elif number != PEOPLE:
            kind, _, struct, *plain = _leaf(tables, table.columns[0])
            words = (plain[0], plain[1])
        rows.append([kind, struct, *words, len(table.columns), len(templates)])
        templates += layout.defaults(number)
    return Reading(
        tables.encoding,
        layout,
        np.frombuffer(bytes(tables.names), dtype=np.uint8),
        np.array(tables.fields, dtype=np.int64).reshape(-1, 7),
        np.array(tables.structs, dtype=np.int64),
        np.array(tables.words, dtype=np.int64).reshape(-1, 2),
        np.array(rows, dtype=np.int64),
        np.array(templates, dtype=np.int64),
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
