"""Checks before serving, so that a misconfigured process stops with one clear line."""

import asyncio
import logging
import resource
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

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

from backend.app import documents_of, read_rules
from backend.city.binding import bind_city
from backend.city.releases import IN_FORCE, RulebookPointer, released_rulebook
from backend.city.service import Service, discover_integrations, rule_modules_of
from backend.rulebook.needs import RuleModule
from backend.security.keyring import Keyring
from backend.settings import Settings
from backend.store import Store, StoreUnavailable
from backend.store.connect import SQLITE, display_address, open_store
from backend.store.migrations import Migration, assert_up_to_date, is_empty, migrate

_REFUSED = {13: "may not do this", 18: "is refused: wrong name or password"}
"""MongoDB's codes Unauthorized and AuthenticationFailed."""

OTHER_OPEN_FILES = 512
"""The store, its driver's connections, logs, and connections that are being opened and closed."""
MIN_CONNECTIONS = 100

_log = logging.getLogger("chengma.preflight")

_ESCAPE = "write special characters in a name or password as in a URL: / is %2F, @ is %40"


class NotReady(Exception):
    """A store, broker or file that the settings name cannot be used. The message names it and says what to do."""


def check_before_serving(settings: Settings, services: Sequence[Service], migrations: Sequence[Migration]) -> None:
    """Check that the settings go together, and rules, keys, store, broker, schema and published rulebook.

    Nothing is made before rules and keys are read. Raises NotReady, WrongCity, InvalidKeys, UnknownSchema or
    InvalidRulebook.
    """
    if settings.development:
        _check_development(settings)
    read_rules(settings, rule_modules_of(services))
    keys = Keyring.open(Path(settings.keys))
    if not settings.store.startswith(SQLITE):
        check_mongodb(settings.store, settings.store_timeout_ms, settings.clock_skew_seconds)
    if settings.broker:
        _check_broker(settings)
    asyncio.run(_check_store(settings, keys, services, migrations))


