"""The scenarios of overload. Each measures the capacity first, in the same run, and is bounded in count and time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from tests.load.city import Served
from tests.load.client import Answers, Connection, close, closed_loop, connect, newcomer, open_loop
from tests.load.figures import outcome, percentile

Scenario = Callable[[Served], Awaitable[dict[str, float]]]

CAPACITY_SECONDS, SECONDS, WARM_SECONDS = 3.0, 8.0, 1.0
CAPACITY_CONNECTIONS, OPEN_CONNECTIONS, KEPT_CONNECTIONS, BUSY_CONNECTIONS = 64, 1_900, 1_000, 500
OVERLOAD = 3.0


async def capacity(served: Served) -> tuple[float, float]:
    """Return how many requests are served per second if none is refused, and the processor seconds of each."""
    answers = Answers()
    connections = await connect(served.port, CAPACITY_CONNECTIONS, answers)
    began, used = time.perf_counter(), served.processor_seconds()
    await closed_loop(connections, served.displays, CAPACITY_SECONDS)
    close(connections)
    found = outcome(answers.between(began + WARM_SECONDS, began + CAPACITY_SECONDS), CAPACITY_SECONDS - WARM_SECONDS)
    return found["served_per_second"], (served.processor_seconds() - used) / len(answers.statuses)


async def overload(served: Served) -> dict[str, float]:
    """Three times the capacity, in an open loop over 1,900 connections; then a third of it, to see the recovery."""
    most, cost = await capacity(served)
    answers = Answers()
    connections = await connect(served.port, OPEN_CONNECTIONS, answers)
    began, used = time.perf_counter(), served.processor_seconds()
    await open_loop(connections, served.displays, OVERLOAD * most, SECONDS, answers)
    found = _share(answers, began, SECONDS, most)
    used = served.processor_seconds() - used
    ended = time.perf_counter()
    calm = Answers()
    for connection in connections:
        connection._answers = calm
    await open_loop(connections, served.displays, most / 3, 2, calm)
    close(connections)
    refused_at = [at for at, status in zip(calm.ended, calm.statuses, strict=True) if status != 200]
    count_served = sum(1 for status in answers.statuses if status == 200)
    count_refused = len(answers.statuses) - count_served
    spent = used - count_served * cost
    return found | {
        "refusal_microseconds": max(0.0, spent) / max(1, count_refused) * 1e6,
        "recovery_seconds": max(refused_at, default=ended) - ended,
        "room": served.metric("chengma_request_room"),
    }


async def kept(served: Served) -> dict[str, float]:
    """1,000 connections that repeat at once whatever they are answered."""
    return await _without_back_off(served, KEPT_CONNECTIONS)


async def storm(served: Served) -> dict[str, float]:
    """3,800 connections that repeat at once whatever they are answered: nearly all they get is refusals."""
    return await _without_back_off(served, 2 * OPEN_CONNECTIONS)


async def _without_back_off(served: Served, count: int) -> dict[str, float]:
    most, _ = await capacity(served)
    answers = Answers()
    connections = await connect(served.port, count, answers)
    began = time.perf_counter()
    await closed_loop(connections, served.displays, SECONDS)
    close(connections)
    return _share(answers, began, SECONDS, most)


async def newcomers(served: Served) -> dict[str, float]:
    """500 new connections in ten seconds next to 1,000 that never pause, each with one request."""
    fresh = Answers()

    async def arrive() -> None:
        await asyncio.sleep(WARM_SECONDS)
        async with asyncio.TaskGroup() as group:
            for number in range(500):
                group.create_task(newcomer(served.port, served.displays[number], fresh))
                await asyncio.sleep(0.02)

    await _beside_busy(served, KEPT_CONNECTIONS, 12, arrive)
    return _first(fresh, 500)


async def newcomers_at_once(served: Served) -> dict[str, float]:
    """200 new connections at the same moment next to 500 busy ones."""
    fresh = Answers()

    async def arrive() -> None:
        await asyncio.sleep(2)
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(newcomer(served.port, served.displays[number], fresh))

    await _beside_busy(served, BUSY_CONNECTIONS, 5, arrive)
    return _first(fresh, 200) | {"last_ms": max(fresh.seconds) * 1000}


async def hang_ups(served: Served) -> dict[str, float]:
    """1,000 clients that send a request under load and hang up: afterwards nothing is in flight."""

    async def arrive() -> None:
        await asyncio.sleep(WARM_SECONDS)
        for _ in range(10):
            gone = await connect(served.port, 100, Answers())
            for number, connection in enumerate(gone):
                connection.send(served.displays[number], time.perf_counter())
            await asyncio.sleep(0.05)
            close(gone)

    await _beside_busy(served, BUSY_CONNECTIONS, 6, arrive)
    await asyncio.sleep(1)
    return {"in_flight": await asyncio.to_thread(served.metric, "chengma_requests_in_flight")}


async def _beside_busy(served: Served, count: int, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    busy: list[Connection] = await connect(served.port, count, Answers())
    async with asyncio.TaskGroup() as group:
        group.create_task(closed_loop(busy, served.displays, seconds))
        await work()
    close(busy)


def _share(answers: Answers, began: float, seconds: float, most: float) -> dict[str, float]:
    window = outcome(answers.between(began + WARM_SECONDS, began + seconds), seconds - WARM_SECONDS)
    return {"capacity_per_second": most, "served_of_capacity": window["served_per_second"] / most} | window


def _first(fresh: Answers, count: int) -> dict[str, float]:
    served = [took for status, took in zip(fresh.statuses, fresh.seconds, strict=True) if status == 200]
    return {"served_first": len(served) / count, "served_p99_ms": percentile(served, 0.99) * 1000}


SCENARIOS: Mapping[str, Scenario] = {
    "overload": overload,
    "kept": kept,
    "storm": storm,
    "newcomers": newcomers,
    "newcomers_at_once": newcomers_at_once,
    "hang_ups": hang_ups,
}
