"""Requests that wait for their own clients are no load, however many they are."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient
from litestar.types import Message


class Conversation:
    """A request whose client sends and reads only when the test says so."""

    def __init__(self, app: Litestar, method: str, path: str, body: bytes = b"") -> None:
        self.body = body
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.statuses: list[int] = []
        self.reads = asyncio.Event()
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
            "client": ("192.0.2.1", 1),
            "server": ("city.test", 80),
            "state": {},
        }
        self.task: asyncio.Task[None] = asyncio.create_task(app(scope, self.sent.get, self._answer))

    async def _answer(self, message: Message) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])

    def finish(self) -> None:
        self.sent.put_nowait({"type": "http.request", "body": self.body, "more_body": False})
        self.reads.set()

    def hang_up(self) -> None:
        self.sent.put_nowait({"type": "http.disconnect"})
        self.reads.set()


SIGN_IN = b'{"phone": "13800138000"}'


def in_a_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(bounded())


async def let_all_wait() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_clients_that_do_not_finish_sending_keep_nobody_out(client: TestClient[Litestar]) -> None:
    async def work() -> None:
        app, load_shedder = client.app, client.app.state.load_shedder
        slow = [Conversation(app, "POST", "/v1/sign-in-codes", SIGN_IN) for _ in range(300)]
        await let_all_wait()
        assert load_shedder.in_flight == 0
        for path in ("/health/live", "/.well-known/jwks.json"):
            other = Conversation(app, "GET", path)
            other.finish()
            await other.task
            assert other.statuses == [200]
        for one in slow:
            one.hang_up()
            await one.task
        assert load_shedder.in_flight == 0

    in_a_loop(work)


def test_clients_that_do_not_read_their_response_keep_nobody_out(client: TestClient[Litestar]) -> None:
    async def work() -> None:
        app, load_shedder = client.app, client.app.state.load_shedder
        slow = [Conversation(app, "GET", "/.well-known/jwks.json") for _ in range(300)]
        await let_all_wait()
        assert load_shedder.in_flight == 0
        for one in slow:
            one.reads.set()
            await one.task
        assert load_shedder.in_flight == 0

    in_a_loop(work)


def test_a_request_that_is_completed_while_the_process_is_overloaded_is_refused(client: TestClient[Litestar]) -> None:
    async def work() -> None:
        slow = Conversation(client.app, "POST", "/v1/sign-in-codes", SIGN_IN)
        await let_all_wait()
        client.app.state.load_shedder.in_flight += 1_000
        slow.finish()
        await slow.task
        client.app.state.load_shedder.in_flight -= 1_000
        assert slow.statuses == [503]

    in_a_loop(work)