def allow_connections(connections: int) -> int:
    """Raise the process's limit of open files to what its connections need, and return how many it can accept.

    Logs a warning if they are fewer. Raises NotReady if they are so few that any client could take them all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + OTHER_OPEN_FILES
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == needed:
        return connections
    accepted = allowed - OTHER_OPEN_FILES
    message = (
        f"{connections:,} connections need {needed:,} open files, and this process may open {hard:,}: raise the limit "
        "(`ulimit -Hn`, LimitNOFILE of systemd, `ulimits: nofile` of compose), or set CHENGMA_CONNECTIONS"
    )
    if accepted < MIN_CONNECTIONS:
        raise NotReady(message)
    _log.warning("%s; only %d connections are accepted", message, accepted)
    return accepted


def warn_of_sandboxes(settings: Settings) -> None:
    """Log a warning if sandboxes stand where a city that people use has real systems."""
    made = [(one.port, one.make) for one in discover_integrations(settings.integrations)]
    sandboxes = [port.__name__ for port, make in made if port and make and make.__module__.endswith(".sandbox")]
    if sandboxes and not settings.development:
        _log.warning(
            "%s: sandboxes, which prove nobody's identity and move no money; connect real systems before people use "
            "the city (docs/add-an-integration.md)",
            ", ".join(sorted(sandboxes)),
        )


def warn_of_addresses(settings: Settings) -> None:
    """Log a warning if hospitals would have to name an address that only this machine has."""
    if not settings.fhir_url and not settings.development:
        _log.warning(
            "CHENGMA_FHIR_URL is not set: links and the assertions of hospitals name http://%s:%d/fhir; set it to the "
            "address under which hospitals reach the city",
            settings.host,
            settings.port,
        )


def _check_development(settings: Settings) -> None:
    if not _is_loopback(settings.host):
        raise NotReady(
            "CHENGMA_DEVELOPMENT lets anyone read the codes sent by text message, and other machines can reach "
            f"CHENGMA_HOST={settings.host}: use 127.0.0.1, or do not set CHENGMA_DEVELOPMENT"
        )
    integrations = discover_integrations(settings.integrations)
    real = [one.port.__name__ for one in integrations if one.port is not None and not one.development]
    if real:
        raise NotReady(
            f"CHENGMA_DEVELOPMENT is for a city of sandboxes, but {settings.integrations!r} connects to real systems "
            f"({', '.join(sorted(real))}): do not set it"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_mongodb(address: str, timeout_ms: int, skew_seconds: int) -> None:
    """Check that a MongoDB answers, accepts us, is a replica set and agrees with our clock. Raises NotReady."""
    hello = _hello(address, timeout_ms)
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise _not_a_replica_set(address)
    difference = abs((hello["localTime"].replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds())
    if difference > max(1, skew_seconds):
        raise NotReady(
            f"the clocks of this machine and of {display_address(address)} differ by {difference:.0f} s, more than "
            f"CHENGMA_CLOCK_SKEW_SECONDS={skew_seconds}: synchronise them by NTP"
        )


def _hello(address: str, timeout_ms: int) -> dict[str, Any]:
    try:
        with MongoClient[dict[str, Any]](address, serverSelectionTimeoutMS=timeout_ms) as client:
            return client.admin.command("hello")
    except (InvalidURI, ConfigurationError, InvalidName, ValueError) as error:
        reason = _ESCAPE if "@" in str(error) else str(error)  # the message may contain the end of a password
        raise NotReady(f"CHENGMA_STORE is not a valid MongoDB address: {reason}") from error
    except OperationFailure as error:
        user = parse_uri(address)["username"]
        reason = _REFUSED.get(error.code or 0, f"fails: {error}")
        raise NotReady(f"the user {user!r} of CHENGMA_STORE {reason} at {display_address(address)}") from error
    except ServerSelectionTimeoutError as error:
        if _is_standalone(address, timeout_ms):
            raise _not_a_replica_set(address) from error
        raise NotReady(f"no MongoDB answers at {display_address(address)} within {timeout_ms} ms") from error


def _is_standalone(address: str, timeout_ms: int) -> bool:
    """Return whether the first server of the address answers but is not a member of a replica set."""
    host, port = parse_uri(address)["nodelist"][0]
    try:
        with MongoClient[dict[str, Any]](
            host, port, directConnection=True, serverSelectionTimeoutMS=timeout_ms
        ) as client:
            return "setName" not in client.admin.command("hello")
    except PyMongoError:
        return False


def _not_a_replica_set(address: str) -> NotReady:
    return NotReady(
        f"the MongoDB at {display_address(address)} is not a replica set, so acknowledged writes could be lost: "
        "start it with --replSet, even with one member, and run rs.initiate()"
    )


def _check_broker(settings: Settings) -> None:
    from backend.jobs.celery import broker_answers

    try:
        answering = broker_answers(settings)
    except ValueError as error:  # the message may contain the beginning of a password
        raise NotReady(f"CHENGMA_BROKER is not a valid broker address; {_ESCAPE}") from error
    if not answering:
        raise NotReady(
            f"no broker answers at {display_address(settings.broker)}: start it, or leave CHENGMA_BROKER empty"
        )


async def _check_store(
    settings: Settings, keys: Keyring, services: Sequence[Service], migrations: Sequence[Migration]
) -> None:
    store = open_store(settings.store, documents_of(services), driver="pymongo", timeout_ms=settings.store_timeout_ms)
    try:
        await check_schema(settings, store, migrations)
        await bind_city(store, keys, display_address(settings.store))
        await _check_rulebook(store, rule_modules_of(services), ZoneInfo(settings.time_zone))
    except StoreUnavailable as error:
        raise NotReady(f"the store at {display_address(settings.store)} does not answer: {error}") from error
    finally:
        await store.close()


async def check_schema(settings: Settings, store: Store, migrations: Sequence[Migration]) -> None:
    """Check that no migration is pending. A new embedded file needs none. Raises UnknownSchema."""
    if settings.store.startswith(SQLITE) and await is_empty(store, migrations):
        await migrate(store, migrations, lambda _migration, _seen: None)
    await assert_up_to_date(store, migrations)


async def _check_rulebook(store: Store, rule_modules: Sequence[RuleModule], time_zone: ZoneInfo) -> None:
    """Check that this edition can use the release in force, and the one that is scheduled. Raises InvalidRulebook."""
    pointer = await store.get(RulebookPointer, IN_FORCE)
    if pointer is None:
        return
    now = datetime.now(UTC)
    for activation in (pointer.in_force(now), pointer.pending(now)):
        if activation is not None:
            await released_rulebook(store, activation.digest, rule_modules, time_zone)
