"""Rows from MessagePack, as the embedded store keeps documents, without decoding one.

https://github.com/msgpack/msgpack/blob/master/spec.md; instants are its timestamps.
"""

from backend.rulebook.preview.documents import (
    BOOL,
    DOUBLE,
    ELEMENT_KIND,
    ELEMENT_STRUCT,
    ELEMENT_WORDS,
    ELEMENT_WORDS_END,
    FIRST,
    INSTANT,
    INTEGER,
    KIND,
    LIST,
    SKIP,
    SLOT,
    STRUCT,
    TARGET,
    TEXT,
    TEXT_BITS,
    WORD,
    WORDS,
    WORDS_END,
    Bytes,
    Integers,
)
from backend.rulebook.preview.jit import compiled
from backend.rulebook.preview.layout import DOUBLE_BITS
from backend.rulebook.preview.rows import (
    COUNT,
    FITS,
    FULL,
    LIMIT,
    LIST_TABLE,
    MAX_DEPTH,
    MISSING,
    ROW,
    UNFIT,
    Numbers,
    enter,
    field_at,
    new_row,
    wide,
    word_at,
)

NIL, FALSE, TRUE, FLOAT64 = 0xC0, 0xC2, 0xC3, 0xCB
STAMP32, STAMP64, EXTENSION8, STAMP_TYPE = 0xD6, 0xD7, 0xC7, 0xFF
TEXTS, BINARIES = 0xD9, 0xC4
ARRAYS, MAPS = 0xDC, 0xDE


@compiled
def unsigned(buffer: Bytes, at: int, size: int) -> int:
    """Return an integer of this many bytes, the most significant first."""
    value = 0
    for k in range(size):
        value = value << 8 | wide(buffer[at + k])
    return value


@compiled
def signed(buffer: Bytes, at: int, size: int) -> int:
    """Return an integer of this many bytes in two's complement."""
    value = unsigned(buffer, at, size)
    if size < 8 and value >= 1 << (8 * size - 1):  # noqa: PLR2004  the width of the numbers here
        value -= 1 << (8 * size)
    return value


@compiled
def text_at(buffer: Bytes, at: int) -> tuple[int, int]:
    """Return where the text that begins at `at` has its characters, and how many bytes; -1 if it is no text."""
    tag = wide(buffer[at])
    if 0xA0 <= tag <= 0xBF:  # noqa: PLR2004  short texts
        return at + 1, tag & 0x1F
    if TEXTS <= tag < TEXTS + 3:
        size = 1 << (tag - TEXTS)
        return at + 1 + size, unsigned(buffer, at + 1, size)
    return at, -1


@compiled
def items_at(buffer: Bytes, at: int, is_map: bool) -> tuple[int, int]:
    """Return where the first item of the array or map at `at` begins, and how many there are; -1 if it is neither."""
    tag = wide(buffer[at])
    if tag & 0xF0 == (0x80 if is_map else 0x90):
        return at + 1, tag & 0x0F
    first = MAPS if is_map else ARRAYS
    if first <= tag < first + 2:
        size = 2 << (tag - first)
        return at + 1 + size, unsigned(buffer, at + 1, size)
    return at, -1


@compiled
def after_plain(buffer: Bytes, at: int) -> int:
    """Return where a value ends that is neither an array nor a map, or -1 for a byte that begins no value."""
    tag = wide(buffer[at])
    if tag < 0x80 or tag >= 0xE0 or tag in (NIL, FALSE, TRUE):  # noqa: PLR2004  small integers
        return at + 1
    begin, length = text_at(buffer, at)
    if length >= 0:
        return begin + length
    if BINARIES <= tag < BINARIES + 3:
        size = 1 << (tag - BINARIES)
        return at + 1 + size + unsigned(buffer, at + 1, size)
    if EXTENSION8 <= tag < EXTENSION8 + 3:
        size = 1 << (tag - EXTENSION8)
        return at + 2 + size + unsigned(buffer, at + 1, size)
    if tag in (0xCA, FLOAT64):
        return at + 1 + (4 if tag == 0xCA else 8)  # noqa: PLR2004  likewise
    if 0xCC <= tag <= 0xD3:  # noqa: PLR2004  integers of 1, 2, 4 and 8 bytes, twice
        return at + 1 + (1 << (tag & 3))
    if 0xD4 <= tag <= 0xD8:  # noqa: PLR2004  extensions of 1 to 16 bytes
        return at + 2 + (1 << (tag - 0xD4))
    return -1


@compiled
def after_value(buffer: Bytes, at: int) -> int:
    """Return where a value ends, with all that is in it; -1 if it is broken."""
    left = 1
    while left > 0:
        left -= 1
        begin, items = items_at(buffer, at, False)
        if items < 0:
            begin, items = items_at(buffer, at, True)
            items *= 2
        if items >= 0:
            at = begin
            left += items
        else:
            at = after_plain(buffer, at)
            if at < 0:
                return -1
    return at


