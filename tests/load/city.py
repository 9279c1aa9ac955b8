"""The measured server: `chengma serve` on the first core, with 20,000 people on a file or on MongoDB."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import Signals
from tempfile import TemporaryDirectory

from msgspec import Struct

from backend.app import documents_of
from backend.city.binding import MEMORY
from backend.city.person import Person
from backend.city.service import discover_services
from backend.services.health_code.model import HealthRecord
from backend.store import Document
from backend.store.copy import to_the_millisecond
from backend.store.mongo.store import MongoStore
from backend.store.sqlite.store import SqliteStore
from tests.bench.city import synthetic_city
from tests.bench.health_code_read import LAST_CORE, ROOT, free_port, requests, server
from tests.mongod import mongod

CITIZENS = 20_000
STORES = ("file", "motor", "pymongo")
_BATCH = 1_000


class Process(Struct):
    """A server process, and its port."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """Return the processor time that its threads have used."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


class Served(Process):
    """A running server of a city, and a display of the code for each citizen."""

    metrics_port: int
    displays: Sequence[bytes]

    def metric(self, name: str) -> float:
        """Return a metric without labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            lines: list[str] = answer.read().decode().splitlines()
        return next(float(line.split(" ")[1]) for line in lines if line.startswith(f"{name} "))

    def switch(self, number: Signals) -> None:
        """Turn a switch of the measured server, and give it time to notice."""
        os.kill(self.pid, number)
        time.sleep(0.2)


@contextmanager
def served(store: str) -> Iterator[Served]:
    """Serve a city until the end of the block; the caller runs on the other core."""
    city = synthetic_city(CITIZENS)
    displays = asyncio.run(requests(city, CITIZENS))
    port, metrics_port = free_port(), free_port()
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory()))
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "CHENGMA_STORE": city.settings.store,
            "CHENGMA_KEYS": city.settings.keys,
            "CHENGMA_RULES": str(ROOT / "rules"),
            "CHENGMA_PORT": str(port),
            "CHENGMA_METRICS_PORT": str(metrics_port),
        }
        os.sched_setaffinity(0, {LAST_CORE})  # mongod inherits this
        if store != "file":
            url = running.enter_context(mongod("--wiredTigerCacheSizeGB", "1"))
            keys = shutil.copytree(city.keys, folder / "keys", ignore=shutil.ignore_patterns(MEMORY))
            environment |= {"CHENGMA_STORE": url, "CHENGMA_KEYS": str(keys), "CHENGMA_MONGO_DRIVER": store}
            subprocess.run([sys.executable, "-m", "backend", "migrate"], env=environment, cwd=folder, check=True)
            asyncio.run(_fill(city.store, url))
        running.enter_context(server(["-m", "tests.load.measured_server"], port, environment, folder / "log"))
        yield Served(port, pid_in(folder / "log"), metrics_port, displays)


@contextmanager
def bare(kind: str) -> Iterator[Process]:
    """Serve something bare next to a city until the end of the block: see `tests.load.bare`."""
    port = free_port()
    with TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with server(["-m", "tests.load.bare", kind, str(port)], port, os.environ | {"PYTHONPATH": str(ROOT)}, log):
            yield Process(port, pid_in(log))


def pid_in(log: Path) -> int:
    """Return the process id that a server has printed first."""
    return int(log.read_text(encoding="utf-8").split("\n", 1)[0])


async def _fill(path: Path, url: str) -> None:
    kinds: Sequence[type[Document]] = (Person, HealthRecord)
    source = SqliteStore.open(path, documents_of(discover_services()))
    target = MongoStore(url, kinds, timeout_ms=60_000)
    for kind in kinds:
        batch: list[Document] = []
        async for document in source.scan(kind):
            batch.append(to_the_millisecond(document))
            if len(batch) == _BATCH:
                await target.restore(batch)
                batch = []
        await target.restore(batch)
    await source.close()
    await target.close()
