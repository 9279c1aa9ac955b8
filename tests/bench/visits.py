"""Visits per second from opening to bill, on both stores."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from backend.city.service import City
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.commands import CloseVisit, OpenVisit
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import Line
from backend.services.medical_credit.saga import visit_saga
from tests.bench.health_code_read import ROOT
from tests.bench.report import Table
from tests.bench.stores import on_each_store, processor_time
from tests.integrations.his.hospital import connect, enrol
from tests.services.health_code.scene import id_number

VISITS, PATIENTS, MAX_CONCURRENT, CHARGES = 1_000, 200, 32, 5


def bill() -> Table:
    """Open, charge, close and bill a thousand visits, including calls to the insurance sandbox."""
    return Table(
        "visits",
        f"Visits from their opening to their bill: opened, {CHARGES} charges, closed, credit held, settled by the "
        f"insurance's sandbox (a file of its own, each call durable), posted and billed; {VISITS:,} visits of "
        f"{PATIENTS} patients, {MAX_CONCURRENT} at once, one process on uvloop, without HTTP. Of a core: by the "
        "processor time of the process, without the share of the sandbox. Target: 200 per second of a core on MongoDB.",
        ("store", "visits per second of a core", "the sandbox's share", "visits per second", "commands per second"),
        on_each_store("visits", ROOT / "rules", _visits),
    )


async def _visits(city: City) -> tuple[str, ...]:
    hospital = await connect(city)
    patients = [id_number(number) for number in range(PATIENTS)]
    for number in patients:
        await enrol(city, number)
    slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def one(number: int) -> None:
        async with slots:
            await _visit(city, hospital, number, patients)

    begin = time.perf_counter()
    with processor_time() as spent:
        await asyncio.gather(*map(one, range(VISITS)))
    seconds = time.perf_counter() - begin
    return spent.rate(VISITS), spent.share(), f"{VISITS / seconds:,.0f}", f"{VISITS * (CHARGES + 2) / seconds:,.0f}"


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
