"""The broker: background jobs through Celery, over Redis or RabbitMQ.

A message is one Job, as plain values. It is acknowledged after the work, comes again when a worker dies with it, and
is published anew, with a delay, when the work failed; whether that ever succeeds is watched by `backend.jobs.tasks`.
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
VISIBLE_AGAIN_SECONDS = 600
"""A message of a worker that vanished comes again after this time, which no task may take."""

READY_SECONDS = 60
"""A worker's process that has not opened its City by then is replaced; Celery's four seconds are too few for that."""

_WAIT_SECONDS = 2
_LOOK_SECONDS = 1.0
_log = logging.getLogger("chengma.broker")


def celery_app(settings: Settings) -> Any:  # noqa: ANN401  Celery tells no types
    """Make the city's own Celery application; nothing uses Celery's idea of a current one."""
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
        broker_connection_timeout=_WAIT_SECONDS,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=4,
        broker_transport_options={
            "visibility_timeout": VISIBLE_AGAIN_SECONDS,
            "socket_timeout": _WAIT_SECONDS,
            "socket_connect_timeout": _WAIT_SECONDS,
            "retry_on_timeout": False,
        },
    )
    return app


def message_of(job: Job) -> dict[str, Any]:
    """Give the values of a message."""
    return {"id": job.id, "arguments": list(job.arguments), "tries": job.attempts}


def beat_schedule(tasks: dict[str, Task[Any]]) -> dict[str, Any]:
    """Give the schedule of the sweeps. One that no worker took before the next is due is dropped."""
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
    """Hands jobs to the workers. Publishing blocks, so a thread does it, and gives up within seconds.

    Where workers are slower than the sweeps, which find the same again and again, the queue does not grow for ever.
    """

    MAX_PENDING = 10_000

    def __init__(self, settings: Settings) -> None:
        self._app = celery_app(settings)
        self._full = False
        self._looked = -_LOOK_SECONDS

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._app.close)

    def waiting(self) -> int:
        """Tell how many jobs wait in the broker's queue; -1 where it does not answer."""
        with self._app.connection_for_read() as connection:
            try:
                connection.ensure_connection(max_retries=1, timeout=_WAIT_SECONDS)
                return int(connection.default_channel.queue_declare(QUEUE, passive=True).message_count)
            except connection.channel_errors:
                return 0  # an empty list is no key of Redis, and a queue that no worker has opened is not there
            except (OperationalError, OSError, *connection.connection_errors):
                return -1

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        """Publish a job. Where the broker does not answer, or too many wait there, it is left to the sweeps."""
        try:
            if await asyncio.to_thread(self._is_full):
                _log.warning("%s is left to the sweeps: %d jobs wait", job.task, self.MAX_PENDING)
            else:
                await asyncio.to_thread(self.publish, job, delay_seconds)
        except (OperationalError, OSError) as error:
            _log.warning("%s is left to the sweeps: the broker does not answer: %s", job.task, error)

    def _is_full(self) -> bool:
        if time.monotonic() >= self._looked + _LOOK_SECONDS:
            self._full = self.waiting() >= self.MAX_PENDING
            self._looked = time.monotonic()
        return self._full

    def publish(self, job: Job, delay_seconds: float = 0) -> None:
        """Publish a job, here and now. Raises OperationalError."""
        self._app.send_task(
            job.task,
            kwargs=message_of(job),
            countdown=delay_seconds or None,
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_max": 0.1},
        )


def answers(settings: Settings) -> bool:
    """Tell whether the broker answers within two seconds."""
    try:
        with celery_app(settings).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=_WAIT_SECONDS)
    except (OperationalError, OSError):
        return False
    return True
