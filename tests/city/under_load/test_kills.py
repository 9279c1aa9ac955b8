"""Killed things come back: at the end everything that was acknowledged is there, once, and nothing is half done."""

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
from tests.city.under_load.cast import Officers, Town
from tests.conftest import lacking
from tests.draws import draws

pytestmark = pytest.mark.slow

KILLS = draws(40, soak=200)
SEED = int(os.environ.get("KILLS_SEED", "20260211"))
SETTLED_SECONDS = 90


@pytest.mark.skipif(bool(os.environ.get("MONGODB_URL")), reason="MONGODB_URL names a server that is not ours to kill")
def test_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, mongod_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mongod_url, "there is a mongod for this machine"
    if shutil.which("redis-server") is None:
        lacking("redis-server")
    began = time.monotonic()
    town = Town(tmp_path, random.Random(SEED))
    try:
        town.wait_until_whole()
        officers = Officers(town, 4)
        asyncio.run(live_through(town, officers))
        town.wait_until_whole()
        asyncio.run(check(town, officers))
    finally:
        town.end()
    with capsys.disabled():
        kills = ", ".join(f"{victim} {count}" for victim, count in sorted(town.kills.items()))
        print(  # noqa: T201  the counts are for readers of the log
            f"\n{town.kills.total()} kills ({kills}) in {time.monotonic() - began:.0f} s; "
            f"{len(officers.acknowledged):,} events acknowledged; unanswered or refused: {dict(officers.refused)}"
        )


async def live_through(town: Town, officers: Officers) -> None:
    ended = asyncio.Event()
    reporting = asyncio.create_task(officers.report_until(ended))
    while town.kills.total() < KILLS:
        await asyncio.sleep(town.chance.uniform(0.1, 1.4))
        assert not reporting.done(), reporting.exception()
        await asyncio.to_thread(town.kill_somebody)
        await asyncio.to_thread(town.start_what_ended)
        await asyncio.to_thread(town.sweep)
    ended.set()
    await reporting


async def check(town: Town, officers: Officers) -> None:
    city = town.city()
    try:
        await settle(town, city)
        receipts = {receipt.id: receipt async for receipt in city.store.scan(HealthEventReceipt)}
        records = [record async for record in city.store.scan(HealthRecord)]
        keys = Counter(report.key for record in records for report in record.reports)
        sent = {event_key(city, "cdc", event_id) for event_id in officers.sent}
        acknowledged = {event_key(city, "cdc", event_id) for event_id in officers.acknowledged}
        assert len(acknowledged) > KILLS, "somebody got through"
        assert acknowledged <= receipts.keys(), "what was acknowledged is there"
        assert receipts.keys() <= sent, "nothing came from nowhere"
        assert [receipt.id for receipt in receipts.values() if not receipt.applied] == [], "every flow is finished"
        assert [key for key, count in keys.items() if count > 1] == [], "nothing counts twice"
        assert max(len(record.reports) for record in records) < MAX_REPORTS, "no record had to forget"
        assert keys.keys() == receipts.keys(), "each receipt is in a record, and nothing else is"
        assert [job async for job in city.store.scan(DeadLetter) if job.dead] == []
    finally:
        await city.store.close()


async def settle(town: Town, city: City) -> None:
    """Leave everything alone until the workers have finished what was interrupted."""
    give_up = time.monotonic() + SETTLED_SECONDS
    while [receipt async for receipt in city.store.scan(HealthEventReceipt) if not receipt.applied]:
        assert time.monotonic() < give_up, town.worker.said()[-3_000:]
        await asyncio.to_thread(town.start_what_ended)
        await asyncio.to_thread(town.sweep)
        await asyncio.sleep(1)
