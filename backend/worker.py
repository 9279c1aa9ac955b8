"""The composition root of a Celery worker: a process that runs the city's background jobs, one event loop in each.

The pool's child opens the City and follows its rule releases in a thread of its own, where all tasks run. Celery's
thread waits for each job. A child that dies is replaced, and its job is delivered again.
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

import uvloop
from celery import signals as celery_signals
from prometheus_client.core import Metric

from backend.app import discover_parts, open_city
from backend.city.binding import read_unbound_values, watch_binding
from backend.city.following_releases import follow_releases
from backend.city.service import City
from backend.jobs.celery import (
    READY_SECONDS,
    VISIBILITY_TIMEOUT_SECONDS,
    CeleryQueue,
    beat_schedule,
    celery_app,
    job_of,
)
from backend.jobs.tasks import Job, Task, discover_tasks, run_job, run_lost_job
from backend.operations.metrics import JobCounts, city_metrics, serve_metrics
from backend.settings import Settings
from backend.store.connect import store_file

GRACE_SECONDS = 15

_log = logging.getLogger("chengma.worker")


def work(settings: Settings, name: str, tasks: dict[str, Task[Any]] | None = None) -> None:
    """Run jobs until the process receives a stop signal, and finish those that run. By default all tasks are known.

    Exits with 1 if it cannot start.
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
    """Publish the sweeps on schedule until the process receives a stop signal."""
    app = celery_app(settings)
    app.conf.beat_schedule = beat_schedule(discover_tasks())
    logging.getLogger("celery.beat").addFilter(_keep_first_line)
    app.Beat(loglevel="WARNING", quiet=True, scheduler_cls="celery.beat:Scheduler").run()


def _keep_first_line(record: logging.LogRecord) -> bool:
    """Log a missing broker as one line at each sweep, without Celery's 20 KB traceback."""
    record.msg, record.args, record.exc_info = record.getMessage().partition("\n")[0], (), None
    return True


def make_worker(settings: Settings, tasks: dict[str, Task[Any]]) -> Any:  # noqa: ANN401  Celery has no types
    """Create the Celery application of a worker that knows these tasks."""
    app = celery_app(settings)
    process = _Process(settings, tasks)
    for task in tasks.values():
        _register(app, process, task)
    signals: Any = celery_signals
    signals.setup_logging.connect(_leave_logging_alone, weak=False)
    signals.worker_process_init.connect(process.start, weak=False)
    signals.worker_process_shutdown.connect(process.stop, weak=False)
    return app


def _leave_logging_alone(**_: object) -> None:
    """Handle Celery's signal, or Celery would change the level of all our loggers."""


def _register(app: Any, process: "_Process", task: Task[Any]) -> None:  # noqa: ANN401  Celery has no types
    def run(request: Any, **message: Any) -> None:  # noqa: ANN401  likewise
        delivery: dict[str, Any] = request.request.delivery_info or {}
        process.run(job_of(task.name, message), lost=bool(delivery.get("redelivered")))

    assert task.max_seconds + GRACE_SECONDS < VISIBILITY_TIMEOUT_SECONDS, "or a job would run twice at once"
    run.__doc__ = task.__doc__
    app.task(run, name=task.name, bind=True, time_limit=task.max_seconds + GRACE_SECONDS)


class _Process:
    """The state of a pool's child: an event loop in a thread, and the City in it."""

    def __init__(self, settings: Settings, tasks: dict[str, Task[Any]]) -> None:
        self._settings = settings
        self._tasks = tasks
        self._job_counts = JobCounts()

    def start(self, **_: object) -> None:
        """Open the City; called by the child when it starts."""
        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="city", daemon=True).start()
        self._open = AsyncExitStack()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(READY_SECONDS)
        except Exception:  # noqa: BLE001  any error
            _log.exception("this worker cannot start")
            time.sleep(1)  # the next process will probably fail too
            raise SystemExit(1) from None  # Celery would keep a worker without a City

    async def _start(self) -> None:
        parts = discover_parts(self._settings)
        self._jobs = CeleryQueue(self._settings)
        await self._open.enter_async_context(self._jobs)
        self._city = open_city(self._settings, parts.services, parts.integrations, jobs=self._jobs)
        self._city.rulebook.compile()
        _log.info("rulebook %s is in force", self._city.rulebook.digest[:16])
        await read_unbound_values(self._city.store, self._city.encryption)
        watching = watch_binding(self._city.store, store_file(self._settings.store))
        await self._open.enter_async_context(watching)
        following = follow_releases(lambda: self._city, self._set_city)
        await self._open.enter_async_context(following)
        if self._settings.metrics_port:
            stop = serve_metrics(self._settings.host, self._settings.metrics_port, self._metrics)
            self._open.callback(stop)

    def _set_city(self, city: City) -> None:
        self._city = city

    def _metrics(self) -> Iterator[Metric]:
        yield from city_metrics(self._city)
        yield from self._job_counts.read()

    def run(self, job: Job, *, lost: bool) -> None:
        """Run a job, and publish it again if it is to be retried. Raises only if the broker does not answer."""
        asyncio.run_coroutine_threadsafe(self._run(job, lost=lost), self._loop).result()

    async def _run(self, job: Job, *, lost: bool) -> None:
        retry = await (run_lost_job if lost else run_job)(self._tasks, job, self._city)
        self._job_counts.note(job.task, "done" if retry is None else "retried")
        if retry is not None:
            await self._jobs.put(retry[0], delay_seconds=retry[1])

    def stop(self, **_: object) -> None:
        """Close the City; called by the child when it stops."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(GRACE_SECONDS)

    async def _stop(self) -> None:
        await self._open.aclose()
        await self._city.store.close()
