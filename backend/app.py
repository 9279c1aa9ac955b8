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

from backend.contract import document_routes
from backend.copying import CopyProgress
from backend.idempotency import KeptAnswer
from backend.identity import Access, Connection, Guard
from backend.journal import Journal
from backend.keys import Keyring, make_keys
from backend.metrics import TasksDone, gauge, read_city, serve_metrics
from backend.migration import Lease, MigrationRun
from backend.operating import operating_routes
from backend.pressure import Pressure, Rank
from backend.releases import RulebookPointer, RulebookRelease, keeping_up
from backend.rendering import EXCEPTION_HANDLERS, StrictRequest
from backend.rulebook import load_rulebook
from backend.sealing import Sealer
from backend.service import City, Integration, Service, discover_integrations, discover_services, make_ports
from backend.settings import Settings
from backend.store import Document
from backend.store.opening import open_store
from backend.tasks import DeadJob, Job, Jobs, LeftToSweeps, LoopJobs, Task, carry_out, discover_tasks

if TYPE_CHECKING:
    from backend.traces import Tracing

Clock = Callable[[], datetime]
SYSTEM_DOCUMENTS: Sequence[type[Document]] = (
    MigrationRun,
    Lease,
    RulebookRelease,
    RulebookPointer,
    DeadJob,
    CopyProgress,
    KeptAnswer,
)
"""What the city keeps for itself, beside what its services keep."""


def create_app(
    settings: Settings, *, clock: Clock | None = None, services_package: str = "backend.services"
) -> Litestar:
    """Make the city's API. Raises InvalidRulebook if a rule module is wrong; then no store was opened."""
    services = discover_services(services_package)
    integrations = discover_integrations(settings.integrations)
    pressure, tried = Pressure(settings.requests_at_once), TasksDone()

    def present() -> City:
        return cast("City", app.state.city)

    async def give_city() -> City:
        return present()

    def take(city: City) -> None:
        app.state.city = city

    def figures() -> Iterator[Metric]:
        yield from journal.served.read()
        yield from read_city(present())
        yield from tried.read()
        yield from pressure_of(pressure)
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
        journal.flush()
        await present().store.close()

    jobs = open_jobs(settings, discover_tasks(services_package), present, tried)
    city = open_city(settings, services, integrations, clock=clock, jobs=jobs)
    tracing = _tracing(settings)
    if tracing is not None:
        city = replace(city, store=tracing.store(city.store))
    dialects = [integration.dialect for integration in integrations if integration.dialect is not None]
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
        state=State({"city": city, "access": access, "pressure": pressure, "dialects": dialects}),
    )
    _guard_plainly(app, pressure)
    journal = Journal(app.asgi_handler, pressure, writes=settings.access_log)
    app.asgi_handler = journal if tracing is None else tracing.around(journal)
    app.state.journal = journal
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
    from backend.traces import Tracing

    return Tracing(settings.traces)


def _guard_plainly(app: Litestar, pressure: Pressure) -> None:
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            _guard_handler(handler, pressure)


def _guard_handler(handler: HTTPRouteHandler, pressure: Pressure) -> None:
    """Spare each request the copy of its handler that Litestar makes for every guard: 13 us, which ours do not need.

    Before its guard a request is let in or refused by the rank of its route.
    """
    guards = cast("Sequence[Guard]", handler.resolve_guards())  # pyright: ignore[reportUnknownMemberType]
    rank = cast("Rank", handler.opt.get("rank", "ordinary"))

    async def authorize(connection: Connection) -> None:
        pressure.admit(rank)
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
    jobs: Jobs | None = None,
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
        sealer=Sealer(keyring),
        rulebook=rulebook,
        ports=make_ports(integrations, settings),
        jobs=jobs or LeftToSweeps(),
        clock=tell_time,
    )


def documents_of(services: Sequence[Service]) -> list[type[Document]]:
    """Give the kinds of all documents that the city keeps."""
    return [*SYSTEM_DOCUMENTS, *(document for service in services for document in service.documents)]


def facts_of(services: Sequence[Service]) -> list[type[Struct]]:
    """Give the Structs that rule modules may name."""
    return [facts for service in services for facts in service.facts]


def open_jobs(settings: Settings, tasks: dict[str, Task[...]], present: Callable[[], City], tried: TasksDone) -> Jobs:
    """Give what carries background work: the broker of the settings, or the server's own loop."""
    if settings.broker:
        from backend.broker import CeleryJobs

        return CeleryJobs(settings)

    async def carry(job: Job) -> tuple[Job, float] | None:
        again = await carry_out(tasks, job, present())
        tried.note(job.task, "done" if again is None else "retried")
        return again

    return LoopJobs(tasks, carry)


def pressure_of(pressure: Pressure) -> Iterator[Metric]:
    """Give what Prometheus reads of the pressure on this process."""
    yield gauge("chengma_requests_in_flight", "Requests begun and not yet answered", pressure.in_flight)
    yield gauge("chengma_requests_refused", "Requests refused for want of room, so far", pressure.refused)
    yield gauge("chengma_store_away", "1 while the store does not answer", int(pressure.store_is_away))
