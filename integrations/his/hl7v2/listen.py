"""The process that listens for hospitals' HL7 v2 messages."""

import asyncio
import logging
import signal
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

from backend.app import documents_of, facts_of, open_city, open_jobs
from backend.city.releases import follow_releases
from backend.city.service import City, discover_integrations, discover_services
from backend.cli.preflight import NotReady, check_before_serving
from backend.jobs.tasks import discover_tasks
from backend.operations.access_log import log_as_json_lines
from backend.operations.metrics import JobCounts
from backend.settings import Settings
from backend.store.migrations import find_migrations
from integrations.his.hl7v2.inbox import refuse_too_long, take_message
from integrations.his.hl7v2.mllp import Peer, serve_mllp, server_tls

_log = logging.getLogger("chengma.his")


def listen(settings: Settings) -> None:
    """Listen until the process is told to end; what was begun is ended first. Raises NotReady for bad settings."""
    services = discover_services()
    check_before_serving(settings, documents_of(services), facts_of(services), find_migrations())
    tls = _tls(settings)
    log_as_json_lines()
    asyncio.run(_listen(settings, tls))


def _tls(settings: Settings) -> ssl.SSLContext | None:
    files = (settings.mllp_certificate, settings.mllp_key, settings.mllp_clients)
    if not any(files):
        return None
    if not all(files):
        raise NotReady("CHENGMA_MLLP_CERTIFICATE, _KEY and _CLIENTS belong together; give all three or none")
    return server_tls(*(Path(file) for file in files))


async def _listen(settings: Settings, tls: ssl.SSLContext | None) -> None:
    services, cities = discover_services(), list[City]()
    jobs = open_jobs(settings, discover_tasks(), lambda: cities[-1], JobCounts())
    integrations = discover_integrations(settings.integrations)
    cities.append(open_city(settings, services, integrations, jobs=jobs))
    ended = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, ended.set)

    async def take(raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
        async for answer in take_message(cities[-1], raw, peer):
            yield answer

    def follow(city: City) -> None:
        cities[:] = [city]

    try:
        async with (
            follow_releases(lambda: cities[-1], follow, facts_of(services)),
            jobs,
            serve_mllp(take, settings.mllp_host, settings.mllp_port, refuse=refuse_too_long, tls=tls) as listener,
        ):
            _log.info("listening for HL7 v2 on port %d%s", listener.port, " with TLS" if tls is not None else "")
            await ended.wait()
    finally:
        await cities[-1].store.close()
