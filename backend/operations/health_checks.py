"""Health checks for an operator's machines: is the process alive, and is it ready for requests?"""

import asyncio
from collections.abc import Sequence
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from backend.city.releases import digest_in_force
from backend.city.service import City
from backend.operations.write_probe import check_writable
from backend.rulebook import InvalidRulebook
from backend.rulebook.needs import check_needs
from backend.security.identity import probe
from backend.store import StoreNotWritable, StoreUnavailable

READY_SECONDS = 3.0


class Health(Struct, frozen=True):
    """The state of each part of the city: `ok`, or what is wrong."""

    store: str
    broker: str
    keys: str
    rulebook: str


@get("/health/live", guards=[probe], priority="essential", always_admitted=True, include_in_schema=False)
async def live() -> dict[str, bool]:
    """Answer as long as the process is alive, however loaded it is. If it does not answer, restart it."""
    return {"alive": True}


@get("/health/ready", guards=[probe], priority="essential", always_admitted=True, include_in_schema=False)
async def ready(city: NamedDependency[City]) -> Response[Health]:
    """Check store, broker, keys and rulebook: 200, or 503 with what is wrong.

    A store whose disk is full answers reads but cannot write; then the server is not ready until it can. A server
    without its broker stays ready: background work waits, and citizens notice nothing. A server that cannot
    use a published rulebook stays ready with the one before: a bad release must not take every process out of service.
    """
    (store, rulebook), broker = await asyncio.gather(_store_and_rulebook(city), _broker(city))
    fault = _fault_of_rulebook(city)
    health = Health(store, broker, city.keys.fault or "ok", fault or rulebook)
    is_ready = (health.store, health.keys) == ("ok", "ok") and not fault
    return Response(health, status_code=200 if is_ready else 503, headers={"Cache-Control": "no-store"})


async def _store_and_rulebook(city: City) -> tuple[str, str]:
    loaded = city.rulebook.digest[:16]
    try:
        async with asyncio.timeout(READY_SECONDS):
            digest = await digest_in_force(city.store, city.now())
            await check_writable(city.store, city.now())
    except StoreNotWritable:
        return "cannot write", "ok"
    except (StoreUnavailable, TimeoutError):
        return "does not answer", "ok"
    if digest is None or digest == city.rulebook.digest:
        return "ok", "ok"
    return "ok", f"{digest[:16]} was published, {loaded} is in force here"


def _fault_of_rulebook(city: City) -> str:
    try:
        check_needs(city.rulebook, city.rule_modules)
    except InvalidRulebook as error:
        return error.faults[0].message.en
    return ""


async def _broker(city: City) -> str:
    if not city.settings.broker:
        return "none: the server runs background jobs itself"
    from backend.jobs.celery import broker_answers

    return "ok" if await asyncio.to_thread(broker_answers, city.settings) else "does not answer"


def health_routes() -> Sequence[ControllerRouterHandler]:
    """Return the routes of the health checks, which are not in the OpenAPI document."""
    routes: list[Any] = [live, ready]
    return routes
