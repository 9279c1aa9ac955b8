"""Tasks for the tests of workers, and a worker that runs them.

Each attempt is recorded in a file, so that a test can count attempts; its effect is a document, so that a test can
count effects.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from backend.city.service import City
from backend.cli.errors import load_settings
from backend.jobs.tasks import Task, background, discover_tasks
from backend.operations.access_log import log_as_json_lines
from backend.store import Document, Duplicate
from backend.worker import work


class Errand(Document):
    """A completed errand."""

    collection: ClassVar[str] = "errands"

    effects: int = 1


def note(name: str) -> None:
    """Record the start of a task, and its process."""
    with Path(os.environ["ERRANDS"]).open("a") as notes:
        notes.write(f"{name} {os.getpid()}\n")


@background(max_seconds=30)
async def store_slowly(city: City, name: str, milliseconds: int) -> None:
    """Wait, then store a document once."""
    note(name)
    await asyncio.sleep(milliseconds / 1_000)
    with suppress(Duplicate):
        await city.store.insert(Errand(id=name))


@background(max_attempts=2)
async def fail(_city: City, name: str) -> None:
    """Fail at every attempt."""
    note(name)
    raise RuntimeError("this attempt fails")


@background()
async def crash(_city: City, name: str) -> None:
    """Kill the process at every attempt."""
    note(name)
    os.kill(os.getpid(), signal.SIGKILL)


@background(max_seconds=1, max_attempts=1)
async def exceed_time_limit(_city: City, name: str) -> None:
    """Exceed the time limit."""
    note(name)
    await asyncio.sleep(20)


ERRANDS: dict[str, Task[Any]] = {task.name: task for task in (store_slowly, fail, crash, exceed_time_limit)}


def run_worker() -> None:
    """Run a worker with these tasks and the city's own."""
    log_as_json_lines()
    work(load_settings(), "worker", discover_tasks() | ERRANDS)
