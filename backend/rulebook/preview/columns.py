"""Columns of facts: one array for each field, as small as its values allow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backend.rulebook.preview.layout import ABSENT, DOUBLE_BITS, PEOPLE, Column, Layout, Path, slot_of, storage_of
from backend.rulebook.preview.presence import presence_bits

Array = NDArray[Any]
Integers = NDArray[np.int64]


@dataclass
class Texts:
    """The free texts of columns, numbered in the order in which they were seen."""

    numbers: dict[str, int] = field(default_factory=dict[str, int])

    def number(self, text: str) -> int:
        """Return the number of a text, which is new or was seen before."""
        return self.numbers.setdefault(text, len(self.numbers))


@dataclass
class Columns:
    """The facts of `people`, in the order of their rows.

    `arrays` are by name, as in KernelSource; `presence` has the bits of presence_bits for each person.
    """

    layout: Layout
    people: int
    arrays: dict[str, Array]
    presence: Integers
    texts: Texts

    @property
    def size_bytes(self) -> int:
        """Return the memory of all arrays."""
        return self.presence.nbytes + sum(array.nbytes for array in self.arrays.values())


def columns_of(layout: Layout, tables: Sequence[Integers], texts: Texts) -> Columns:
    """Return the columns of tables of rows, which are copied. `tables[n][row, slot]` is a slot of the layout."""
    arrays: dict[str, Array] = {}
    for table, rows in zip(layout.tables, tables, strict=True):
        for column in table.columns:
            _add_column(arrays, column, rows[:, column.slot])
    return Columns(layout, len(tables[PEOPLE]), arrays, _presence(layout, tables[PEOPLE]), texts)


def _add_column(arrays: dict[str, Array], column: Column, slots: Integers) -> None:
    match column.form:
        case "count":
            offsets = np.zeros(len(slots) + 1, dtype=np.int32)
            np.cumsum(slots.astype(np.int32), dtype=np.int32, out=offsets[1:])  # numpy is slow to convert meanwhile
            arrays[f"o_{column.name}"] = offsets
            return
        case "presence":
            arrays[f"h_{'__'.join(column.path[:-1])}"] = (slots == 1).astype(np.int8)
            return
        case "double":
            values: Array = (slots ^ DOUBLE_BITS).view(np.float64)
        case "word" | "bool" | "text":
            values = np.where(slots == ABSENT, -1, slots).astype(storage_of(column))
        case "int" if column.optional:
            values = np.where(slots == ABSENT, max(column.low, 0), slots).astype(storage_of(column))
        case _:
            values = slots.astype(storage_of(column))
    arrays[f"c_{column.name}"] = values
    if column.optional and column.form in ("int", "double"):
        arrays[f"h_{column.name}"] = (slots != ABSENT).astype(np.int8)


def _presence(layout: Layout, people: Integers) -> Integers:
    bits = np.zeros(len(people), dtype=np.int64)
    for name, bit in presence_bits(layout.facts).items():
        column = layout.columns.get((name, "?")) or layout.columns.get((name,))
        if column is not None:
            held = people[:, column.slot]
            bits |= (held != (0 if _is_number(column) else ABSENT)).astype(np.int64) << bit
    return bits


def _is_number(column: Column) -> bool:
    return column.form in ("count", "presence")


def columns_of_facts(layout: Layout, people: Iterable[Struct]) -> Columns:
    """Return the columns of facts that are objects, such as those derived from several documents."""
    rows: list[list[list[int]]] = [[] for _ in layout.tables]
    texts = Texts()
    for facts in people:
        _append_row(layout, rows, PEOPLE, facts, (), texts)
    tables = [
        np.array(found, dtype=np.int64).reshape(len(found), len(table.columns))
        for found, table in zip(rows, layout.tables, strict=True)
    ]
    return columns_of(layout, tables, texts)


def _append_row(
    layout: Layout, rows: list[list[list[int]]], table: int, owner: object, path: Path, texts: Texts
) -> None:
    row = [ABSENT] * len(layout.tables[table].columns)
    rows[table].append(row)
    for column in layout.tables[table].columns:
        row[column.slot] = _slot(layout, rows, column, owner, column.path[len(path) :], texts)


def _slot(layout: Layout, rows: list[list[list[int]]], column: Column, owner: object, names: Path, texts: Texts) -> int:
    value: Any = owner
    for name in names:
        if name == "?":
            return int(value is not None)
        if name and value is not None:
            value = getattr(value, name)
    if column.form == "count":
        table = layout.lists[column.path]
        plain = layout.tables[table].element is None
        for element in value or ():
            if plain:
                only = layout.tables[table].columns[0]
                rows[table].append([texts.number(element) if only.form == "text" else _number(element, only)])
            else:
                _append_row(layout, rows, table, element, column.path, texts)
        return len(value or ())
    if value is None:
        return ABSENT
    return texts.number(value) if column.form == "text" else _number(value, column)


def _number(value: object, column: Column) -> int:
    return slot_of(value, column.form, column.words)


def join(parts: Sequence[Columns]) -> Columns:
    """Return the people of several columns of one layout and the same texts, one after the other."""
    first = parts[0]
    arrays: dict[str, Array] = {}
    for name, array in first.arrays.items():
        held = [part.arrays[name] for part in parts]
        arrays[name] = _join_offsets(held) if name.startswith("o_") else np.concatenate(held).astype(array.dtype)
    presence = np.concatenate([part.presence for part in parts])
    return Columns(first.layout, sum(part.people for part in parts), arrays, presence, first.texts)


def _join_offsets(parts: Sequence[Array]) -> Array:
    offsets = [parts[0]]
    for part in parts[1:]:
        offsets.append(part[1:] + offsets[-1][-1])
    return np.concatenate(offsets).astype(np.int32)
