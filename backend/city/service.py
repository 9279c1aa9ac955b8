"""What a service is, what the city hands it, and how services and integrations are found.

A new service is one folder in `backend/services/`, one in `rules/` and one in `tests/`. Nothing lists them by hand.
"""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

import click
import msgspec
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from backend.city.person import Person
from backend.i18n import Text
from backend.jobs.tasks import JobQueue
from backend.problems import Problem
from backend.rulebook import Rulebook
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring
from backend.settings import Settings
from backend.store import Document, Store

P = TypeVar("P")

_MICROSECONDS = tuple(timedelta(microseconds=number) for number in range(1000))
"""Taken from an instant, for which `datetime.replace` takes five times as long, on every request."""


class City(Struct, frozen=True):
    """What every handler and task works with.

    When another rulebook is published, a process goes on with another City; a request keeps the one it began with.
    """

    settings: Settings
    store: Store
    keys: Keyring
    encryption: FieldEncryption
    rulebook: Rulebook
    ports: Mapping[type, object]
    jobs: JobQueue
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    decision_counts: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    """How often each rule of each module gave each result, since the process began."""

    def now(self) -> datetime:
        """Give the present instant, in UTC, to the millisecond: no store keeps more of it."""
        at = self.clock()
        return at - _MICROSECONDS[at.microsecond % 1000]

    def today(self) -> date:
        """Give the present day of the city's calendar."""
        return self.now().astimezone(ZoneInfo(self.settings.time_zone)).date()

    def port(self, protocol: type[P]) -> P:
        """Give the integration that implements `protocol`, a service's port."""
        return cast("P", self.ports[protocol])


class Service(Struct, frozen=True, kw_only=True):
    """Something that citizens get from the city: its routes, its documents, and the facts that its rules may read.

    `synthesize(city, chance, profiles)` yields the documents that a synthetic city of these people would hold of it.
    """

    name: str
    title: Text
    routes: Sequence[ControllerRouterHandler]
    documents: Sequence[type[Document]] = ()
    facts: Sequence[type[Struct]] = ()
    synthesize: Callable[[City, Random, Sequence[Person]], Iterable[Document]] | None = None


class ProblemFormat(Struct, frozen=True, kw_only=True):
    """How Problems are said below a path, where its clients expect another form than RFC 9457.

    `body(problem, language, request_id)` gives the answer's content, which is written as JSON of this `media_type`.
    """

    prefix: str
    media_type: str
    body: Callable[[Problem, str, str], dict[str, Any]]

    def covers(self, path: str) -> bool:
        """Tell whether a path lies below the prefix."""
        return path.startswith(self.prefix) and path[len(self.prefix) : len(self.prefix) + 1] in ("", "/")


class Integration(Struct, frozen=True, kw_only=True):
    """Outside help: `make(settings)` gives an object that implements the service's `port`, if it has one.

    `routes(settings)` returns the routes that it adds, `problem_format` is the form of Problems there, and `command`
    returns its part of the `chengma` command, which is named after the module. All are optional.
    """

    port: type | None = None
    make: Callable[[Settings], object] | None = None
    routes: Callable[[Settings], Sequence[ControllerRouterHandler]] = lambda _settings: ()
    problem_format: ProblemFormat | None = None
    command: Callable[[], click.Command] | None = None


def discover_services(package: str = "backend.services") -> list[Service]:
    """Import every module of `package` and give their `service` objects, by name."""
    return [cast("Service", module.service) for module in _modules(package)]


def discover_integrations(package: str) -> list[Integration]:
    """Import every module of `package` and give their `integration` objects."""
    return [cast("Integration", module.integration) for module in _modules(package) if hasattr(module, "integration")]


def make_ports(integrations: Iterable[Integration], settings: Settings) -> dict[type, object]:
    """Make what implements the services' ports, by port."""
    return {one.port: one.make(settings) for one in integrations if one.port is not None and one.make is not None}


def discover_commands(package: str) -> dict[str, Callable[[], click.Command]]:
    """Give the commands that the integrations of `package` add, by the names of their modules."""
    found = (
        (module.__name__.rpartition(".")[2], cast("Integration", module.integration)) for module in _modules(package)
    )
    return {name: integration.command for name, integration in found if integration.command is not None}


def _modules(package: str) -> Iterator[Any]:
    folder = importlib.import_module(package)
    for found in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
        if found.name.startswith("_"):  # what several of them share
            continue
        yield importlib.import_module(f"{package}.{found.name}")
