"""The server front: a uvicorn server whose connections are bounded, and which accepts all that wait at once."""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

from backend.operations.access_log import AccessLog
from backend.web.bounded_protocol import BoundedProtocol, close_longest_waiting, connections_of
from backend.web.connection_limits import ConnectionLimits
from backend.web.overload_refusals import OverloadRefusals

ACCEPTED_AT_ONCE = 256
"""uvloop would accept one connection in each round of its loop, so new ones would wait behind busy ones."""
ACCEPT_AGAIN_SECONDS = 0.1
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class FrontServer(uvicorn.Server):
    """A uvicorn server whose connections are bounded, and which accepts all waiting connections at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        limits: ConnectionLimits,
        access_log: AccessLog,
        refusals: OverloadRefusals,
        announce: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._limits, self._access_log, self._refusals, self._announce = limits, access_log, refusals, announce
        self._starting: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, listen, and announce that."""
        await super().startup([])
        for listening in sockets or ():
            listening.setblocking(False)
            listening.listen(self.config.backlog)
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, and let requests in progress end."""
        for listening in sockets or ():
            asyncio.get_running_loop().remove_reader(listening)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Close overdue connections, twice a second."""
        if counter % 5 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(connections_of(self.server_state)):
                connection.close_if_overdue(now)
        return await super().on_tick(counter)

    def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _OUT_OF_FILES:
                    raise
                close_longest_waiting(connections_of(self.server_state), self._limits)
                loop.remove_reader(listening)
                loop.call_later(ACCEPT_AGAIN_SECONDS, self._accept_again, listening)
                return
            connection.setblocking(False)
            task = loop.create_task(self._start(connection))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, connection: socket.socket) -> None:
        handshake_seconds = None if self.config.ssl is None else self._limits.header_seconds
        with suppress(OSError):  # the client has gone, or did not complete its TLS handshake
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, ssl=self.config.ssl, ssl_handshake_timeout=handshake_seconds
            )

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(
            self.config, self.server_state, self._limits, self._access_log, self._refusals, self.lifespan.state
        )

    def _accept_again(self, listening: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)
