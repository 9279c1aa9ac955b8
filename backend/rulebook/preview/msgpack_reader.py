"""Rows from MessagePack, as the embedded store keeps documents, without decoding one.

https://github.com/msgpack/msgpack/blob/master/spec.md; instants are its timestamps.
"""

import numpy as np

from backend.rulebook.preview.documents import (
    BOOL,
    DOUBLE,
    END,
    FIRST,
    INSTANT,
    INTEGER,
    KEY_LENGTH,
    KIND,
    LIST,
    ROWS,
    ROWS_BEFORE,
    SKIP,
    STRUCT,
    TEXT,
    TEXT_BITS,
    WORD,
    Bytes,
    Integers,
)
from backend.rulebook.preview.jit import (
    assume,
    compiled,
    inlined,
    int64_swapped,
    uint8,
    uint16_swapped,
    uint32_swapped,
)
from backend.rulebook.preview.layout import DOUBLE_BITS
from backend.rulebook.preview.rows import (
    FITS,
    FULL,
    MAX_DEPTH,
    MISSING,
    UNFIT,
    Numbers,
    element_of,
    field_at,
    leave,
    new_row,
    put_defaults,
    resume,
    value_of_field,
    word_at,
)

NIL, FALSE, TRUE, FLOAT64 = 0xC0, 0xC2, 0xC3, 0xCB
STAMP32, STAMP64, EXTENSION8, STAMP_TYPE = 0xD6, 0xD7, 0xC7, 0xFF
TEXTS, BINARIES = 0xD9, 0xC4
ARRAYS, MAPS = 0xDC, 0xDE
SECONDS_BITS = 34
"""An instant of 8 bytes has so many bits for its seconds, after those for its nanoseconds."""


def _sizes() -> Integers:
    """Return the bytes of a value by its first byte, without its items; 0 if that does not tell, or begins no value."""
    sizes = np.zeros(256, dtype=np.int64)
    sizes[:0xA0] = sizes[0xE0:] = 1  # small integers, and small maps and arrays
    sizes[0xA0:0xC0] = 1 + np.arange(32)  # short texts
    sizes[[NIL, FALSE, TRUE]] = 1
    sizes[[0xCA, FLOAT64]] = 5, 9
    sizes[0xCC:0xD4] = [2, 3, 5, 9, 2, 3, 5, 9]  # integers of 1, 2, 4 and 8 bytes, twice
    sizes[0xD4:0xD9] = [3, 4, 6, 10, 18]  # extensions
    return sizes


def _items() -> Integers:
    """Return how many values a small map or array holds, by its first byte; of a map, keys too."""
    items = np.zeros(256, dtype=np.int64)
    items[0x80:0x90] = 2 * np.arange(16)
    items[0x90:0xA0] = np.arange(16)
    return items


SIZES, ITEMS = _sizes(), _items()


@compiled
def length_at(buffer: Bytes, at: int, size: int) -> int:
    """Return a length of 1, 2 or 4 bytes, the most significant first."""
    if size == 1:
        return uint8(buffer, at)
    return uint16_swapped(buffer, at) if size == 2 else uint32_swapped(buffer, at)  # noqa: PLR2004  bytes


@inlined
def text_at(buffer: Bytes, at: int) -> tuple[int, int]:
    """Return where the text that begins at `at` has its characters, and how many bytes; -1 if it is no text."""
    tag = uint8(buffer, at)
    if 0xA0 <= tag <= 0xBF:  # noqa: PLR2004  short texts
        return at + 1, tag & 0x1F
    if TEXTS <= tag < TEXTS + 3:
        size = 1 << (tag - TEXTS)
        return at + 1 + size, length_at(buffer, at + 1, size)
    return at, -1


