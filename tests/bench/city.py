"""Synthetic cities for the benchmarks, created once and cached in a folder that git ignores."""

import asyncio
from pathlib import Path

from msgspec import Struct

from backend.app import open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.cli.synthetic_data import fill_city
from backend.security.keyring import make_keys
from backend.settings import Settings
from backend.store.migrations import find_migrations, migrate

CACHE = Path(__file__).parents[2] / ".cache" / "bench"


class BenchCity(Struct, frozen=True):
    """A city on disk."""

    store: Path
    keys: Path

    @property
    def settings(self) -> Settings:
        """Return the settings that open it."""
        return Settings(store=f"sqlite:///{self.store}", keys=str(self.keys))

    def open(self) -> City:
        """Open it in this process."""
        return open_city(self.settings, discover_services(), discover_integrations("integrations"))


def synthetic_city(citizens: int) -> BenchCity:
    """Return a city with this number of citizens; the first call takes about a minute for 100,000."""
    found = BenchCity(CACHE / f"{citizens}.db", CACHE / f"{citizens}-keys")
    make_keys(found.keys)
    asyncio.run(_fill(found.open(), citizens))
    return found


async def _fill(city: City, citizens: int) -> None:
    await migrate(city.store, find_migrations(), lambda _migration, _seen: None)
    await fill_city(city, discover_services(), citizens, 1, lambda _done, _total: None)
    await city.store.close()
