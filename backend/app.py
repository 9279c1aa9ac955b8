"""The composition root: where the city's parts are assembled and served.

No other module knows which store is used, which services exist, or where background jobs run.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ControllerRouterHandler
from msgspec import Struct
from msgspec.structs import replace
from prometheus_client.core import Metric

from backend.city.audit_chain import AuditBlock
from backend.city.audit_lag import AuditLag
from backend.city.audit_log import AuditEntry
from backend.city.bank_cards import BankCard
from backend.city.binding import BoundCity, read_unbound_values, watch_binding
from backend.city.declarations import check_declarations, check_guards, exclusive_roles, grantable_roles
from backend.city.ended_access import EndedAccess, follow_ended_access
from backend.city.following_releases import follow_releases
from backend.city.notices import Notice
from backend.city.releases import RulebookPointer, RulebookRelease
from backend.city.service import (
    City,
    Integration,
    Service,
    discover_integrations,
    discover_services,
    make_ports,
    rule_modules_of,
)
from backend.jobs.in_process import InProcessQueue, NullQueue
from backend.jobs.tasks import DeadLetter, Job, JobQueue, Task, discover_tasks, run_job
from backend.operations.access_log import AccessLog
from backend.operations.background_metrics import BackgroundMetrics
from backend.operations.health_checks import health_routes
from backend.operations.load_shedding import LoadShedder
from backend.operations.metrics import JobCounts, city_metrics, gauge, serve_metrics
from backend.operations.write_probe import WriteProbe
from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.needs import RuleModule, check_needs, facts_of
from backend.security.admission import Admission
from backend.security.captcha import Captcha
from backend.security.client_address import TrustedProxies
from backend.security.field_encryption import FieldEncryption
from backend.security.gateways import Gateway
from backend.security.identity import Access
from backend.security.keyring import Keyring
from backend.security.rate_limits import RateLimits
from backend.security.standing import FindStanding, Standings
from backend.settings import Settings, parse_networks
from backend.store import Document
from backend.store.connect import open_store, store_file
from backend.store.copy import CopyProgress
from backend.store.due import SweepLeases
from backend.store.migrations import Lease, MigrationRun
from backend.web.errors import EXCEPTION_HANDLERS, StrictRequest
from backend.web.fast_paths import guard_directly
from backend.web.forwarded import Forwarded
from backend.web.idempotency import IdempotencyRecord
from backend.web.openapi import document_routes
from backend.web.overload_refusals import OverloadRefusals
from backend.web.request_ranks import request_ranks

if TYPE_CHECKING:
    from backend.operations.tracing import Tracing

Clock = Callable[[], datetime]
SYSTEM_DOCUMENTS: Sequence[type[Document]] = (
    BoundCity,
    Gateway,
    MigrationRun,
    Lease,
    RulebookRelease,
    RulebookPointer,
    DeadLetter,
    SweepLeases,
    CopyProgress,
    IdempotencyRecord,
    Notice,
    EndedAccess,
    AuditEntry,
    AuditBlock,
    WriteProbe,
    BankCard,
)
"""The documents of the city itself, besides those that services declare."""


class Parts(Struct, frozen=True):
    """The discovered services, integrations and tasks, already checked."""

    services: Sequence[Service]
    integrations: Sequence[Integration]
    tasks: dict[str, Task[Any]]


def discover_parts(settings: Settings, services_package: str = "backend.services") -> Parts:
    """Import every service and integration, and check what they declare. Raises InvalidCity."""
    services = discover_services(services_package)
    parts = Parts(services, discover_integrations(settings.integrations), discover_tasks(services_package))
    packages = services_package, settings.integrations
    check_declarations(services, parts.integrations, SYSTEM_DOCUMENTS, parts.tasks, packages)
    return parts


def create_app(
    settings: Settings, *, clock: Clock | None = None, services_package: str = "backend.services"
) -> Litestar:
    """Create the city's API.

    Raises InvalidCity or InvalidRulebook if a service, an integration or a rule module is wrong; no store is opened.
    """
    parts = discover_parts(settings, services_package)
    load_shedder, job_counts, audit_lag = LoadShedder(settings.request_target_ms / 1_000), JobCounts(), AuditLag()
    background_metrics = BackgroundMetrics(parts.tasks.values())

    def current_city() -> City:
        return cast("City", app.state.city)

    async def provide_city() -> City:
        return current_city()

    def set_city(city: City) -> None:
        app.state.city = city

    def metrics() -> Iterator[Metric]:
        yield from access_log.request_counts.read()
        yield from city_metrics(current_city())
        yield from job_counts.read()
        yield from background_metrics.read()
        yield from load_metrics(load_shedder, audit_lag)
        yield gauge("chengma_jobs_waiting", "Background jobs that wait", jobs.waiting())

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncGenerator[None, None]:
        stop_metrics = serve_metrics(settings.host, settings.metrics_port, metrics) if settings.metrics_port else None
        measured = audit_lag.measured(current_city), background_metrics.measured(current_city)
        async with _following(current_city, set_city), measured[0], measured[1], jobs:
            yield
        if stop_metrics is not None:
            stop_metrics()
        if tracing is not None:
            tracing.end()
        access_log.flush()
        await admission.limits.close()
        await current_city().store.close()

    app = _make_app(settings, parts, provide_city, lifespan)
    check_guards(app, parts.services)
    jobs = open_jobs(settings, parts.tasks, current_city, job_counts)
    city = open_city(settings, parts.services, parts.integrations, clock=clock, jobs=jobs)
    tracing = _tracing(settings)
    set_city(city if tracing is None else replace(city, store=tracing.store(city.store)))
    guard_directly(app, load_shedder)
    access_log = AccessLog(app.asgi_handler, load_shedder, writes=settings.access_log)
    app.asgi_handler = access_log if tracing is None else tracing.wrap(access_log)
    if settings.trusted_proxies:
        app.asgi_handler = Forwarded(app.asgi_handler, TrustedProxies(parse_networks(settings.trusted_proxies)))
    admission = open_admission(city)
    app.state.access = Access(settings, city.keys, city.clock, admission, city.ended_tokens)
    app.state.standings = Standings(_find_standing(parts.services, current_city), city.clock)
    app.state.load_shedder = load_shedder
    app.state.access_log = access_log
    app.state.overload_refusals = OverloadRefusals(load_shedder, request_ranks(app), app.state.problem_formats)
    return app


def _make_app(
    settings: Settings, parts: Parts, provide_city: Callable[[], Any], lifespan: Callable[..., Any]
) -> Litestar:
    formats = [
        integration.problem_format for integration in parts.integrations if integration.problem_format is not None
    ]
    return Litestar(
        route_handlers=_routes(settings, parts),
        dependencies={"city": Provide(provide_city)},
        exception_handlers=EXCEPTION_HANDLERS,
        request_class=StrictRequest,
        request_max_body_size=settings.body_bytes,
        openapi_config=None,
        logging_config=None,
        lifespan=[lifespan],
        state=State({"problem_formats": formats}),
    )


def _routes(settings: Settings, parts: Parts) -> list[ControllerRouterHandler]:
    routes = [route for service in parts.services for route in service.routes]
    routes.extend(route for integration in parts.integrations for route in integration.routes(settings))
    return [*routes, *health_routes(), *document_routes(parts.services, parts.integrations, settings)]


def _find_standing(services: Sequence[Service], current_city: Callable[[], City]) -> FindStanding | None:
    """Return how the service that keeps the accounts finds what they may do now."""
    standing = next((service.standing for service in services if service.standing is not None), None)
    return None if standing is None else lambda account, session: standing(current_city(), account, session)


@asynccontextmanager
async def _following(current_city: Callable[[], City], set_city: Callable[[City], None]) -> AsyncGenerator[None, None]:
    """Follow what other processes change in the store, until the end of the block."""
    city = current_city()
    await read_unbound_values(city.store, city.encryption)
    watching = watch_binding(city.store, store_file(city.settings.store))
    async with watching, follow_releases(current_city, set_city), follow_ended_access(current_city):
        yield


def _tracing(settings: Settings) -> "Tracing | None":
    if not settings.traces:
        return None
    from backend.operations.tracing import Tracing

    return Tracing(settings.traces)


def open_city(
    settings: Settings,
    services: Sequence[Service],
    integrations: Sequence[Integration],
    *,
    clock: Clock | None = None,
    jobs: JobQueue | None = None,
) -> City:
    """Open the rules, keys and store of the settings. Creates an embedded store that is missing. Raises InvalidKeys."""
    rule_modules = rule_modules_of(services)
    rulebook = read_rules(settings, rule_modules)
    clock = clock or (lambda: datetime.now(UTC))
    keyring = Keyring.open(Path(settings.keys), clock)
    return City(
        settings=settings,
        store=open_store(
            settings.store, documents_of(services), driver=settings.mongo_driver, timeout_ms=settings.store_timeout_ms
        ),
        keys=keyring,
        encryption=FieldEncryption(keyring),
        rulebook=rulebook,
        ports=make_ports(integrations, settings),
        jobs=jobs or NullQueue(),
        clock=clock,
        rule_modules=rule_modules,
        roles=grantable_roles(services),
        exclusive_roles=exclusive_roles(services),
        documents=documents_of(services),
        stored_facts=[stored for service in services for stored in service.stored_facts],
        personal_data={one.name: one.personal_data for one in services if one.personal_data is not None},
        decisions={one.name: one.decisions for one in services if one.decisions},
        acts={action: text for service in services for action, text in service.acts.items()},
        authorities={role: text for service in services for role, text in service.authorities.items()},
    )


def read_rules(settings: Settings, rule_modules: Sequence[RuleModule]) -> Rulebook:
    """Read the folder of rules, which must hold all modules that the services decide by. Raises InvalidRulebook."""
    rulebook = load_rulebook(Path(settings.rules), facts_of(rule_modules), ZoneInfo(settings.time_zone))
    check_needs(rulebook, rule_modules, settings.rules)
    return rulebook


def open_admission(city: City) -> Admission:
    """Return the budgets of a process, which it shares with the others through the Redis of the settings."""
    limits = RateLimits.of(city.settings, city.clock)
    return Admission(city.settings, city.clock, limits, cast("Captcha | None", city.ports.get(Captcha)), city.store)


def documents_of(services: Sequence[Service]) -> list[type[Document]]:
    """Return the kinds of all documents that the city stores."""
    return [*SYSTEM_DOCUMENTS, *(document for service in services for document in service.documents)]


def open_jobs(
    settings: Settings, tasks: dict[str, Task[...]], current_city: Callable[[], City], job_counts: JobCounts
) -> JobQueue:
    """Return the queue of background jobs: the broker of the settings, or one in the server's own event loop."""
    if settings.broker:
        from backend.jobs.celery import CeleryQueue

        return CeleryQueue(settings)

    async def run(job: Job) -> tuple[Job, float] | None:
        retry = await run_job(tasks, job, current_city())
        job_counts.note(job.task, "done" if retry is None else "retried")
        return retry

    return InProcessQueue(tasks, run)


def load_metrics(load_shedder: LoadShedder, audit_lag: AuditLag) -> Iterator[Metric]:
    """Return the metrics of the load on this process, and of the audit log."""
    yield gauge("chengma_requests_in_flight", "Requests started and not yet answered", load_shedder.in_flight)
    yield gauge(
        "chengma_request_room", "Requests that may be in flight at once, adapted to their time", load_shedder.room
    )
    yield gauge("chengma_audit_lag_seconds", "Age of the oldest act that is not chained", audit_lag.seconds)
    yield gauge("chengma_requests_refused", "Requests refused because of overload, so far", load_shedder.refused)
    yield gauge("chengma_store_away", "1 while the store does not answer", int(load_shedder.store_is_unavailable))
