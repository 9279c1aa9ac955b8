"""What is looked at before a process begins to serve, so that what is set wrongly stops it with one clear line."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct
from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.uri_parser import parse_uri

from backend.city.releases import digest_in_force, released_rulebook
from backend.settings import Settings
from backend.store import Document, Store, StoreUnavailable
from backend.store.connect import SQLITE, open_store, place
from backend.store.migrations import Migration, assert_up_to_date, is_empty, migrate

_REFUSED = {13: "may not do this", 18: "is refused: wrong name or password"}
"""MongoDB's codes Unauthorized and AuthenticationFailed."""

_ESCAPE = "write what is special in a name or password as in a URL: / is %2F, @ is %40"


class NotReady(Exception):
    """What the settings name cannot be used. The message says what, and what to do."""


def check_before_serving(
    settings: Settings, kinds: Sequence[type[Document]], facts: Sequence[type[Struct]], migrations: Sequence[Migration]
) -> None:
    """Try store, broker, schema and published rulebook. Raises NotReady, UnknownSchema or InvalidRulebook."""
    if not settings.store.startswith(SQLITE):
        look_at_mongodb(settings.store, settings.store_timeout_ms, settings.clock_skew_seconds)
    if settings.broker:
        _look_at_broker(settings)
    asyncio.run(_look_at_schema(settings, kinds, facts, migrations))


def look_at_mongodb(address: str, timeout_ms: int, skew_seconds: int) -> None:
    """Try whether a MongoDB can be used: there, willing, a replica set, and with our time. Raises NotReady."""
    said = _hello(address, timeout_ms)
    if "setName" not in said and said.get("msg") != "isdbgrid":
        raise _no_replica_set(address)
    away = abs((said["localTime"].replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds())
    if away > max(1, skew_seconds):
        raise NotReady(
            f"the clocks of this machine and of {place(address)} differ by {away:.0f} s, more than "
            f"CHENGMA_CLOCK_SKEW_SECONDS={skew_seconds}: set them by NTP"
        )


def _hello(address: str, timeout_ms: int) -> dict[str, Any]:
    try:
        with MongoClient[dict[str, Any]](address, serverSelectionTimeoutMS=timeout_ms) as client:
            return client.admin.command("hello")
    except (InvalidURI, ConfigurationError, InvalidName, ValueError) as error:
        reason = _ESCAPE if "@" in str(error) else str(error)  # which would hold the end of a password
        raise NotReady(f"CHENGMA_STORE is no address of a MongoDB: {reason}") from error
    except OperationFailure as error:
        user = parse_uri(address)["username"]
        reason = _REFUSED.get(error.code or 0, f"fails: {error}")
        raise NotReady(f"the user {user!r} of CHENGMA_STORE {reason} at {place(address)}") from error
    except ServerSelectionTimeoutError as error:
        if _stands_alone(address, timeout_ms):
            raise _no_replica_set(address) from error
        raise NotReady(f"no MongoDB answers at {place(address)} within {timeout_ms} ms") from error


def _stands_alone(address: str, timeout_ms: int) -> bool:
    """Tell that the first server of the address answers, but is not of a replica set."""
    host, port = parse_uri(address)["nodelist"][0]
    try:
        with MongoClient[dict[str, Any]](
            host, port, directConnection=True, serverSelectionTimeoutMS=timeout_ms
        ) as client:
            return "setName" not in client.admin.command("hello")
    except PyMongoError:
        return False


def _no_replica_set(address: str) -> NotReady:
    return NotReady(
        f"the MongoDB at {place(address)} is no replica set, so that losing it would lose what was acknowledged: "
        "start it with --replSet, if only with one member, and run rs.initiate()"
    )


def _look_at_broker(settings: Settings) -> None:
    from backend.jobs.celery import answers

    try:
        answering = answers(settings)
    except ValueError as error:  # whose text may hold the beginning of a password
        raise NotReady(f"CHENGMA_BROKER is no address of a broker; {_ESCAPE}") from error
    if not answering:
        raise NotReady(f"no broker answers at {place(settings.broker)}: start it, or leave CHENGMA_BROKER empty")


async def _look_at_schema(
    settings: Settings, kinds: Sequence[type[Document]], facts: Sequence[type[Struct]], migrations: Sequence[Migration]
) -> None:
    store = open_store(settings.store, kinds, driver="pymongo", timeout_ms=settings.store_timeout_ms)
    try:
        if settings.store.startswith(SQLITE) and await is_empty(store, migrations):
            await migrate(store, migrations, lambda _migration, _seen: None)
        await assert_up_to_date(store, migrations)
        await _look_at_rulebook(store, facts, ZoneInfo(settings.time_zone))
    except StoreUnavailable as error:
        raise NotReady(f"the store at {place(settings.store)} does not answer: {error}") from error
    finally:
        await store.close()


async def _look_at_rulebook(store: Store, facts: Sequence[type[Struct]], time_zone: ZoneInfo) -> None:
    digest = await digest_in_force(store)
    if digest is not None:
        await released_rulebook(store, digest, facts, time_zone)
