"""Rows from BSON, as MongoDB sends it (https://bsonspec.org/spec.html), without decoding a document."""

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

DOUBLE_TAG, TEXT_TAG, DOCUMENT_TAG, ARRAY_TAG, BINARY_TAG, ID_TAG, BOOL_TAG = 0x01, 0x02, 0x03, 0x04, 0x05, 0x07, 0x08
DATE_TAG, NULL_TAG, INT32_TAG, STAMP_TAG, INT64_TAG, DECIMAL_TAG = 0x09, 0x0A, 0x10, 0x11, 0x12, 0x13


@compiled
def int32(buffer: Bytes, at: int) -> int:
    """Return a 32-bit integer."""
    low = wide(buffer[at]) | wide(buffer[at + 1]) << 8 | wide(buffer[at + 2]) << 16
    value = low | wide(buffer[at + 3]) << 24
    return value - (1 << 32) if value >= 1 << 31 else value


@compiled
def int64(buffer: Bytes, at: int) -> int:
    """Return a 64-bit integer."""
    value = 0
    for k in range(8):
        value |= wide(buffer[at + k]) << (8 * k)
    return value


@compiled
def after_value(buffer: Bytes, tag: int, at: int) -> int:
    """Return where the value of this type ends, or -1 for a type that the city does not store."""
    if tag in (DOCUMENT_TAG, ARRAY_TAG):
        return at + int32(buffer, at)
    if tag == TEXT_TAG:
        return at + 4 + int32(buffer, at)
    if tag in (DOUBLE_TAG, DATE_TAG, INT64_TAG, STAMP_TAG):
        return at + 8
    if tag == NULL_TAG:
        return at
    if tag == INT32_TAG:
        return at + 4
    if tag == BOOL_TAG:
        return at + 1
    if tag == BINARY_TAG:
        return at + 5 + int32(buffer, at)
    if tag == ID_TAG:
        return at + 12
    return at + 16 if tag == DECIMAL_TAG else -1


@compiled
def put_value(
    buffer: Bytes,
    tag: int,
    at: int,
    kind: int,
    names: Bytes,
    words: Integers,
    first: int,
    end: int,
    pool: Integers,
    slot: int,
) -> bool:
    """Put a plain value into its slot; return False if it is not of the expected type."""
    if kind == INSTANT and tag == DATE_TAG:
        pool[slot] = int64(buffer, at) * 1_000
        return True
    if kind == WORD and tag == TEXT_TAG:
        place = word_at(buffer, at + 4, int32(buffer, at) - 1, names, words, first, end)
        pool[slot] = place
        return place >= 0
    if kind == TEXT and tag == TEXT_TAG:
        pool[slot] = (at + 4) << TEXT_BITS | (int32(buffer, at) - 1)
        return True
    if kind == BOOL and tag == BOOL_TAG:
        pool[slot] = buffer[at]
        return True
    if kind == INTEGER and tag in (INT32_TAG, INT64_TAG):
        pool[slot] = int32(buffer, at) if tag == INT32_TAG else int64(buffer, at)
        return True
    if kind == DOUBLE and tag == DOUBLE_TAG:
        pool[slot] = int64(buffer, at) ^ DOUBLE_BITS
        return True
    return False


@compiled
def read_document(  # noqa: C901, PLR0912  one loop over bytes: calls would pass on all of its state
    buffer: Bytes, start: int, reading: Numbers, pool: Integers, room: Integers, frames: Integers
) -> int:
    """Read the document that begins at `start`; return FITS, FULL or UNFIT."""
    names, fields, structs, words, tables, templates = reading
    row = new_row(0, tables, templates, pool, room)
    if row < 0:
        return FULL
    enter(frames, 0, STRUCT, row, structs[0, FIRST], 0, start + int32(buffer, start) - 1)
    depth = 0
    at = start + 4
    while depth >= 0:
        if at >= frames[depth, LIMIT]:
            at = frames[depth, LIMIT] + 1
            depth -= 1
            continue
        tag = wide(buffer[at])
        at += 1
        begin = at
        while buffer[at] != 0:
            at += 1
        at += 1
        after = after_value(buffer, tag, at)
        if after < 0:
            return UNFIT
        table = frames[depth, LIST_TABLE]
        if table >= 0:
            row = new_row(table, tables, templates, pool, room)
            if row < 0:
                return FULL
            pool[frames[depth, COUNT]] += 1
            kind, target, slot = tables[table, ELEMENT_KIND], tables[table, ELEMENT_STRUCT], row
            first, end = tables[table, ELEMENT_WORDS], tables[table, ELEMENT_WORDS_END]
        else:
            found = field_at(buffer, begin, at - begin, names, fields, structs, frames, depth)
            if found < 0 or fields[found, KIND] == SKIP:
                at = after
                continue
            row = frames[depth, ROW]
            kind, target, slot = fields[found, KIND], fields[found, TARGET], row + fields[found, SLOT]
            first, end = fields[found, WORDS], fields[found, WORDS_END]
        if tag == NULL_TAG:
            if kind not in (STRUCT, LIST):
                pool[slot] = MISSING
        elif kind in (STRUCT, LIST):
            if tag != (DOCUMENT_TAG if kind == STRUCT else ARRAY_TAG) or depth + 1 == MAX_DEPTH:
                return UNFIT
            depth += 1
            enter(frames, depth, kind, row, structs[target, FIRST] if kind == STRUCT else slot, target, after - 1)
            after = at + 4
        elif not put_value(buffer, tag, at, kind, names, words, first, end, pool, slot):
            return UNFIT
        at = after
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


@compiled
def starts_of(buffer: Bytes, starts: Integers) -> int:
    """Put the beginnings of the documents of a batch, which follow one another, into `starts`; return their number."""
    at, number = 0, 0
    while at + 4 < len(buffer):
        if number < len(starts):
            starts[number] = at
        number += 1
        at += int32(buffer, at)
    return number
