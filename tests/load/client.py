"""A client that sends prepared requests over kept connections, faster than a server answers them."""

import asyncio
import itertools
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from msgspec import Struct, field

CONNECT_AT_ONCE = 100
GRACE_SECONDS = 5.0
"""How long answers may take after the last request; what has none then is lost."""
LOST, NOT_SENT = 0, -1
"""The statuses of a request without an answer, and of one that found no free connection in time."""


def _floats() -> "array[float]":
    return array("d")


def _statuses() -> "array[int]":
    return array("h")


class Answers(Struct):
    """What came back: for each request when it ended, its status, and the seconds since it was due."""

    ended: "array[float]" = field(default_factory=_floats)
    statuses: "array[int]" = field(default_factory=_statuses)
    seconds: "array[float]" = field(default_factory=_floats)

    def note(self, status: int, due: float) -> None:
        now = time.perf_counter()
        self.ended.append(now)
        self.statuses.append(status)
        self.seconds.append(now - due)

    def between(self, begin: float, end: float) -> Iterator[tuple[int, float]]:
        """Yield the status and the seconds of the requests that ended in a time."""
        for ended, status, seconds in zip(self.ended, self.statuses, self.seconds, strict=True):
            if begin <= ended < end:
                yield status, seconds


class Connection(asyncio.Protocol):
    """A connection with at most one request at a time; `free` is called after each answer."""

    def __init__(self, answers: Answers, free: Callable[["Connection"], None]) -> None:
        self.free = free
        self._answers = answers
        self._due = -1.0
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, due: float) -> None:
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        end = data.find(b"\r\n\r\n")
        at = data.find(b"content-length: ", 0, end) + 16
        if end < 0 or len(data) < end + 4 + int(data[at : data.index(b"\r", at)]):
            self._received = data
            return
        self._received = b""
        due, self._due = self._due, -1.0
        self._answers.note(int(data[9:12]), due)
        self.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._due >= 0:
            self._answers.note(LOST, self._due)
            self._due = -1.0


def _nothing(_connection: Connection) -> None:
    pass


async def connect(port: int, count: int, answers: Answers) -> list[Connection]:
    """Return open connections."""
    loop, opened = asyncio.get_running_loop(), list[Connection]()
    for begin in range(0, count, CONNECT_AT_ONCE):
        made = [
            loop.create_connection(lambda: Connection(answers, _nothing), "127.0.0.1", port)
            for _ in range(min(CONNECT_AT_ONCE, count - begin))
        ]
        opened.extend([protocol for _, protocol in await asyncio.gather(*made)])
    return opened


def close(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()


async def closed_loop(connections: Sequence[Connection], requests: Sequence[bytes], seconds: float) -> None:
    """Let each connection send its next request as soon as it has the answer to the one before."""
    rest = itertools.cycle(requests)
    end = time.perf_counter() + seconds

    def again(connection: Connection) -> None:
        now = time.perf_counter()
        if now < end and connection.is_open:
            connection.send(next(rest), now)

    for connection in connections:
        connection.free = again
        again(connection)
    await asyncio.sleep(seconds)
    await _all_answered(connections)


async def open_loop(
    connections: Sequence[Connection], requests: Sequence[bytes], rate: float, seconds: float, answers: Answers
) -> None:
    """Send requests at a fixed rate, however long the answers take; each waits for a free connection."""
    rest = itertools.cycle(requests)
    free, waiting = deque(connections), deque[float]()

    def take(connection: Connection) -> None:
        if waiting:
            connection.send(next(rest), waiting.popleft())
        else:
            free.append(connection)

    for connection in connections:
        connection.free = take
    began = time.perf_counter()
    sent, total = 0, int(rate * seconds)
    while sent < total:
        until = min(total, int((time.perf_counter() - began) * rate) + 1)
        for number in range(sent, until):
            waiting.append(began + number / rate)
        sent = until
        while waiting and free:
            connection = free.popleft()
            if connection.is_open:
                connection.send(next(rest), waiting.popleft())
        await asyncio.sleep(0.001)
    await _all_answered(connections)
    for due in waiting:
        answers.note(NOT_SENT, due)


async def _all_answered(connections: Sequence[Connection]) -> None:
    deadline = time.perf_counter() + GRACE_SECONDS
    while time.perf_counter() < deadline and any(one._due >= 0 and one.is_open for one in connections):  # noqa: ASYNC110  an event for each answer would cost more
        await asyncio.sleep(0.01)


async def newcomer(port: int, request: bytes, answers: Answers) -> None:
    """Connect, send a request, and wait for the answer; the time counts from before the connection."""
    due, answered = time.perf_counter(), asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(30):
            _, connection = await loop.create_connection(
                lambda: Connection(answers, lambda _connection: answered.set()), "127.0.0.1", port
            )
            connection.send(request, due)
            await answered.wait()
            connection.close()
    except (OSError, TimeoutError):
        answers.note(LOST, due)
