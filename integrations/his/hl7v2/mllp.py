"""MLLP: how hospitals send HL7 v2 over TCP, each message a block between 0x0B and 0x1C 0x0D.

Neither mark occurs within text in UTF-8 or GB18030, so that blocks are found in bytes. A connection does one message
at a time: while it is taken nothing more is read, and TCP makes the sender wait.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from msgspec import Struct

START, END = b"\x0b", b"\x1c\r"
MAX_HEAD_BYTES = 4_096
_READ_BYTES = 65_536
_MARK = re.compile(rb"\x0b|\x1c\r")

_log = logging.getLogger("chengma.his")


class Limits(Struct, frozen=True, kw_only=True):
    """What a listener bears with."""

    message_bytes: int = 1_048_576
    connections: int = 100
    stray_bytes: int = 1_024
    """Between two messages."""
    idle_seconds: float = 3_600
    message_seconds: float = 30
    """From a block's first byte to its last."""
    write_seconds: float = 30
    linger_seconds: float = 5
    """How long a sender of too long a message is listened to, so that it can read the answer."""
    grace_seconds: float = 10
    """How long messages that are being taken may go on when the listener ends."""


class Peer(Struct, frozen=True):
    """Who sends: the address, and the common name of the client's certificate under TLS."""

    address: str
    name: str | None = None


Take = Callable[[bytes, Peer], AsyncGenerator[bytes, None]]
"""Takes the bytes of one message and yields its answers, each sent when it is there."""
Refuse = Callable[[bytes, Peer], bytes | None]
"""Answers a message that is too long, by its first 4,096 bytes."""


class BlockTooLong(Exception):
    """A block holds more bytes than a message may; `head` are the first of them."""

    def __init__(self, head: bytes) -> None:
        super().__init__("the message is too long")
        self.head = head


class _Gone(Exception):
    """The peer hung up, or is cut off for what this says."""


