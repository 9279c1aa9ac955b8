"""An MLLP client, for the conformance checks and tests."""

import asyncio
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

from integrations.his.hl7v2.mllp_frames import END_BLOCK, START_BLOCK, FrameDecoder

_READ_BYTES = 65_536


class MllpClient:
    """Sends messages and receives replies. Every step raises OSError, or TimeoutError after `timeout_seconds`."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None, timeout_seconds: float = 10) -> None:
        self._host, self._port, self._tls, self._timeout_seconds = host, port, tls, timeout_seconds
        self._decoder = FrameDecoder()
        self._received: list[bytes] = []

    async def __aenter__(self) -> Self:
        """Connect."""
        async with asyncio.timeout(self._timeout_seconds):
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await close_writer(self._writer)

    async def send(self, message: bytes) -> None:
        """Send one message in a frame."""
        await self.send_raw(START_BLOCK + message + END_BLOCK)

    async def send_raw(self, raw: bytes) -> None:
        """Send bytes without a frame."""
        self._writer.write(raw)
        async with asyncio.timeout(self._timeout_seconds):
            await self._writer.drain()

    async def receive(self) -> bytes:
        """Return the next reply. Raises ConnectionError when the server has disconnected."""
        async with asyncio.timeout(self._timeout_seconds):
            while not self._received:
                data = await self._reader.read(_READ_BYTES)
                if not data:
                    raise ConnectionResetError("the server has disconnected")
                self._received.extend(self._decoder.feed(data))
        return self._received.pop(0)


def client_tls(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """Return the TLS context of a client that trusts servers certified by `authority`. All files are PEM."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
    context.load_cert_chain(certificate, key)
    return context


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Close a connection; after a second without progress, abort it."""
    writer.close()
    try:
        async with asyncio.timeout(1):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
