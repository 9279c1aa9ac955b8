"""The process behind `chengma his listen`: listens for HL7 v2 messages of hospitals."""

import asyncio
import logging
import signal
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

from backend.app import open_city, open_jobs
from backend.city.binding import read_unbound_values, watch_binding
from backend.city.releases import follow_releases
from backend.city.service import City, discover_integrations, discover_services
from backend.cli.preflight import NotReady, allow_connections, check_before_serving
from backend.jobs.tasks import discover_tasks
from backend.operations.access_log import log_as_json_lines
from backend.operations.metrics import JobCounts
from backend.settings import Settings
from backend.store.connect import store_file
from backend.store.migrations import find_migrations
from integrations.his.hl7v2.batch import receive_block
from integrations.his.hl7v2.message_receiver import reject_oversize
from integrations.his.hl7v2.mllp_listener import Limits, Peer, serve_mllp, server_tls

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
    jobs = open_jobs(settings, discover_tasks(), lambda: cities[-1], JobCounts())
    integrations = discover_integrations(settings.integrations)
    cities.append(open_city(settings, services, integrations, jobs=jobs))
    stopped = asyncio.Event()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stop_signal, stopped.set)

    async def handle(raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
        async for reply in receive_block(cities[-1], raw, peer):
            yield reply

    def use_city(city: City) -> None:
        cities[:] = [city]

    try:
        await read_unbound_values(cities[-1].store, cities[-1].encryption)
        async with (
            watch_binding(cities[-1].store, store_file(settings.store)),
            follow_releases(lambda: cities[-1], use_city),
            jobs,
            serve_mllp(
                handle,
                settings.mllp_host,
                settings.mllp_port,
                handle_oversize=reject_oversize,
                tls=tls,
                limits=limits,
            ) as listener,
        ):
            _log.info("listening for HL7 v2 on port %d%s", listener.port, " with TLS" if tls is not None else "")
            await stopped.wait()
    finally:
        await cities[-1].store.close()
