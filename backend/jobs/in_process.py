"""Job queues without a broker: one in the server's own event loop, and one that drops every job."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any

from backend.jobs.tasks import Job, Task, sweep_job

_log = logging.getLogger("chengma.tasks")
_random = Random()  # noqa: S311  jitter, not security


class NullQueue:
    """Drops all jobs: a short-lived command leaves its work to the sweeps of the servers."""

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def waiting(self) -> int:
        """Return how many jobs are waiting: none."""
        return 0

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        """Drop a job."""


class InProcessQueue:
    """Runs jobs in the server's own event loop, a few at a time, and the sweeps. For a city without a broker."""

    MAX_CONCURRENT = 8
    MAX_PENDING = 10_000
    GRACE_SECONDS = 5.0

    def __init__(self, tasks: Mapping[str, Task[Any]], run_job: Callable[[Job], Coroutine[Any, Any, Any]]) -> None:
        self._tasks = tasks
        self._run_job = run_job
        self._slots = asyncio.Semaphore(self.MAX_CONCURRENT)
        self._running: set[asyncio.Task[None]] = set()
        self._sweeping: list[asyncio.Task[None]] = []

    def waiting(self) -> int:
        """Return how many jobs are waiting or running."""
        return len(self._running)

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        """Enqueue a job."""
        if len(self._running) >= self.MAX_PENDING:
            _log.warning("%s is left to the sweeps: %d jobs are waiting", job.task, len(self._running))
            return
        running = asyncio.create_task(self._run(job, delay_seconds))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _run(self, job: Job, delay_seconds: float) -> None:
        await asyncio.sleep(delay_seconds)
        async with self._slots:
            retry: tuple[Job, float] | None = await self._run_job(job)
        if retry is not None:
            await self.put(retry[0], delay_seconds=retry[1])

    async def __aenter__(self) -> object:
        """Start the sweeps."""
        self._sweeping = [asyncio.create_task(self._sweep(task)) for task in self._tasks.values() if task.every]
        return self

    async def _sweep(self, task: Task[Any]) -> None:
        assert task.every is not None, "a sweep has an interval"
        while True:
            await asyncio.sleep(task.every.total_seconds() * _random.uniform(0.9, 1.1))
            await self.put(sweep_job(task))

    async def __aexit__(self, *_: object) -> None:
        """Finish running jobs within the grace period; the sweeps of the next start find the abandoned ones."""
        for sweep in self._sweeping:
            sweep.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=self.GRACE_SECONDS)
        abandoned = [*self._running, *self._sweeping]
        for running in abandoned:
            running.cancel()
        await asyncio.gather(*abandoned, return_exceptions=True)
