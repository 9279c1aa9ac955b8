"""Compare the embedded store with sqlite3."""

import asyncio
import sqlite3
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter

from backend.services.health_code.model import HealthRecord
from backend.store import Document
from backend.store.sqlite.store import SqliteStore
from tests.bench.city import synthetic_city
from tests.bench.report import Table

READS = 20_000
WRITES = 2_000
ROUNDS = 7


class Note(Document):
    """A small document to write."""

    collection = "notes"

    text: str


def compare() -> Table:
    """Compare reads with bare sqlite3 reads of the same rows, and sequential with concurrent writes."""
    path = synthetic_city(5_000).store
    reads = asyncio.run(_reads(path))
    with TemporaryDirectory() as folder:
        writes = asyncio.run(_writes(Path(folder) / "notes.db"))
    return Table(
        "store",
        f"Health records read by id and decoded, and durable writes (`synchronous=FULL`); {ROUNDS} alternating rounds.",
        ("what", "per second", "ratio"),
        [
            ("`sqlite3` read of the row, as bytes", f"{reads[1]:,.0f}", "1"),
            ("`Store.get`, decoded", f"{reads[0]:,.0f}", f"{reads[0] / reads[1]:.2f}"),
            ("`Store.insert`, one after the other", f"{writes[0]:,.0f}", "1"),
            ("`Store.insert`, 500 at once", f"{writes[1]:,.0f}", f"{writes[1] / writes[0]:.1f}"),
        ],
    )


async def _reads(path: Path) -> tuple[float, float]:
    store = SqliteStore.open(path, [HealthRecord])
    ids = [record.id async for record in store.scan(HealthRecord)]
    ids_read = Random(1).choices(ids, k=READS)
    plain = sqlite3.connect(path)

    async def ours() -> None:
        for id_ in ids_read:
            await store.get(HealthRecord, id_)

    async def theirs() -> None:
        for id_ in ids_read:
            plain.execute("SELECT body FROM health_records WHERE id = ?", (id_,)).fetchone()

    rates = [(READS / await _seconds(ours), READS / await _seconds(theirs)) for _ in range(ROUNDS)]
    plain.close()
    await store.close()
    return statistics.median(rate[0] for rate in rates), statistics.median(rate[1] for rate in rates)


async def _writes(path: Path) -> tuple[float, float]:
    store = SqliteStore.open(path, [Note])
    number = 0

    def note() -> Note:
        nonlocal number
        number += 1
        return Note(id=f"{number:09}", text="绿" * 100)

    async def single() -> None:
        for _ in range(WRITES // 10):
            await store.insert(note())

    async def grouped() -> None:
        for _ in range(WRITES // 500):
            await asyncio.gather(*(store.insert(note()) for _ in range(500)))

    rates = [(WRITES / 10 / await _seconds(single), WRITES / await _seconds(grouped)) for _ in range(ROUNDS)]
    await store.close()
    return statistics.median(rate[0] for rate in rates), statistics.median(rate[1] for rate in rates)


async def _seconds(work: Callable[[], Awaitable[None]]) -> float:
    begin = perf_counter()
    await work()
    return perf_counter() - begin
