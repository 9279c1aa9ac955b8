"""The composition root: where the city's parts are put together and served.

Nothing else knows which store is used, which services there are, or what carries background work.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler
from msgspec import Struct
from msgspec.structs import replace
from prometheus_client.core import Metric

from backend.city.releases import RulebookPointer, RulebookRelease, keeping_up
from backend.city.service import City, Integration, Service, discover_integrations, discover_services, make_ports
from backend.jobs.in_process import InProcessQueue, NullQueue
from backend.jobs.tasks import DeadLetter, Job, JobQueue, Task, discover_tasks, run_job
from backend.operations.access_log import AccessLog
from backend.operations.health_checks import operating_routes
from backend.operations.load_shedding import LoadShedder, Priority
from backend.operations.metrics import JobCounts, gauge, read_city, serve_metrics
from backend.rulebook import load_rulebook
from backend.security.field_encryption import FieldEncryption
from backend.security.identity import Access, Connection, Guard
from backend.security.keyring import Keyring, make_keys
from backend.settings import Settings
from backend.store import Document
from backend.store.connect import open_store
from backend.store.copy import CopyProgress
from backend.store.migrations import Lease, MigrationRun
from backend.web.errors import EXCEPTION_HANDLERS, StrictRequest
from backend.web.idempotency import IdempotencyRecord
from backend.web.openapi import document_routes

if TYPE_CHECKING:
    from backend.operations.tracing import Tracing

Clock = Callable[[], datetime]
SYSTEM_DOCUMENTS: Sequence[type[Document]] = (
    MigrationRun,
    Lease,
    RulebookRelease,
    RulebookPointer,
    DeadLetter,
    CopyProgress,
    IdempotencyRecord,
)
"""What the city keeps for itself, beside what its services keep."""


def create_app(
    settings: Settings, *, clock: Clock | None = None, services_package: str = "backend.services"
) -> Litestar:
    """Make the city's API. Raises InvalidRulebook if a rule module is wrong; then no store was opened."""
    services = discover_services(services_package)
    integrations = discover_integrations(settings.integrations)
    load_shedder, tried = LoadShedder(settings.requests_at_once), JobCounts()

    def present() -> City:
        return cast("City", app.state.city)

    async def give_city() -> City:
        return present()

    def take(city: City) -> None:
        app.state.city = city

    def figures() -> Iterator[Metric]:
        yield from access_log.served.read()
        yield from read_city(present())
        yield from tried.read()
        yield from load_metrics(load_shedder)
        yield gauge("chengma_jobs_waiting", "Background jobs that wait", jobs.waiting())

    @asynccontextmanager
    async def running(_app: Litestar) -> AsyncGenerator[None, None]:
        end_metrics = serve_metrics(settings.host, settings.metrics_port, figures) if settings.metrics_port else None
        async with keeping_up(present, take, facts_of(services)), jobs:
            yield
        if end_metrics is not None:
            end_metrics()
        if tracing is not None:
            tracing.end()
        access_log.flush()
        await present().store.close()

    jobs = open_jobs(settings, discover_tasks(services_package), present, tried)
    city = open_city(settings, services, integrations, clock=clock, jobs=jobs)
    tracing = _tracing(settings)
    if tracing is not None:
        city = replace(city, store=tracing.store(city.store))
    problem_formats = [
        integration.problem_format for integration in integrations if integration.problem_format is not None
    ]
    access = Access(settings, city.keys, city.clock)
    app = Litestar(
        route_handlers=_routes(settings, services, integrations),
        dependencies={"city": Provide(give_city)},
        exception_handlers=EXCEPTION_HANDLERS,
        request_class=StrictRequest,
        request_max_body_size=settings.body_bytes,
        openapi_config=None,
        logging_config=None,
        lifespan=[running],
        state=State({"city": city, "access": access, "load_shedder": load_shedder, "problem_formats": problem_formats}),
    )
    _guard_plainly(app, load_shedder)
    access_log = AccessLog(app.asgi_handler, load_shedder, writes=settings.access_log)
    app.asgi_handler = access_log if tracing is None else tracing.around(access_log)
    app.state.access_log = access_log
    return app


def _routes(
    settings: Settings, services: Sequence[Service], integrations: Sequence[Integration]
) -> list[ControllerRouterHandler]:
    routes = [route for service in services for route in service.routes]
    routes.extend(route for integration in integrations for route in integration.routes(settings))
    return [*routes, *operating_routes(), *document_routes(services, integrations, settings)]


def _tracing(settings: Settings) -> "Tracing | None":
    if not settings.traces:
        return None
    from backend.operations.tracing import Tracing

    return Tracing(settings.traces)


def _guard_plainly(app: Litestar, load_shedder: LoadShedder) -> None:
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            _guard_handler(handler, load_shedder)


def _guard_handler(handler: HTTPRouteHandler, load_shedder: LoadShedder) -> None:
    """Spare each request the copy of its handler that Litestar makes for every guard: 13 us, which ours do not need.

    Before its guard a request is let in or refused by the rank of its route.
    """
    guards = cast("Sequence[Guard]", handler.resolve_guards())  # pyright: ignore[reportUnknownMemberType]
    priority = cast("Priority", handler.opt.get("priority", "ordinary"))

    async def authorize(connection: Connection) -> None:
        load_shedder.admit(priority)
        for guard in guards:
            await guard(connection, handler)

    if guards:
        handler.authorize_connection = authorize


def open_city(
    settings: Settings,
    services: Sequence[Service],
    integrations: Sequence[Integration],
    *,
    clock: Clock | None = None,
    jobs: JobQueue | None = None,
) -> City:
    """Open what the settings name: rules, keys and store. Makes keys and an embedded store where there are none."""
    rulebook = load_rulebook(Path(settings.rules), facts_of(services), ZoneInfo(settings.time_zone))
    tell_time = clock or (lambda: datetime.now(UTC))
    keys = Path(settings.keys)
    make_keys(keys)
    keyring = Keyring.open(keys, tell_time)
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
        clock=tell_time,
    )


def documents_of(services: Sequence[Service]) -> list[type[Document]]:
    """Give the kinds of all documents that the city keeps."""
    return [*SYSTEM_DOCUMENTS, *(document for service in services for document in service.documents)]


def facts_of(services: Sequence[Service]) -> list[type[Struct]]:
    """Give the Structs that rule modules may name."""
    return [facts for service in services for facts in service.facts]


def open_jobs(
    settings: Settings, tasks: dict[str, Task[...]], present: Callable[[], City], tried: JobCounts
) -> JobQueue:
    """Give what carries background work: the broker of the settings, or the server's own loop."""
    if settings.broker:
        from backend.jobs.celery import CeleryQueue

        return CeleryQueue(settings)

    async def carry(job: Job) -> tuple[Job, float] | None:
        again = await run_job(tasks, job, present())
        tried.note(job.task, "done" if again is None else "retried")
        return again

    return InProcessQueue(tasks, carry)


def load_metrics(load_shedder: LoadShedder) -> Iterator[Metric]:
    """Give what Prometheus reads of the pressure on this process."""
    yield gauge("chengma_requests_in_flight", "Requests begun and not yet answered", load_shedder.in_flight)
    yield gauge("chengma_requests_refused", "Requests refused for want of room, so far", load_shedder.refused)
    yield gauge("chengma_store_away", "1 while the store does not answer", int(load_shedder.store_is_away))
