"""The scenarios of overload. Each measures the capacity first, in the same run, and is bounded in count and time."""

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from signal import SIGUSR1, SIGUSR2

from tests.load.city import Process, Served, bare
from tests.load.client import Answers, Connection, close, closed_loop, connect, newcomer, open_loop
from tests.load.figures import REFUSED, outcome, percentile

Scenario = Callable[[Served], Awaitable[dict[str, float]]]

ROUNDS, PEAK_ROUNDS, ROUND_SECONDS = 9, 24, 0.5
"""Of what is measured in turn."""
CAPACITY_SECONDS, SECONDS, WARM_SECONDS = 3.0, 8.0, 1.0
CAPACITY_CONNECTIONS, OPEN_CONNECTIONS, KEPT_CONNECTIONS, BUSY_CONNECTIONS = 64, 1_900, 1_000, 500
OVERLOAD = 3.0
DISPLAYS_PER_SECOND = {"guangdong": 23_000, "hainan": 60_000}
"""The peaks of two provinces."""
SHARE_USED = 0.7
"""Of a core, so that a peak does not have to be refused."""


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
    count_refused = sum(1 for status in answers.statuses if status == REFUSED)
    spent = used - count_served * cost
    return found | {
        "served_of_processor_time": count_served * cost / used,
        "beyond_microseconds": max(0.0, spent) / max(1, count_refused) * 1e6,
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


async def historic_days(served: Served) -> dict[str, float]:
    """How many cores would have displayed the code on days of the past, by calculation from one core's capacity."""
    most, _ = await capacity(served)
    return {"capacity_per_second": most} | {
        f"cores_for_{day}": math.ceil(displays / (most * SHARE_USED)) for day, displays in DISPLAYS_PER_SECOND.items()
    }


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


async def refusals(served: Served) -> dict[str, float]:
    """The processor time of a refusal, of a bare application's answer, and of an answer to a request that is not read.

    In turn, over one connection, which wakes the server for each request, and over 500, as under overload.
    """
    with bare("app") as app, bare("unread") as unread:
        served.switch(SIGUSR2)
        found: dict[str, float] = {}
        for count in (BUSY_CONNECTIONS, 1):
            measured = {"refusal": served, "bare_app": app, "unread": unread}
            costs = await _costs(measured, served.displays[0], count)
            name = "" if count > 1 else "_on_one_connection"
            found |= {f"{kind}{name}_microseconds": statistics.median(of) * 1e6 for kind, of in costs.items()}
        served.switch(SIGUSR2)
    return found


async def _costs(measured: Mapping[str, Process], request: bytes, count: int) -> dict[str, list[float]]:
    costs: dict[str, list[float]] = {kind: [] for kind in measured}
    answers = Answers()
    connections = {kind: await connect(process.port, count, answers) for kind, process in measured.items()}
    for _ in range(ROUNDS):
        for kind, process in measured.items():
            costs[kind].append(await _cost(process, connections[kind], [request], answers))
    assert set(answers.statuses) == {200, REFUSED}, "the city refuses all, and the others nothing"
    for opened in connections.values():
        close(opened)
    return costs


async def _cost(
    process: Process, connections: Sequence[Connection], requests: Sequence[bytes], answers: Answers
) -> float:
    """Return the processor seconds of each answer while some connections never pause."""
    used, count = process.processor_seconds(), len(answers.statuses)
    await closed_loop(connections, requests, ROUND_SECONDS)
    return (process.processor_seconds() - used) / (len(answers.statuses) - count)


async def peak(served: Served) -> dict[str, float]:
    """What admission costs when nothing is refused: the processor time of a display with it and without it, in turn."""
    answers = Answers()
    connections = await connect(served.port, CAPACITY_CONNECTIONS, answers)
    with_it, without = list[float](), list[float]()
    for number in range(PEAK_ROUNDS):
        for costs in (with_it, without) if number % 2 == 0 else (without, with_it):
            if costs is without:
                served.switch(SIGUSR1)
            costs.append(await _cost(served, connections, served.displays, answers))
            if costs is without:
                served.switch(SIGUSR1)
    close(connections)
    ratio = statistics.median(one / other for one, other in zip(without, with_it, strict=True))
    return {"display_microseconds": statistics.median(with_it) * 1e6, "loss": 1 - ratio}


SCENARIOS: Mapping[str, Scenario] = {
    "overload": overload,
    "kept": kept,
    "storm": storm,
    "newcomers": newcomers,
    "newcomers_at_once": newcomers_at_once,
    "hang_ups": hang_ups,
    "refusals": refusals,
    "peak": peak,
    "historic_days": historic_days,
}
