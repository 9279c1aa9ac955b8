"""An MLLP listener: receives HL7 v2 messages over TCP and sends the replies.

Each connection processes one message at a time. Meanwhile nothing is read from it, so TCP makes the sender wait.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from backend.store import StoreUnavailable
from integrations.his.hl7v2.message import MAX_MESSAGE_BYTES
from integrations.his.hl7v2.mllp_client import close_writer
from integrations.his.hl7v2.mllp_frames import END_BLOCK, START_BLOCK, FrameDecoder, FrameTooLong

_READ_BYTES = 65_536

_log = logging.getLogger("chengma.his")


class Limits(Struct, frozen=True, kw_only=True):
    """Limits that a listener enforces."""

    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_connections: int = 100
    max_connections_per_address: int = 20
    """A hospital's systems have a few each; hospitals behind one gateway share its address."""
    reclaim_seconds: float = 10
    """Connections that were idle for longer give way to new ones once the maximum number is reached."""
    max_stray_bytes: int = 1_024
    """Between two messages."""
    first_message_timeout_seconds: float = 60
    """Until the end of the first message. A sender that only probes the port connects again when it has a message."""
    idle_timeout_seconds: float = 86_400
    """Between two messages. Interface engines keep one connection, and a small hospital's is silent all night. A sender
    that has vanished is detected by TCP within two minutes, so a long limit costs nothing."""
    message_timeout_seconds: float = 30
    """From the first byte of a block to its last."""
    end_of_block_seconds: float = 0.5
    """After 0x1C, until a block without a carriage return is taken as complete."""
    write_timeout_seconds: float = 30
    linger_seconds: float = 5
    """How long to read on after rejecting an oversized message, so that its sender can read the reply."""
    shutdown_grace_seconds: float = 10
    """How long messages may still be processed after the listener is stopped."""


class Peer(Struct, frozen=True):
    """The sender: its address, and under TLS the name in its client certificate, empty if that has none."""

    address: str
    name: str | None = None


MessageHandler = Callable[[bytes, Peer], AsyncGenerator[bytes, None]]
"""Processes one message and yields its replies; each is sent at once."""
OversizeHandler = Callable[[bytes, Peer], bytes | None]
"""Returns the reply to a message that is too long, given its first 4,096 bytes."""


class _Disconnected(Exception):
    """The peer has disconnected, or must be disconnected for the reason that the message gives."""


class _Connection(Struct):
    address: str
    idle_since: float
    """When it was opened, completed its last message or began the next one."""
    is_waiting: bool = False
    """Whether we wait for its sender."""
    has_sent: bool = False
    """Whether it has completed a message."""


