"""The districts of people, for the counts of a preview: read once, whole, from the profiles."""

import asyncio
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from backend.city.person import Person
from backend.rulebook.preview.districts import UNKNOWN_DISTRICT, Districts, DistrictsOf, districts_of_codes
from backend.rulebook.preview.documents import ID, Encoding, Reading, add_id, reading_of
from backend.rulebook.preview.layout import PEOPLE, Column, add_column, layout_of
from backend.store import Part, Store, StoredBatch

DIVISION = "division"


class _NoFacts(Struct):
    """What a profile holds for rules: nothing."""


async def districts_by_id(store: Store, ids: Sequence[str]) -> DistrictsOf:
    """Return the districts of people by the ids of their profiles."""
    people = await store.get_many(Person, ids)
    return districts_of_codes([people[one].division if one in people else None for one in ids])


async def read_districts(store: Store) -> Districts:
    """Return the district of everybody, from the profiles as bytes. It needs numba."""
    from backend.city.preview_columns import starts_in
    from backend.rulebook.preview.document_columns import DocumentReader, hashes_of

    readers: dict[Encoding, DocumentReader] = {}
    hashes, numbers = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int32)]
    codes: dict[str, int] = {}

    def work(batch: StoredBatch) -> None:
        reader = readers.get(batch.encoding)
        if reader is None:
            reader = readers[batch.encoding] = DocumentReader(_reading(batch.encoding))
        data = np.frombuffer(batch.buffer, dtype=np.uint8)
        for columns in reader.read(batch.buffer, starts_in(batch)):
            hashes.append(hashes_of(data, columns.arrays["c_id"]))
            known = [codes.setdefault(code, len(codes)) for code in columns.texts.numbers]
            found = columns.arrays[f"c_{DIVISION}"]
            numbers.append(np.array([*known, -1], dtype=np.int32)[found])

    async for batch in store.read_stored(Person, Part(), [DIVISION]):
        await asyncio.to_thread(work, batch)
    every = np.concatenate(hashes)
    order = np.argsort(every)
    placed = np.concatenate(numbers)[order]
    placed[placed < 0] = len(codes)
    return Districts([*codes, UNKNOWN_DISTRICT], every[order], placed)


def _reading(encoding: Encoding) -> Reading:
    layout = layout_of(_NoFacts, frozenset())
    add_id(layout)
    add_column(layout, Column((DIVISION,), "text", PEOPLE, 0, optional=True))
    return reading_of(Person, "", layout, encoding, [ID, (DIVISION,)])
