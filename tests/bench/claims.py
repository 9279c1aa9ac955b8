"""Claims to a benefit per second that are judged, reserved and paid, on both stores."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from backend.app import documents_of, open_city
from backend.city.service import discover_integrations, discover_services
from backend.settings import Settings
from backend.store.connect import prepare_store
from backend.store.mongo.store import Driver
from tests.bench.report import Table
from tests.keys import new_keys
from tests.mongod import mongod
from tests.services.talent_code.crowd import claim_at_once, make_talents
from tests.services.talent_code.sample_rules import write_rules

PEOPLE, COVERED, EACH_FEN, MAX_CONCURRENT = 1_000, 500, 50_00, 64


def pay() -> Table:
    """Measure claims of a thousand people to one benefit whose budget covers half of them."""
    rows: list[tuple[str, ...]] = []
    with TemporaryDirectory() as folder, mongod() as url:
        address, _, options = url.partition("?")
        rules = write_rules(Path(folder) / "rules", COVERED * EACH_FEN, only="plain")
        stores: Sequence[tuple[str, str, Driver]] = (
            ("embedded file", f"sqlite:///{folder}/city.db", "motor"),
            ("MongoDB, motor", f"{address.rstrip('/')}/claims_motor?{options}", "motor"),
            ("MongoDB, pymongo", f"{address.rstrip('/')}/claims_pymongo?{options}", "pymongo"),
        )
        for name, store, driver in stores:
            prepare_store(store, documents_of(discover_services()))
            rows.append((name, *uvloop.run(_run(store, driver, Path(folder) / name, rules))))
    return Table(
        "claims",
        f"Claims to one benefit by {PEOPLE:,} people, {MAX_CONCURRENT} at once, with a budget for "
        f"{COVERED:,}: judged, registered with the person, reserved, paid by the bank's sandbox (a file of its own, "
        f"each call durable) and recorded, or put on the waiting list; one process on uvloop, without "
        "HTTP. And the latencies.",
        ("store", "claims per second", "paid: median", "paid: slowest", "waiting: median", "waiting: slowest"),
        rows,
    )


async def _run(store: str, driver: Driver, folder: Path, rules: Path) -> tuple[str, ...]:
    keys, sandbox = new_keys(folder / "keys"), str(folder / "sandbox.db")
    settings = Settings(store=store, mongo_driver=driver, keys=keys, sandbox=sandbox, rules=str(rules))
    city = open_city(settings, discover_services(), discover_integrations("integrations"))
    people = await make_talents(city, PEOPLE)
    answers, seconds = await claim_at_once([city], people, ["plain"], MAX_CONCURRENT)
    await city.store.close()
    paid = [answer.seconds for answer in answers if answer.claim.state == "granted"]
    waiting = [answer.seconds for answer in answers if answer.claim.state == "waiting"]
    assert (len(paid), len(waiting)) == (COVERED, PEOPLE - COVERED)
    latencies = [
        f"{1_000 * figure:,.0f} ms" for some in (paid, waiting) for figure in (statistics.median(some), max(some))
    ]
    return (f"{PEOPLE / seconds:,.0f}", *latencies)