class Blocks:
    """Finds the blocks in a stream of bytes, however it is cut; `open` tells that one has begun.

    A start within a block means that its sender gave it up and began anew. `stray` counts the bytes outside blocks,
    and such starts, since the last whole block; `dropped` all bytes that belong to no whole block.
    """

    def __init__(self, max_bytes: int) -> None:
        self._at_most_bytes = max_bytes
        self._block = bytearray()
        self._half_end = False
        self.open = False
        self.stray = 0
        self.dropped = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the messages that these bytes complete. Raises BlockTooLong."""
        if self._half_end:
            data, self._half_end = END[:1] + data, False
        at = 0
        for mark in _MARK.finditer(data):
            self._keep(data[at : mark.start()])
            at = mark.end()
            if mark[0] == START:
                if self.open:
                    self.dropped += len(self._block) + 1
                    self.stray += 1
                self._block.clear()
                self.open = True
            elif self.open:
                block = bytes(self._block)
                self._block.clear()
                self.open = False
                self.stray = 0
                yield block
            else:
                self._stray(len(END))
        rest = data[at:]
        if self.open and rest.endswith(END[:1]):
            rest, self._half_end = rest[:-1], True
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        if not self.open:
            self._stray(len(piece))
            return
        self._block += piece
        if len(self._block) > self._at_most_bytes:
            head = bytes(self._block[:MAX_HEAD_BYTES])
            self._block.clear()
            raise BlockTooLong(head)

    def _stray(self, size: int) -> None:
        self.dropped += size
        self.stray += size


class MllpListener:
    """What listens; `counted` holds its `messages`, `connections`, `refused` connections and `dropped_bytes`."""

    def __init__(self, take: Take, refuse: Refuse | None, limits: Limits) -> None:
        self._take, self._refuse, self._limits = take, refuse, limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self.port = 0
        self.counted = Counter[str]()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin with a connection, unless there are too many."""
        if self._stopping or len(self._tasks) >= self._limits.connections:
            self.counted["refused"] += 1
            _log.warning("MLLP: %s is one connection too many", _peer(writer).address)
            writer.transport.abort()
            return
        self.counted["connections"] += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End the connections: idle ones at once, the others when their message is done or their time is up."""
        self._stopping = True
        for task in self._reading:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._limits.grace_seconds)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer, blocks = _peer(writer), Blocks(self._limits.message_bytes)
        connection = cast("socket.socket", writer.get_extra_info("socket"))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # finds peers that vanished
        try:
            await self._converse(reader, writer, peer, blocks)
        except BlockTooLong as error:
            _log.warning("MLLP: %s sent a message of more than %d bytes", peer.address, self._limits.message_bytes)
            with suppress(_Gone):
                await self._turn_away(reader, writer, error.head, peer)
        except _Gone as why:
            _log.warning("MLLP: %s %s", peer.address, why)
            writer.transport.abort()
        except Exception:  # noqa: BLE001  whatever taking a message fails with
            _log.exception("MLLP: a message of %s could not be taken; it is cut off, to send it again", peer.address)
        finally:
            self.counted["dropped_bytes"] += blocks.dropped
            await _close(writer)

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer, blocks: Blocks
    ) -> None:
        now = asyncio.get_running_loop().time
        begun: float | None = None
        deadline = now() + self._limits.idle_seconds
        while not self._stopping and (data := await self._read(reader, deadline, blocks)):
            for message in blocks.feed(data):
                begun = None
                await self._answer(writer, message, peer)
                deadline = now() + self._limits.idle_seconds
                if self._stopping:
                    return
            if blocks.stray > self._limits.stray_bytes:
                raise _Gone("is cut off: it sends what is no block")
            if blocks.open and begun is None:
                begun = now()
                deadline = begun + self._limits.message_seconds
        if blocks.open:
            raise _Gone("left within a message")

    async def _read(self, reader: asyncio.StreamReader, deadline: float, blocks: Blocks | None = None) -> bytes:
        task = asyncio.current_task()
        assert task is not None, "a connection is a task"
        self._reading.add(task)
        try:
            async with asyncio.timeout_at(deadline):
                return await reader.read(_READ_BYTES)
        except TimeoutError:
            unclosed = blocks is not None and blocks.open
            raise _Gone(f"is cut off: it {'does not end its message' if unclosed else 'is idle'}") from None
        except OSError as error:
            raise _Gone(f"is gone: {type(error).__name__}") from None
        finally:
            self._reading.discard(task)

    async def _answer(self, writer: asyncio.StreamWriter, message: bytes, peer: Peer) -> None:
        self.counted["messages"] += 1
        async with aclosing(self._take(message, peer)) as answers:
            async for answer in answers:
                await self._write(writer, answer)

    async def _write(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        writer.write(START + answer + END)
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                await writer.drain()
        except TimeoutError:
            raise _Gone("is cut off: it does not read its answers") from None
        except OSError as error:
            raise _Gone(f"is gone: {type(error).__name__}") from None

    async def _turn_away(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, peer: Peer
    ) -> None:
        """Answer, and read on without keeping anything: closed at once, TCP would take the answer back."""
        answer = self._refuse(head, peer) if self._refuse is not None else None
        if answer is None:
            return
        await self._write(writer, answer)
        if writer.can_write_eof():
            writer.write_eof()
        deadline = asyncio.get_running_loop().time() + self._limits.linger_seconds
        while await self._read(reader, deadline):
            pass


@asynccontextmanager
async def serve_mllp(
    take: Take,
    host: str,
    port: int,
    *,
    refuse: Refuse | None = None,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
) -> AsyncGenerator[MllpListener, None]:
    """Listen until the end of the block; port 0 takes a free one. Where `take` raises, the connection is closed.

    A sender that got no answer sends its message again, so taking one must be idempotent.
    """
    listener = MllpListener(take, refuse, limits or Limits())
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
    """Make a listener's TLS, which lets in whom an authority in the file `clients` has certified. All are PEM."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    return context


def client_tls(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """Make a client's TLS, which trusts servers that `authority` has certified. All are PEM."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
    context.load_cert_chain(certificate, key)
    return context


class MllpClient:
    """Sends messages to a listener and receives its answers. Each step raises OSError, or TimeoutError in time."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None, seconds: float = 10) -> None:
        self._host, self._port, self._tls, self._seconds = host, port, tls, seconds
        self._blocks = Blocks(Limits().message_bytes)
        self._received: list[bytes] = []

    async def __aenter__(self) -> Self:
        """Connect."""
        async with asyncio.timeout(self._seconds):
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Hang up."""
        await _close(self._writer)

    async def send(self, message: bytes) -> None:
        """Send one message as a block."""
        await self.write(START + message + END)

    async def write(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(raw)
        async with asyncio.timeout(self._seconds):
            await self._writer.drain()

    async def receive(self) -> bytes:
        """Wait for the next answer. Raises ConnectionError when the other side has hung up."""
        async with asyncio.timeout(self._seconds):
            while not self._received:
                data = await self._reader.read(_READ_BYTES)
                if not data:
                    raise ConnectionResetError("the other side has hung up")
                self._received.extend(self._blocks.feed(data))
        return self._received.pop(0)


def _peer(writer: asyncio.StreamWriter) -> Peer:
    name = cast("tuple[Any, ...] | None", writer.get_extra_info("peername"))
    certificate = cast("dict[str, Any]", writer.get_extra_info("peercert") or {})
    subject = dict(pair for names in certificate.get("subject", ()) for pair in names)
    return Peer(str(name[0]) if name else "", subject.get("commonName"))


async def _close(writer: asyncio.StreamWriter) -> None:
    """Hang up, within a second where the peer takes what is still to be sent."""
    writer.close()
    try:
        async with asyncio.timeout(1):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
