"""Compare a city on MongoDB with its driver alone: reading codes, loading a city, scanning it."""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from backend.app import documents_of
from backend.city.binding import MEMORY
from backend.city.person import Person
from backend.city.service import discover_services
from backend.services.health_code.model import HealthRecord
from backend.store import Document
from backend.store.connect import prepare_store
from backend.store.copy import to_the_millisecond
from backend.store.mongo.store import Driver, MongoStore
from backend.store.sqlite.store import SqliteStore
from tests.bench.city import synthetic_city
from tests.bench.health_code_read import (
    CONNECTIONS,
    FIRST_CORE,
    LAST_CORE,
    PATH,
    ROOT,
    free_port,
    rate,
    requests,
    server,
)
from tests.bench.mongodb_process import LOADERS, Found
from tests.bench.report import Table
from tests.mongod import mongod

CITIZENS = 20_000
ROUNDS = 5
PROFILES = 1_000_000
BATCH = 1_000
CACHE = ("--wiredTigerCacheSizeGB", "1")
DRIVERS: Sequence[Driver] = ("motor", "pymongo")


def read_codes() -> Table:
    """Compare reading the codes of 20,000 people, each once, with as many bare reads of their records."""
    city = synthetic_city(100_000)
    prepared = asyncio.run(requests(city, CITIZENS))
    os.sched_setaffinity(0, {LAST_CORE})  # mongod inherits this
    with mongod(*CACHE) as url, TemporaryDirectory() as folder:
        keys = shutil.copytree(city.keys, Path(folder) / "keys", ignore=shutil.ignore_patterns(MEMORY))
        environment = _environment(keys, url)
        subprocess.run([sys.executable, "-m", "backend", "migrate"], env=environment, cwd=folder, check=True)
        asyncio.run(_fill(city.store, url))
        rows = [_compare(driver, prepared, url, environment, Path(folder)) for driver in DRIVERS]
    return Table(
        "mongodb_health_code",
        f"`GET {PATH}` over MongoDB for {CITIZENS:,} different citizens, compared with bare reads of the same records: "
        '`find_one({"_id": ...})` by the same driver under uvloop, without server and decoding. Each runs on '
        f"one core with {CONNECTIONS} at once, mongod and the client on the other; {ROUNDS} alternating rounds. "
        "Target: 0.6 or more.",
        ("driver", "codes per second", "bare reads per second", "of the bare reads"),
        rows,
    )


def _environment(keys: Path, url: str) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "CHENGMA_STORE": url,
        "CHENGMA_KEYS": str(keys),
        "CHENGMA_RULES": str(ROOT / "rules"),
    }


async def _fill(path: Path, url: str) -> None:
    """Copy the first citizens in the order of their ids, which is that of the requests."""
    kinds: Sequence[type[Document]] = (Person, HealthRecord)
    source, target = (
        SqliteStore.open(path, documents_of(discover_services())),
        MongoStore(url, kinds, timeout_ms=60_000),
    )
    for kind in kinds:
        batch: list[Document] = []
        copied = 0
        async for document in source.scan(kind):
            batch.append(to_the_millisecond(document))
            if len(batch) == BATCH:
                await target.restore(batch)
                copied, batch = copied + BATCH, []
            if copied == CITIZENS:
                break
    await source.close()
    await target.close()


def _compare(
    driver: Driver, prepared: Sequence[bytes], url: str, environment: dict[str, str], folder: Path
) -> tuple[str, ...]:
    size = len(prepared) // ROUNDS
    rates: list[tuple[float, float]] = []
    with ExitStack() as running:
        port = free_port()
        environment = environment | {"CHENGMA_MONGO_DRIVER": driver, "CHENGMA_PORT": str(port)}
        running.enter_context(server(["-m", "backend", "serve"], port, environment, folder / f"{driver}.log"))
        for round_ in range(ROUNDS):
            ours = rate(port, prepared[round_ * size : (round_ + 1) * size])
            rates.append((ours, _alone("find_one", url, driver, size, core=FIRST_CORE).rate))
    ours, theirs = zip(*rates, strict=True)
    ratio = statistics.median(our / their for our, their in rates)
    return (driver, f"{statistics.median(ours):,.0f}", f"{statistics.median(theirs):,.0f}", f"**{ratio:.2f}**")


def load_and_scan() -> Table:
    """Load a million profiles and read them all, each step in its own process."""
    with mongod(*CACHE) as url:
        prepare_store(url, documents_of(discover_services()))
        loaded = _alone("load", url, "pymongo", PROFILES)
        scanned = {driver: _alone("scan", url, driver, PROFILES) for driver in DRIVERS}
    return Table(
        "mongodb_bulk",
        f"{PROFILES:,} profiles, copies of one with unique ids and digests, through `Store.restore` by "
        f"{BATCH:,}, {LOADERS} batches at once, into a mongod on the same machine with 1 GB of cache, with the "
        "city's validators and unique index; then all of them read through `Store.scan`, as a preview does. Each in a "
        "process of its own.",
        ("what", "profiles per second", "peak memory"),
        [
            _row("`Store.restore`, pymongo", loaded),
            *(_row(f"`Store.scan`, {driver}", found) for driver, found in scanned.items()),
        ],
    )


def _row(what: str, found: Found) -> tuple[str, ...]:
    return (what, f"{found.rate:,.0f}", f"{found.peak_bytes / 2**20:,.0f} MiB")


def _alone(work: str, url: str, driver: Driver, number: int, *, core: int | None = None) -> Found:
    """Run one operation of `mongodb_process` in its own process, on `core` if given."""
    command = [sys.executable, "-m", "tests.bench.mongodb_process", work, url, driver, str(number)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        output, _ = process.communicate()
    assert process.returncode == 0, f"{work} failed"
    return msgspec.json.decode(output, type=Found)
