"""Background work without a broker: the server's event loop runs, retries and dead-letters jobs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.jobs import tasks
from backend.jobs.in_process import InProcessQueue, NullQueue
from backend.jobs.tasks import (
    DeadLetter,
    Job,
    Task,
    background,
    backoff_seconds,
    discover_tasks,
    run_job,
)
from backend.store import Store, StoreUnavailable
from backend.store.sqlite.store import SqliteStore
from tests.servers import wait_until

NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
EVERY = timedelta(milliseconds=50)


class Village:
    """The parts of a city that tasks need: a store and a clock. `begun` lists the arguments of started tasks."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.begun: list[str] = []
        self.failures = 0
        self.tasks: dict[str, Task[...]] = {task.name: task for task in (sow, fail_a_while, sleep_in, wait_for_store)}
        self.jobs = InProcessQueue(self.tasks, self.run_task)

    def now(self) -> datetime:
        return NOON

    async def run_task(self, job: Job) -> tuple[Job, float] | None:
        return await run_job(self.tasks, job, self)

    async def settled(self) -> None:
        while self.jobs.waiting():  # noqa: ASYNC110  jobs do not signal their end
            await asyncio.sleep(0.005)

    async def dead(self) -> list[DeadLetter]:
        return (await self.store.find(DeadLetter, {"dead": True})).documents


@background(every=EVERY)
async def sow(village: Village, field: str = "swept") -> None:
    village.begun.append(field)


@background(max_attempts=4)
async def fail_a_while(village: Village, times: int) -> None:
    village.begun.append("fail")
    if len(village.begun) <= times:
        raise RuntimeError("the ox is ill")


@background(max_seconds=1, max_attempts=1)
async def sleep_in(village: Village) -> None:
    village.begun.append("sleep")
    await asyncio.sleep(60)


@background(max_attempts=2)
async def wait_for_store(village: Village, times: int) -> None:
    village.begun.append("wait")
    if len(village.begun) <= times:
        raise StoreUnavailable("away")


