"""Send requests over keep-alive connections at a low cost, so that one process can act as many clients."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec

ANSWER_SECONDS = 30


class Connections:
    """The connections of one client, one to each server; each is used for one request at a time."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._streams: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def __aenter__(self) -> Self:
        for port in self._ports:
            self._streams[port] = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def __aexit__(self, *_: object) -> None:
        for _, writer in self._streams.values():
            writer.close()
            await writer.wait_closed()

    async def ask(
        self, port: int, method: str, path: str, headers: Mapping[str, str], body: object = None
    ) -> dict[str, Any]:
        """Send a request and return the JSON of its response, which must be 2xx."""
        reader, writer = self._streams[port]
        content = b"" if body is None else msgspec.json.encode(body)
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
        lines += ["Content-Type: application/json", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        async with asyncio.timeout(ANSWER_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            answer = await reader.readexactly(int(fields["content-length"]))
        status = int(head.split(" ", 2)[1])
        assert 200 <= status < 300, f"{method} {path}: {status} {answer.decode()}"
        return msgspec.json.decode(answer)
