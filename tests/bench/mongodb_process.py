"""Operations of the MongoDB benchmarks that run in their own process, to measure its time and memory alone."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import replace

from backend.city.person import Person
from backend.services.health_code.model import HealthRecord
from backend.store.mongo.store import DATABASE, Driver, MongoStore

READERS = 32
BATCH = 1_000
LOADERS = 4
WARM_UP = 500


class Found(Struct, frozen=True):
    """The documents per second, and the peak memory of the process."""

    rate: float
    peak_bytes: int


def main(work: str, url: str, driver: Driver, number: int) -> None:
    """Run `find_one`, `load` or `scan` on `number` documents, and print the result as JSON."""
    rate = uvloop.run(
        {"find_one": _find_one, "load": _load, "scan": _scan}[work](
            MongoStore(url, [Person, HealthRecord], driver=driver), number
        )
    )
    status = Path("/proc/self/status").read_text()  # getrusage would include the parent's peak
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1_024
    print(msgspec.json.encode(Found(rate, peak)).decode())


async def _find_one(store: MongoStore, number: int) -> float:
    """Read records by id with the driver alone, in as many tasks as the server has connections."""
    collection = store.client.get_default_database(DATABASE)[HealthRecord.collection]
    ids = [body["_id"] async for body in collection.find({}, ["_id"]).sort("_id", -1).limit(number + WARM_UP)]
    assert len(ids) == number + WARM_UP

    async def read_all(waiting: Iterator[str]) -> None:
        for id_ in waiting:
            assert await collection.find_one({"_id": id_}) is not None

    await read_all(iter(ids[:WARM_UP]))
    waiting = iter(ids[WARM_UP:])
    begin = time.perf_counter()
    await asyncio.gather(*(read_all(waiting) for _ in range(READERS)))
    seconds = time.perf_counter() - begin
    await store.close()
    return number / seconds


async def _load(store: MongoStore, number: int) -> float:
    """Store copies of one profile with unique ids and digests, in concurrent batches."""
    batches = _batches(number)

    async def restore_all() -> None:
        for batch in batches:
            await store.restore(batch)

    begin = time.perf_counter()
    await asyncio.gather(*(restore_all() for _ in range(LOADERS)))
    seconds = time.perf_counter() - begin
    await store.close()
    return number / seconds


def _batches(number: int) -> Iterator[list[Person]]:
    chance = Random(1)
    encrypted = "v1." + "q" * 64
    one = Person(
        id="",
        revision=1,
        id_number=encrypted,
        id_digest="",
        sex="female",
        born_on=date(1990, 3, 7),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        name=encrypted,
    )
    for _ in range(number // BATCH):
        yield [replace(one, id=chance.randbytes(8).hex(), id_digest=chance.randbytes(16).hex()) for _ in range(BATCH)]


async def _scan(store: MongoStore, number: int) -> float:
    """Read every profile, as the preview of a rulebook does."""
    begin = time.perf_counter()
    count = 0
    async for _ in cast("AsyncIterator[Any]", store.scan(Person)):
        count += 1
    seconds = time.perf_counter() - begin
    assert count == number
    await store.close()
    return number / seconds


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], cast("Driver", sys.argv[3]), int(sys.argv[4]))
