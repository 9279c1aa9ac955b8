"""Columns of everybody's facts that a process keeps, so that each further preview only counts.

No store tells which documents changed since an instant, so all columns are read again, next to the old ones,
and a preview says as of when they are. They hold all facts of a service, so that they answer every draft.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backend.city.preview_columns import fields_read, reading_for, starts_in
from backend.city.preview_districts import read_districts
from backend.city.service import StoredFacts
from backend.rulebook.preview.column_counter import ColumnCounter
from backend.rulebook.preview.columns import Columns, Integers, join
from backend.rulebook.preview.comparison import Comparison, Subject
from backend.rulebook.preview.districts import DistrictsOf
from backend.rulebook.preview.document_columns import DocumentReader, copy_ids, hashes_of
from backend.rulebook.preview.documents import Encoding
from backend.rulebook.preview.layout import all_fields, layout_of
from backend.rulebook.preview.tally import Tally
from backend.store import Part, Store, StoredBatch

JOINED = 16
"""The parts of a batch that are joined: counting so many people at once costs little more than counting fewer."""

ID = "c_id"


@dataclass(frozen=True)
class KeptPeople:
    """Some people: their columns, their ids and their districts."""

    columns: Columns
    ids: NDArray[np.bytes_]
    districts: DistrictsOf | None

    def ids_at(self, places: Integers) -> list[str]:
        """Return the ids of people at these places."""
        return [one.decode() for one in self.ids[places].tolist()]

    @property
    def size_bytes(self) -> int:
        """Return the memory that they take."""
        districts = 0 if self.districts is None else self.districts.numbers.nbytes
        return self.columns.size_bytes + self.ids.nbytes + districts


@dataclass(frozen=True)
class KeptColumns:
    """The facts of everybody as of an instant: what was stored before it is in them."""

    facts: StoredFacts
    as_of: datetime
    parts: Sequence[KeptPeople]

    @property
    def size_bytes(self) -> int:
        """Return the memory of all people."""
        return sum(part.size_bytes for part in self.parts)

    def count(self, subject: Subject, threads: int = 1) -> Tally:
        """Count everybody. Raises Unsupported, UnsupportedLayout or TooManyRules."""
        comparison = Comparison(subject)
        counter = ColumnCounter(comparison, subject.new.time_zone, self.facts.history, threads)
        for part in self.parts:
            counter.add(part.columns, part.ids_at, part.districts)
        return comparison.tally


async def read_kept_columns(store: Store, facts: StoredFacts, struct: type[Struct], now: datetime) -> KeptColumns:
    """Read the columns of everybody's facts, which are a `struct`. Raises UnreadableDocument or UnsupportedLayout."""
    districts = await read_districts(store) if facts.by_district else None
    readers: dict[Encoding, DocumentReader] = {}
    kept: list[KeptPeople] = []
    waiting: list[KeptPeople] = []

    def work(batch: StoredBatch) -> None:
        reader = readers.get(batch.encoding)
        if reader is None:
            layout = layout_of(struct, all_fields(struct))
            reader = readers[batch.encoding] = DocumentReader(reading_for(facts, layout, batch.encoding))
        data = np.frombuffer(batch.buffer, dtype=np.uint8)
        for columns in reader.read(batch.buffer, starts_in(batch)):
            places = columns.arrays.pop(ID)
            of_people = districts and districts.of(hashes_of(data, places))
            waiting.append(KeptPeople(columns, copy_ids(data, places), of_people))
        if len(waiting) >= JOINED:
            kept.append(_joined(waiting))
            waiting.clear()

    async for batch in store.read_stored(facts.kind, Part(), fields_read(facts)):
        await asyncio.to_thread(work, batch)
    if waiting:
        kept.append(_joined(waiting))
    return KeptColumns(facts, now, kept)


def _joined(parts: Sequence[KeptPeople]) -> KeptPeople:
    districts = [part.districts for part in parts if part.districts is not None]
    return KeptPeople(
        join([part.columns for part in parts]),
        np.concatenate([part.ids for part in parts]),
        DistrictsOf(districts[0].codes, np.concatenate([one.numbers for one in districts]).astype(np.int32))
        if districts
        else None,
    )
