"""What a refusal is compared with: a bare application behind uvicorn, and a connection that answers without reading."""

import asyncio
import sys
from typing import cast

import uvicorn
import uvloop
from litestar.types import Receive, Scope, Send

BODY = b"x" * 300
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
HEAD = b"".join(b"%b: %b\r\n" % line for line in HEADERS)
ANSWER = b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (HEAD, BODY)
LONG_SECONDS = 3_600


async def app(scope: Scope, _: Receive, send: Send) -> None:
    """Answer every request with the same 300 bytes."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})


class Unread(asyncio.Protocol):
    """A connection that answers whatever it receives: the kernel and the loop alone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast("asyncio.WriteTransport", transport).write

    def data_received(self, data: bytes) -> None:
        del data
        self._write(ANSWER)


async def answer_unread(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Unread, "127.0.0.1", port)
    await server.serve_forever()


def main(kind: str, port: int) -> None:
    if kind == "app":
        uvicorn.run(
            app,
            port=port,
            loop="uvloop",
            http="httptools",
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_keep_alive=LONG_SECONDS,
        )
    else:
        uvloop.run(answer_unread(port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