@compiled
def instant_at(buffer: Bytes, at: int) -> int:
    """Return the microseconds of an instant, or MISSING if it is none."""
    tag = wide(buffer[at])
    if tag == STAMP32 and buffer[at + 1] == STAMP_TYPE:
        return unsigned(buffer, at + 2, 4) * 1_000_000
    if tag == STAMP64 and buffer[at + 1] == STAMP_TYPE:
        high, low = unsigned(buffer, at + 2, 4), unsigned(buffer, at + 6, 4)
        return ((high & 3) << 32 | low) * 1_000_000 + (high >> 2) // 1_000
    if tag == EXTENSION8 and buffer[at + 1] == 12 and buffer[at + 2] == STAMP_TYPE:  # noqa: PLR2004  96 bits
        return signed(buffer, at + 7, 8) * 1_000_000 + unsigned(buffer, at + 3, 4) // 1_000
    return MISSING


@compiled
def integer_at(buffer: Bytes, at: int) -> int:
    """Return an integer, or MISSING if it is none of 64 bits."""
    tag = wide(buffer[at])
    if tag < 0x80:  # noqa: PLR2004  small and positive
        return tag
    if tag >= 0xE0:  # noqa: PLR2004  small and negative
        return tag - 256
    if 0xCC <= tag <= 0xCF:  # noqa: PLR2004  unsigned
        value = unsigned(buffer, at + 1, 1 << (tag - 0xCC))
        return MISSING if value < 0 else value
    if 0xD0 <= tag <= 0xD3:  # noqa: PLR2004  signed
        return signed(buffer, at + 1, 1 << (tag - 0xD0))
    return MISSING


@compiled
def value_of(buffer: Bytes, at: int, kind: int, names: Bytes, words: Integers, first: int, end: int) -> int:
    """Return a plain value as its slot, or MISSING if it is not of the expected type."""
    tag = wide(buffer[at])
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
    return signed(buffer, at + 1, 8) ^ DOUBLE_BITS if kind == DOUBLE and tag == FLOAT64 else MISSING


@compiled
def read_document(  # noqa: C901, PLR0912  one loop over bytes: calls would pass on all of its state
    buffer: Bytes, start: int, reading: Numbers, pool: Integers, room: Integers, frames: Integers
) -> int:
    """Read the document that begins at `start`; return FITS, FULL or UNFIT."""
    names, fields, structs, words, tables, templates = reading
    row = new_row(0, tables, templates, pool, room)
    if row < 0:
        return FULL
    at, items = items_at(buffer, start, True)
    if items < 0:
        return UNFIT
    enter(frames, 0, STRUCT, row, structs[0, FIRST], 0, items)
    depth = 0
    while depth >= 0:
        if frames[depth, LIMIT] == 0:
            depth -= 1
            continue
        frames[depth, LIMIT] -= 1
        table = frames[depth, LIST_TABLE]
        if table >= 0:
            row = new_row(table, tables, templates, pool, room)
            if row < 0:
                return FULL
            pool[frames[depth, COUNT]] += 1
            kind, target, slot = tables[table, ELEMENT_KIND], tables[table, ELEMENT_STRUCT], row
            first, end = tables[table, ELEMENT_WORDS], tables[table, ELEMENT_WORDS_END]
        else:
            begin, length = text_at(buffer, at)
            if length < 0:
                return UNFIT
            at = begin + length
            found = field_at(buffer, begin, length, names, fields, structs, frames, depth)
            if found < 0 or fields[found, KIND] == SKIP:
                at = after_value(buffer, at)
                if at < 0:
                    return UNFIT
                continue
            row = frames[depth, ROW]
            kind, target, slot = fields[found, KIND], fields[found, TARGET], row + fields[found, SLOT]
            first, end = fields[found, WORDS], fields[found, WORDS_END]
        if buffer[at] == NIL:
            if kind not in (STRUCT, LIST):
                pool[slot] = MISSING
            at += 1
        elif kind in (STRUCT, LIST):
            at, items = items_at(buffer, at, kind == STRUCT)
            if items < 0 or depth + 1 == MAX_DEPTH:
                return UNFIT
            depth += 1
            enter(frames, depth, kind, row, structs[target, FIRST] if kind == STRUCT else slot, target, items)
        else:
            pool[slot] = value_of(buffer, at, kind, names, words, first, end)
            if pool[slot] == MISSING:
                return UNFIT
            at = after_plain(buffer, at)
    return FITS


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
            room[table, 3] = room[table, 2]
        status = read_document(buffer, starts[document], reading, pool, room, frames)
        if status != FITS:
            for table in range(len(room)):
                room[table, 2] = room[table, 3]
            return document, status
    return len(starts), FITS
