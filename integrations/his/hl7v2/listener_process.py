"""The process behind `chengma his listen`: listens for HL7 v2 messages of hospitals."""

import asyncio
import logging
import signal
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from prometheus_client.core import Metric

from backend.app import open_city, open_jobs
from backend.city.binding import read_unbound_values, watch_binding
from backend.city.following_releases import follow_releases
from backend.city.service import City, discover_integrations, discover_services
from backend.cli.preflight import NotReady, allow_connections, check_before_serving
from backend.jobs.tasks import discover_tasks
from backend.operations.access_log import log_as_json_lines
from backend.operations.metrics import JobCounts, city_metrics, serve_metrics
from backend.settings import Settings
from backend.store.connect import store_file
from backend.store.migrations import find_migrations
from integrations.his.hl7v2.batch import receive_block
from integrations.his.hl7v2.listener_metrics import ListenerMetrics
from integrations.his.hl7v2.message_receiver import reject_oversize
from integrations.his.hl7v2.mllp_listener import Limits, MessageHandler, MllpListener, Peer, serve_mllp, server_tls

_log = logging.getLogger("chengma.his")


def run_listener(settings: Settings) -> None:
    """Listen until the process is terminated; finish messages in progress first. Raises NotReady for bad settings."""
    services = discover_services()
    check_before_serving(settings, services, find_migrations())
    tls = _tls(settings)
    log_as_json_lines()
    limits = Limits(max_connections_per_address=settings.mllp_connections_per_address)
    allow_connections(limits.max_connections)
    asyncio.run(_listen(settings, tls, limits))


def _tls(settings: Settings) -> ssl.SSLContext | None:
    files = (settings.mllp_certificate, settings.mllp_key, settings.mllp_clients)
    if not any(files):
        return None
    if not all(files):
        raise NotReady("set all of CHENGMA_MLLP_CERTIFICATE, CHENGMA_MLLP_KEY and CHENGMA_MLLP_CLIENTS, or none")
    return server_tls(*(Path(file) for file in files))


async def _listen(settings: Settings, tls: ssl.SSLContext | None, limits: Limits) -> None:
    services, cities = discover_services(), list[City]()
    metrics, job_counts = ListenerMetrics(), JobCounts()
    jobs = open_jobs(settings, discover_tasks(), lambda: cities[-1], job_counts)
    integrations = discover_integrations(settings.integrations)
    cities.append(open_city(settings, services, integrations, jobs=jobs))
    stopped = asyncio.Event()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stop_signal, stopped.set)

    async def handle(raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
        async for reply in receive_block(cities[-1], raw, peer):
            metrics.count(raw, reply)
            yield reply

    def use_city(city: City) -> None:
        cities[:] = [city]

    def read_metrics() -> Iterator[Metric]:
        yield from city_metrics(cities[-1])
        yield from job_counts.read()
        yield from metrics.read()

    try:
        await read_unbound_values(cities[-1].store, cities[-1].encryption)
        async with (
            watch_binding(cities[-1].store, store_file(settings.store)),
            follow_releases(lambda: cities[-1], use_city),
            jobs,
            _listening(settings, handle, tls, limits) as listener,
            _served(settings, metrics, listener, read_metrics, lambda: cities[-1]),
        ):
            _log.info("listening for HL7 v2 on port %d%s", listener.port, " with TLS" if tls is not None else "")
            await stopped.wait()
    finally:
        await cities[-1].store.close()


@asynccontextmanager
async def _listening(
    settings: Settings, handle: MessageHandler, tls: ssl.SSLContext | None, limits: Limits
) -> AsyncGenerator[MllpListener, None]:
    """Listen at the address of the settings until the end of the block. Raises NotReady if it is taken."""
    host, port = settings.mllp_host, settings.mllp_port
    async with AsyncExitStack() as stack:
        listening = serve_mllp(handle, host, port, handle_oversize=reject_oversize, tls=tls, limits=limits)
        try:
            listener = await stack.enter_async_context(listening)
        except OSError as error:
            raise _address_taken(host, port, error, "CHENGMA_MLLP_HOST and CHENGMA_MLLP_PORT") from error
        yield listener


def _address_taken(host: str, port: int, error: OSError, names: str) -> NotReady:
    reason = (error.strerror or str(error)).rpartition(": ")[2]
    return NotReady(f"cannot listen at {host}:{port}: {reason}. Stop the process that uses the port, or set {names}")


@asynccontextmanager
async def _served(
    settings: Settings,
    metrics: ListenerMetrics,
    listener: MllpListener,
    read: Callable[[], Iterator[Metric]],
    current: Callable[[], City],
) -> AsyncGenerator[None, None]:
    """Serve a listener's metrics until the end of the block, if there is a port. Raises NotReady if it is taken."""
    if not settings.mllp_metrics_port:
        yield
        return
    metrics.listener = listener
    try:
        stop = serve_metrics(settings.host, settings.mllp_metrics_port, read)
    except OSError as error:
        names = "CHENGMA_HOST and CHENGMA_MLLP_METRICS_PORT"
        raise _address_taken(settings.host, settings.mllp_metrics_port, error, names) from error
    try:
        async with metrics.measured(current):
            yield
    finally:
        stop()
