"""Commands that work in the city of the settings."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from backend.app import discover_parts, documents_of, open_city
from backend.city.binding import bind_city
from backend.city.service import City
from backend.cli.errors import load_settings, report_errors
from backend.cli.preflight import check_schema
from backend.store.connect import display_address, prepare_store
from backend.store.migrations import find_migrations

T = TypeVar("T")


def run_in_city(work: Callable[[City], Awaitable[T]], *, may_be_new: bool = False) -> T:
    """Open the city of the settings, run `work` on it, and close its store; a city with an old schema is refused.

    One that `may_be_new` is prepared first, and bound to its keys.
    """
    settings = load_settings()

    async def run() -> T:
        parts = discover_parts(settings)
        if may_be_new:
            prepare_store(settings.store, documents_of(parts.services))
        city = open_city(settings, parts.services, parts.integrations)
        try:
            await check_schema(settings, city.store, find_migrations())
            if may_be_new:
                await bind_city(city.store, city.keys, display_address(settings.store))
            return await work(city)
        finally:
            await city.store.close()

    with report_errors():
        return asyncio.run(run())
