"""A city with an audit log, on either store, and the ways in which acts come into it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import ClassVar, TypeVar

from msgspec.structs import replace

from backend.app import documents_of, open_city
from backend.city.audit_log import UNLOGGED, Act, AuditedDocument, city_act, with_act
from backend.city.service import City, discover_integrations, discover_services
from backend.settings import Settings
from backend.store import Index, Store
from backend.store.connect import open_store
from tests.conftest import Clock

T = TypeVar("T")
NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)


class Permit(AuditedDocument, kw_only=True):
    """A document that officers change."""

    collection: ClassVar[str] = "permits"
    indexes: ClassVar[tuple[Index, ...]] = (UNLOGGED,)

    granted: int = 0


def in_city(
    settings: Settings, clock: Clock, work: Callable[[City], Awaitable[T]], wrap: Callable[[Store], Store] | None = None
) -> T:
    """Run `work` in a process of the city that knows permits; `wrap` may put another store in front of the store."""
    services = discover_services()
    kinds = [*documents_of(services), Permit]

    async def run() -> T:
        opened = open_city(settings, services, discover_integrations(settings.integrations), clock=clock)
        await opened.store.close()
        store = open_store(settings.store, kinds, driver="pymongo", timeout_ms=20_000)
        city = replace(opened, store=store if wrap is None else wrap(store), documents=kinds)
        try:
            return await work(city)
        finally:
            await store.close()

    return asyncio.run(run())


def permit_act(city: City, number: int, about: str = "permit") -> Act:
    """Return an act about a permit; its reason numbers it."""
    return replace(city_act("permit.granted", about, city.now()), reason=str(number))


async def grant(city: City, permit_id: str, number: int) -> Permit:
    """Change a permit and record the act, in one write."""
    known = await city.store.get(Permit, permit_id)
    permit = with_act(replace(known or Permit(id=permit_id), granted=number), permit_act(city, number, permit_id))
    return await (city.store.insert(permit) if known is None else city.store.replace(permit))