class MllpListener:
    """A listener; `counters` holds `messages`, `connections`, `refused` connections and `dropped_bytes`."""

    def __init__(self, handle: MessageHandler, handle_oversize: OversizeHandler | None, limits: Limits) -> None:
        self._handle, self._handle_oversize, self._limits = handle, handle_oversize, limits
        self._tasks: dict[asyncio.Task[None], _Connection] = {}
        self._stopping = False
        self.port = 0
        self.counters = Counter[str]()

    @property
    def open_connections(self) -> int:
        """The number of connections that are open now."""
        return len(self._tasks)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection, or abort it if there are too many that are in use."""
        connection = _Connection(_peer(writer).address, asyncio.get_running_loop().time())
        if self._stopping or not self._has_room(connection.address):
            self.counters["refused"] += 1
            _log.warning("MLLP: connection from %s refused: too many connections", connection.address)
            writer.transport.abort()
            return
        self.counters["connections"] += 1
        task = asyncio.create_task(self._serve(reader, writer, connection))
        self._tasks[task] = connection
        task.add_done_callback(self._tasks.pop)

    def _has_room(self, address: str) -> bool:
        """Return whether another connection fits in, after ending the longest idle one if it does not.

        Connections that never completed a message end first.
        """
        of_address = sum(one.address == address for one in self._tasks.values())
        if of_address >= self._limits.max_connections_per_address:
            return False
        if len(self._tasks) < self._limits.max_connections:
            return True
        latest = asyncio.get_running_loop().time() - self._limits.reclaim_seconds
        idle = [
            (one.has_sent, one.idle_since, task)
            for task, one in self._tasks.items()
            if one.is_waiting and one.idle_since <= latest and not task.cancelling()
        ]
        if not idle:
            return False
        _, _, task = min(idle, key=lambda one: one[:2])
        task.cancel()
        return True

    async def stop(self) -> None:
        """End all connections: idle ones at once, others after their message or after the grace period."""
        self._stopping = True
        for task, connection in self._tasks.items():
            if connection.is_waiting:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._limits.shutdown_grace_seconds)
        unfinished = list(self._tasks)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection) -> None:
        peer, decoder = _peer(writer), FrameDecoder(self._limits.max_message_bytes)
        _detect_vanished_peer(cast("socket.socket", writer.get_extra_info("socket")))
        try:
            await self._process_stream(reader, writer, peer, decoder, connection)
        except FrameTooLong as error:
            _log.warning("MLLP: %s sent a message of more than %d bytes", peer.address, self._limits.max_message_bytes)
            with suppress(_Disconnected):
                await self._reject_oversize(reader, writer, error.head, peer, connection)
        except _Disconnected as reason:
            _log.warning("MLLP: %s %s", peer.address, reason)
            writer.transport.abort()
        except StoreUnavailable as error:
            _log.warning("MLLP: disconnected %s, so that it sends its message again: %s", peer.address, error)
        except Exception:  # noqa: BLE001  whatever the handler raises
            _log.exception("MLLP: a message from %s failed; disconnected, so that it is sent again", peer.address)
        finally:
            self.counters["dropped_bytes"] += decoder.dropped_bytes
            await close_writer(writer)

    async def _process_stream(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
        decoder: FrameDecoder,
        connection: _Connection,
    ) -> None:
        now = asyncio.get_running_loop().time
        started: float | None = None
        deadline = now() + min(self._limits.first_message_timeout_seconds, self._limits.idle_timeout_seconds)
        while not self._stopping and (messages := await self._read_messages(reader, deadline, connection, decoder)):
            for message in messages:
                started = None
                await self._process_message(writer, message, peer)
                connection.has_sent, connection.idle_since = True, now()
                deadline = connection.idle_since + self._limits.idle_timeout_seconds
                if self._stopping:
                    return
            if decoder.stray_bytes > self._limits.max_stray_bytes:
                raise _Disconnected("disconnected: it sends bytes outside MLLP frames")
            if decoder.in_block and started is None:
                started = connection.idle_since = now()
                deadline = started + self._limits.message_timeout_seconds
        if decoder.in_block:
            raise _Disconnected("disconnected in the middle of a message")

    async def _read_messages(
        self, reader: asyncio.StreamReader, deadline: float, connection: _Connection, decoder: FrameDecoder
    ) -> Iterable[bytes] | None:
        """Return the messages that the next bytes, or a pause, complete; None once the sender has disconnected."""
        data = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.end_of_block_seconds if decoder.at_end else None):
                data = await self._read(reader, deadline, connection, decoder)
        if data:
            return decoder.feed(data)
        return [decoder.end()] if decoder.at_end else None

    async def _read(
        self,
        reader: asyncio.StreamReader,
        deadline: float,
        connection: _Connection,
        decoder: FrameDecoder | None = None,
    ) -> bytes:
        connection.is_waiting = True
        try:
            async with asyncio.timeout_at(deadline):
                return await reader.read(_READ_BYTES)
        except TimeoutError:
            incomplete = decoder is not None and decoder.in_block
            raise _Disconnected(f"disconnected: {'message not completed in time' if incomplete else 'idle'}") from None
        except OSError as error:
            raise _Disconnected(f"disconnected: {type(error).__name__}") from None
        finally:
            connection.is_waiting = False

    async def _process_message(self, writer: asyncio.StreamWriter, message: bytes, peer: Peer) -> None:
        self.counters["messages"] += 1
        async with aclosing(self._handle(message, peer)) as replies:
            async for reply in replies:
                await self._write(writer, reply)

    async def _write(self, writer: asyncio.StreamWriter, reply: bytes) -> None:
        writer.write(START_BLOCK + reply + END_BLOCK)
        try:
            async with asyncio.timeout(self._limits.write_timeout_seconds):
                await writer.drain()
        except TimeoutError:
            raise _Disconnected("disconnected: it does not read the replies") from None
        except OSError as error:
            raise _Disconnected(f"disconnected: {type(error).__name__}") from None

    async def _reject_oversize(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        head: bytes,
        peer: Peer,
        connection: _Connection,
    ) -> None:
        """Reply, then read and discard the rest: if the connection closed at once, TCP would drop the reply."""
        reply = self._handle_oversize(head, peer) if self._handle_oversize is not None else None
        if reply is None:
            return
        await self._write(writer, reply)
        if writer.can_write_eof():
            writer.write_eof()
        deadline = asyncio.get_running_loop().time() + self._limits.linger_seconds
        while await self._read(reader, deadline, connection):
            pass


@asynccontextmanager
async def serve_mllp(
    handle: MessageHandler,
    host: str,
    port: int,
    *,
    handle_oversize: OversizeHandler | None = None,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
) -> AsyncGenerator[MllpListener, None]:
    """Listen until the end of the block; port 0 selects a free port. If `handle` raises, the connection is closed.

    A sender that gets no reply sends its message again, so `handle` must be idempotent.
    """
    listener = MllpListener(handle, handle_oversize, limits or Limits())
    handshake_seconds, shutdown_seconds = (10, 5) if tls is not None else (None, None)
    server = await asyncio.start_server(
        listener.accept,
        host,
        port,
        ssl=tls,
        ssl_handshake_timeout=handshake_seconds,
        ssl_shutdown_timeout=shutdown_seconds,
    )
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        await listener.stop()


def server_tls(certificate: Path, key: Path, clients: Path) -> ssl.SSLContext:
    """Return the TLS context of a listener that requires a certificate by an authority in `clients`. All are PEM."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    return context


def _detect_vanished_peer(connection: socket.socket) -> None:
    """Let TCP probe a silent peer after a minute, four times every 15 s, where the system can be told so."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        option: int | None = getattr(socket, name, None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _peer(writer: asyncio.StreamWriter) -> Peer:
    address = cast("tuple[Any, ...] | None", writer.get_extra_info("peername"))
    certificate = cast("dict[str, Any] | None", writer.get_extra_info("peercert"))
    return Peer(str(address[0]) if address else "", None if certificate is None else _certified_name(certificate))


def _certified_name(certificate: dict[str, Any]) -> str:
    """Return the common name of a certificate, or else its first DNS name, or an empty string."""
    subject = dict(pair for names in certificate.get("subject", ()) for pair in names)
    dns_names = [name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS"]
    return subject.get("commonName") or next(iter(dns_names), "")
