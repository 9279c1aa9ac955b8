"""Rows from BSON, as MongoDB sends it (https://bsonspec.org/spec.html), without decoding a document."""

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
from backend.rulebook.preview.jit import assume, compiled, inlined, int32, int64, uint8
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

DOUBLE_TAG, TEXT_TAG, DOCUMENT_TAG, ARRAY_TAG, BINARY_TAG, ID_TAG, BOOL_TAG = 0x01, 0x02, 0x03, 0x04, 0x05, 0x07, 0x08
DATE_TAG, NULL_TAG, INT32_TAG, STAMP_TAG, INT64_TAG, DECIMAL_TAG = 0x09, 0x0A, 0x10, 0x11, 0x12, 0x13


@inlined
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


@inlined
def after_key(buffer: Bytes, at: int) -> int:
    """Return where the value begins whose key begins at `at`."""
    while uint8(buffer, at) != 0:
        at += 1
    return at + 1


@inlined
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
def read_document(  # noqa: C901, PLR0912, PLR0915  one loop over bytes: calls would pass on all of its state
    buffer: Bytes, start: int, reading: Numbers, pool: Integers, room: Integers, frames: Integers
) -> int:
    """Read the document that begins at `start`; return FITS, FULL or UNFIT."""
    names, fields, structs, words, tables = reading
    row = new_row(0, room)
    if row < 0:
        return FULL
    struct, expected, table, count, depth = 0, structs[0, FIRST], -1, 0, 0
    at, limit = start + 4, start + int32(buffer, start) - 1
    while True:
        if at >= limit:
            if depth == 0:
                return FITS
            at = limit + 1
            depth -= 1
            put_defaults(fields, expected, expected if table >= 0 else structs[struct, END], row, pool)
            row, limit, expected, struct, table, count = resume(frames, depth)
            continue
        tag = uint8(buffer, at)
        at += 1
        if table >= 0:
            at = after_key(buffer, at)
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
                at = after_value(buffer, tag, after_key(buffer, at) if found < 0 else at + fields[found, KEY_LENGTH])
                if at < 0:
                    return UNFIT
                continue
            at += fields[found, KEY_LENGTH]
            kind, target, slot, first, end = value_of_field(fields, found, row)
        if kind == INSTANT and tag == DATE_TAG:
            pool[slot] = int64(buffer, at) * 1_000
            at += 8
        elif tag == NULL_TAG and kind != STRUCT:
            pool[slot] = 0 if kind == LIST else MISSING
        elif kind in (STRUCT, LIST):
            if tag != (DOCUMENT_TAG if kind == STRUCT else ARRAY_TAG) or depth + 1 == MAX_DEPTH:
                return UNFIT
            leave(frames, depth, row, limit, expected, struct, table, count)
            depth += 1
            at, limit = at + 4, at + int32(buffer, at) - 1
            if kind == STRUCT:
                struct, expected, table = target, structs[target, FIRST], -1
            else:
                table, count = target, slot
                pool[count] = 0
        else:
            if not put_value(buffer, tag, at, kind, names, words, first, end, pool, slot):
                return UNFIT
            at = after_value(buffer, tag, at)


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
