"""The definition of a service, the context its handlers get, and the discovery of services and integrations.

A new service is one folder in `backend/services/`, one in `rules/` and one in `tests/`. No list names it.
"""

import importlib
import pkgutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from random import Random
from types import ModuleType
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

import click
import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from backend.city.decisions import StoredDecision
from backend.city.fast_clock import to_the_millisecond
from backend.city.person import Person
from backend.i18n import Text
from backend.jobs.tasks import JobQueue
from backend.problems import Problem
from backend.rulebook import Rulebook
from backend.rulebook.needs import RuleModule
from backend.rulebook.preview.groups import Groups
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring
from backend.security.standing import Standing
from backend.settings import Settings
from backend.store import Document, Store

P = TypeVar("P")


class InvalidCity(Exception):
    """Services or integrations do not fit together. The message has one line for each mistake."""


class City(Struct, frozen=True):
    """The context of every handler and task.

    When another rulebook is published, a process replaces its City; a running request keeps the one it started with.
    """

    settings: Settings
    store: Store
    keys: Keyring
    encryption: FieldEncryption
    rulebook: Rulebook
    ports: Mapping[type, object]
    jobs: JobQueue
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    rule_modules: Sequence[RuleModule] = ()
    """The rule modules that the services evaluate; every rulebook in force has them."""
    stored_facts: Sequence["StoredFacts"] = ()
    """The facts of everybody that the services store, for previews of a draft of the rules."""
    documents: Sequence[type[Document]] = ()
    """The kinds of all documents that the city stores."""
    personal_data: Mapping[str, object] = {}
    """What each service holds on a person, a PersonalData; see `backend.city.personal_data.personal_data_of`."""
    decisions: Mapping[str, "Mapping[str, FindDecisions]"] = {}
    """How each service finds the decisions that it stores; see `Service.decisions`."""
    roles: frozenset[str] = frozenset()
    """The roles that the services declare, except those of systems; no other can be granted."""
    exclusive_roles: frozenset[frozenset[str]] = frozenset()
    """The pairs of roles that nobody has at once."""
    ended_tokens: set[str] = msgspec.field(default_factory=set[str])
    """The keys of tokens that this process refuses although they have not expired; see `backend.city.ended_access`."""
    acts: Mapping[str, Text] = {}
    """What a person reads of the acts that concern them, by action; see `Service.acts`."""
    authorities: Mapping[str, Text] = {}
    """On whose behalf an account with a role acts; see `Service.authorities`."""
    decision_counts: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    """The number of times that each rule of each module decided each result since the process started."""

    def now(self) -> datetime:
        """Return the current instant in UTC, to the millisecond, the precision of the stores."""
        return to_the_millisecond(self.clock())

    def today(self) -> date:
        """Return the current day in the city's time zone."""
        return self.now().astimezone(ZoneInfo(self.settings.time_zone)).date()

    def port(self, protocol: type[P]) -> P:
        """Return the integration that implements `protocol`, a service's port."""
        return cast("P", self.ports[protocol])


FindDecisions = Callable[[City, datetime], AsyncIterator[StoredDecision]]
"""Yields the decisions that were made since an instant, with the facts of then."""


class CodeFormat(Struct, frozen=True):
    """A kind of signed code, recognised by the `audience` of its `claims`, a subclass of CodeClaims.

    `describe(claims)` returns what the code shows to people.
    """

    audience: str
    claims: type[Any]
    describe: Callable[[Any], str]


class DemoPerson(Struct, frozen=True):
    """A synthetic person who can sign in."""

    phone: str
    citizen_id: str


class DemoStaff(Struct, frozen=True):
    """A synthetic member of staff who can sign in with this phone."""

    phone: str
    title: str
    role: str
    venues: tuple[str, ...] = ()


class DemoAccounts(Struct, frozen=True):
    """Functions with which the demonstration finds and creates accounts; the account service declares them.

    `people(city)` yields synthetic people who can sign in. `grant(city, phone, roles, venues)` enters staff, and
    returns None in a city that has real operators.
    """

    people: Callable[[City], AsyncIterator[DemoPerson]]
    grant: Callable[[City, str, tuple[str, ...], tuple[str, ...]], Awaitable[Document | None]]


class DemoOutput(Struct, frozen=True):
    """The lines that a service adds to the output: `people` worth signing in as, and `notes` below them."""

    people: Sequence[str] = ()
    notes: Sequence[str] = ()


class Demo(Struct, frozen=True, kw_only=True):
    """A service's part of the demonstration. `show(city, people)` may iterate over synthetic people with `people()`.

    `assign(city, accounts)` gives the staff what they need besides their roles; `accounts` are the ids by phone.
    """

    staff: Sequence[DemoStaff] = ()
    assign: Callable[[City, Mapping[str, str]], Awaitable[None]] | None = None
    show: Callable[[City, Callable[[], AsyncIterator[DemoPerson]]], Awaitable[DemoOutput]] | None = None
    accounts: DemoAccounts | None = None


