"""An attack with slow and huge input on a running city, next to which an honest client is served as usual."""

import asyncio
import http.client
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import Struct

from backend.city.id_number import parse_id_number
from backend.city.person import find_or_create_person
from backend.city.service import City
from backend.security.identity import Access, Caller
from backend.store.migrations import find_migrations, migrate
from tests.accounts import keep_account
from tests.conftest import lacking
from tests.integrations.his.hospital import in_city
from tests.servers import chengma, city_environment, free_port, listens, wait_until
from tests.services.health_code.scene import id_number

pytestmark = pytest.mark.slow

HALF_OPEN, SLOW_BODIES = 1_500, 300
HUGE_HEADER_BYTES = 141_000_000
MIN_HONEST_REQUESTS = 100
HALF_REQUEST = b"GET /v1/me/health-code HTTP/1.1\r\nHost: city.test\r\nX-Slow: "
HALF_BODY = b"POST /v1/sign-in-codes HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n{"


class HonestClient(Struct):
    """A citizen's app and a monitor, which send one request after the other, every other one on a new connection."""

    port: int
    token: str
    stopped: threading.Event
    seconds: list[float] = []
    failures: list[str] = []

    def use_city(self) -> None:
        """Ask until stopped."""
        kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.stopped.is_set():
            new = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            for connection, path in ((kept, "/v1/me/health-code"), (new, "/v1/me/health-code"), (new, "/health/live")):
                self._ask(connection, path)
            new.close()
            self.stopped.wait(0.01)
        kept.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> None:
        began = time.monotonic()
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
            response = connection.getresponse()
            response.read()
        except OSError as error:
            self.failures.append(f"{path}: {error!r}")
            connection.close()
        else:
            if response.status != 200:
                self.failures.append(f"{path}: {response.status}")
        self.seconds.append(time.monotonic() - began)

    @property
    def p99_seconds(self) -> float:
        """Return the time within which 99 % of the requests were answered."""
        return sorted(self.seconds)[len(self.seconds) * 99 // 100]


class RunningCity(Struct):
    """A server, and the token of one of its citizens."""

    port: int
    token: str


@pytest.fixture
def running_city(address: str, tmp_path: Path) -> Iterator[RunningCity]:
    needed = HALF_OPEN + SLOW_BODIES + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        lacking(f"a limit of {needed} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    port = free_port()
    environment = city_environment(tmp_path, address, "", port=port, access_log="false")
    token = in_city(environment, sign_in)
    server = chengma(tmp_path, "serve", environment, "serve")
    try:
        wait_until(lambda: listens(port), server.log_text)
        yield RunningCity(port, token)
        assert server.runs
    finally:
        server.stop()


async def sign_in(city: City) -> str:
    """Migrate the store, and return the access token of a citizen whose identity is proved."""
    await migrate(city.store, find_migrations(), lambda _migration, _seen: None)
    now = datetime.now(UTC)
    person = await find_or_create_person(
        city.store, city.encryption, parse_id_number(id_number(1), city.today()), city.now()
    )
    citizen = await keep_account(city.store, city.encryption, Caller("a-1", "session", person.id, level=3), now)
    return Access(city.settings, city.keys, lambda: now).issue(citizen, now, 3_600)


@contextmanager
def honest_client(city: RunningCity) -> Iterator[HonestClient]:
    client = HonestClient(city.port, city.token, threading.Event())
    thread = threading.Thread(target=client.use_city)
    thread.start()
    try:
        yield client
    finally:
        client.stopped.set()
        thread.join(30)


async def drip(port: int, beginning: bytes, seconds: float) -> None:
    """Begin a request, and send a byte of it now and then."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(beginning)
        try:
            async with asyncio.timeout(seconds):
                while not writer.is_closing():
                    await asyncio.sleep(1)
                    if beginning:
                        writer.write(b"x")
        except TimeoutError:
            pass
        writer.transport.abort()


async def send_huge_header(port: int, seconds: float) -> None:
    """Send a header of 141 MB, or as much of it as the server takes."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(seconds):
            await _send_huge_header(port)


async def _send_huge_header(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(HALF_REQUEST)
        for _ in range(HUGE_HEADER_BYTES // 100_000):
            writer.write(b"x" * 100_000)
            await writer.drain()
    finally:
        writer.transport.abort()


async def attack(port: int, seconds: float) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(HALF_OPEN):
            group.create_task(drip(port, HALF_REQUEST if number % 2 else b"", seconds))
        for _ in range(SLOW_BODIES):
            group.create_task(drip(port, HALF_BODY, seconds))
        for _ in range(5):
            group.create_task(send_huge_header(port, seconds))


def test_an_honest_client_is_served_next_to_half_open_connections_slow_bodies_and_endless_headers(
    running_city: RunningCity,
) -> None:
    with honest_client(running_city) as client:
        asyncio.run(attack(running_city.port, 4))
    p99_ms, longest_ms = client.p99_seconds * 1_000, max(client.seconds) * 1_000
    print(f"{len(client.seconds)} requests, p99 {p99_ms:.0f} ms, longest {longest_ms:.0f} ms")  # noqa: T201
    assert client.failures == []
    assert len(client.seconds) > MIN_HONEST_REQUESTS
    assert p99_ms < 1_000
