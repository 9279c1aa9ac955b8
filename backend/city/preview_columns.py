"""The straight path of a preview: stored documents, as bytes, into columns, and columns into counts."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from backend.city.service import StoredFacts
from backend.rulebook.preview import bson_reader
from backend.rulebook.preview.column_counter import ColumnCounter
from backend.rulebook.preview.columns import Columns, Integers
from backend.rulebook.preview.comparison import Comparison, Subject
from backend.rulebook.preview.districts import Districts
from backend.rulebook.preview.document_columns import DocumentReader, hashes_of, ids_of
from backend.rulebook.preview.documents import ID, Encoding, Reading, add_id, add_words_of_list, reading_of
from backend.rulebook.preview.layout import PEOPLE, Column, Layout, Path, add_column
from backend.rulebook.preview.tally import Tally
from backend.store import Part, Store, StoredBatch


def prepare(facts: StoredFacts, subject: Subject) -> None:
    """Compile what a preview needs. Raises Unsupported, UnsupportedLayout or TooManyRules."""
    comparison = Comparison(subject)
    counter_of(facts, comparison)
    for encoding in ENCODINGS:
        reading_for(facts, comparison.layout(), encoding)


ENCODINGS: Sequence[Encoding] = ("bson", "msgpack")


def counter_of(facts: StoredFacts, comparison: Comparison) -> ColumnCounter:
    """Return what counts the columns of a comparison."""
    zone = comparison.subject.new.time_zone
    return ColumnCounter(comparison, zone, facts.history)


def reading_for(facts: StoredFacts, layout: Layout, encoding: Encoding) -> Reading:
    """Return how the documents with these facts are read into a layout of the facts, which grows by other columns."""
    others: list[Path] = [ID]
    add_id(layout)
    if facts.history is not None:
        assert facts.history_item is not None, "a history has items"
        path, name = (facts.history[0],), facts.history[1]
        others.append(path)
        add_words_of_list(layout, path, facts.history_item, name, facts.history_results)
    if facts.groups is not None and facts.groups.field:
        others.append((facts.groups.field,))
        add_column(layout, Column((facts.groups.field,), "text", PEOPLE, 0, optional=True))
    return reading_of(facts.kind, facts.field, layout, encoding, others)


async def count_columns(
    store: Store,
    facts: StoredFacts,
    subject: Subject,
    part: Part,
    progress: Callable[[int], None],
    districts: Districts | None = None,
) -> Tally:
    """Count the people of a part; the next documents are read while those before are counted."""
    comparison = Comparison(subject)
    counter = counter_of(facts, comparison)
    readers: dict[Encoding, DocumentReader] = {}

    def work(batch: StoredBatch) -> int:
        reader = readers.get(batch.encoding)
        if reader is None:
            reader = readers[batch.encoding] = DocumentReader(reading_for(facts, comparison.layout(), batch.encoding))
        data = np.frombuffer(batch.buffer, dtype=np.uint8)
        people = 0
        for columns in reader.read(batch.buffer, starts_in(batch)):
            of_people = districts and districts.of(hashes_of(data, columns.arrays["c_id"]))
            counter.add(columns, ids_in(columns, data), of_people)
            people += columns.people
        return people

    counting: asyncio.Task[int] | None = None
    async for batch in store.read_stored(facts.kind, part, fields_read(facts)):
        if counting is not None:
            progress(await counting)
        counting = asyncio.create_task(asyncio.to_thread(work, batch))
    if counting is not None:
        progress(await counting)
    return comparison.tally


def ids_in(columns: Columns, data: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Callable[[Integers], list[str]]:
    """Return the function that reads the ids of people from the batch of their documents."""
    places = columns.arrays["c_id"]
    return lambda people: ids_of(data, places[people])


def fields_read(facts: StoredFacts) -> list[str]:
    """Return the fields of a document that a preview reads."""
    group = facts.groups.field if facts.groups is not None else ""
    history = facts.history[0] if facts.history is not None else ""
    return [name for name in (facts.field, history, group) if name]


def starts_in(batch: StoredBatch) -> Integers:
    """Return where the documents of a batch begin."""
    if batch.starts is not None:
        return np.array(batch.starts, dtype=np.int64)
    data = np.frombuffer(batch.buffer, dtype=np.uint8)
    starts = np.empty(len(data) // MIN_BYTES + 1, dtype=np.int64)
    return starts[: bson_reader.starts_of(data, starts)]


MIN_BYTES = 16
"""No stored document has fewer bytes in BSON: its length, and an id of one character."""
