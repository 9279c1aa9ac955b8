"""The city as the commands of integrations open it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from backend.app import open_city
from backend.command import settings_here, told_plainly
from backend.service import City, discover_integrations, discover_services

T = TypeVar("T")


def in_city(work: Callable[[City], Awaitable[T]]) -> T:
    """Open the city of the settings, work in it, and close its store."""
    settings = settings_here()

    async def whole() -> T:
        city = open_city(settings, discover_services(), discover_integrations(settings.integrations))
        try:
            return await work(city)
        finally:
            await city.store.close()

    with told_plainly():
        return asyncio.run(whole())