EVERY_OTHER_ROLE = "*"
NOT_CORRECTED = Text(zh="记录已发生的事实，不作更正。", en="It records what happened, and is not corrected.")


class Subject(Struct, frozen=True):
    """A person who uses the city: the id of their account, and that of their Person once their identity is verified."""

    account: str
    person: str | None


class OpenMatter(Struct, frozen=True):
    """What must be settled before an account is closed; `amount_fen` is the money that is open, if known."""

    text: Text
    amount_fen: int | None = None


FactsOf = Callable[[City, str], Awaitable[Struct | None]]
"""Returns the facts that a rule module would now read of a person (by id); None if the service does not know them."""


Find = Callable[[City, Subject], AsyncIterator[Any]]
KeepUntil = Callable[[City, Any, datetime], Awaitable[datetime | None]]


async def _erase(_city: City, _document: Any, _now: datetime) -> datetime | None:  # noqa: ANN401  any document
    return None


class PersonalRecords(Struct, frozen=True, kw_only=True):
    """The documents of one kind about a person.

    `find(city, subject)` yields them. In an export, fields of `hidden` are left out and those of `encrypted` decrypted.
    `kept` says how long they are kept, and `correct` how a person has them corrected. Once the account is closed, a
    document stays until the instant that `keep_until(city, document, now)` returns, for the `reason`; if there is none,
    it is erased. `reduced(document)` returns what must stay of it, the same object if all of it.
    """

    kind: type[Document]
    title: Text
    kept: Text
    find: Find
    correct: Text = NOT_CORRECTED
    hidden: Sequence[str] = ()
    encrypted: Sequence[str] = ()
    keep_until: KeepUntil = _erase
    reason: Text = Text(zh="", en="")
    reduced: Callable[[Any], Document] = lambda document: document


async def _nothing_open(_city: City, _subject: Subject) -> list[OpenMatter]:
    return []


class PersonalData(Struct, frozen=True, kw_only=True):
    """What a service holds on a person.

    `open_matters(city, subject)` returns what keeps an account from being closed. `end(city, subject)` ends what the
    person has with the service before the account is closed, and returns what prevents it. Then `records` are erased
    in their order.
    """

    records: Sequence[PersonalRecords]
    open_matters: Callable[[City, Subject], Awaitable[list[OpenMatter]]] = _nothing_open
    end: Callable[[City, Subject], Awaitable[list[OpenMatter]]] = _nothing_open


DeriveFacts = Callable[[Any, str, Rulebook, datetime], Struct]
"""Returns the facts that follow from a document for a module of a rulebook, at an instant; a PartlyKnown lacks some."""

GatherFacts = Callable[[Store, str, datetime, Sequence[Any]], Awaitable[Sequence[Any]]]
"""Reads what facts for a module are derived from, for each of these documents; None for one who is not counted.

The instant is that at which people are counted first.
"""


class StoredFacts(Struct, frozen=True, kw_only=True):
    """Where a service keeps the facts of everybody, so that a preview can decide its `modules` for a whole city.

    Names of modules may end in `*`. Documents of `kind` hold the facts in `field`, or `derive` returns those that
    follow from a document, or from what `gather` reads for it. `history` names a list of earlier results and the field
    of its items that is the result, and `history_results` are its words. A result is worse if it is later in the
    module's order, or earlier. If the ids of the documents are those of Persons, people are counted `by_district` too.

    With `partly`, the modules are of numbers, may declare facts and may be new, and `derive` returns a PartlyKnown if
    it lacks some facts: people are counted with the best result that some answers could give.
    """

    kind: type[Document]
    modules: Sequence[str]
    field: str = "facts"
    derive: DeriveFacts | None = None
    gather: GatherFacts | None = None
    partly: bool = False
    history: tuple[str, str] | None = None
    history_item: type[Struct] | None = None
    history_results: tuple[str, ...] = ()
    later_is_worse: bool = True
    groups: Groups | None = None
    by_district: bool = False

    def covers(self, module: str) -> bool:
        """Return whether the facts are those of a module."""
        return any(fnmatchcase(module, name) for name in self.modules)

    def facts_of(self, document: Any, module: str, rulebook: Rulebook, at: datetime) -> Any:  # noqa: ANN401  any facts
        """Return the facts of a document for a module at an instant."""
        return getattr(document, self.field) if self.derive is None else self.derive(document, module, rulebook, at)