@pytest.fixture
def in_village(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that runs a test in a village whose jobs are retried without a wait."""
    monkeypatch.setattr(tasks, "backoff_seconds", lambda _attempts: 0.001)

    def run(work: Callable[[Village], Awaitable[None]], *, sweeps: bool = False) -> None:
        async def whole() -> None:
            store = SqliteStore.open(tmp_path / "village.db", [DeadLetter])
            village = Village(store)
            if sweeps:
                async with village.jobs:
                    await work(village)
            else:
                await work(village)
            await store.close()

        asyncio.run(whole())

    return run


def test_an_enqueued_task_runs_soon_and_once(in_village: Callable[..., None]) -> None:
    async def work(village: Village) -> None:
        for field in ("north", "south"):
            await sow.enqueue(village.jobs, field)
        assert village.begun == [], "the answer goes first"
        assert village.jobs.waiting() == 2
        await village.settled()
        assert village.begun == ["north", "south"]

    in_village(work)


def test_a_task_may_be_called_like_any_function(in_village: Callable[..., None]) -> None:
    async def work(village: Village) -> None:
        await sow(village, "here")
        assert village.begun == ["here"]

    in_village(work)


def test_a_failed_task_is_retried(in_village: Callable[..., None]) -> None:
    async def work(village: Village) -> None:
        await fail_a_while.enqueue(village.jobs, 3)
        await village.settled()
        assert len(village.begun) == 4
        assert await village.dead() == []

    in_village(work)


def test_a_task_that_keeps_failing_becomes_a_dead_letter(in_village: Callable[..., None]) -> None:
    async def work(village: Village) -> None:
        await fail_a_while.enqueue(village.jobs, 100)
        await village.settled()
        assert len(village.begun) == 4
        [job] = await village.dead()
        assert (job.task, job.arguments, job.attempts) == ("jobs.fail_a_while", (100,), 4)
        assert job.error == "RuntimeError: the ox is ill"

    in_village(work)


def test_waiting_for_the_store_is_not_an_attempt(in_village: Callable[..., None]) -> None:
    async def work(village: Village) -> None:
        await wait_for_store.enqueue(village.jobs, 10)
        await village.settled()
        assert len(village.begun) == 11
        assert await village.dead() == []

    in_village(work)


def test_a_task_that_takes_too_long_is_cancelled_and_becomes_a_dead_letter(in_village: Callable[..., None]) -> None:
    async def work(village: Village) -> None:
        await sleep_in.enqueue(village.jobs)
        await village.settled()
        assert [job.error for job in await village.dead()] == ["TimeoutError: "]

    in_village(work)


def test_a_task_of_another_edition_becomes_a_dead_letter(in_village: Callable[..., None]) -> None:
    async def work(village: Village) -> None:
        await village.jobs.put(Job("health_code.divine", (), "j"))
        await village.settled()
        [job] = await village.dead()
        assert "there is no task 'health_code.divine'" in job.error

    in_village(work)


def test_sweeps_run_again_and_again_until_the_end(in_village: Callable[..., None]) -> None:
    village_of_later: list[Village] = []

    async def work(village: Village) -> None:
        village_of_later.append(village)
        began = time.monotonic()
        await asyncio.to_thread(wait_until, lambda: village.begun.count("swept") >= 4)
        assert village.begun.count("swept") <= 2 + (time.monotonic() - began) / EVERY.total_seconds()

    in_village(work, sweeps=True)
    assert village_of_later[0].jobs.waiting() == 0


def test_at_the_end_running_jobs_finish_and_waiting_jobs_are_left_to_the_sweeps(
    in_village: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcessQueue, "GRACE_SECONDS", 0.3)
    kept: list[Village] = []

    async def work(village: Village) -> None:
        kept.append(village)
        await sow.enqueue(village.jobs, "last")
        await village.jobs.put(Job("tests.sow", ("in an hour",), "j"), delay_seconds=3_600)

    in_village(work, sweeps=True)
    assert "last" in kept[0].begun
    assert "in an hour" not in kept[0].begun


def test_jobs_beyond_the_limit_are_left_to_the_sweeps(
    in_village: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(InProcessQueue, "MAX_PENDING", 3)

    async def work(village: Village) -> None:
        for number in range(5):
            await sow.enqueue(village.jobs, str(number))
        await village.settled()
        assert village.begun == ["0", "1", "2"]

    in_village(work)
    assert "is left to the sweeps: 3 jobs are waiting" in caplog.text


def test_the_backoff_grows_and_has_jitter() -> None:
    waits = [[backoff_seconds(attempts) for _ in range(50)] for attempts in range(12)]
    assert all(len(set(each)) == 50 for each in waits)
    assert all(2**attempts / 2 <= min(each) <= max(each) <= 2**attempts for attempts, each in enumerate(waits[:8]))
    assert max(waits[-1]) <= 300


def test_the_tasks_of_all_services_are_found_by_service_and_name() -> None:
    assert discover_tasks().keys() == {
        "account.sweep_sessions",
        "health_code.finish_event",
        "health_code.sweep_events",
        "medical_credit.advance",
        "medical_credit.apply_repairs",
        "medical_credit.retry_message",
        "medical_credit.sweep_messages",
        "medical_credit.sweep_reconciliations",
        "medical_credit.sweep_visits",
        "medical_credit.delete_expired",
        "talent_code.advance_claim",
        "talent_code.review_talent",
        "talent_code.serve_waitlist",
        "talent_code.sweep_claims",
        "talent_code.sweep_waitlists",
        "talent_code.sweep_talents",
        "talent_code.sweep_usages",
    }


def test_a_command_leaves_its_jobs_to_the_sweeps() -> None:
    async def work() -> None:
        async with NullQueue() as jobs:
            assert isinstance(jobs, NullQueue)
            await jobs.put(Job("health_code.sweep_events"))
            assert jobs.waiting() == 0

    asyncio.run(work())
