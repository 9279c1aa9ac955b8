"""Work that goes on after the answer: `@background` makes a function a task that any process of the city may do.

With a broker a task runs in a Celery worker, with none in the server's own loop. A message is a hint that may be lost
or come twice; what makes sure are the sweeps, tasks with an `every`, which look for what is due. So a task must come
out the same however often it runs.
"""

import asyncio
import importlib
import logging
import pkgutil
import secrets
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from importlib.util import find_spec
from random import Random
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol

from msgspec import Struct
from msgspec.structs import replace

from backend.store import Conflict, Document, Duplicate, Index, Store, StoreUnavailable

P = ParamSpec("P")
Argument = str | int | bool
Work = Callable[Concatenate[Any, P], Coroutine[Any, Any, None]]

LONGEST_WAIT_SECONDS = 300.0
MAX_LOSSES = 3

_log = logging.getLogger("chengma.tasks")
_chance = Random()  # noqa: S311  it spreads what would come all at once, and guards nothing


class Job(Struct, frozen=True):
    """One task to be done with these arguments, which are never personal; `attempts` counts how often it failed."""

    task: str
    arguments: tuple[Argument, ...] = ()
    id: str = ""
    attempts: int = 0


class JobQueue(Protocol):
    """Takes jobs and sees to it that they are tried, from the beginning of its block to the end."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *_: object) -> None: ...

    def waiting(self) -> int:
        """Tell how many jobs wait."""
        ...

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        """Take a job. Where that fails it is logged and left to the sweeps: a citizen's request goes on."""
        ...


class Task(Generic[P]):
    """A background function: called, it runs here; enqueued, it runs when a process has time for it."""

    def __init__(self, work: Work[P], *, every: timedelta | None, max_seconds: int, max_attempts: int) -> None:
        self.name = f"{work.__module__.split('.')[-2]}.{work.__name__}"
        self.work = work
        self.every = every
        self.max_seconds = max_seconds
        self.max_attempts = max_attempts
        self.__doc__ = work.__doc__

    async def __call__(self, city: Any, *arguments: P.args, **named: P.kwargs) -> None:  # noqa: ANN401  see City
        """Do it here and now."""
        await self.work(city, *arguments, **named)

    async def enqueue(self, jobs: JobQueue, *arguments: Argument) -> None:
        """Have it done soon, by any process. A hint: what must be done is found by a sweep too."""
        await TaskReference(self.name).enqueue(jobs, *arguments)


class TaskReference:
    """The name of a task that another module defines: enqueueing by name keeps modules free of import cycles."""

    def __init__(self, name: str) -> None:
        """Refer to the task `<service>.<function>`; `undefined_tasks` finds a name that no service defines."""
        self.name = name

    async def enqueue(self, jobs: JobQueue, *arguments: Argument) -> None:
        """Enqueue the task. Best effort: a sweep finds whatever must be done."""
        await jobs.put(Job(self.name, arguments, secrets.token_urlsafe(9)))


def undefined_tasks(tasks: Mapping[str, Task[Any]], package: str = "backend.services") -> dict[str, str]:
    """Return the names that modules below `package` refer to and no task has, with the module that refers to each."""
    modules = [(name, module) for name, module in sys.modules.items() if name.startswith(f"{package}.")]
    references = (
        (value.name, name)
        for name, module in modules
        for value in vars(module).values()
        if isinstance(value, TaskReference)
    )
    return {task: module for task, module in references if task not in tasks}


def background(
    *, every: timedelta | None = None, max_seconds: int = 60, max_attempts: int = 5
) -> Callable[[Work[P]], Task[P]]:
    """Make an async function of `services/<name>/tasks.py` a task; its first argument is the City.

    With `every` it is a sweep, run again and again. It is cancelled after `max_seconds`, and given up, for an
    operator to look at, after `max_attempts` failures.
    """

    def make(work: Work[P]) -> Task[P]:
        return Task(work, every=every, max_seconds=max_seconds, max_attempts=max_attempts)

    return make


def sweep_job(task: Task[Any]) -> Job:
    """Give the job of a sweep. All times of a sweep share one id, so that a sweep that fails is given up once."""
    return Job(task.name, (), f"sweep:{task.name}")


