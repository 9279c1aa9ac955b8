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


class SmallCity:
    """The parts of a city that tasks need: a store and a clock. `started` lists the arguments of started tasks."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.started: list[str] = []
        self.failures = 0
        self.tasks: dict[str, Task[...]] = {
            task.name: task
            for task in (record, fail_several_times, exceed_time_limit, process_broken, sweep_slowly, wait_for_store)
        }
        self.jobs = InProcessQueue(self.tasks, self.run_task)

    def now(self) -> datetime:
        return NOON

    async def run_task(self, job: Job) -> tuple[Job, float] | None:
        return await run_job(self.tasks, job, self)

    async def wait_for_jobs(self) -> None:
        while self.jobs.waiting():  # noqa: ASYNC110  jobs do not signal their end
            await asyncio.sleep(0.005)

    async def dead(self) -> list[DeadLetter]:
        return (await self.store.find(DeadLetter, {"dead": True})).documents


@background(every=EVERY)
async def record(city: SmallCity, name: str = "swept") -> None:
    city.started.append(name)


@background(max_attempts=4)
async def fail_several_times(city: SmallCity, times: int) -> None:
    city.started.append("fail")
    if len(city.started) <= times:
        raise RuntimeError("this attempt fails")


@background(max_seconds=1, max_attempts=1)
async def exceed_time_limit(city: SmallCity) -> None:
    city.started.append("sleep")
    await asyncio.sleep(60)


@background(every=timedelta(hours=1), max_seconds=1, max_attempts=1)
async def sweep_slowly(city: SmallCity) -> None:
    city.started.append("sweep")
    if len(city.started) <= 2:
        await asyncio.sleep(60)


@background(max_attempts=1)
async def process_broken(_city: SmallCity, _document_id: str) -> None:
    raise RuntimeError("it cannot be processed")


@background(max_attempts=2)
async def wait_for_store(city: SmallCity, times: int) -> None:
    city.started.append("wait")
    if len(city.started) <= times:
        raise StoreUnavailable("away")


@pytest.fixture
def run_in_city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that runs a test in a small city whose jobs are retried without delay."""
    monkeypatch.setattr(tasks, "backoff_seconds", lambda _attempts: 0.001)

    def run(work: Callable[[SmallCity], Awaitable[None]], *, sweeps: bool = False) -> None:
        async def whole() -> None:
            store = SqliteStore.open(tmp_path / "city.db", [DeadLetter])
            city = SmallCity(store)
            if sweeps:
                async with city.jobs:
                    await work(city)
            else:
                await work(city)
            await store.close()

        asyncio.run(whole())

    return run


def test_an_enqueued_task_runs_soon_and_once(run_in_city: Callable[..., None]) -> None:
    async def work(city: SmallCity) -> None:
        for name in ("north", "south"):
            await record.enqueue(city.jobs, name)
        assert city.started == [], "a task does not run before the response"
        assert city.jobs.waiting() == 2
        await city.wait_for_jobs()
        assert city.started == ["north", "south"]

    run_in_city(work)


def test_a_task_may_be_called_like_any_function(run_in_city: Callable[..., None]) -> None:
    async def work(city: SmallCity) -> None:
        await record(city, "here")
        assert city.started == ["here"]

    run_in_city(work)


def test_a_failed_task_is_retried(run_in_city: Callable[..., None]) -> None:
    async def work(city: SmallCity) -> None:
        await fail_several_times.enqueue(city.jobs, 3)
        await city.wait_for_jobs()
        assert len(city.started) == 4
        assert await city.dead() == []

    run_in_city(work)


def test_a_task_that_keeps_failing_becomes_a_dead_letter(run_in_city: Callable[..., None]) -> None:
    async def work(city: SmallCity) -> None:
        await fail_several_times.enqueue(city.jobs, 100)
        await city.wait_for_jobs()
        assert len(city.started) == 4
        [job] = await city.dead()
        assert (job.task, job.arguments, job.attempts) == ("jobs.fail_several_times", (100,), 4)
        assert job.error == "RuntimeError: this attempt fails"

    run_in_city(work)


def test_waiting_for_the_store_is_not_an_attempt(run_in_city: Callable[..., None]) -> None:
    async def work(city: SmallCity) -> None:
        await wait_for_store.enqueue(city.jobs, 10)
        await city.wait_for_jobs()
        assert len(city.started) == 11
        assert await city.dead() == []

    run_in_city(work)


