"""A real server behind the server front, and clients that send and receive bytes as they are."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from backend.operations.access_log import AccessLog
from backend.operations.load_shedding import LoadShedder
from backend.web.connection_limits import ConnectionLimits
from backend.web.overload_refusals import OverloadRefusals
from backend.web.server_front import FrontServer

SHORT = ConnectionLimits(header_seconds=0.3, body_seconds=0.3, idle_seconds=0.3, linger_seconds=0.3)
PATIENT = ConnectionLimits(header_seconds=30, body_seconds=30, idle_seconds=30)
GET = b"GET /echo HTTP/1.1\r\nHost: city.test\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: city.test\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = 20_000_000


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length of the body; `/early` answers without reading it, `/large` with 20 MB."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
    size = 0
    while scope["path"] == "/echo":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    names = [name.decode() for name, _ in scope["headers"]]
    body = json.dumps(
        {"method": scope["method"], "size": size, "headers": names, "client": scope["client"][0]}
    ).encode()
    if scope["path"] == "/large":
        body = b"x" * LARGE
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 401 if scope["path"] == "/early" else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Running(Struct):
    """A server that runs in a thread."""

    port: int
    server: FrontServer
    load_shedder: LoadShedder

    @property
    def connections(self) -> int:
        """Return the number of open connections."""
        return len(self.server.server_state.connections)


@contextmanager
def serve(limits: ConnectionLimits = PATIENT, *, writes: bool = False, **tls_files: Path) -> Iterator[Running]:
    load_shedder = LoadShedder()
    access_log = AccessLog(app, load_shedder, writes=writes)
    config = uvicorn.Config(access_log, access_log=False, log_config=None, server_header=False, ws="none", **tls_files)
    listening, started = socket.socket(), threading.Event()
    listening.bind(("127.0.0.1", 0))
    server = FrontServer(config, limits, access_log, OverloadRefusals(load_shedder, {}), started.set)
    thread = threading.Thread(target=server.run, args=([listening],))
    port = listening.getsockname()[1]
    thread.start()
    try:
        assert started.wait(30)
        yield Running(port, server, load_shedder)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


class Client:
    """A connection that sends and receives bytes as they are."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket = plain if tls is None else tls.wrap_socket(plain)
        self.received = b""

    def send(self, *parts: bytes) -> "Client":
        for part in parts:
            self.socket.sendall(part)
        return self

    def response(self) -> tuple[int, dict[str, str], bytes]:
        """Return the next response: status, headers and body."""
        while b"\r\n\r\n" not in self.received:
            self._receive()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self.received) < length:
            self._receive()
        body, self.received = self.received[:length], self.received[length:]
        return int(status_line.split(" ")[1]), headers, body

    def _receive(self) -> None:
        data = self.socket.recv(1_000_000)
        if not data:
            raise ConnectionError("closed")
        self.received += data

    def seconds_until_closed(self) -> float:
        began = time.monotonic()
        with suppress(ConnectionError):
            while self.socket.recv(1_000_000):
                pass
        return time.monotonic() - began


@contextmanager
def connected(port: int, count: int = 1, tls: ssl.SSLContext | None = None) -> Iterator[list[Client]]:
    clients = [Client(port, tls) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.socket.close()


def ask(port: int, *request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return the response to a request on a connection of its own."""
    with connected(port) as (client,):
        return client.send(*request).response()


def problem(response: tuple[int, dict[str, str], bytes]) -> tuple[int, str, str]:
    """Return status, type and language of a Problem; it must end its connection."""
    status, headers, body = response
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    content = json.loads(body)
    assert content["status"] == status
    assert content["request_id"] == headers["x-request-id"]
    return status, content["type"], headers["content-language"]
