"""A saga has the same result with any crashes, conflicts and lost answers as without them.

Hypothesis generates a saga, the outcomes of its calls, and the writes at which its processes crash.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Literal, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.jobs.in_process import NullQueue
from backend.jobs.saga import DUE, Decision, Request, Saga, SagaDocument, backoff
from backend.jobs.tasks import TaskReference
from backend.store import Document, Index, Store, StoreUnavailable
from backend.store.due import SweepLeases
from backend.store.sqlite.store import SqliteStore
from backend.store.time import to_ms
from tests.counting_store import CountingStore
from tests.draws import draws
from tests.jobs.shipments import NOON

D = TypeVar("D", bound=Document)
Step = Literal["effect", "decision", "request"]
Outcome = Literal["works", "down", "answer lost"]
Crash = Literal["none", "before", "after"]

MAX_ROUNDS = 40
ANSWER_MS = 60_000
"""A request that is not answered after this time is looked up."""


class Errand(SagaDocument, kw_only=True):
    """A document with a plan of steps; `done` lists the completed ones, and `asked` is the key of an open request."""

    collection: ClassVar[str] = "errands"
    indexes: ClassVar[tuple[Index, ...]] = (DUE,)

    plan: tuple[Step, ...]
    done: tuple[str, ...] = ()
    asked: str | None = None
    asked_ms: int = 0

    def key(self) -> str:
        """Return the key of the next step."""
        return f"{self.plan[len(self.done)]} {len(self.done)}"


class Unavailable(Exception):
    """The upstream did not answer."""


class Upstream:
    """Performs each request once per key; `outcomes` lists the outcomes of the next calls."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = deque(outcomes)
        self.done: list[str] = []

    async def do(self, key: str) -> None:
        await asyncio.sleep(0)
        outcome = self.outcomes.popleft() if self.outcomes else "works"
        if outcome != "down" and key not in self.done:
            self.done.append(key)
        if outcome != "works":
            raise Unavailable


class CrashingStore(CountingStore):
    """A store whose processes crash before or after some of their writes."""

    def __init__(self, store: Store, crashes: Sequence[Crash]) -> None:
        super().__init__(store)
        self.uncounted = store
        self.crashes = deque(crashes)

    async def replace(self, document: D) -> D:
        crash = self.crashes.popleft() if self.crashes else "none"
        if crash == "before":
            raise StoreUnavailable("the process ends here")
        stored = await super().replace(document)
        if crash == "after":
            raise StoreUnavailable("the process ends here")
        return stored


class Process:
    """The context of an errand in one process, which has its own clock."""

    def __init__(self, store: CrashingStore, upstream: Upstream, ahead: timedelta) -> None:
        self.store = store
        self.jobs = NullQueue()
        self.upstream = upstream
        self.at = NOON + ahead

    def now(self) -> datetime:
        return self.at


def next_step(errand: Errand, now: datetime, _terms: None) -> Step | Literal["look_up"] | None:
    if errand.asked is not None:
        return "look_up" if to_ms(now) >= errand.asked_ms + ANSWER_MS else None
    return errand.plan[len(errand.done)] if len(errand.done) < len(errand.plan) else None


def schedule(errand: Errand, now: datetime, terms: None) -> Errand:
    due_ms = None
    if next_step(errand, now, terms) is not None:
        due_ms = to_ms(now + backoff(errand.failures))
    elif errand.asked is not None:
        due_ms = errand.asked_ms + ANSWER_MS
    return errand if due_ms == errand.due_ms else replace(errand, due_ms=due_ms)


def finished(errand: Errand) -> Errand:
    return replace(errand, done=(*errand.done, errand.key()), asked=None, failures=0)


async def do(process: Process, errand: Errand, _now: datetime) -> Errand:
    await process.upstream.do(errand.key())
    return finished(errand)


async def ask(process: Process, errand: Errand, _now: datetime) -> Errand:
    if errand.asked is None:
        return errand
    stored = await process.store.uncounted.get(Errand, errand.id)
    assert stored is not None
    assert errand.asked == stored.asked or len(stored.done) > len(errand.done), "a request is stored before it is sent"
    await process.upstream.do(errand.asked)
    return finished(errand)


async def look_up(process: Process, errand: Errand, _now: datetime) -> Errand:
    assert errand.asked is not None
    known = errand.asked in process.upstream.done
    return finished(errand) if known else replace(errand, asked=None)


SAGA = Saga[Process, Errand, None, str](
    kind=Errand,
    next_step=next_step,
    schedule=schedule,
    terms=lambda _process, _now: None,
    steps={
        "effect": do,
        "decision": Decision(lambda errand, _now, _terms: finished(errand)),
        "request": Request(lambda errand, now, _terms: replace(errand, asked=errand.key(), asked_ms=to_ms(now)), ask),
        "look_up": look_up,
    },
    task=TaskReference("process.run_errand"),
    unavailable=(Unavailable,),
)


@settings(max_examples=draws(60, soak=3_000), deadline=None)
@given(
    plan=st.lists(st.sampled_from(["effect", "decision", "request"]), max_size=6),
    outcomes=st.lists(st.sampled_from(["works", "down", "answer lost"]), max_size=8),
    crashes=st.lists(st.sampled_from(["none", "before", "after"]), max_size=12),
    ahead_seconds=st.lists(st.integers(0, 90), min_size=1, max_size=3),
)
def test_a_saga_has_the_same_result_with_any_crashes_and_lost_answers(
    plan: list[Step], outcomes: list[Outcome], crashes: list[Crash], ahead_seconds: list[int]
) -> None:
    async def work(store: Store) -> tuple[Errand, list[str]]:
        upstream = Upstream(outcomes)
        crashing = CrashingStore(store, crashes)
        processes = [Process(crashing, upstream, timedelta(seconds=seconds)) for seconds in ahead_seconds]
        errand = await SAGA.start(processes[0], Errand(id="1", plan=tuple(plan)))
        for _ in range(MAX_ROUNDS):
            if errand.due_ms is None:
                return errand, upstream.done
            ends = await asyncio.gather(*(SAGA.resume(process, "1") for process in processes), return_exceptions=True)
            assert all(isinstance(end, Errand | StoreUnavailable) for end in ends), ends
            for process in processes:
                process.at += timedelta(hours=1)
            found = await store.get(Errand, "1")
            assert found is not None
            errand = found
        raise AssertionError("the saga does not end")

    async def run() -> tuple[Errand, list[str]]:
        store = SqliteStore.open(Path(folder) / "store.db", [Errand, SweepLeases])
        try:
            return await work(store)
        finally:
            await store.close()

    with TemporaryDirectory() as folder:
        errand, done = asyncio.run(run())
    expected = [f"{step} {number}" for number, step in enumerate(plan)]
    assert list(errand.done) == expected
    assert (errand.asked, errand.failures) == (None, 0)
    assert done == [key for key in expected if not key.startswith("decision")]