@compiled
def items_at(buffer: Bytes, at: int, is_map: bool) -> tuple[int, int]:
    """Return where the first item of the array or map at `at` begins, and how many there are; -1 if it is neither."""
    tag = uint8(buffer, at)
    if tag & 0xF0 == (0x80 if is_map else 0x90):
        return at + 1, tag & 0x0F
    first = MAPS if is_map else ARRAYS
    if first <= tag < first + 2:
        size = 2 << (tag - first)
        return at + 1 + size, length_at(buffer, at + 1, size)
    return at, -1


@compiled
def after_long(buffer: Bytes, at: int) -> int:
    """Return where a value ends whose length follows its first byte; -1 for a byte that begins no such value."""
    tag = uint8(buffer, at)
    begin, length = text_at(buffer, at)
    if length >= 0:
        return begin + length
    if BINARIES <= tag < BINARIES + 3:
        size = 1 << (tag - BINARIES)
        return at + 1 + size + length_at(buffer, at + 1, size)
    if EXTENSION8 <= tag < EXTENSION8 + 3:
        size = 1 << (tag - EXTENSION8)
        return at + 2 + size + length_at(buffer, at + 1, size)
    return -1


@inlined
def after_value(buffer: Bytes, at: int) -> int:
    """Return where a value ends, with all that is in it; -1 if it is broken."""
    left = 1
    while left > 0:
        left -= 1
        if at >= len(buffer):
            return -1
        tag = uint8(buffer, at)
        size = SIZES[tag]
        if size > 0:
            at += size
            left += ITEMS[tag]
        elif ARRAYS <= tag < MAPS + 2:
            at, items = items_at(buffer, at, tag >= MAPS)
            left += items * 2 if tag >= MAPS else items
        else:
            at = after_long(buffer, at)
            if at < 0:
                return -1
    return at


@inlined
def instant_at(buffer: Bytes, at: int) -> int:
    """Return the microseconds of an instant, or MISSING if it is none."""
    tag = uint8(buffer, at)
    if tag == STAMP64 and uint8(buffer, at + 1) == STAMP_TYPE:
        both = int64_swapped(buffer, at + 2)
        nanoseconds = (both >> SECONDS_BITS) & ((1 << 30) - 1)
        return (both & ((1 << SECONDS_BITS) - 1)) * 1_000_000 + nanoseconds // 1_000
    if tag == STAMP32 and uint8(buffer, at + 1) == STAMP_TYPE:
        return uint32_swapped(buffer, at + 2) * 1_000_000
    if tag == EXTENSION8 and uint8(buffer, at + 1) == 12 and uint8(buffer, at + 2) == STAMP_TYPE:  # noqa: PLR2004  96 bits
        return int64_swapped(buffer, at + 7) * 1_000_000 + uint32_swapped(buffer, at + 3) // 1_000
    return MISSING


@compiled
def integer_at(buffer: Bytes, at: int) -> int:
    """Return an integer, or MISSING if it is none of 64 bits."""
    tag = uint8(buffer, at)
    if tag < 0x80:  # noqa: PLR2004  small and positive
        return tag
    if tag >= 0xE0:  # noqa: PLR2004  small and negative
        return tag - 256
    if 0xCC <= tag <= 0xCE:  # noqa: PLR2004  unsigned of 1, 2 and 4 bytes
        return length_at(buffer, at + 1, 1 << (tag - 0xCC))
    if tag == 0xCF:  # noqa: PLR2004  unsigned of 8 bytes
        value = int64_swapped(buffer, at + 1)
        return MISSING if value < 0 else value
    if 0xD0 <= tag <= 0xD2:  # noqa: PLR2004  signed of 1, 2 and 4 bytes
        size = 1 << (tag - 0xD0)
        value = length_at(buffer, at + 1, size)
        return value - (1 << (8 * size)) if value >> (8 * size - 1) else value
    return int64_swapped(buffer, at + 1) if tag == 0xD3 else MISSING  # noqa: PLR2004  signed of 8 bytes


