"""Shared part of the integrations' commands."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from backend.app import open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.cli.errors import load_settings, report_errors
from backend.cli.preflight import check_schema
from backend.store.migrations import find_migrations

T = TypeVar("T")


def run_in_city(work: Callable[[City], Awaitable[T]]) -> T:
    """Open the city of the settings, run `work` on it, and close its store; a city with an old schema is refused."""
    settings = load_settings()

    async def run() -> T:
        city = open_city(settings, discover_services(), discover_integrations(settings.integrations))
        try:
            await check_schema(settings, city.store, find_migrations())
            return await work(city)
        finally:
            await city.store.close()

    with report_errors():
        return asyncio.run(run())
