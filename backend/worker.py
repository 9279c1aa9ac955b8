"""A worker: a Celery process that does the city's background jobs, one event loop in each.

The pool's child opens the City and keeps it up to date in a thread of its own, where all tasks run; Celery's own
thread waits for each. A child that dies is replaced, and its job comes again.
"""

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

from celery import signals
from prometheus_client.core import Metric

from backend.app import facts_of, open_city
from backend.city.releases import keeping_up
from backend.city.service import City, discover_integrations, discover_services
from backend.jobs.celery import READY_SECONDS, VISIBLE_AGAIN_SECONDS, CeleryQueue, beat_schedule, celery_app
from backend.jobs.tasks import Job, Task, discover_tasks, run_job, run_lost_job
from backend.operations.metrics import JobCounts, read_city, serve_metrics
from backend.settings import Settings

GRACE_SECONDS = 15

_log = logging.getLogger("chengma.worker")


def work(settings: Settings, name: str, tasks: dict[str, Task[Any]] | None = None) -> None:
    """Do jobs until the process is told to end; what runs then is ended first. By default all tasks are known.

    Exits with 1 where it cannot begin.
    """
    worker = make_worker(settings, tasks or discover_tasks()).Worker(
        hostname=f"{name}@{socket.gethostname()}",
        pool="prefork",
        concurrency=1,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
        task_events=False,
    )
    worker.start()
    sys.exit(worker.exitcode)


def beat(settings: Settings) -> None:
    """Publish the sweeps at their times until the process is told to end."""
    app = celery_app(settings)
    app.conf.beat_schedule = beat_schedule(discover_tasks())
    logging.getLogger("celery.beat").addFilter(_in_one_line)
    app.Beat(loglevel="WARNING", quiet=True, scheduler_cls="celery.beat:Scheduler").run()


def _in_one_line(record: logging.LogRecord) -> bool:
    """Let Celery say that a broker is away without the 20 KB of its traceback, at every sweep."""
    record.msg, record.args, record.exc_info = record.getMessage().partition("\n")[0], (), None
    return True


def make_worker(settings: Settings, tasks: dict[str, Task[Any]]) -> Any:  # noqa: ANN401  Celery tells no types
    """Make the Celery application of a worker that knows these tasks."""
    app = celery_app(settings)
    process = _Process(settings, tasks)
    for task in tasks.values():
        _register(app, process, task)
    said: Any = signals
    said.setup_logging.connect(_leave_logging_alone, weak=False)
    said.worker_process_init.connect(process.begin, weak=False)
    said.worker_process_shutdown.connect(process.end, weak=False)
    return app


def _leave_logging_alone(**_: object) -> None:
    """Answer Celery's signal, or it would set the level of every logger of ours to its own."""


def _register(app: Any, process: "_Process", task: Task[Any]) -> None:  # noqa: ANN401  Celery tells no types
    def run(message: Any, **said: Any) -> None:  # noqa: ANN401  likewise
        delivery: dict[str, Any] = message.request.delivery_info or {}
        lost = bool(delivery.get("redelivered"))
        process.run(Job(task.name, tuple(said["arguments"]), said["id"], said["tries"]), lost=lost)

    assert task.max_seconds + GRACE_SECONDS < VISIBLE_AGAIN_SECONDS, "or it would be done twice at once"
    run.__doc__ = task.__doc__
    app.task(run, name=task.name, bind=True, time_limit=task.max_seconds + GRACE_SECONDS)


class _Process:
    """What a pool's child holds: an event loop in a thread, and the City in it."""

    def __init__(self, settings: Settings, tasks: dict[str, Task[Any]]) -> None:
        self._settings = settings
        self._tasks = tasks
        self._tried = JobCounts()

    def begin(self, **_: object) -> None:
        """Open the City; called by the child when it begins."""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="city", daemon=True).start()
        self._open = AsyncExitStack()
        try:
            asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(READY_SECONDS)
        except Exception:  # noqa: BLE001  whatever it is
            _log.exception("this worker cannot begin")
            time.sleep(1)  # its successor will most likely fail as well
            raise SystemExit(1) from None  # Celery would go on with a worker that has no City

    async def _begin(self) -> None:
        services = discover_services()
        self._jobs = CeleryQueue(self._settings)
        await self._open.enter_async_context(self._jobs)
        self._city = open_city(
            self._settings, services, discover_integrations(self._settings.integrations), jobs=self._jobs
        )
        self._city.rulebook.compile()
        _log.info("rulebook %s is in force", self._city.rulebook.digest[:16])
        await self._open.enter_async_context(keeping_up(lambda: self._city, self._take, facts_of(services)))
        if self._settings.metrics_port:
            end = serve_metrics(self._settings.host, self._settings.metrics_port, self._figures)
            self._open.callback(end)

    def _take(self, city: City) -> None:
        self._city = city

    def _figures(self) -> Iterator[Metric]:
        yield from read_city(self._city)
        yield from self._tried.read()

    def run(self, job: Job, *, lost: bool) -> None:
        """Do a job, and publish it again where it is to be tried again. Raises nothing but the broker's absence."""
        asyncio.run_coroutine_threadsafe(self._run(job, lost=lost), self._loop).result()

    async def _run(self, job: Job, *, lost: bool) -> None:
        again = await (run_lost_job if lost else run_job)(self._tasks, job, self._city)
        self._tried.note(job.task, "done" if again is None else "retried")
        if again is not None:
            await self._jobs.put(again[0], delay_seconds=again[1])

    def end(self, **_: object) -> None:
        """Close the City; called by the child when it ends."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(GRACE_SECONDS)

    async def _end(self) -> None:
        await self._open.aclose()
        await self._city.store.close()