class Service(Struct, frozen=True, kw_only=True):
    """Something that the city offers to citizens: its routes, documents, roles and rule modules.

    `synthesize(city, rng, people)` yields the documents of the service for a synthetic city of these people.
    `codes` and `demo` extend `chengma verify` and `chengma demo`.
    """

    name: str
    title: Text
    routes: Sequence[ControllerRouterHandler]
    documents: Sequence[type[Document]] = ()
    rule_modules: Sequence[RuleModule] = ()
    """The rule modules that it evaluates, with the facts that they may read and the results that it can handle."""
    stored_facts: Sequence[StoredFacts] = ()
    """The facts that it stores of everybody, for the preview of a draft of its rules."""
    roles: Sequence[str] = ()
    """The roles that its guards require. Several services may declare the same role."""
    system_roles: Sequence[str] = ()
    """The roles that its guards require and that only connected systems have, such as a hospital's; none is granted."""
    exclusive_roles: Sequence[tuple[str, str]] = ()
    """Pairs of roles that nobody may have at once; EVERY_OTHER_ROLE as the second stands for all others."""
    standing: Callable[[City, str, str], Awaitable[Standing | None]] | None = None
    """Returns what an account may do now in a session (both by id); the service that keeps accounts declares it."""
    acts: Mapping[str, Text] = {}
    """The actions of the audit log that concern a person, such as `account.looked_up`, as the person reads them."""
    authorities: Mapping[str, Text] = {}
    """The authority for which an account acts, by role; a person reads it in place of the officer's name."""
    synthesize: Callable[[City, Random, Sequence[Person]], Iterable[Document]] | None = None
    codes: Sequence[CodeFormat] = ()
    demo: Demo | None = None
    decisions: Mapping[str, FindDecisions] = {}
    """How the decisions of rule modules that it stores are found, by module; `*` stands for any name."""
    personal_data: PersonalData | None = None
    """What it holds on a person, for the export of their data and for closing their account."""
    present_facts: Mapping[str, FactsOf] = {}
    """The facts of a person as of now, by rule module, whose name may end in `*`; officers have verdicts explained."""


class ProblemFormat(Struct, frozen=True, kw_only=True):
    """The format of Problems below a path whose clients expect a format other than RFC 9457.

    `body(problem, language, request_id)` returns the response body, which is sent as JSON of this `media_type`.
    """

    prefix: str
    media_type: str
    body: Callable[[Problem, str, str], dict[str, Any]]

    def covers(self, path: str) -> bool:
        """Return whether a path lies below the prefix."""
        return path.startswith(self.prefix) and path[len(self.prefix) : len(self.prefix) + 1] in ("", "/")


class Integration(Struct, frozen=True, kw_only=True):
    """A connection to an external system: `make(settings)` returns an implementation of the service's `port`.

    One that may be used in `development` reaches no real system: a sandbox, or a part of this city.
    `routes(settings)` returns the routes that it adds, `problem_format` is the format of Problems there, and `command`
    returns its subcommand of `chengma`, which is named after the module. All are optional.
    """

    port: type | None = None
    make: Callable[[Settings], object] | None = None
    development: bool = False
    routes: Callable[[Settings], Sequence[ControllerRouterHandler]] = lambda _settings: ()
    problem_format: ProblemFormat | None = None
    command: Callable[[], click.Command] | None = None


def rule_modules_of(services: Iterable[Service]) -> list[RuleModule]:
    """Return the rule modules that the services evaluate."""
    return [module for service in services for module in service.rule_modules]


def routes_of(*modules: ModuleType) -> list[ControllerRouterHandler]:
    """Return the route handlers that modules define, in their order."""
    return [value for module in modules for value in vars(module).values() if isinstance(value, HTTPRouteHandler)]


def discover_services(package: str = "backend.services") -> list[Service]:
    """Import every module of `package` and return their `service` objects, by name. Raises InvalidCity."""
    modules = list(_modules(package))
    missing = [module.__name__ for module in modules if not isinstance(getattr(module, "service", None), Service)]
    if missing:
        raise InvalidCity(
            "\n".join(f"{name} defines no service: add `service = Service(...)` to its __init__.py" for name in missing)
        )
    return [cast("Service", module.service) for module in modules]


def discover_integrations(package: str) -> list[Integration]:
    """Import every module of `package` and return their `integration` objects."""
    return [cast("Integration", module.integration) for module in _modules(package) if hasattr(module, "integration")]


def make_ports(integrations: Iterable[Integration], settings: Settings) -> dict[type, object]:
    """Create the implementations of the services' ports, by port."""
    return {
        integration.port: integration.make(settings)
        for integration in integrations
        if integration.port is not None and integration.make is not None
    }


def discover_commands(package: str) -> dict[str, Callable[[], click.Command]]:
    """Return the commands that the integrations of `package` add, by module name."""
    integrations = (
        (module.__name__.rpartition(".")[2], cast("Integration", module.integration)) for module in _modules(package)
    )
    return {name: integration.command for name, integration in integrations if integration.command is not None}


def _modules(package: str) -> Iterator[Any]:
    folder = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
        if info.name.startswith("_"):  # shared code, not a service or an integration
            continue
        yield importlib.import_module(f"{package}.{info.name}")
