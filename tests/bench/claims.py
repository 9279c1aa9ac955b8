"""Claims to a benefit per second that are judged, reserved and paid, on both stores."""

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.city.service import City
from tests.bench.report import Table
from tests.bench.stores import on_each_store, processor_time
from tests.services.talent_code.crowd import claim_at_once, make_talents
from tests.services.talent_code.sample_rules import write_rules

PEOPLE, COVERED, EACH_FEN, MAX_CONCURRENT = 1_000, 500, 50_00, 64


def pay() -> Table:
    """Measure claims of a thousand people to one benefit whose budget covers half of them."""
    with TemporaryDirectory() as folder:
        rules = write_rules(Path(folder) / "rules", COVERED * EACH_FEN, only="plain")
        rows = on_each_store("claims", rules, _claims)
    return Table(
        "claims",
        f"Claims to one benefit by {PEOPLE:,} people, {MAX_CONCURRENT} at once, with a budget for "
        f"{COVERED:,}: judged, registered with the person, reserved, paid by the bank's sandbox (a file of its own, "
        f"each call durable) and recorded, or put on the waiting list; one process on uvloop, without HTTP. Of a core: "
        "by the processor time of the process, without the share of the sandbox. And the latencies. Target: 400 per "
        "second of a core on MongoDB.",
        (
            "store",
            "claims per second of a core",
            "the sandbox's share",
            "claims per second",
            "paid: median",
            "paid: slowest",
            "waiting: median",
            "waiting: slowest",
        ),
        rows,
    )


async def _claims(city: City) -> tuple[str, ...]:
    people = await make_talents(city, PEOPLE)
    with processor_time() as spent:
        answers, seconds = await claim_at_once([city], people, ["plain"], MAX_CONCURRENT)
    paid = [answer.seconds for answer in answers if answer.claim.state == "granted"]
    waiting = [answer.seconds for answer in answers if answer.claim.state == "waiting"]
    assert (len(paid), len(waiting)) == (COVERED, PEOPLE - COVERED)
    latencies = [
        f"{1_000 * figure:,.0f} ms" for some in (paid, waiting) for figure in (statistics.median(some), max(some))
    ]
    return (spent.rate(PEOPLE), spent.share(), f"{PEOPLE / seconds:,.0f}", *latencies)
