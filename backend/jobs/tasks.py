"""Background work: `@background` makes a function a task that any process of the city can run.

With a broker, tasks run in Celery workers; without one, in the server's own event loop. A message is a hint that may be
lost or delivered twice. Sweeps, which are tasks with an `every`, find whatever is due, so every task is idempotent.
"""

import asyncio
import importlib
import logging
import pkgutil
import secrets
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from random import Random
from types import ModuleType
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol

from msgspec import Struct
from msgspec.structs import replace

from backend.store import Conflict, Document, Duplicate, Index, Store, StoreUnavailable
from backend.store.due import Due
from backend.store.retention import Period, Retention
from backend.store.time import to_ms

P = ParamSpec("P")
Argument = str | int | bool
TaskFunction = Callable[Concatenate[Any, P], Coroutine[Any, Any, None]]

MAX_BACKOFF_SECONDS = 300.0
MAX_SWEEP_SECONDS = 500
"""The time of a run of a sweep; it is less than the time after which a broker delivers a message again."""

MAX_LOSSES = 3

_log = logging.getLogger("chengma.tasks")
_random = Random()  # noqa: S311  jitter, not security


class Job(Struct, frozen=True):
    """One run of a task with these arguments, which are never personal; `attempts` counts its failures."""

    task: str
    arguments: tuple[Argument, ...] = ()
    id: str = ""
    attempts: int = 0


