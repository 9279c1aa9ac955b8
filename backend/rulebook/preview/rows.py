"""What both readers of documents share: rows in one pool of numbers, and the names of fields."""

import numpy as np

from backend.rulebook.preview.documents import END as STRUCT_END
from backend.rulebook.preview.documents import FIRST, NAME_AT, NAME_LENGTH, STRIDE, STRUCT, TEMPLATE, Bytes, Integers
from backend.rulebook.preview.jit import compiled

FITS, FULL, UNFIT = 0, 1, 2
"""A document fits; the pool is full; or it is not what its kind promises."""

MAX_DEPTH = 16
MISSING = -(2**63)

Numbers = tuple[Bytes, Integers, Integers, Integers, Integers, Integers]
"""Names, fields, structs, words, tables and templates of a Reading."""

STRUCTURE, ROW, LIMIT, HINT, LIST_TABLE, COUNT = range(6)
"""The columns of a frame: the Struct being read, its row in the pool, where it ends or what is left of it, the field
that is expected next, the table of the list (-1 for a Struct), and the slot that counts the list's elements."""


@compiled
def new_row(table: int, tables: Integers, templates: Integers, pool: Integers, room: Integers) -> int:
    """Return where a new row of a table begins in the pool, or -1 if there is no room for it.

    `room` has the beginning, the capacity and the number of the rows of each table, and that before this document.
    """
    used = room[table, 2]
    if used >= room[table, 1]:
        return -1
    stride = tables[table, STRIDE]
    row = room[table, 0] + used * stride
    template = tables[table, TEMPLATE]
    for slot in range(stride):
        pool[row + slot] = templates[template + slot]
    room[table, 2] = used + 1
    return row


@compiled
def wide(byte: np.uint8) -> int:
    """Return a byte as a number of 64 bits, which shifts do not overflow."""
    return np.int64(byte)  # pyright: ignore[reportReturnType]  it is read as an int


@compiled
def same_bytes(buffer: Bytes, at: int, names: Bytes, name: int, length: int) -> bool:
    """Return whether a name, or a word, is in the buffer at this place."""
    for k in range(length):  # noqa: SIM110  a generator would be an object
        if buffer[at + k] != names[name + k]:
            return False
    return True


@compiled
def word_at(buffer: Bytes, at: int, length: int, names: Bytes, words: Integers, first: int, end: int) -> int:
    """Return the place of a word among the words of its field, or -1."""
    for word in range(first, end):
        if words[word, 1] == length and same_bytes(buffer, at, names, words[word, 0], length):
            return word - first
    return -1


@compiled
def field_at(
    buffer: Bytes, at: int, length: int, names: Bytes, fields: Integers, structs: Integers, frames: Integers, depth: int
) -> int:
    """Return the field of a frame's Struct with the name in the buffer, or -1. Most often it is the expected one."""
    struct, hint = frames[depth, STRUCTURE], frames[depth, HINT]
    end = structs[struct, STRUCT_END]
    if (
        hint < end
        and fields[hint, NAME_LENGTH] == length
        and same_bytes(buffer, at, names, fields[hint, NAME_AT], length)
    ):
        frames[depth, HINT] = hint + 1
        return hint
    for candidate in range(structs[struct, FIRST], end):
        if fields[candidate, NAME_LENGTH] == length and same_bytes(
            buffer, at, names, fields[candidate, NAME_AT], length
        ):
            frames[depth, HINT] = candidate + 1
            return candidate
    return -1


@compiled
def enter(frames: Integers, depth: int, kind: int, row: int, first: int, target: int, limit: int) -> None:
    """Begin to read a Struct, whose `first` field is expected next, or a list, whose length is in the slot `first`."""
    frames[depth, ROW] = row
    frames[depth, LIMIT] = limit
    if kind == STRUCT:
        frames[depth, STRUCTURE] = target
        frames[depth, HINT] = first
        frames[depth, LIST_TABLE] = -1
    else:
        frames[depth, LIST_TABLE] = target
        frames[depth, COUNT] = first
