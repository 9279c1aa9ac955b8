"""Benchmarks of the city's own code on each store, without HTTP."""

import sqlite3
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import uvloop
from msgspec import Struct

from backend.app import documents_of, open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.settings import Settings
from backend.store.connect import prepare_store
from backend.store.mongo.store import Driver
from integrations._sandbox.connection import SharedConnection
from tests.keys import new_keys
from tests.mongod import mongod

T = TypeVar("T")


class ProcessorTime(Struct):
    """The processor time that this process took, in seconds, and how much of it the sandboxes took in their threads."""

    whole: float = 0.0
    sandbox: float = 0.0

    def rate(self, number: int) -> str:
        """Return how many of `number` pieces of work a core does in a second, without the sandboxes' share."""
        return f"{number / (self.whole - self.sandbox):,.0f}"

    def share(self) -> str:
        """Return the sandboxes' share."""
        return f"{self.sandbox / self.whole:.0%}"


@contextmanager
def processor_time() -> Generator[ProcessorTime]:
    """Measure the processor time of the block."""
    spent, run, transactions = ProcessorTime(), SharedConnection.run, list[float]()

    def timed(self: SharedConnection, work: Callable[[sqlite3.Connection], T]) -> T:
        begun = time.thread_time()
        try:
            return run(self, work)
        finally:
            transactions.append(time.thread_time() - begun)

    SharedConnection.run = timed
    begun = time.process_time()
    try:
        yield spent
    finally:
        spent.whole, spent.sandbox = time.process_time() - begun, sum(transactions)
        SharedConnection.run = run


def on_each_store(
    name: str, rules: Path, measure: Callable[[City], Awaitable[tuple[str, ...]]]
) -> list[tuple[str, ...]]:
    """Measure an empty city with these rules on each store, on uvloop; return the rows of a table, by store.

    `name` is that of the databases.
    """
    rows: list[tuple[str, ...]] = []
    with TemporaryDirectory() as folder, mongod() as url:
        address, _, options = url.partition("?")
        stores: Sequence[tuple[str, str, Driver]] = (
            ("embedded file", f"sqlite:///{folder}/city.db", "motor"),
            ("MongoDB, motor", f"{address.rstrip('/')}/{name}_motor?{options}", "motor"),
            ("MongoDB, pymongo", f"{address.rstrip('/')}/{name}_pymongo?{options}", "pymongo"),
        )
        for title, store, driver in stores:
            prepare_store(store, documents_of(discover_services()))
            own = Path(folder) / title
            keys, sandbox = new_keys(own / "keys"), str(own / "sandbox.db")
            settings = Settings(store=store, mongo_driver=driver, keys=keys, sandbox=sandbox, rules=str(rules))
            rows.append((title, *uvloop.run(_measured(settings, measure))))
    return rows


async def _measured(settings: Settings, measure: Callable[[City], Awaitable[tuple[str, ...]]]) -> tuple[str, ...]:
    city = open_city(settings, discover_services(), discover_integrations("integrations"))
    found = await measure(city)
    await city.store.close()
    return found
