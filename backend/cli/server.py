"""The process that serves the API."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import uvicorn

from backend.app import create_app
from backend.city.service import discover_services
from backend.cli.errors import report_errors
from backend.cli.garbage_collection import collect_rarely
from backend.cli.preflight import (
    NotReady,
    allow_connections,
    check_before_serving,
    warn_of_addresses,
    warn_of_sandboxes,
)
from backend.operations.access_log import log_as_json_lines
from backend.store.migrations import find_migrations
from backend.web.connection_limits import ConnectionLimits
from backend.web.server_front import FrontServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend.settings import Settings


def bind(settings: Settings) -> socket.socket:
    """Return a socket at the address of the settings that does not listen yet. Raises NotReady if it is taken."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise NotReady(
            f"cannot serve at {settings.host}:{settings.port}: {error.strerror}. "
            "Stop the process that uses the port, or set CHENGMA_HOST and CHENGMA_PORT"
        ) from error
    return bound


def run_server(settings: Settings, bound: socket.socket, announce: Callable[[], None] = lambda: None) -> None:
    """Serve the API on a bound socket until the process is stopped; call `announce` once it accepts connections."""
    with report_errors():
        check_before_serving(settings, discover_services(), find_migrations())
        app = create_app(settings)
    app.state.city.rulebook.compile()
    log_as_json_lines()
    warn_of_sandboxes(settings)
    warn_of_addresses(settings)
    with report_errors():
        connections = allow_connections(settings.connections)
    collect_rarely()
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # uvicorn would believe everyone on this machine; see `trusted_proxies`
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=10,
    )
    limits = ConnectionLimits(
        connections=connections,
        header_seconds=settings.header_seconds,
        body_seconds=settings.body_seconds,
        idle_seconds=settings.idle_seconds,
    )
    FrontServer(config, limits, app.state.access_log, app.state.overload_refusals, announce).run([bound])
