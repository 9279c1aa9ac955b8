"""The broker: background jobs through Celery, over Redis or RabbitMQ.

A message is one Job, as plain values. It is acknowledged after the work, delivered again if its worker dies, and
published again with a delay if the work fails. `backend.jobs.tasks` decides when a job has failed permanently.
"""

import asyncio
import logging
import time
from datetime import timedelta
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from backend.jobs.tasks import Job, Task, sweep_job
from backend.settings import Settings

QUEUE = "chengma"
VISIBILITY_TIMEOUT_SECONDS = 600
"""A message of a lost worker is delivered again after this time; every task must end earlier."""

READY_SECONDS = 60
"""A worker process that has not opened its City in this time is replaced; Celery's default is four seconds."""

_TIMEOUT_SECONDS = 2
_QUEUE_CHECK_SECONDS = 1.0
_log = logging.getLogger("chengma.broker")


def celery_app(settings: Settings) -> Any:  # noqa: ANN401  Celery has no types
    """Create the city's own Celery application; Celery's notion of a current one is not used."""
    app: Any = Celery("chengma", broker=settings.broker, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_timeout=False,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=READY_SECONDS,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_connection_timeout=_TIMEOUT_SECONDS,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=4,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            "socket_timeout": _TIMEOUT_SECONDS,
            "socket_connect_timeout": _TIMEOUT_SECONDS,
            "retry_on_timeout": False,
        },
    )
    return app


def message_of(job: Job) -> dict[str, Any]:
    """Return the values of a job's message."""
    return {"id": job.id, "arguments": list(job.arguments), "attempts": job.attempts}


def job_of(name: str, message: dict[str, Any]) -> Job:
    """Return the job of a message. Messages of the previous edition call the attempts `tries`."""
    attempts: int = message.get("attempts", message.get("tries", 0))
    return Job(name, tuple(message["arguments"]), message["id"], attempts)


def beat_schedule(tasks: dict[str, Task[Any]]) -> dict[str, Any]:
    """Return the schedule of the sweeps. A sweep that no worker takes before the next one is due is dropped."""
    return {
        name: {
            "task": name,
            "schedule": task.every,
            "kwargs": message_of(sweep_job(task)),
            "options": {"expires": max(1.0, task.every.total_seconds())},
        }
        for name, task in tasks.items()
        if isinstance(task.every, timedelta)
    }


class CeleryQueue:
    """Publishes jobs for the workers. Publishing blocks, so it runs in a thread with a timeout of a few seconds.

    The queue is bounded: slow workers and frequent sweeps, which find the same work again, do not make it grow.
    """

    MAX_PENDING = 10_000

    def __init__(self, settings: Settings) -> None:
        self._app = celery_app(settings)
        self._full = False
        self._checked_at = -_QUEUE_CHECK_SECONDS

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._app.close)

    def waiting(self) -> int:
        """Return how many jobs are waiting in the broker's queue; -1 if it does not answer."""
        with self._app.connection_for_read() as connection:
            try:
                connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_SECONDS)
                return int(connection.default_channel.queue_declare(QUEUE, passive=True).message_count)
            except connection.channel_errors:
                return 0  # Redis has no empty lists, and a queue exists only once a worker has opened it
            except (OperationalError, OSError, *connection.connection_errors):
                return -1

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        """Publish a job. If the broker does not answer or its queue is full, the job is left to the sweeps."""
        try:
            if await asyncio.to_thread(self._is_full):
                _log.warning("%s is left to the sweeps: %d jobs are waiting", job.task, self.MAX_PENDING)
            else:
                await asyncio.to_thread(self.publish, job, delay_seconds)
        except (OperationalError, OSError) as error:
            _log.warning("%s is left to the sweeps: the broker does not answer: %s", job.task, error)

    def _is_full(self) -> bool:
        if time.monotonic() >= self._checked_at + _QUEUE_CHECK_SECONDS:
            self._full = self.waiting() >= self.MAX_PENDING
            self._checked_at = time.monotonic()
        return self._full

    def publish(self, job: Job, delay_seconds: float = 0) -> None:
        """Publish a job, blocking. Raises OperationalError."""
        self._app.send_task(
            job.task,
            kwargs=message_of(job),
            countdown=delay_seconds or None,
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1},
        )


def broker_answers(settings: Settings) -> bool:
    """Return whether the broker answers within two seconds."""
    try:
        with celery_app(settings).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_SECONDS)
    except (OperationalError, OSError):
        return False
    return True
