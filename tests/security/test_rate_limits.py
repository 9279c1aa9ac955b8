"""Budgets are exact, shared by all processes, bounded in memory, and never unlimited."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from backend.security import rate_limits as rate_limits_module
from backend.security import request_counts as request_counts_module
from backend.security.rate_limits import Budget, Charge, RateLimits, redis_url_of
from backend.security.request_counts import MinuteCounts
from backend.settings import Settings
from tests.conftest import Clock
from tests.servers import free_port

T = TypeVar("T")
HOURLY = Budget("hourly", 3, 3_600)
NOON = datetime(2026, 11, 29, 4, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


def charge(subject: str = "anna", budget: Budget = HOURLY) -> list[Charge]:
    return [Charge(budget, subject)]


async def admitted(limits: RateLimits, times: int, subject: str = "anna", budget: Budget = HOURLY) -> int:
    refusals = [await limits.spend(charge(subject, budget)) for _ in range(times)]
    return refusals.count(None)


def run(limits: RateLimits, work: Callable[[], Awaitable[T]]) -> T:
    async def and_close() -> T:
        try:
            return await work()
        finally:
            await limits.close()

    return asyncio.run(and_close())


def test_in_any_hour_a_subject_gets_its_budget_and_no_more(clock: Clock) -> None:
    limits = RateLimits(clock)

    async def work() -> list[int]:
        counts: list[int] = []
        for _ in range(12):
            clock.now += timedelta(minutes=20)
            counts.append(await admitted(limits, 5))
        return counts

    counts = run(limits, work)
    assert counts == [3, 0, 0] * 4


def test_a_refusal_says_when_the_budget_is_there_again(clock: Clock) -> None:
    limits = RateLimits(clock)

    async def work() -> int:
        for _ in range(3):
            assert await limits.spend(charge()) is None
            clock.now += timedelta(minutes=10)
        refusal = await limits.spend(charge())
        assert refusal is not None
        assert not refusal.needs_captcha
        return refusal.retry_after_seconds

    assert 1_800 <= run(limits, work) <= 1_801


def test_an_act_that_one_budget_refuses_is_counted_against_none(clock: Clock) -> None:
    limits = RateLimits(clock)
    other = Budget("other", 2, 60)

    async def work() -> list[bool]:
        await admitted(limits, 3)
        both = [Charge(other, "anna"), Charge(HOURLY, "anna")]
        refused = [await limits.spend(both) is not None for _ in range(5)]
        return [*refused, await admitted(limits, 2, budget=other) == 2]

    assert run(limits, work) == [True] * 6


def test_a_low_budget_asks_for_a_captcha_before_it_refuses(clock: Clock) -> None:
    limits = RateLimits(clock)
    low = Budget("low", 4, 60, free=2)

    async def work() -> list[str]:
        outcomes: list[str] = []
        for solved in (False, False, False, True, True, True):
            refusal = await limits.spend(charge(budget=low), captcha_solved=solved)
            outcomes.append("done" if refusal is None else "captcha" if refusal.needs_captcha else "wait")
        return outcomes

    assert run(limits, work) == ["done", "done", "captcha", "done", "done", "wait"]


def test_two_processes_share_a_budget_through_redis(redis_url: str) -> None:
    subject = f"anna {time.time_ns()}"

    async def work() -> tuple[int, int]:
        one, other = RateLimits(lambda: datetime.now(UTC), redis_url), RateLimits(lambda: datetime.now(UTC), redis_url)
        counts = await admitted(one, 2, subject), await admitted(other, 5, subject)
        await one.close()
        await other.close()
        return counts

    assert asyncio.run(work()) == (2, 1)


def test_concurrent_acts_do_not_exceed_a_shared_budget(redis_url: str) -> None:
    subject = f"anna {time.time_ns()}"

    async def work() -> int:
        processes = [RateLimits(lambda: datetime.now(UTC), redis_url) for _ in range(4)]
        refusals = await asyncio.gather(*(process.spend(charge(subject)) for process in processes for _ in range(8)))
        for process in processes:
            await process.close()
        return refusals.count(None)

    assert asyncio.run(work()) == 3


def test_without_an_answer_of_redis_each_process_limits_alone_and_says_so(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limits = RateLimits(clock, f"redis://127.0.0.1:{free_port()}/0")
    assert run(limits, lambda: admitted(limits, 10)) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING"], "one line, not one for each request"
    assert "Redis does not answer" in caplog.text


def test_what_was_counted_before_redis_went_away_still_counts(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RateLimits(lambda: datetime.now(UTC), redis_url)
    subject = f"anna {time.time_ns()}"

    async def work() -> int:
        await admitted(limits, 2, subject)
        monkeypatch.setattr(limits, "_may_ask_redis", lambda: False)
        return await admitted(limits, 5, subject)

    assert run(limits, work) == 1


def test_many_subjects_do_not_grow_memory_and_are_not_unlimited(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits_module, "MAX_SUBJECTS", 100)
    limits = RateLimits(clock)

    async def work() -> int:
        return sum([await admitted(limits, 5, f"address {number}") for number in range(5_000)])

    admitted_in_all = run(limits, work)
    memory = limits._own._limiter.storage
    assert sum(len(subjects) for subjects in memory._budgets.values()) <= 100 + rate_limits_module._SHARED_COUNTS
    assert 300 <= admitted_in_all <= 3 * (100 + rate_limits_module._SHARED_COUNTS)


def test_a_known_subject_keeps_its_own_count_while_strangers_fill_the_memory(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits_module, "MAX_SUBJECTS", 100)
    limits = RateLimits(clock)

    async def work() -> int:
        for number in range(5_000):
            await admitted(limits, 1, f"address {number}")
        return await admitted(limits, 3, "anna", Budget("device", 3, 60))

    assert run(limits, work) == 3, "each budget has a memory of its own"


def test_something_is_used_once(clock: Clock) -> None:
    limits = RateLimits(clock)

    async def work() -> list[bool]:
        return [await limits.spend_once("puzzle", 60), await limits.spend_once("puzzle", 60)]

    assert run(limits, work) == [True, False]


def test_something_is_used_once_in_all_processes(redis_url: str) -> None:
    puzzle = f"puzzle {time.time_ns()}"

    async def work() -> list[bool]:
        processes = [RateLimits(lambda: datetime.now(UTC), redis_url) for _ in range(2)]
        used = [await process.spend_once(puzzle, 60) for process in processes]
        for process in processes:
            await process.close()
        return used

    assert asyncio.run(work()) == [True, False]


def test_of_many_things_used_once_the_oldest_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits_module, "MAX_USED_ONCE", 100)
    used = RateLimits(clock).used
    assert all(used.add(f"proof {number}", 60) for number in range(1_000))
    assert len(used._expires) == 100
    assert not used.add("proof 999", 60)
    clock.now += timedelta(minutes=2)
    assert used.add("proof 999", 60)


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (Settings(), ""),
        (Settings(broker="amqp://rabbit"), ""),
        (Settings(broker="redis://broker:6379/0"), "redis://broker:6379/0"),
        (Settings(broker="redis://broker:6379/0", rate_limit_store="redis://limits:6379/1"), "redis://limits:6379/1"),
    ],
)
def test_rates_are_counted_in_the_redis_of_the_settings_or_the_broker(settings: Settings, url: str) -> None:
    assert redis_url_of(settings) == url


# ── the requests of a minute ──


def test_a_minute_ends_by_itself_and_its_counts_are_dropped() -> None:
    counts = MinuteCounts()
    assert [counts.add("anna", 2, 30.0) for _ in range(3)] == [0, 0, 30]
    assert counts.add("anna", 2, 60.0) == 0
    assert len(counts) == 1


def test_two_processes_share_the_requests_of_a_minute(redis_url: str) -> None:
    subject, minute = f"anna {time.time_ns()}", time.time()

    async def work() -> int:
        limits = [RateLimits(lambda: datetime.now(UTC), redis_url) for _ in range(2)]
        processes = [MinuteCounts(each) for each in limits]
        done = 0
        for _ in range(100):
            for process in processes:
                done += process.add(subject, 100, minute) == 0
                await asyncio.gather(*process._reports)
        for each in limits:
            await each.close()
        return done

    assert 90 <= asyncio.run(work()) <= 120, "each process may take a block of a tenth for granted"


def test_a_display_that_refreshes_costs_no_call_to_redis(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RateLimits(clock)
    monkeypatch.setattr(limits, "lease", lambda *_: pytest.fail("Redis was asked"))
    counts = MinuteCounts(limits)

    async def work() -> None:
        for _ in range(12):
            counts.add("display", 120, NOON.timestamp())
        await asyncio.sleep(0)

    asyncio.run(work())


def test_many_addresses_do_not_grow_the_counts_of_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_counts_module, "MAX_SUBJECTS", 100)
    counts = MinuteCounts()
    refused = sum(counts.add(f"address {number % 50_000}", 5, 0.0) > 0 for number in range(100_000))
    assert len(counts) <= 100 + request_counts_module._SHARED_COUNTS
    assert refused > 50_000
