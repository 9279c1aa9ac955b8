"""A city of a million people and five million dated rows sweeps, starts and answers like a small one."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.jobs.tasks import discover_tasks
from backend.security.identity import Access, Caller
from backend.services.account.model.session import Session
from backend.services.health_code.model import ScanReservation, VenueVisit
from tests.bench.health_code_read import ask
from tests.bench.report import processor_seconds
from tests.city.under_load.large_city import SPREAD, fill, open_in, settings_in
from tests.conftest import Clock
from tests.draws import SOAK, draws
from tests.resumable import folder_of
from tests.servers import Process, chengma, city_environment, free_port, listens, wait_until

pytestmark = pytest.mark.slow

PEOPLE, FEW = draws(2_000, soak=1_000_000), draws(200, soak=5_000)
SOURCES = ("backend", "integrations", "migrations", "rules")
START = datetime(2026, 11, 30, tzinfo=UTC)
AWAY = timedelta(days=1)
"""For how long no sweep has run: a thirtieth of all dated rows is due."""
DISPLAYS = 200


def test_after_a_day_without_sweeps_each_has_no_lag_within_its_period(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder, clock = folder_of(request, "large city", tmp_path, SOURCES), Clock(START)
    city = open_in(folder, clock)

    async def work() -> None:
        await fill(city, folder, PEOPLE, START)
        clock.now = START + AWAY
        sweeps = {name: task for name, task in discover_tasks().items() if task.due}
        assert len(sweeps) > 10, "all sweeps of the city"
        for name, sweep in sweeps.items():
            began = time.monotonic()
            await sweep(city)
            seconds = time.monotonic() - began
            print(f"{name}: {seconds:.2f} s")  # noqa: T201  for readers of the log
            assert sweep.every is not None
            assert seconds < sweep.every.total_seconds(), name
            assert [await due.lag(city) for due in sweep.due] == [timedelta(0)] * len(sweep.due), name
        left = PEOPLE - int(PEOPLE * (AWAY / SPREAD))
        assert abs(await city.store.count(Session, {}) - left) <= 1
        for kind in (VenueVisit, ScanReservation):
            assert abs(await city.store.count(kind, {}) - 2 * left) <= 4
        await city.store.close()

    asyncio.run(work())


def test_a_large_city_starts_and_answers_with_the_memory_of_a_small_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    large = folder_of(request, "large city", tmp_path, SOURCES)
    found = {people: _measure(folder, people) for folder, people in ((large, PEOPLE), (tmp_path / "few", FEW))}
    for people, figures in found.items():
        print(f"{people:,} people: {figures}")  # noqa: T201  for readers of the log
    many, few = found[PEOPLE], found[FEW]
    assert many["memory_mb"] < 1.2 * few["memory_mb"]
    if SOAK:  # times are not compared on a machine that runs other tests as well
        assert many["start_seconds"] < 1.5 * few["start_seconds"] + 1
        assert many["display_microseconds"] < 1.5 * few["display_microseconds"]


def _measure(folder: Path, people: int) -> dict[str, float]:
    """Return the processor time of a server's start and of a display, and the memory at the end."""
    folder.mkdir(exist_ok=True)
    city = open_in(folder, lambda: datetime.now(UTC))
    asyncio.run(fill(city, folder, people, START))
    access = Access(city.settings, city.keys, city.now)
    head = "GET /v1/me/health-code HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
    shown = [f"person-{number:08}" for number in range(0, people, people // DISPLAYS)]
    tokens = [access.issue(Caller(f"a-{one}", "session", one, level=3), city.now()) for one in shown]
    requests = [f"{head}{token}\r\n\r\n".encode() for token in tokens]
    asyncio.run(city.store.close())
    settings, port = settings_in(folder), free_port()
    environment = city_environment(folder, settings.store, "", port=port)
    process = chengma(folder, "server", {**environment, "CHENGMA_KEYS": settings.keys}, "serve")
    try:
        wait_until(lambda: listens(port), process.log_text)
        start = processor_seconds(process.pid)
        ask(port, requests)
        costs = [_cost(process, port, requests) for _ in range(draws(1, soak=9))]
        return {
            "start_seconds": start,
            "display_microseconds": statistics.median(costs),
            "memory_mb": _memory_mb(process.pid),
        }
    finally:
        process.stop()


def _cost(process: Process, port: int, requests: list[bytes]) -> float:
    before = processor_seconds(process.pid)
    ask(port, requests)
    return (processor_seconds(process.pid) - before) / len(requests) * 1e6


def _memory_mb(pid: int) -> float:
    """Return the memory of a process itself; pages of the file that it has mapped are not counted."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0]) / 1_024
