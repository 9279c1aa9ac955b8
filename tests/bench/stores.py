"""Benchmarks of the city's own code on each store, without HTTP."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from backend.app import documents_of, open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.settings import Settings
from backend.store.connect import prepare_store
from backend.store.mongo.store import Driver
from tests.keys import new_keys
from tests.mongod import mongod


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
