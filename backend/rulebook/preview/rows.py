"""What both readers of documents share: rows in one pool of numbers, and the names of fields."""

from backend.rulebook.preview.documents import (
    CAPACITY,
    DEFAULT,
    ELEMENT_KIND,
    ELEMENT_SLOT,
    ELEMENT_STRUCT,
    ELEMENT_WORDS,
    ELEMENT_WORDS_END,
    FIRST,
    KEY_AT,
    KEY_BEGIN,
    KEY_LENGTH,
    KEY_MASK,
    KIND,
    ROWS,
    SKIP,
    SLOT,
    STRUCT,
    TARGET,
    WIDTH,
    WORD_AT,
    WORD_BEGIN,
    WORD_LENGTH,
    WORD_MASK,
    WORDS,
    WORDS_END,
    Bytes,
    Integers,
)
from backend.rulebook.preview.documents import END as STRUCT_END
from backend.rulebook.preview.jit import assume, compiled, inlined, int64, uint8

FITS, FULL, UNFIT = 0, 1, 2
"""A document fits; the pool is full; or it is not what its kind promises."""

MAX_DEPTH = 16
MISSING = -(2**63)

Numbers = tuple[Bytes, Integers, Integers, Integers, Integers]
"""Names, fields, structs, words and tables of a Reading."""

ROW, LIMIT, FIELD, STRUCTURE, LIST_TABLE, COUNT = range(6)
"""The columns of a frame, in which a reader keeps where it is in a document while it reads what is within: the row in
the pool, where the Struct or list ends or what is left of it, the field that is expected next, the Struct, the table of
the list (-1 for a Struct), and the slot that counts the list's elements."""


@inlined
def new_row(table: int, room: Integers) -> int:
    """Return the number of a new row of a table, or -1 if there is no room for it."""
    row = room[table, ROWS]
    if row >= room[table, CAPACITY]:
        return -1
    room[table, ROWS] = row + 1
    return row


@inlined
def put_defaults(fields: Integers, first: int, end: int, row: int, pool: Integers) -> None:
    """Put the defaults of some fields, which were not found where they were expected, into a row."""
    for field in range(first, end):
        if fields[field, KIND] not in (SKIP, STRUCT):
            pool[fields[field, SLOT] + row] = fields[field, DEFAULT]


@inlined
def begin_at(buffer: Bytes, at: int) -> int:
    """Return the next 8 bytes as a number, the least significant first; those after the end are zeros."""
    if at + WIDTH <= len(buffer):
        return int64(buffer, at)
    value = 0
    for k in range(len(buffer) - at):
        value |= uint8(buffer, at + k) << (8 * k)
    return value


@inlined
def same_bytes(buffer: Bytes, at: int, names: Bytes, name: int, length: int) -> bool:
    """Return whether a name, or a word, is in the buffer at this place."""
    while length > 0:
        different = begin_at(buffer, at) ^ int64(names, name)
        if length < WIDTH:
            different &= (1 << (8 * length)) - 1
        if different != 0:
            return False
        at += WIDTH
        name += WIDTH
        length -= WIDTH
    return True


@inlined
def word_at(buffer: Bytes, at: int, length: int, names: Bytes, words: Integers, first: int, end: int) -> int:
    """Return the place of a word among the words of its field, or -1."""
    begin = begin_at(buffer, at)
    for word in range(first, end):
        if (
            words[word, WORD_LENGTH] == length
            and (begin ^ words[word, WORD_BEGIN]) & words[word, WORD_MASK] == 0
            and (length <= WIDTH or same_bytes(buffer, at + WIDTH, names, words[word, WORD_AT] + WIDTH, length - WIDTH))
        ):
            return word - first
    return -1


@inlined
def is_key(buffer: Bytes, at: int, names: Bytes, fields: Integers, field: int) -> bool:
    """Return whether the key of a field is in the buffer at this place."""
    if (begin_at(buffer, at) ^ fields[field, KEY_BEGIN]) & fields[field, KEY_MASK] != 0:
        return False
    length = fields[field, KEY_LENGTH]
    return length <= WIDTH or same_bytes(buffer, at + WIDTH, names, fields[field, KEY_AT] + WIDTH, length - WIDTH)


@compiled
def search(buffer: Bytes, at: int, names: Bytes, fields: Integers, first: int, end: int) -> int:
    """Return the field whose key is in the buffer, from the first to before the end, or -1."""
    for field in range(first, end):
        if is_key(buffer, at, names, fields, field):
            return field
    return -1


@inlined
def field_at(
    buffer: Bytes, at: int, names: Bytes, fields: Integers, structs: Integers, struct: int, expected: int
) -> int:
    """Return the field of a Struct whose key is in the buffer, or -1. Most often it is the expected one."""
    if expected < structs[struct, STRUCT_END] and is_key(buffer, at, names, fields, expected):
        return expected
    return search(buffer, at, names, fields, structs[struct, FIRST], structs[struct, STRUCT_END])


@inlined
def element_of(tables: Integers, table: int, row: int) -> tuple[int, int, int, int, int]:
    """Return the kind, Struct, slot and words, from the first to before the end, of an element of a list."""
    slot = tables[table, ELEMENT_SLOT] + row
    assume(slot >= 0)
    first, end = tables[table, ELEMENT_WORDS], tables[table, ELEMENT_WORDS_END]
    return tables[table, ELEMENT_KIND], tables[table, ELEMENT_STRUCT], slot, first, end


@inlined
def value_of_field(fields: Integers, field: int, row: int) -> tuple[int, int, int, int, int]:
    """Return the same of a field; the second is its Struct or table."""
    slot = fields[field, SLOT] + row
    assume(slot >= 0)
    return fields[field, KIND], fields[field, TARGET], slot, fields[field, WORDS], fields[field, WORDS_END]


@inlined
def leave(
    frames: Integers, depth: int, row: int, limit: int, expected: int, struct: int, table: int, count: int
) -> None:
    """Keep where the reader is, before it reads what is within."""
    frames[depth, ROW], frames[depth, LIMIT], frames[depth, FIELD] = row, limit, expected
    frames[depth, STRUCTURE], frames[depth, LIST_TABLE], frames[depth, COUNT] = struct, table, count


@inlined
def resume(frames: Integers, depth: int) -> tuple[int, int, int, int, int, int]:
    """Return where the reader was."""
    row, limit, expected = frames[depth, ROW], frames[depth, LIMIT], frames[depth, FIELD]
    return row, limit, expected, frames[depth, STRUCTURE], frames[depth, LIST_TABLE], frames[depth, COUNT]