class JobQueue(Protocol):
    """Accepts jobs and runs them, or has them run, while its `async with` block is open."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *_: object) -> None: ...

    def waiting(self) -> int:
        """Return how many jobs are waiting."""
        ...

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        """Enqueue a job. A failure is only logged: the request continues, and a sweep does the work."""
        ...


class Task(Generic[P]):
    """A background function. Calling it runs it immediately; enqueueing it runs it later, in some process."""

    def __init__(
        self,
        name: str,
        function: TaskFunction[P],
        *,
        every: timedelta | None,
        max_seconds: int,
        max_attempts: int,
        due: Sequence[Due[Any]],
    ) -> None:
        self.name = name
        self.function = function
        self.every = every
        self.due = due
        self.max_seconds = max_seconds
        self.max_attempts = max_attempts
        self.__doc__ = function.__doc__

    async def __call__(self, city: Any, *arguments: P.args, **named: P.kwargs) -> None:  # noqa: ANN401  see City
        """Run the function immediately."""
        await self.function(city, *arguments, **named)

    async def enqueue(self, jobs: JobQueue, *arguments: Argument) -> None:
        """Enqueue the task. Best effort: a sweep finds whatever must be done."""
        await TaskReference(self.name).enqueue(jobs, *arguments)

    async def enqueue_once(self, jobs: JobQueue, document_id: str) -> None:
        """Enqueue the task for a document that a sweep could not process; see TaskReference."""
        await TaskReference(self.name).enqueue_once(jobs, document_id)


class TaskReference:
    """The name of a task that another module defines: enqueueing by name keeps modules free of import cycles."""

    def __init__(self, name: str) -> None:
        """Refer to the task `<service>.<function>`; `undefined_tasks` finds a name that no service defines."""
        self.name = name

    async def enqueue(self, jobs: JobQueue, *arguments: Argument) -> None:
        """Enqueue the task. Best effort: a sweep finds whatever must be done."""
        await jobs.put(Job(self.name, arguments, secrets.token_urlsafe(9)))

    async def enqueue_once(self, jobs: JobQueue, document_id: str) -> None:
        """Enqueue the task for a document that a sweep could not process.

        All these jobs share one id, so that a document that fails in each sweep has one dead letter.
        """
        await jobs.put(Job(self.name, (document_id,), f"sweep:{self.name}:{document_id}"))


def undefined_tasks(tasks: Mapping[str, Task[Any]], package: str = "backend.services") -> dict[str, str]:
    """Return the undefined task names that modules in `package` refer to, each with the module that refers to it."""
    modules = [(name, module) for name, module in sys.modules.items() if name.startswith(f"{package}.")]
    references = (
        (value.name, name)
        for name, module in modules
        for value in vars(module).values()
        if isinstance(value, TaskReference)
    )
    return {task: module for task, module in references if task not in tasks}


def background(
    name: str = "",
    *,
    every: timedelta | None = None,
    max_seconds: int = 60,
    max_attempts: int = 5,
    due: Sequence[Due[Any]] = (),
) -> Callable[[TaskFunction[P]], Task[P]]:
    """Turn an async function of `services/<name>/tasks.py` into a task; its first argument is the City.

    Without a `name` it is named after the service and the function. It is cancelled after `max_seconds`, and becomes a
    dead letter after `max_attempts` failures. With `every` it is a sweep, which runs periodically. A sweep that is
    cancelled continues at once in its next run. Its lag is that of the documents that are `due`.
    """

    def make(function: TaskFunction[P]) -> Task[P]:
        default_name = f"{function.__module__.split('.')[-2]}.{function.__name__}"
        return Task(
            name or default_name, function, every=every, max_seconds=max_seconds, max_attempts=max_attempts, due=due
        )

    return make


def sweep_job(task: Task[Any]) -> Job:
    """Return the job of a sweep. All runs of a sweep share one id, so that a failing sweep has one dead letter."""
    return Job(task.name, (), f"sweep:{task.name}")


def discover_tasks(package: str = "backend.services") -> dict[str, Task[Any]]:
    """Import the `tasks` of every service that has them, and return the tasks by name."""
    modules = service_modules(package, "tasks")
    tasks = [value for module in modules for value in vars(module).values() if isinstance(value, Task)]
    return {task.name: task for task in tasks}


def service_modules(package: str, name: str) -> list[ModuleType]:
    """Import the module or package of this name from every service of `package` that has it."""
    services = sorted(found.name for found in pkgutil.iter_modules(importlib.import_module(package).__path__))
    names = [f"{package}.{service}.{name}" for service in services]
    return [importlib.import_module(name) for name in names if _exists(name)]


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # its parent is a module, not a package


class DeadLetter(Document, kw_only=True):
    """A job that failed permanently, or, while `losses` are counted, one whose worker died while running it."""

    collection: ClassVar[str] = "dead_jobs"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("dead",), ordered="at_ms"), Index((), ordered="at_ms"))
    retention: ClassVar[Retention] = Retention(
        grows_with="each job that failed for good",
        ends="after an operator retried or deleted it, or with its age",
        names="nobody",
        field="at_ms",
        periods=(Period(date(2020, 1, 1), 90, "[A] operators have a quarter to retry a job"),),
    )

    task: str
    arguments: tuple[Argument, ...]
    at_ms: int
    dead: bool
    error: str = ""
    attempts: int = 0
    losses: int = 0


class JobContext(Protocol):
    """The part of a City that running a job needs."""

    @property
    def store(self) -> Store:
        """The store of documents."""
        ...

    def now(self) -> datetime:
        """Return the current instant."""
        ...


async def run_job(tasks: Mapping[str, Task[Any]], job: Job, city: JobContext) -> tuple[Job, float] | None:
    """Run a job. Return it with the seconds until a retry, if it must be retried; or make it a dead letter."""
    task = tasks.get(job.task)
    limit = asyncio.timeout(task.max_seconds if task is not None else None)
    try:
        if task is None:
            raise LookupError(f"there is no task {job.task!r}; was the job enqueued by another edition of the city?")  # noqa: TRY301
        async with limit:
            await task.function(city, *job.arguments)
    except StoreUnavailable as error:
        _log.warning("%s waits for the store: %s", job.task, error)
        return job, backoff_seconds(job.attempts + 1)
    except Exception as error:  # noqa: BLE001  any error of a task
        if task is not None and task.every is not None and limit.expired():
            _log.info("%s continues after %d s", job.task, task.max_seconds)
            return job, 0.0
        failed = replace(job, attempts=job.attempts + 1)
        _log.warning("%s failed (attempt %d)", job.task, failed.attempts, exc_info=error)
        if task is not None and failed.attempts < task.max_attempts:
            return failed, backoff_seconds(failed.attempts)
        return await _dead_letter(city, failed, f"{type(error).__name__}: {error}")
    return None


def backoff_seconds(attempts: int) -> float:
    """Return how long to wait before the next attempt: exponential backoff with jitter."""
    return _random.uniform(0.5, 1) * min(2.0**attempts, MAX_BACKOFF_SECONDS)


async def _dead_letter(city: JobContext, job: Job, error: str) -> tuple[Job, float] | None:
    """Store a job as a dead letter, once; if the store does not answer, return the job for a retry."""
    try:
        await _save(city, job, await city.store.get(DeadLetter, job.id), dead=True, error=error[:500])
    except StoreUnavailable:
        return job, backoff_seconds(job.attempts)
    _log.error("%s failed permanently: %s", job.task, error)
    return None


async def run_lost_job(tasks: Mapping[str, Task[Any]], job: Job, city: JobContext) -> tuple[Job, float] | None:
    """Run a job that was delivered again because its worker died; after too many losses it becomes a dead letter."""
    try:
        if await _count_loss(city, job):
            _log.error("%s failed permanently: its workers died while running it", job.task)
            return None
    except StoreUnavailable as error:
        _log.warning("%s waits for the store: %s", job.task, error)
        return job, backoff_seconds(job.attempts + 1)
    retry = await run_job(tasks, job, city)
    with suppress(StoreUnavailable, Conflict):
        existing = await city.store.get(DeadLetter, job.id)
        if existing is not None and not existing.dead:
            await city.store.delete(existing)  # this worker survived
    return retry


async def _count_loss(city: JobContext, job: Job) -> bool:
    """Count the loss of a worker with this job; return whether it is now a dead letter."""
    existing = await city.store.get(DeadLetter, job.id)
    losses = 1 if existing is None else existing.losses + 1
    dead = losses >= MAX_LOSSES
    await _save(city, job, existing, dead=dead, error=f"{losses} workers died while running it", losses=losses)
    return dead


async def _save(
    city: JobContext, job: Job, existing: DeadLetter | None, *, dead: bool, error: str, losses: int = 0
) -> None:
    letter = DeadLetter(
        id=job.id,
        revision=existing.revision if existing is not None else 0,
        task=job.task,
        arguments=job.arguments,
        at_ms=to_ms(city.now()),
        dead=dead,
        error=error,
        attempts=job.attempts,
        losses=losses,
    )
    with suppress(Duplicate, Conflict):  # the message was delivered twice
        await (city.store.insert(letter) if existing is None else city.store.replace(letter))
