"""If the store is slow or unavailable, requests fail fast; the code and its verification are refused last."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import create_app, documents_of
from backend.city.service import City, discover_services
from backend.operations.load_shedding import STORE_UNAVAILABLE_SECONDS, LoadShedder, Unavailable
from backend.settings import Settings
from backend.store import Document, Store, StoreUnavailable
from backend.store.connect import open_store, prepare_store
from backend.store.migrations import find_migrations, migrate
from tests.conftest import Clock, SignIn
from tests.services.health_code.scene import SignedInPerson, id_number

pytestmark = pytest.mark.slow

TIMEOUT_MS = 800

# ── priorities ──


def admits(load_shedder: LoadShedder) -> dict[str, bool]:
    """Return whether requests of each priority are admitted."""
    admitted: dict[str, bool] = {}
    for rank in ("decoration", "ordinary", "essential"):
        try:
            load_shedder.admit(rank)
            admitted[rank] = True
        except Unavailable as refused:
            admitted[rank] = refused.headers != {"Retry-After": "2"}
    return admitted


@pytest.mark.parametrize(
    ("in_flight", "decoration", "ordinary", "essential"),
    [
        (1, True, True, True),
        (128, True, True, True),
        (129, False, True, True),
        (192, False, True, True),
        (193, False, False, True),
        (256, False, False, True),
        (257, False, False, False),
    ],
)
def test_images_go_first_and_the_colour_last(in_flight: int, decoration: bool, ordinary: bool, essential: bool) -> None:
    load_shedder = LoadShedder()
    assert load_shedder.room == 256
    load_shedder.in_flight = in_flight
    assert admits(load_shedder) == {"decoration": decoration, "ordinary": ordinary, "essential": essential}


def test_only_essential_requests_are_tried_while_the_store_is_unavailable() -> None:
    load_shedder = LoadShedder()
    load_shedder.note_store_unavailable()
    assert admits(load_shedder) == {"decoration": False, "ordinary": False, "essential": True}
    time.sleep(STORE_UNAVAILABLE_SECONDS)
    assert admits(load_shedder) == {"decoration": True, "ordinary": True, "essential": True}


def test_the_rank_of_each_route_is_known(app: Litestar) -> None:
    ranks: dict[str, set[str]] = {}
    for route in app.routes:
        for handler, _ in getattr(route, "route_handler_map", {}).values():
            ranks.setdefault(handler.opt.get("priority", "ordinary"), set()).add(route.path_format)
    assert ranks.keys() == {"decoration", "ordinary", "essential"}
    assert ranks["essential"] == {
        "/v1/me/health-code",
        "/v1/verifications",
        "/.well-known/jwks.json",
        "/health/live",
        "/health/ready",
    }
    assert ranks["decoration"] == {
        "/v1/me/health-code/history",
        "/v1/me/health-code/explanation",
        "/v1/me/health-code/image.svg",
        "/v1/me/health-code/image.png",
        "/v1/me/talent-code/image.svg",
        "/v1/me/talent-code/image.png",
    }


# ── a slow or unavailable store ──


class Proxy:
    """A TCP proxy to a real server that can be cut or silenced for a while."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.silent = asyncio.Event()
        self.silent.set()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._ends:
            end.close()
        await asyncio.gather(*(end.wait_closed() for end in self._ends), return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._server is not None
        if not self._server.is_serving():  # accepted before the cut
            writer.close()
            return
        self._ends.add(writer)
        self._tasks.add(asyncio.create_task(self._join(reader, writer)))

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        self._ends.add(far_writer)
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self.silent.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


class FaultyCity:
    """A city that is connected to MongoDB through a proxy."""

    def __init__(self, client: TestClient[Litestar], proxy: Proxy, portal: BlockingPortal, clock: Clock) -> None:
        self.client, self.proxy, self.portal = client, proxy, portal
        sign_in = SignIn(client)
        self.wang = SignedInPerson(client.app, sign_in("13800138001", name="王芳", id_number=id_number(1)))
        self.gate = SignedInPerson(client.app, sign_in("13800138003", roles=("gate",), venues=("west-lake",)))
        self.clock = clock
        self.payload: str = self.request("GET", "/v1/me/health-code").json()["payload"]

    def request(self, method: str, path: str, **body: Any) -> httpx.Response:  # noqa: ANN401  a body
        return self.client.request(method, path, headers=self.wang, **body)

    def scan(self, payload: str | None = None) -> httpx.Response:
        body = {"payload": payload or self.payload, "venue": "west-lake", "scan_id": f"scan-{time.monotonic_ns()}"}
        return self.client.post("/v1/verifications", headers=self.gate, json=body)

    def silence(self) -> None:
        self.portal.call(self.proxy.silent.clear)

    def cut(self) -> None:
        self.portal.call(self.proxy.cut)

    def resume(self) -> None:
        self.portal.call(self.proxy.silent.set)


@pytest.fixture
def faulty_city(settings: Settings, database_url: str, clock: Clock) -> Iterator[FaultyCity]:
    prepare_store(database_url, documents_of(discover_services()))
    host, _, port = database_url.removeprefix("mongodb://").partition("/")[0].partition(":")
    name = database_url.rpartition("/")[2].partition("?")[0]
    proxy = Proxy(host, int(port))
    with start_blocking_portal() as portal:
        address = f"mongodb://127.0.0.1:{portal.call(proxy.open)}/{name}?directConnection=true"
        city = replace(settings, store=address, store_timeout_ms=TIMEOUT_MS)
        with TestClient(create_app(city, clock=clock)) as client:
            yield FaultyCity(client, proxy, portal, clock)
            portal.call(proxy.cut)


def forged(payload: str) -> str:
    """Return a code whose signature differs in one character."""
    return payload[:-10] + ("B" if payload[-10] == "A" else "A") + payload[-9:]


def timed(answer: httpx.Response, began: float) -> httpx.Response:
    """Return the answer; the first scan of a gate in five seconds waits for two reads: its role and the visit."""
    assert time.monotonic() - began < 3.5 * TIMEOUT_MS / 1_000, "it did not fail fast"
    return answer


def refused(faulty_city: FaultyCity, method: str, path: str, **body: Any) -> None:  # noqa: ANN401  a body
    began = time.monotonic()
    answer = timed(faulty_city.request(method, path, **body), began)
    assert answer.status_code == 503, answer.text
    assert answer.json()["type"] == "/problems/unavailable"
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("fault", ["silence", "cut"])
def test_requests_fail_fast_and_issued_codes_still_verify(faulty_city: FaultyCity, fault: str) -> None:
    getattr(faulty_city, fault)()
    refused(faulty_city, "GET", "/v1/me/health-code")
    refused(faulty_city, "POST", "/v1/me/health-declarations", json={"symptoms": []})
    refused(faulty_city, "GET", "/v1/me/health-code/image.svg")
    refused(faulty_city, "GET", "/v1/me")
    began = time.monotonic()
    verified = timed(faulty_city.scan(), began).json()
    assert (verified["outcome"], verified["colour"], verified["admit"]) == ("valid", "green", True)
    assert verified["recorded"] is False
    assert faulty_city.scan(forged(faulty_city.payload)).json()["outcome"] == "forged"
    assert faulty_city.client.get("/.well-known/jwks.json").status_code == 200
    assert faulty_city.client.get("/health/live").status_code == 200
    answer = faulty_city.client.get("/health/ready")
    assert (answer.status_code, answer.json()["store"]) == (503, "does not answer")


def test_other_than_essential_requests_are_refused_at_once_while_the_store_is_unavailable(
    faulty_city: FaultyCity,
) -> None:
    faulty_city.silence()
    refused(faulty_city, "GET", "/v1/me/health-code")
    began = time.monotonic()
    refused(faulty_city, "GET", "/v1/me/health-code/history")
    refused(faulty_city, "GET", "/v1/me")
    assert time.monotonic() - began < TIMEOUT_MS / 1_000 / 4


def test_all_requests_succeed_again_once_the_store_is_back(faulty_city: FaultyCity) -> None:
    faulty_city.silence()
    refused(faulty_city, "GET", "/v1/me/health-code")
    faulty_city.resume()
    time.sleep(STORE_UNAVAILABLE_SECONDS)
    assert faulty_city.request("GET", "/v1/me/health-code").status_code == 200
    assert faulty_city.request("GET", "/v1/me/health-code/history").status_code == 200
    first = faulty_city.scan().json()
    assert (first["outcome"], first["recorded"]) == ("valid", True)
    assert faulty_city.client.get("/health/ready").status_code == 200


def test_an_expired_code_is_recognised_without_the_store(faulty_city: FaultyCity) -> None:
    faulty_city.silence()
    faulty_city.clock.now += timedelta(minutes=5)
    verified = faulty_city.scan().json()
    assert (verified["outcome"], verified["recorded"], verified["colour"]) == ("expired", False, None)


def test_an_operation_without_an_answer_raises_store_unavailable(database_url: str) -> None:
    """The outcome of a write is unknown then, so the caller must check it."""
    kinds: list[type[Document]] = documents_of(discover_services())
    prepare_store(database_url, kinds)
    host, _, port = database_url.removeprefix("mongodb://").partition("/")[0].partition(":")

    async def work() -> None:
        proxy = Proxy(host, int(port))
        ours = await proxy.open()
        address = (
            f"mongodb://127.0.0.1:{ours}/{database_url.rpartition('/')[2].partition('?')[0]}?directConnection=true"
        )
        store: Store = open_store(address, kinds, driver="pymongo", timeout_ms=TIMEOUT_MS)
        await migrate(store, find_migrations(), lambda _migration, _seen: None)
        proxy.silent.clear()
        began = time.monotonic()
        for request in (lambda: store.count(kinds[0], {}), lambda: store.get(kinds[0], "x")):
            with pytest.raises(StoreUnavailable, match="MongoDB does not answer"):
                await request()
        assert time.monotonic() - began < 2 * 2.5 * TIMEOUT_MS / 1_000
        await proxy.cut()
        await store.close()

    asyncio.run(work())


def test_refused_requests_are_counted(client: TestClient[Litestar]) -> None:
    load_shedder: LoadShedder = client.app.state.load_shedder
    load_shedder.in_flight = 1_000
    assert client.get("/.well-known/jwks.json").status_code == 503
    load_shedder.in_flight = 0
    assert load_shedder.refused == 1
    assert client.get("/.well-known/jwks.json").status_code == 200
    assert isinstance(client.app.state.city, City)


@pytest.mark.parametrize("check", ["live", "ready"])
def test_health_checks_are_never_refused(client: TestClient[Litestar], check: str) -> None:
    client.app.state.load_shedder.in_flight = 10_000
    client.app.state.load_shedder.note_store_unavailable()
    assert client.get(f"/health/{check}").status_code == 200
    client.app.state.load_shedder.in_flight = 0