def test_a_task_that_takes_too_long_is_cancelled_and_becomes_a_dead_letter(run_in_city: Callable[..., None]) -> None:
    async def work(city: SmallCity) -> None:
        await exceed_time_limit.enqueue(city.jobs)
        await city.wait_for_jobs()
        assert [job.error for job in await city.dead()] == ["TimeoutError: "]

    run_in_city(work)


def test_a_sweep_that_uses_up_its_time_continues_at_once_and_has_not_failed(run_in_city: Callable[..., None]) -> None:
    async def work(city: SmallCity) -> None:
        await sweep_slowly.enqueue(city.jobs)
        await city.wait_for_jobs()
        assert city.started == ["sweep"] * 3
        assert await city.dead() == []

    run_in_city(work)


def test_a_document_that_fails_in_each_sweep_has_one_dead_letter(run_in_city: Callable[..., None]) -> None:
    async def work(city: SmallCity) -> None:
        for _ in range(3):
            await process_broken.enqueue_once(city.jobs, "a document")
            await city.wait_for_jobs()
        [job] = await city.dead()
        assert job.arguments == ("a document",)

    run_in_city(work)


def test_a_task_of_another_edition_becomes_a_dead_letter(run_in_city: Callable[..., None]) -> None:
    async def work(city: SmallCity) -> None:
        await city.jobs.put(Job("health_code.unknown", (), "j"))
        await city.wait_for_jobs()
        [job] = await city.dead()
        assert "there is no task 'health_code.unknown'" in job.error

    run_in_city(work)


def test_sweeps_are_repeated_until_the_city_is_closed(run_in_city: Callable[..., None]) -> None:
    closed_city: list[SmallCity] = []

    async def work(city: SmallCity) -> None:
        closed_city.append(city)
        began = time.monotonic()
        await asyncio.to_thread(wait_until, lambda: city.started.count("swept") >= 4)
        assert city.started.count("swept") <= 2 + (time.monotonic() - began) / EVERY.total_seconds()

    run_in_city(work, sweeps=True)
    assert closed_city[0].jobs.waiting() == 0


def test_when_the_city_is_closed_running_jobs_finish_and_waiting_jobs_are_left_to_the_sweeps(
    run_in_city: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcessQueue, "GRACE_SECONDS", 0.3)
    cities: list[SmallCity] = []

    async def work(city: SmallCity) -> None:
        cities.append(city)
        await record.enqueue(city.jobs, "last")
        await city.jobs.put(Job("tests.record", ("in an hour",), "j"), delay_seconds=3_600)

    run_in_city(work, sweeps=True)
    assert "last" in cities[0].started
    assert "in an hour" not in cities[0].started


def test_jobs_beyond_the_limit_are_left_to_the_sweeps(
    run_in_city: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(InProcessQueue, "MAX_PENDING", 3)

    async def work(city: SmallCity) -> None:
        for number in range(5):
            await record.enqueue(city.jobs, str(number))
        await city.wait_for_jobs()
        assert city.started == ["0", "1", "2"]

    run_in_city(work)
    assert "is left to the sweeps: 3 jobs are waiting" in caplog.text


def test_the_backoff_grows_and_has_jitter() -> None:
    waits = [[backoff_seconds(attempts) for _ in range(50)] for attempts in range(12)]
    assert all(len(set(each)) == 50 for each in waits)
    assert all(2**attempts / 2 <= min(each) <= max(each) <= 2**attempts for attempts, each in enumerate(waits[:8]))
    assert max(waits[-1]) <= 300


def test_the_tasks_of_all_services_are_found_by_service_and_name() -> None:
    assert discover_tasks().keys() == {
        "account.push_notice",
        "account.resume_closure",
        "account.sweep_closures",
        "account.sweep_identity_cases",
        "account.sweep_notices",
        "account.sweep_proposals",
        "account.sweep_sessions",
        "audit.sweep_acts",
        "audit.sweep_machine_acts",
        "health_code.finish_event",
        "health_code.sweep_events",
        "health_code.sweep_scans",
        "medical_credit.advance",
        "medical_credit.apply_repairs",
        "medical_credit.process_ignored_messages",
        "medical_credit.resume_transaction",
        "medical_credit.sweep_consents",
        "medical_credit.sweep_transactions",
        "medical_credit.retry_message",
        "medical_credit.sweep_messages",
        "medical_credit.sweep_reconciliations",
        "medical_credit.sweep_visits",
        "medical_credit.delete_expired",
        "rules.make_review",
        "rules.sweep_activations",
        "rules.sweep_reviews",
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
