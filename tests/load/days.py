"""Busy days of the past and of every year: what one core does of each, and how many cores the day would need.

Rates are those of a core's processor time, so other load on the machine does not change them. The people, scans and
results of a day are those of a whole city.
"""

import asyncio
import math
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from backend.city.releases import Activation, read_pointer, store_pointer, store_release, with_activation
from backend.city.service import City
from backend.rulebook import load_rulebook, read_rules
from backend.rulebook.needs import facts_of
from backend.services.health_code.model import HealthEventReceipt
from tests.bench.health_code_read import ROOT, ask, free_port, rate_of_core, server
from tests.bench.report import processor_seconds
from tests.load.city import Served
from tests.load.client import Answers, close, closed_loop, connect
from tests.load.visitors import LABORATORIES, opened, results_of_tests, scans, school_lookups
from tests.services.talent_code.crowd import claim_at_once, make_talents
from tests.services.talent_code.sample_rules import write_rules

Scenario = Callable[[Served], Awaitable[dict[str, float]]]

SHARE_USED = 0.7
"""Of a core, so that a peak does not have to be refused."""

HOUR = 3_600
XIAN_PEOPLE, XIAN_SCANS_A_DAY = 13_000_000, 8_000_000
"""Xi'an: its people by the census of 2020, and its scans a day in January 2022."""
MORNING_SHARE = 1 / 3
"""Of a day's scans in the hour from 7:30; assumed."""
TEST_RESULTS = 1_000_000
LOOKUPS, LOOKUP_SECONDS = 450_000, 600
"""150,000 families look up three times in ten minutes; assumed."""
CLAIMS, CLAIM_SECONDS = 100_000, 600
"""Claims in the first ten minutes of a benefit; assumed."""

DISPLAYED, SCANNED, BATCHES, LOOKED_UP, CLAIMED = 5_000, 3_000, 60, 2_000, 1_000
EACH_FEN = 50_00


async def xian_morning(served: Served) -> dict[str, float]:
    """Everybody shows their code between 7:30 and 8:30, and gates scan beside it."""
    scanned = await scans(served, SCANNED)
    displays = rate_of_core(served.port, served.pid, served.displays[:DISPLAYED])
    gates = rate_of_core(served.port, served.pid, scanned)
    return {
        "displays_per_second_and_core": displays,
        "scans_per_second_and_core": gates,
        "cores": cores((XIAN_PEOPLE / HOUR, displays), (XIAN_SCANS_A_DAY * MORNING_SHARE / HOUR, gates)),
    }


async def mass_test_evening(served: Served) -> dict[str, float]:
    """Laboratories report the results of a million people within an hour: each becomes a record and a colour."""
    batches, of_a_batch = await results_of_tests(served, BATCHES)
    results = of_a_batch * rate_of_core(served.port, served.pid, batches, len(LABORATORIES))
    async with opened(served) as city:
        applied = [receipt.applied async for receipt in city.store.scan(HealthEventReceipt)]
    assert applied == [True] * BATCHES * of_a_batch, "each result is in a record"
    return {"results_per_second_and_core": results, "cores": cores((TEST_RESULTS / HOUR, results))}


async def admissions(served: Served) -> dict[str, float]:
    """The list of schools opens at eight, and families look up theirs."""
    for command in (["synthesize", f"{served.folder}/plan", "--year", "2026"], ["import", f"{served.folder}/plan"]):
        await asyncio.to_thread(_chengma, served, "schools", *command)
    lookups = school_lookups(LOOKED_UP)
    ask(served.port, lookups[:1])
    found = rate_of_core(served.port, served.pid, lookups)
    return {"lookups_per_second_and_core": found, "cores": cores((LOOKUPS / LOOKUP_SECONDS, found))}


