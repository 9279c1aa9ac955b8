"""After random kills, everything that was acknowledged is stored once, and nothing is left unfinished."""

import asyncio
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from backend.city.service import City
from backend.jobs.tasks import DeadLetter
from backend.services.health_code.model import HealthEventReceipt, HealthRecord
from backend.services.health_code.reports import MAX_REPORTS
from backend.services.health_code.saga import event_key
from tests.city.under_load.city_processes import CityProcesses, Officers
from tests.conftest import lacking
from tests.draws import draws
from tests.resumable import kept

pytestmark = pytest.mark.slow

KILLS = draws(40, soak=500)
OF_ONE_CITY = draws(40, soak=25)
SEED = int(os.environ.get("KILLS_SEED", "20260211"))
SOURCES = ("backend", "integrations", "migrations", "rules", "tests/city/under_load")
MAX_SETTLE_SECONDS = 240
"""Longer than a lease: the range of a killed worker is left until its lease expires."""
KILLS_IN_A_ROW = 4


@pytest.mark.skipif(bool(os.environ.get("MONGODB_URL")), reason="MONGODB_URL names a server that is not ours to kill")
def test_kills_lose_nothing_and_duplicate_nothing(
    tmp_path: Path, mongod_url: str, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    assert mongod_url, "this machine has no mongod"
    if shutil.which("redis-server") is None:
        lacking("redis-server")
    began, counts = time.monotonic(), Counter[str]()
    try:
        for seed in range(SEED, SEED + KILLS // OF_ONE_CITY):
            folder = tmp_path / str(seed)
            folder.mkdir()
            counts.update(
                kept(request, f"kills {seed}", lambda folder=folder, seed=seed: kill_a_city(folder, seed), SOURCES)
            )
            shutil.rmtree(folder)
    finally:
        with capsys.disabled():  # for readers of the log, also of a run that is stopped
            acknowledged = counts.pop("acknowledged", 0)
            listed = ", ".join(f"{victim} {count}" for victim, count in sorted(counts.items()))
            print(  # noqa: T201
                f"\n{counts.total()} kills ({listed}), the last of them in {time.monotonic() - began:.0f} s; "
                f"{acknowledged:,} events acknowledged"
            )


def kill_a_city(folder: Path, seed: int) -> dict[str, int]:
    """Kill the processes of a new city; return how often each, and how many events were acknowledged."""
    processes = CityProcesses(folder, random.Random(seed))
    try:
        processes.wait_until_ready()
        officers = Officers(processes, 4)
        asyncio.run(run_with_kills(processes, officers))
        processes.wait_until_ready()
        asyncio.run(check(processes, officers))
    finally:
        processes.end()
    return {**processes.kills, "acknowledged": len(officers.acknowledged)}


async def run_with_kills(processes: CityProcesses, officers: Officers) -> None:
    await processes.assign_source()
    ended = asyncio.Event()
    reporting = asyncio.create_task(officers.report_until(ended))
    while processes.kills.total() < OF_ONE_CITY:
        await asyncio.sleep(processes.chance.uniform(0.1, 1.4))
        assert not reporting.done(), reporting.exception()
        await asyncio.to_thread(processes.kill_random_process)
        await asyncio.to_thread(processes.restart_stopped)
        await asyncio.to_thread(processes.sweep)
        if processes.kills.total() % KILLS_IN_A_ROW == 0:
            await wait_for_acknowledgement(processes, officers)
    ended.set()
    await reporting


async def wait_for_acknowledgement(processes: CityProcesses, officers: Officers) -> None:
    """Wait until another event is acknowledged, because a slow machine starts processes slower than they are killed."""
    before, give_up = len(officers.acknowledged), time.monotonic() + MAX_SETTLE_SECONDS
    while len(officers.acknowledged) == before:
        assert time.monotonic() < give_up, dict(officers.refused)
        await asyncio.to_thread(processes.restart_stopped)
        await asyncio.sleep(0.1)


async def check(processes: CityProcesses, officers: Officers) -> None:
    city = processes.city()
    try:
        await settle(processes, city)
        receipts = {receipt.id: receipt async for receipt in city.store.scan(HealthEventReceipt)}
        records = [record async for record in city.store.scan(HealthRecord)]
        keys = Counter(report.key for record in records for report in record.reports)
        sent = {event_key(city, "cdc", event_id) for event_id in officers.sent}
        acknowledged = {event_key(city, "cdc", event_id) for event_id in officers.acknowledged}
        assert len(acknowledged) > OF_ONE_CITY, "some requests were acknowledged"
        assert acknowledged <= receipts.keys(), "all acknowledged events are stored"
        assert receipts.keys() <= sent, "only events that were sent are stored"
        assert [receipt.id for receipt in receipts.values() if not receipt.applied] == [], "every event is applied"
        assert [key for key, count in keys.items() if count > 1] == [], "no event is applied twice"
        assert max(len(record.reports) for record in records) < MAX_REPORTS, "no record exceeded its maximum"
        assert keys.keys() == receipts.keys(), "the records contain exactly the events with a receipt"
        assert [job async for job in city.store.scan(DeadLetter) if job.dead] == []
    finally:
        await city.store.close()


async def settle(processes: CityProcesses, city: City) -> None:
    """Wait until the workers have completed all interrupted events."""
    give_up = time.monotonic() + MAX_SETTLE_SECONDS
    while [receipt async for receipt in city.store.scan(HealthEventReceipt) if not receipt.applied]:
        assert time.monotonic() < give_up, processes.worker.log_text()[-3_000:]
        await asyncio.to_thread(processes.restart_stopped)
        await asyncio.to_thread(processes.sweep)
        await asyncio.sleep(1)
