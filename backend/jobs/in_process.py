"""Job queues without a broker: one in the server's own event loop, and one that drops every job."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any

from backend.jobs.tasks import Job, Task, sweep_job

_log = logging.getLogger("chengma.tasks")
_random = Random()  # noqa: S311  it spreads sweeps over time, and protects nothing


class NullQueue:
    """Takes no jobs: a command that ends soon leaves all work to the sweeps of those that serve."""

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def waiting(self) -> int:
        """Tell how many jobs wait: none."""
        return 0

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        """Forget a job."""


class InProcessQueue:
    """Does jobs in the server's own loop, a few at a time, and runs the sweeps. For a city without a broker."""

    AT_ONCE = 8
    MAX_PENDING = 10_000
    GRACE_SECONDS = 5.0

    def __init__(self, tasks: Mapping[str, Task[Any]], run_job: Callable[[Job], Coroutine[Any, Any, Any]]) -> None:
        self._tasks = tasks
        self._run_job = run_job
        self._slots = asyncio.Semaphore(self.AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()
        self._sweeping: list[asyncio.Task[None]] = []

    def waiting(self) -> int:
        """Tell how many jobs wait or run."""
        return len(self._running)

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        """Take a job."""
        if len(self._running) >= self.MAX_PENDING:
            _log.warning("%s is left to the sweeps: %d jobs wait", job.task, len(self._running))
            return
        running = asyncio.create_task(self._run(job, delay_seconds))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _run(self, job: Job, delay_seconds: float) -> None:
        await asyncio.sleep(delay_seconds)
        async with self._slots:
            again: tuple[Job, float] | None = await self._run_job(job)
        if again is not None:
            await self.put(again[0], delay_seconds=again[1])

    async def __aenter__(self) -> object:
        """Begin the sweeps."""
        self._sweeping = [asyncio.create_task(self._sweep(task)) for task in self._tasks.values() if task.every]
        return self

    async def _sweep(self, task: Task[Any]) -> None:
        assert task.every is not None, "a sweep has its time"
        while True:
            await asyncio.sleep(task.every.total_seconds() * _random.uniform(0.9, 1.1))
            await self.put(sweep_job(task))

    async def __aexit__(self, *_: object) -> None:
        """Let what runs come to its end, and give up what still waits then: the sweeps of the next start find it."""
        for sweep in self._sweeping:
            sweep.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=self.GRACE_SECONDS)
        given_up = [*self._running, *self._sweeping]
        for running in given_up:
            running.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
