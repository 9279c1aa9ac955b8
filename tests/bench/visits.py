"""Visits per second from opening to bill, on both stores."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from backend.app import documents_of, open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.commands import CloseVisit, OpenVisit
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import Line
from backend.services.medical_credit.saga import visit_saga
from backend.settings import Settings
from backend.store.connect import prepare_store
from backend.store.mongo.store import Driver
from tests.bench.health_code_read import ROOT
from tests.bench.report import Table
from tests.integrations.his.hospital import connect, enrol
from tests.keys import new_keys
from tests.mongod import mongod
from tests.services.health_code.scene import id_number

VISITS, PATIENTS, MAX_CONCURRENT, CHARGES = 1_000, 200, 32, 5


def bill() -> Table:
    """Open, charge, close and bill a thousand visits, including calls to the insurance sandbox."""
    rows: list[tuple[str, ...]] = []
    with TemporaryDirectory() as folder, mongod() as url:
        address, _, options = url.partition("?")
        stores: Sequence[tuple[str, str, Driver]] = (
            ("embedded file", f"sqlite:///{folder}/city.db", "motor"),
            ("MongoDB, motor", f"{address.rstrip('/')}/visits_motor?{options}", "motor"),
            ("MongoDB, pymongo", f"{address.rstrip('/')}/visits_pymongo?{options}", "pymongo"),
        )
        for name, store, driver in stores:
            prepare_store(store, documents_of(discover_services()))
            seconds, commands = uvloop.run(_run(store, driver, Path(folder) / name))
            rows.append((name, f"{VISITS / seconds:,.0f}", f"{commands / seconds:,.0f}"))
    return Table(
        "visits",
        f"Visits from their opening to their bill: opened, {CHARGES} charges, closed, credit held, settled by the "
        f"insurance's sandbox (a file of its own, each call durable), posted and billed; {VISITS:,} visits of "
        f"{PATIENTS} patients, {MAX_CONCURRENT} at once, one process on uvloop, without HTTP.",
        ("store", "visits per second", "commands per second"),
        rows,
    )


async def _run(store: str, driver: Driver, folder: Path) -> tuple[float, int]:
    settings = Settings(
        store=store,
        mongo_driver=driver,
        keys=new_keys(folder / "keys"),
        sandbox=str(folder / "sandbox.db"),
        rules=str(ROOT / "rules"),
    )
    city = open_city(settings, discover_services(), discover_integrations("integrations"))
    hospital = await connect(city)
    patients = [id_number(number) for number in range(PATIENTS)]
    for number in patients:
        await enrol(city, number)
    slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def one(number: int) -> None:
        async with slots:
            await _visit(city, hospital, number, patients)

    begin = time.perf_counter()
    await asyncio.gather(*map(one, range(VISITS)))
    seconds = time.perf_counter() - begin
    await city.store.close()
    return seconds, VISITS * (CHARGES + 2)


async def _visit(city: City, hospital: Hospital, number: int, patients: Sequence[str]) -> None:
    name, at = f"V{number}", datetime.now(UTC)
    opened = await handle_command(
        city, hospital, name, OpenVisit(patients[number % PATIENTS], "emergency", at), f"{name}-open"
    )
    for line in range(CHARGES):
        await handle_command(
            city, hospital, name, Line(f"L{line}", "charge", "110100001", "诊查费", 2_000, at), f"{name}-{line}"
        )
    await handle_command(city, hospital, name, CloseVisit(at, final=True), f"{name}-close")
    visit = await visit_saga.resume(city, opened.id)
    assert visit is not None
    assert visit.bill is not None, visit
