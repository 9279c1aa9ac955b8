"""Measure `GET /v1/me/health-code` on a real server, next to a bare Litestar route that returns the same JSON."""

import asyncio
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.city.person import Person
from backend.security.identity import Access, Caller
from backend.store.sqlite.store import SqliteStore
from tests.bench.city import BenchCity, synthetic_city
from tests.bench.report import Table, processor_seconds

ROOT = Path(__file__).parents[2]
CITIZENS = 100_000
ROUNDS = 10
CONNECTIONS = 32
READY_SECONDS = 180
PATH = "/v1/me/health-code"
FIRST_CORE, LAST_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
"""The measured servers run on the first core, the client on the last."""


def read() -> Table:
    """Compare reading 100,000 codes, each once, with as many reads of the bare route's fixed response."""
    city = synthetic_city(CITIZENS)
    prepared = asyncio.run(requests(city, CITIZENS))
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory()))
        chengma, bare = free_port(), free_port()
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "CHENGMA_STORE": city.settings.store,
            "CHENGMA_KEYS": city.settings.keys,
            "CHENGMA_RULES": str(ROOT / "rules"),
            "CHENGMA_PORT": str(chengma),
        }
        running.enter_context(server(["-m", "backend", "serve"], chengma, environment, folder / "chengma.log"))
        answer = folder / "answer.json"
        answer.write_bytes(ask(chengma, prepared[:1])[1])
        bare_server = ["-m", "tests.bench.bare", str(answer), str(bare)]
        running.enter_context(server(bare_server, bare, environment, folder / "bare.log"))
        return _measure(prepared, chengma, bare)


def _measure(prepared: Sequence[bytes], chengma: int, bare: int) -> Table:
    os.sched_setaffinity(0, {LAST_CORE})
    size = len(prepared) // ROUNDS
    rates: list[tuple[float, float]] = []
    for round_ in range(ROUNDS):
        share = prepared[round_ * size : (round_ + 1) * size]
        rates.append((rate(chengma, share), rate(bare, share)))
    ours, theirs = zip(*rates, strict=True)
    ratio = statistics.median(our / their for our, their in rates)
    return Table(
        "health_code_read",
        f"`GET {PATH}`: token check, store read, rules and signing for {size * ROUNDS:,} different citizens, each "
        "read once, next to a bare Litestar route that returns the same JSON from a Struct. Each is served by one "
        "uvicorn worker (uvloop, httptools), ours as `chengma serve` starts it, with its access log. "
        f"{CONNECTIONS} connections kept alive, one client process on its own core, {ROUNDS} alternating rounds. "
        "Target: 0.35 or more.",
        ("route", "requests per second", "of the bare route"),
        [
            ("bare Litestar route", f"{statistics.median(theirs):,.0f}", "1"),
            (f"`GET {PATH}`", f"{statistics.median(ours):,.0f}", f"**{ratio:.2f}**"),
        ],
    )


async def requests(city: BenchCity, citizens: int) -> list[bytes]:
    """Return a request for each of `citizens` citizens, each with its own token."""
    opened = city.open()
    access = Access(city.settings, opened.keys, opened.now)
    assert isinstance(opened.store, SqliteStore)
    prepared: list[bytes] = []
    async for person in opened.store.scan(Person):
        token = access.issue(Caller(f"a-{person.id}", "session", person.id, level=3), datetime.now(UTC))
        head = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Language: zh\r\nAuthorization: Bearer {token}\r\n\r\n"
        prepared.append(head.encode())
        if len(prepared) == citizens:
            break
    await opened.store.close()
    assert len(prepared) == citizens
    return prepared


def rate(port: int, requests: Sequence[bytes]) -> float:
    """Return how many requests are answered per second."""
    seconds, _ = ask(port, requests)
    return len(requests) / seconds


def rate_of_core(port: int, pid: int, requests: Sequence[bytes], connections: int = CONNECTIONS) -> float:
    """Return how many requests are answered per second of processor time of the server, so per core."""
    before = processor_seconds(pid)
    ask(port, requests, connections)
    return len(requests) / (processor_seconds(pid) - before)


def ask(port: int, requests: Sequence[bytes], at_once: int = CONNECTIONS) -> tuple[float, bytes]:
    """Send each request once over keep-alive connections; return the seconds and the last body."""
    poll = select.epoll()
    remaining = iter(requests)
    connections: dict[int, socket.socket] = {}
    for _ in range(min(at_once, len(requests))):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
    begin = time.perf_counter()
    for connection in connections.values():
        connection.sendall(next(remaining))
    answered, body = 0, b""
    while answered < len(requests):
        for number, _event in poll.poll():
            connection = connections[number]
            body = _body(connection)
            answered += 1
            request = next(remaining, None)
            if request is not None:
                connection.sendall(request)
    seconds = time.perf_counter() - begin
    for connection in connections.values():
        connection.close()
    poll.close()
    return seconds, body


def _body(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 ")), received[:500]
    at = head.lower().index(b"content-length: ") + 16
    length = int(head[at:].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return body


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def server(arguments: Sequence[str], port: int, environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run a server on the first core until the end of the block, then stop it; yield its process id."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=environment, cwd=ROOT, stdout=output, stderr=output
        )
    os.sched_setaffinity(process.pid, {FIRST_CORE})
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()  # does nothing if it has ended
        process.wait(timeout=READY_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    print(json.dumps(read().rows))