async def benefit_opens(served: Served) -> dict[str, float]:
    """A benefit opens at nine with money for half of the claims; without HTTP, in this process."""
    rules = write_rules(served.folder / "benefit_rules", CLAIMED // 2 * EACH_FEN, only="plain")
    city = served.open(rules)
    try:
        people = await make_talents(city, CLAIMED)
        used = processor_seconds(os.getpid())
        answers, _ = await claim_at_once([city], people, ["plain"], 64)
        claims = CLAIMED / (processor_seconds(os.getpid()) - used)
        paid = sum(answer.claim.paid_fen for answer in answers)
    finally:
        await city.store.close()
    return {
        "claims_per_second_and_core": claims,
        "overspent_fen": paid - CLAIMED // 2 * EACH_FEN,
        "cores": cores((CLAIMS / CLAIM_SECONDS, claims)),
    }


async def rules_at_midnight(served: Served) -> dict[str, float]:
    """A release takes effect at an instant in two processes, while citizens show their codes."""
    other, metrics = free_port(), free_port()
    environment = {**served.environment, "CHENGMA_PORT": str(other), "CHENGMA_METRICS_PORT": str(metrics)}
    with server(["-m", "backend", "serve"], other, environment, served.folder / "other.log"):
        async with opened(served) as city:
            at = city.now() + AHEAD
            digest = await _schedule(city, _reworded(served.folder / "midnight_rules"), at)
        answers, seen = Answers(), dict[int, float]()
        connections = [*await connect(served.port, 8, answers), *await connect(other, 8, answers)]
        async with asyncio.TaskGroup() as group:
            group.create_task(closed_loop(connections, served.displays, AHEAD.total_seconds() + LATE_SECONDS))
            group.create_task(_watch((served.metrics_port, metrics), digest, at, seen))
        close(connections)
    return {
        "displays": len(answers.statuses),
        "not_answered_with_200": sum(1 for status in answers.statuses if status != 200),
        "processes_that_changed": len(seen),
        "seconds_until_the_last": max(seen.values(), default=math.inf),
    }


AHEAD = timedelta(seconds=15)
LATE_SECONDS = 6
WORDS, REWORDED = "Nothing found", "All is well"


def _reworded(folder: Path) -> Path:
    """Return a copy of the city's rules in which a green code has another reason."""
    shutil.copytree(ROOT / "rules", folder)
    colour = folder / "health_code" / "colour.yaml"
    text = colour.read_text(encoding="utf-8")
    assert WORDS in text
    colour.write_text(text.replace(WORDS, REWORDED), encoding="utf-8")
    return folder


async def _schedule(city: City, folder: Path, at: datetime) -> str:
    rulebook = load_rulebook(folder, facts_of(city.rule_modules), ZoneInfo(city.settings.time_zone))
    await store_release(city.store, read_rules(folder), rulebook, city.now())
    pointer = with_activation(await read_pointer(city.store), Activation(rulebook.digest, at), city.now())
    await store_pointer(city.store, pointer)
    return rulebook.digest


async def _watch(ports: Sequence[int], digest: str, at: datetime, seen: dict[int, float]) -> None:
    """Note for each process how many seconds after the instant its metrics name the new rules."""
    while len(seen) < len(ports) and datetime.now(UTC) < at + timedelta(seconds=LATE_SECONDS):
        await asyncio.sleep(0.1)
        for port in ports:
            if port not in seen and await asyncio.to_thread(_serves, port, digest):
                seen[port] = (datetime.now(UTC) - at).total_seconds()


def _serves(port: int, digest: str) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return f'chengma_rulebook{{digest="{digest}"}}' in answer.read().decode()


def _chengma(served: Served, *command: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "backend", *command],
        env=dict(served.environment),
        cwd=served.folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def cores(*parts: tuple[float, float]) -> float:
    """Return how many cores serve requests per second at measured rates per core."""
    return math.ceil(sum(wanted / found for wanted, found in parts) / SHARE_USED)


DAYS: Mapping[str, Scenario] = {
    "xian_morning": xian_morning,
    "mass_test_evening": mass_test_evening,
    "rules_at_midnight": rules_at_midnight,
    "admissions": admissions,
    "benefit_opens": benefit_opens,
}
