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
LOSSES_AT_MOST = 3

_log = logging.getLogger("chengma.tasks")
_chance = Random()  # noqa: S311  it spreads what would come all at once, and guards nothing


class Job(Struct, frozen=True):
    """One task to be done with these arguments, which are never personal; `tries` counts how often it failed."""

    task: str
    arguments: tuple[Argument, ...] = ()
    id: str = ""
    tries: int = 0


class Jobs(Protocol):
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

    def __init__(self, work: Work[P], *, every: timedelta | None, seconds_at_most: int, tries_at_most: int) -> None:
        self.name = f"{work.__module__.split('.')[-2]}.{work.__name__}"
        self.work = work
        self.every = every
        self.seconds_at_most = seconds_at_most
        self.tries_at_most = tries_at_most
        self.__doc__ = work.__doc__

    async def __call__(self, city: Any, *arguments: P.args, **named: P.kwargs) -> None:  # noqa: ANN401  see City
        """Do it here and now."""
        await self.work(city, *arguments, **named)

    async def enqueue(self, jobs: Jobs, *arguments: Argument) -> None:
        """Have it done soon, by any process. A hint: what must be done is found by a sweep too."""
        await jobs.put(Job(self.name, arguments, secrets.token_urlsafe(9)))


def background(
    *, every: timedelta | None = None, seconds_at_most: int = 60, tries_at_most: int = 5
) -> Callable[[Work[P]], Task[P]]:
    """Make an async function of `services/<name>/tasks.py` a task; its first argument is the City.

    With `every` it is a sweep, run again and again. It is cancelled after `seconds_at_most`, and given up, for an
    operator to look at, after `tries_at_most` failures.
    """

    def make(work: Work[P]) -> Task[P]:
        return Task(work, every=every, seconds_at_most=seconds_at_most, tries_at_most=tries_at_most)

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


class DeadJob(Document, kw_only=True):
    """A job that was given up, or, while `losses` are counted, one whose worker died with it."""

    collection: ClassVar[str] = "dead_jobs"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("dead",), ordered="at_ms"),)

    task: str
    arguments: tuple[Argument, ...]
    at_ms: int
    dead: bool
    error: str = ""
    tries: int = 0
    losses: int = 0


class Where(Protocol):
    """What carrying out needs of a City."""

    @property
    def store(self) -> Store:
        """Where documents live."""
        ...

    def now(self) -> datetime:
        """Give the present instant."""
        ...


async def carry_out(tasks: Mapping[str, Task[Any]], job: Job, city: Where) -> tuple[Job, float] | None:
    """Do a job. Give it back, with the seconds to wait, if it is to be tried again; a hopeless one is kept as dead."""
    task = tasks.get(job.task)
    try:
        if task is None:
            raise LookupError(f"there is no task {job.task!r}; was it made by another edition of the city?")  # noqa: TRY301
        async with asyncio.timeout(task.seconds_at_most):
            await task.work(city, *job.arguments)
    except StoreUnavailable as error:
        _log.warning("%s waits for the store: %s", job.task, error)
        return job, wait_seconds(job.tries + 1)
    except Exception as error:  # noqa: BLE001  whatever a task fails with
        tried = replace(job, tries=job.tries + 1)
        _log.warning("%s failed for the %d. time", job.task, tried.tries, exc_info=error)
        if task is not None and tried.tries < task.tries_at_most:
            return tried, wait_seconds(tried.tries)
        return await _bury(city, tried, f"{type(error).__name__}: {error}")
    return None


def wait_seconds(tries: int) -> float:
    """Give how long to wait before the next try: twice as long each time, and never the same for two."""
    return _chance.uniform(0.5, 1) * min(2.0**tries, LONGEST_WAIT_SECONDS)


async def _bury(city: Where, job: Job, error: str) -> tuple[Job, float] | None:
    """Keep a job as dead, once; where the store is away the job stays alive."""
    try:
        await _keep(city, job, await city.store.get(DeadJob, job.id), dead=True, error=error[:500])
    except StoreUnavailable:
        return job, wait_seconds(job.tries)
    _log.error("%s is given up: %s", job.task, error)
    return None


async def carry_out_lost(tasks: Mapping[str, Task[Any]], job: Job, city: Where) -> tuple[Job, float] | None:
    """Do a job that came again, as if its last worker had died with it; after too many such it is kept as dead."""
    try:
        if await _lost_too_often(city, job):
            _log.error("%s is given up: its workers died with it", job.task)
            return None
    except StoreUnavailable as error:
        _log.warning("%s waits for the store: %s", job.task, error)
        return job, wait_seconds(job.tries + 1)
    again = await carry_out(tasks, job, city)
    with suppress(StoreUnavailable, Conflict):
        known = await city.store.get(DeadJob, job.id)
        if known is not None and not known.dead:
            await city.store.delete(known)  # this worker lives
    return again


async def _lost_too_often(city: Where, job: Job) -> bool:
    """Count that a worker died with this job; tell whether so many did that it is now dead."""
    known = await city.store.get(DeadJob, job.id)
    losses = 1 if known is None else known.losses + 1
    dead = losses >= LOSSES_AT_MOST
    await _keep(city, job, known, dead=dead, error=f"{losses} workers died with it", losses=losses)
    return dead


async def _keep(city: Where, job: Job, known: DeadJob | None, *, dead: bool, error: str, losses: int = 0) -> None:
    kept = DeadJob(
        id=job.id,
        revision=known.revision if known is not None else 0,
        task=job.task,
        arguments=job.arguments,
        at_ms=int(city.now().timestamp() * 1_000),
        dead=dead,
        error=error,
        tries=job.tries,
        losses=losses,
    )
    with suppress(Duplicate, Conflict):  # the same message came twice
        await (city.store.insert(kept) if known is None else city.store.replace(kept))


class LeftToSweeps:
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


class LoopJobs:
    """Does jobs in the server's own loop, a few at a time, and runs the sweeps. For a city without a broker."""

    AT_ONCE = 8
    WAITING_AT_MOST = 10_000
    GRACE_SECONDS = 5.0

    def __init__(self, tasks: Mapping[str, Task[Any]], carry_out: Callable[[Job], Coroutine[Any, Any, Any]]) -> None:
        self._tasks = tasks
        self._carry_out = carry_out
        self._slots = asyncio.Semaphore(self.AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()
        self._sweeping: list[asyncio.Task[None]] = []

    def waiting(self) -> int:
        """Tell how many jobs wait or run."""
        return len(self._running)

    async def put(self, job: Job, *, delay_seconds: float = 0) -> None:
        """Take a job."""
        if len(self._running) >= self.WAITING_AT_MOST:
            _log.warning("%s is left to the sweeps: %d jobs wait", job.task, len(self._running))
            return
        running = asyncio.create_task(self._run(job, delay_seconds))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _run(self, job: Job, delay_seconds: float) -> None:
        await asyncio.sleep(delay_seconds)
        async with self._slots:
            again: tuple[Job, float] | None = await self._carry_out(job)
        if again is not None:
            await self.put(again[0], delay_seconds=again[1])

    async def __aenter__(self) -> object:
        """Begin the sweeps."""
        self._sweeping = [asyncio.create_task(self._sweep(task)) for task in self._tasks.values() if task.every]
        return self

    async def _sweep(self, task: Task[Any]) -> None:
        assert task.every is not None, "a sweep has its time"
        while True:
            await asyncio.sleep(task.every.total_seconds() * _chance.uniform(0.9, 1.1))
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
