"""Claims per second to one benefit, compared with the same claims to a hundred: what a shared budget costs."""

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.city.service import City
from tests.bench.report import Table
from tests.bench.stores import on_each_store
from tests.services.talent_code.crowd import claim_at_once, make_talents
from tests.services.talent_code.sample_rules import AMOUNTS, TERMS, benefit, write_rules

CLAIMS, ROUNDS, BUDGETS, MAX_CONCURRENT = 300, 8, 100, 64
"""The hot budget gets 2,400 claims, more than it keeps entries of."""

PLENTY_FEN = 1_000_000_00
SPREAD = [f"spread_{number:02}" for number in range(BUDGETS)]


def compare() -> Table:
    """Let people claim one benefit, then as many others a hundred benefits, in turn."""
    with TemporaryDirectory() as folder:
        rows = on_each_store("budgets", _rules(Path(folder) / "rules"), _claims)
    return Table(
        "hot_budget",
        f"{CLAIMS * ROUNDS:,} claims to one benefit, compared with as many by other people to {BUDGETS} benefits, "
        f"{MAX_CONCURRENT} at once: judged, registered, reserved, paid by the bank's sandbox and recorded; "
        f"{ROUNDS} alternating rounds, so that the one budget grows to its full size; one process on uvloop, without "
        "HTTP. Target: 0.8 or more.",
        ("store", "to one budget, per second", f"to {BUDGETS} budgets, per second", "ratio", "by processor time"),
        rows,
    )


def _rules(folder: Path) -> Path:
    write_rules(folder, PLENTY_FEN, only="plain")
    for name in SPREAD:
        text = benefit(name, TERMS["plain"], PLENTY_FEN, *AMOUNTS["plain"])
        (folder / "talent_code" / "benefits" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


async def _claims(city: City) -> tuple[str, ...]:
    people = await make_talents(city, 2 * CLAIMS * ROUNDS)
    rates: list[tuple[float, float, float]] = []
    for begin in range(0, len(people), 2 * CLAIMS):
        middle = begin + CLAIMS
        rates_of_round, processor = list[float](), list[float]()
        for some, benefits in ((people[begin:middle], ["plain"]), (people[middle : middle + CLAIMS], SPREAD)):
            used = time.process_time()
            answers, seconds = await claim_at_once([city], some, benefits, MAX_CONCURRENT)
            assert all(answer.claim.state == "granted" for answer in answers)
            rates_of_round.append(CLAIMS / seconds)
            processor.append(time.process_time() - used)
        rates.append((rates_of_round[0], rates_of_round[1], processor[1] / processor[0]))
    hot, spread, ratios = zip(*rates, strict=True)
    return (
        f"{statistics.median(hot):,.0f}",
        f"{statistics.median(spread):,.0f}",
        f"**{statistics.median(one / other for one, other, _ in rates):.2f}**",
        f"**{statistics.median(ratios):.2f}**",
    )
