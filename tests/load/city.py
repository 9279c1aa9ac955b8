"""The measured server: `chengma serve` on the first core, with 20,000 people on a file or on MongoDB."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from signal import Signals
from tempfile import TemporaryDirectory

from msgspec import Struct

from backend.app import documents_of, open_city
from backend.city.binding import MEMORY
from backend.city.person import Person
from backend.city.service import City, discover_integrations, discover_services
from backend.services.health_code.model import HealthRecord
from backend.settings import Settings
from backend.store import Document
from backend.store.copy import to_the_millisecond
from backend.store.mongo.store import MongoStore
from backend.store.sqlite.store import SqliteStore
from tests.bench.city import synthetic_city
from tests.bench.health_code_read import LAST_CORE, ROOT, free_port, requests, server
from tests.bench.report import processor_seconds
from tests.mongod import mongod

CITIZENS = 20_000
STORES = ("file", "motor", "pymongo")
CODE_SECONDS = 600
"""So that codes that were issued before a run are valid in it."""

_BATCH = 1_000
_LIMITS = (
    "CHENGMA_PERSON_REQUESTS_PER_MINUTE",
    "CHENGMA_ADDRESS_REQUESTS_PER_MINUTE",
    "CHENGMA_VENUE_REQUESTS_PER_MINUTE",
    "CHENGMA_SYSTEM_REQUESTS_PER_MINUTE",
)


class Process(Struct):
    """A server process, and its port."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """Return the processor time that it has used."""
        return processor_seconds(self.pid)


class Served(Process):
    """A running server of a city, and a display of the code for each citizen."""

    metrics_port: int
    displays: Sequence[bytes]
    folder: Path
    environment: Mapping[str, str]

    def open(self, rules: Path = ROOT / "rules") -> City:
        """Open the same city in this process."""
        settings = Settings(
            store=self.environment["CHENGMA_STORE"],
            mongo_driver="pymongo",
            keys=self.environment["CHENGMA_KEYS"],
            sandbox=self.environment["CHENGMA_SANDBOX"],
            rules=str(rules),
        )
        return open_city(settings, discover_services(), discover_integrations("integrations"))

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
    """Serve a copy of the city until the end of the block; the caller runs on the other core."""
    city = synthetic_city(CITIZENS)
    displays = asyncio.run(requests(city, CITIZENS))
    port, metrics_port = free_port(), free_port()
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory()))
        # The keys of the copy must not remember it: the next copy is another store.
        keys = shutil.copytree(city.keys, folder / "keys", ignore=shutil.ignore_patterns(MEMORY))
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "CHENGMA_STORE": f"sqlite:///{_copied(city.store, folder / 'city.db')}",
            "CHENGMA_SANDBOX": str(folder / "sandbox.db"),
            "CHENGMA_CODE_SECONDS": str(CODE_SECONDS),
            "CHENGMA_TRUSTED_PROXIES": "127.0.0.1/32",
            **dict.fromkeys(_LIMITS, "100000000"),
            "CHENGMA_KEYS": str(keys),
            "CHENGMA_RULES": str(ROOT / "rules"),
            "CHENGMA_PORT": str(port),
            "CHENGMA_METRICS_PORT": str(metrics_port),
        }
        os.sched_setaffinity(0, {LAST_CORE})  # mongod inherits this
        if store != "file":
            url = running.enter_context(mongod("--wiredTigerCacheSizeGB", "1"))
            environment |= {"CHENGMA_STORE": url, "CHENGMA_MONGO_DRIVER": store}
            subprocess.run([sys.executable, "-m", "backend", "migrate"], env=environment, cwd=folder, check=True)
            asyncio.run(_fill(city.store, url))
        pid = running.enter_context(server(["-m", "tests.load.measured_server"], port, environment, folder / "log"))
        yield Served(port, pid, metrics_port, displays, folder, environment)


@contextmanager
def bare(kind: str) -> Iterator[Process]:
    """Serve something bare next to a city until the end of the block: see `tests.load.bare`."""
    port = free_port()
    with TemporaryDirectory() as folder:
        arguments = ["-m", "tests.load.bare", kind, str(port)]
        with server(arguments, port, os.environ | {"PYTHONPATH": str(ROOT)}, Path(folder, "log")) as pid:
            yield Process(port, pid)


def _copied(source: Path, target: Path) -> Path:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
    return target


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
