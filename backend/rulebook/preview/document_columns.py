"""Columns from batches of stored documents."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.rulebook.preview import bson_reader, msgpack_reader
from backend.rulebook.preview.columns import Columns, Texts, columns_of
from backend.rulebook.preview.documents import TEXT_BITS, Bytes, Integers, Pool, Reading, UnreadableDocument
from backend.rulebook.preview.jit import compiled
from backend.rulebook.preview.layout import ABSENT
from backend.rulebook.preview.rows import FITS, FULL, MAX_DEPTH

PEOPLE_AT_ONCE = 1 << 12
"""The people whose rows are in the pool at once, so that it stays in the processor's cache."""

ELEMENTS_PER_PERSON = 2
_LENGTH = (1 << TEXT_BITS) - 1


_SHOWN = 40
FNV_OFFSET, FNV_PRIME = -3750763034362895579, 1099511628211


@dataclass
class DocumentReader:
    """Reads batches of one kind of document into columns. `texts` are numbered over all batches."""

    reading: Reading
    texts: Texts = field(default_factory=Texts)
    factor: int = ELEMENTS_PER_PERSON
    pool: Pool | None = None

    def read(self, buffer: bytes, starts: Integers) -> list[Columns]:
        """Return the columns of the documents of a batch, each part with at most PEOPLE_AT_ONCE of them.

        `starts` are where the documents begin. Raises UnreadableDocument.
        """
        data = np.frombuffer(buffer, dtype=np.uint8)
        read_batch = bson_reader.read_batch if self.reading.encoding == "bson" else msgpack_reader.read_batch
        frames = np.zeros((MAX_DEPTH, 6), dtype=np.int64)
        done, parts = 0, list[Columns]()
        while done < len(starts):
            end = min(len(starts), done + PEOPLE_AT_ONCE)
            pool = self._pool()
            read, status = read_batch(data, starts[:end], done, pool.reading, pool.numbers, pool.room, frames)
            if status not in (FITS, FULL):
                end = int(starts[read + 1]) if read + 1 < len(starts) else len(buffer)
                raise UnreadableDocument(_id_in(buffer[int(starts[read]) : end]))
            if read > done:
                parts.append(self._columns(data, pool))
            if status == FULL:
                self.factor *= 2  # people here have longer lists
                self.pool = None
            done = read
        return parts

    def _pool(self) -> Pool:
        """Return the pool, without rows; it stays in the processor's cache from part to part."""
        if self.pool is None:
            self.pool = self.reading.pool(PEOPLE_AT_ONCE, PEOPLE_AT_ONCE * self.factor)
        self.pool.clear()
        return self.pool

    def _columns(self, data: Bytes, pool: Pool) -> Columns:
        tables: list[Integers] = []
        for number, table in enumerate(self.reading.layout.tables):
            slots = pool.rows(number)
            for column in table.columns:
                if column.form == "text":
                    slots[:, column.slot] = self._numbered(data, slots[:, column.slot])
            tables.append(slots)
        return columns_of(self.reading.layout, tables, self.texts)

    def _numbered(self, data: Bytes, places: Integers) -> Integers:
        number = self.texts.number
        return np.array(
            [ABSENT if place == ABSENT else number(_text(data, place)) for place in places.tolist()], dtype=np.int64
        )


def _id_in(document: bytes) -> str:
    """Return what names an unreadable document: its first bytes, which hold its id."""
    return document[:_SHOWN].decode(errors="replace")


def _text(data: Bytes, place: int) -> str:
    begin = place >> TEXT_BITS
    return bytes(data[begin : begin + (place & _LENGTH)]).decode()


@compiled
def _put_hashes(data: Bytes, places: Integers, hashes: Integers) -> None:
    for person in range(len(places)):
        begin = places[person] >> TEXT_BITS
        found = FNV_OFFSET
        for at in range(begin, begin + (places[person] & _LENGTH)):
            found = (found ^ np.int64(data[at])) * FNV_PRIME
        hashes[person] = found


def hashes_of(data: Bytes, places: Integers) -> Integers:
    """Return a number for each id at places of a batch (FNV-1a of 64 bits, so two are hardly ever the same)."""
    hashes = np.empty(len(places), dtype=np.int64)
    _put_hashes(data, places, hashes)
    return hashes


@compiled
def _put_ids(data: Bytes, places: Integers, ids: NDArray[np.uint8]) -> None:
    for person in range(len(places)):
        begin = places[person] >> TEXT_BITS
        for at in range(places[person] & _LENGTH):
            ids[person, at] = data[begin + at]


def copy_ids(data: Bytes, places: Integers) -> NDArray[np.bytes_]:
    """Return the ids at places of a batch, which outlive it, as texts of one length."""
    width = max(1, int((places & _LENGTH).max(initial=0)))
    ids = np.zeros((len(places), width), dtype=np.uint8)
    _put_ids(data, places, ids)
    return ids.reshape(-1).view(f"S{width}")


def ids_of(data: Bytes, places: Sequence[int] | NDArray[np.int64]) -> list[str]:
    """Return the ids at places of a batch."""
    return [_text(data, int(place)) for place in places]