@inlined
def value_of(buffer: Bytes, at: int, kind: int, names: Bytes, words: Integers, first: int, end: int) -> int:
    """Return a plain value as its slot, or MISSING if it is not of the expected type."""
    tag = uint8(buffer, at)
    if kind == INSTANT:
        return instant_at(buffer, at)
    if kind in (WORD, TEXT):
        begin, length = text_at(buffer, at)
        if length < 0:
            return MISSING
        if kind == TEXT:
            return begin << TEXT_BITS | length
        place = word_at(buffer, begin, length, names, words, first, end)
        return MISSING if place < 0 else place
    if kind == BOOL and tag in (TRUE, FALSE):
        return tag - FALSE
    if kind == INTEGER:
        return integer_at(buffer, at)
    return int64_swapped(buffer, at + 1) ^ DOUBLE_BITS if kind == DOUBLE and tag == FLOAT64 else MISSING


@compiled
def read_document(  # noqa: C901, PLR0912  one loop over bytes: calls would pass on all of its state
    buffer: Bytes, start: int, reading: Numbers, pool: Integers, room: Integers, frames: Integers
) -> int:
    """Read the document that begins at `start`; return FITS, FULL or UNFIT."""
    names, fields, structs, words, tables = reading
    row = new_row(0, room)
    if row < 0:
        return FULL
    at, left = items_at(buffer, start, True)
    if left < 0:
        return UNFIT
    struct, expected, table, count, depth = 0, structs[0, FIRST], -1, 0, 0
    while True:
        if left == 0:
            if depth == 0:
                return FITS
            depth -= 1
            put_defaults(fields, expected, expected if table >= 0 else structs[struct, END], row, pool)
            row, left, expected, struct, table, count = resume(frames, depth)
            continue
        left -= 1
        if table >= 0:
            row = new_row(table, room)
            if row < 0:
                return FULL
            pool[count] += 1
            kind, target, slot, first, end = element_of(tables, table, row)
        else:
            assume(expected >= 0)
            found = field_at(buffer, at, names, fields, structs, struct, expected)
            put_defaults(fields, expected, found, row, pool)
            expected = max(expected, found + 1)
            if found < 0 or fields[found, KIND] == SKIP:
                at = after_value(buffer, at) if found < 0 else at + fields[found, KEY_LENGTH]
                at = after_value(buffer, at) if at >= 0 else at
                if at < 0:
                    return UNFIT
                continue
            at += fields[found, KEY_LENGTH]
            kind, target, slot, first, end = value_of_field(fields, found, row)
        if uint8(buffer, at) == NIL and kind != STRUCT:
            pool[slot] = 0 if kind == LIST else MISSING
            at += 1
        elif kind in (STRUCT, LIST):
            leave(frames, depth, row, left, expected, struct, table, count)
            depth += 1
            at, left = items_at(buffer, at, kind == STRUCT)
            if left < 0 or depth == MAX_DEPTH:
                return UNFIT
            if kind == STRUCT:
                struct, expected, table = target, structs[target, FIRST], -1
            else:
                table, count = target, slot
                pool[count] = 0
        else:
            value = value_of(buffer, at, kind, names, words, first, end)
            if value == MISSING:
                return UNFIT
            pool[slot] = value
            at = after_value(buffer, at)


@compiled
def read_batch(
    buffer: Bytes,
    starts: Integers,
    begin: int,
    reading: Numbers,
    pool: Integers,
    room: Integers,
    frames: Integers,
) -> tuple[int, int]:
    """Read documents from `begin` on; return the first that was not read, and why: FITS if all were."""
    for document in range(begin, len(starts)):
        for table in range(len(room)):
            room[table, ROWS_BEFORE] = room[table, ROWS]
        status = read_document(buffer, starts[document], reading, pool, room, frames)
        if status != FITS:
            for table in range(len(room)):
                room[table, ROWS] = room[table, ROWS_BEFORE]
            return document, status
    return len(starts), FITS
