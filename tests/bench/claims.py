"""How many claims to a benefit a second are matched, reserved and paid, on either store."""

import asyncio
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.app import documents_of, open_city
from backend.city.service import discover_integrations, discover_services
from backend.settings import Settings
from backend.store.connect import prepare_store
from tests.bench.report import Table
from tests.mongod import mongod
from tests.services.talent_code.crowd import claim_at_once, make_talents
from tests.services.talent_code.sample_rules import write_rules

PEOPLE, SUFFICES_FOR, EACH_FEN, AT_ONCE = 1_000, 500, 50_00, 64


def pay() -> Table:
    """Let a thousand people claim one benefit whose budget suffices for half of them."""
    rows: list[tuple[str, ...]] = []
    with TemporaryDirectory() as folder, mongod() as url:
        address, _, options = url.partition("?")
        rules = write_rules(Path(folder) / "rules", SUFFICES_FOR * EACH_FEN, only="plain")
        for name, store in (
            ("embedded file", f"sqlite:///{folder}/city.db"),
            ("MongoDB", f"{address.rstrip('/')}/claims?{options}"),
        ):
            prepare_store(store, documents_of(discover_services()))
            rows.append((name, *asyncio.run(_run(store, Path(folder) / name, rules))))
    return Table(
        "claims",
        f"Claims to one benefit by {PEOPLE:,} people, {AT_ONCE} at once, of whom the budget suffices for "
        f"{SUFFICES_FOR:,}: judged, noted with the person, reserved, paid by the bank's sandbox (a file of its own, "
        f"each call durable) and entered, or put in line; one process, without HTTP. And how long people waited.",
        ("store", "claims per second", "paid: median", "paid: slowest", "in line: median", "in line: slowest"),
        rows,
    )


async def _run(store: str, folder: Path, rules: Path) -> tuple[str, ...]:
    settings = Settings(store=store, keys=str(folder / "keys"), sandbox=str(folder / "sandbox.db"), rules=str(rules))
    city = open_city(settings, discover_services(), discover_integrations("integrations"))
    people = await make_talents(city, PEOPLE)
    answers, seconds = await claim_at_once([city], people, "plain", AT_ONCE)
    await city.store.close()
    paid = [answer.seconds for answer in answers if answer.claim.state == "granted"]
    waiting = [answer.seconds for answer in answers if answer.claim.state == "waiting"]
    assert (len(paid), len(waiting)) == (SUFFICES_FOR, PEOPLE - SUFFICES_FOR)
    told = [f"{1_000 * figure:,.0f} ms" for some in (paid, waiting) for figure in (statistics.median(some), max(some))]
    return (f"{PEOPLE / seconds:,.0f}", *told)
