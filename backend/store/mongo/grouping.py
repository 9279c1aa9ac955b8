"""Batches of operations: while one batch is under way, the next one gathers.

MongoDB's driver needs far more time for each command than for one more operation in the same command, so the busier a
process is, the more of its operations share a command. An idle process does not wait for others, but for a few turns of
its loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any, Generic, TypeVar

from msgspec import Struct

from backend.store import StoreUnavailable

I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")

TURNS = 4
"""How many turns of the loop pass before a batch begins: what the last one answered leads to the next operations.

With 32 visits at once a batch has 4.4 operations then, and 3.7 without.
"""

SEPARATE_SECONDS = 10.0
"""How long items are sent one by one after a batch failed, so that one missing shard fails only its own documents."""


class _Waiting(Struct, Generic[I, R]):
    item: I
    weight: int
    done: "asyncio.Future[R]"
    begun: bool = False


class Grouping(Generic[I, R]):
    """Sends items in batches, one batch after the other, and gives each caller the outcome of its own item.

    `send` returns one outcome for each item, in order: its result, or the exception that its caller gets. An exception
    that `send` raises is raised to every caller of the batch. A batch weighs at most `max_weight`; a heavier item is
    sent alone. An item that waited `timeout_seconds` for its batch to begin is dropped with StoreUnavailable.
    """

    def __init__(
        self,
        send: Callable[[Sequence[I]], Awaitable[Sequence[R | Exception]]],
        *,
        max_weight: int,
        timeout_seconds: float,
    ) -> None:
        self._send = send
        self._max_weight = max_weight
        self._timeout_seconds = timeout_seconds
        self._waiting: deque[_Waiting[I, R]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gathers = False
        self._separate_until = 0.0

    async def run(self, item: I, weight: int = 1) -> R:
        """Send an item in the next batch and return its result. Raises its refusal, or StoreUnavailable.

        If the caller is cancelled before the batch begins, the item is dropped; afterwards, it is carried out.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting[I, R](item, weight, loop.create_future())
        if self._is_separate():
            self._begin(self._send_batch([waiting]))
            return await waiting.done
        self._waiting.append(waiting)
        if not self._gathers:
            self._gathers = True
            self._begin(self._send_all())
        timer = loop.call_later(self._timeout_seconds, _drop, waiting)
        try:
            return await waiting.done
        finally:
            timer.cancel()

    async def finish(self) -> None:
        """Wait until everything that was begun is done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _is_separate(self) -> bool:
        return time.monotonic() < self._separate_until

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        # an empty context: otherwise the batches of all callers would run in the context of the first one
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_all(self) -> None:
        try:
            while batch := await self._gathered():
                if self._is_separate():
                    for waiting in batch:
                        self._begin(self._send_batch([waiting]))
                else:
                    await self._send_batch(batch)
        finally:
            self._gathers = False

    async def _gathered(self) -> list[_Waiting[I, R]]:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        return self._next_batch()

    def _next_batch(self) -> list[_Waiting[I, R]]:
        batch, weight = list[_Waiting[I, R]](), 0
        while self._waiting:
            waiting = self._waiting[0]
            if not waiting.done.done():
                weight += waiting.weight
                if batch and weight > self._max_weight:
                    break
                batch.append(waiting)
                waiting.begun = True
            self._waiting.popleft()
        return batch

    async def _send_batch(self, batch: Sequence[_Waiting[I, R]]) -> None:
        outcomes: Sequence[R | Exception]
        try:
            outcomes = await self._send([waiting.item for waiting in batch])
        except Exception as error:  # noqa: BLE001  each caller raises it
            if isinstance(error, StoreUnavailable):
                self._separate_until = time.monotonic() + SEPARATE_SECONDS
            outcomes = [error] * len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.done.done():  # its caller was cancelled
                continue
            if isinstance(outcome, Exception):
                waiting.done.set_exception(outcome)
            else:
                waiting.done.set_result(outcome)


def _drop(waiting: _Waiting[Any, Any]) -> None:
    if not waiting.begun and not waiting.done.done():
        waiting.done.set_exception(StoreUnavailable("MongoDB does not answer: too many operations are waiting"))