def discover_tasks(package: str = "backend.services") -> dict[str, Task[Any]]:
    """Import the `tasks` of every service that has them, and give the tasks by name."""
    folder = importlib.import_module(package)
    names = [f"{package}.{found.name}.tasks" for found in pkgutil.iter_modules(folder.__path__)]
    modules = [importlib.import_module(name) for name in sorted(names) if find_spec(name) is not None]
    tasks = [value for module in modules for value in vars(module).values() if isinstance(value, Task)]
    return {task.name: task for task in tasks}


class DeadLetter(Document, kw_only=True):
    """A job that was given up, or, while `losses` are counted, one whose worker died with it."""

    collection: ClassVar[str] = "dead_jobs"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("dead",), ordered="at_ms"),)

    task: str
    arguments: tuple[Argument, ...]
    at_ms: int
    dead: bool
    error: str = ""
    attempts: int = 0
    losses: int = 0


class JobContext(Protocol):
    """What carrying out needs of a City."""

    @property
    def store(self) -> Store:
        """Where documents live."""
        ...

    def now(self) -> datetime:
        """Give the present instant."""
        ...


async def run_job(tasks: Mapping[str, Task[Any]], job: Job, city: JobContext) -> tuple[Job, float] | None:
    """Do a job. Give it back, with the seconds to wait, if it is to be tried again; a hopeless one is kept as dead."""
    task = tasks.get(job.task)
    try:
        if task is None:
            raise LookupError(f"there is no task {job.task!r}; was it made by another edition of the city?")  # noqa: TRY301
        async with asyncio.timeout(task.max_seconds):
            await task.work(city, *job.arguments)
    except StoreUnavailable as error:
        _log.warning("%s waits for the store: %s", job.task, error)
        return job, wait_seconds(job.attempts + 1)
    except Exception as error:  # noqa: BLE001  whatever a task fails with
        tried = replace(job, attempts=job.attempts + 1)
        _log.warning("%s failed for the %d. time", job.task, tried.attempts, exc_info=error)
        if task is not None and tried.attempts < task.max_attempts:
            return tried, wait_seconds(tried.attempts)
        return await _dead_letter(city, tried, f"{type(error).__name__}: {error}")
    return None


def wait_seconds(attempts: int) -> float:
    """Give how long to wait before the next try: twice as long each time, and never the same for two."""
    return _chance.uniform(0.5, 1) * min(2.0**attempts, LONGEST_WAIT_SECONDS)


async def _dead_letter(city: JobContext, job: Job, error: str) -> tuple[Job, float] | None:
    """Keep a job as dead, once; where the store is away the job stays alive."""
    try:
        await _save(city, job, await city.store.get(DeadLetter, job.id), dead=True, error=error[:500])
    except StoreUnavailable:
        return job, wait_seconds(job.attempts)
    _log.error("%s is given up: %s", job.task, error)
    return None


async def run_lost_job(tasks: Mapping[str, Task[Any]], job: Job, city: JobContext) -> tuple[Job, float] | None:
    """Do a job that came again, as if its last worker had died with it; after too many such it is kept as dead."""
    try:
        if await _lost_too_often(city, job):
            _log.error("%s is given up: its workers died with it", job.task)
            return None
    except StoreUnavailable as error:
        _log.warning("%s waits for the store: %s", job.task, error)
        return job, wait_seconds(job.attempts + 1)
    again = await run_job(tasks, job, city)
    with suppress(StoreUnavailable, Conflict):
        known = await city.store.get(DeadLetter, job.id)
        if known is not None and not known.dead:
            await city.store.delete(known)  # this worker lives
    return again


async def _lost_too_often(city: JobContext, job: Job) -> bool:
    """Count that a worker died with this job; tell whether so many did that it is now dead."""
    known = await city.store.get(DeadLetter, job.id)
    losses = 1 if known is None else known.losses + 1
    dead = losses >= MAX_LOSSES
    await _save(city, job, known, dead=dead, error=f"{losses} workers died with it", losses=losses)
    return dead


async def _save(
    city: JobContext, job: Job, known: DeadLetter | None, *, dead: bool, error: str, losses: int = 0
) -> None:
    kept = DeadLetter(
        id=job.id,
        revision=known.revision if known is not None else 0,
        task=job.task,
        arguments=job.arguments,
        at_ms=int(city.now().timestamp() * 1_000),
        dead=dead,
        error=error,
        attempts=job.attempts,
        losses=losses,
    )
    with suppress(Duplicate, Conflict):  # the same message came twice
        await (city.store.insert(kept) if known is None else city.store.replace(kept))
