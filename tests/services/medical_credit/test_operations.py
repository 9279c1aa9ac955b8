"""How many store operations a visit takes from its opening to its bill and the notice of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from backend.app import open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.commands import CloseVisit, OpenVisit
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import Line, Visit, visit_id
from backend.services.medical_credit.saga import visit_saga
from backend.settings import Settings
from backend.store.in_hand import MAX_REFUSED
from tests.conftest import ROOT
from tests.counting_store import CountingStore
from tests.integrations.his.hospital import connect, enrol
from tests.keys import new_keys
from tests.services.health_code.scene import id_number

T = TypeVar("T")
PATIENTS, VISITS_EACH, CHARGES = 4, 5, 5
"""As in tests/bench/visits.py: five visits of each patient; from the second on, the patient owes bills."""


def in_counted_city(
    address: str, folder: Path, work: Callable[[City, CountingStore, Hospital, list[str]], Awaitable[T]]
) -> T:
    """Run `work` in a city with a hospital and enrolled patients, counting only what `work` does."""

    async def run() -> T:
        settings = Settings(
            store=address,
            keys=new_keys(folder / "keys"),
            sandbox=str(folder / "sandbox.db"),
            rules=str(ROOT / "rules"),
        )
        city = open_city(settings, discover_services(), discover_integrations("integrations"))
        hospital = await connect(city)
        patients = [id_number(number) for number in range(PATIENTS)]
        for number in patients:
            await enrol(city, number)
        store = CountingStore(city.store)
        try:
            return await work(replace(city, store=store), store, hospital, patients)
        finally:
            await city.store.close()

    return asyncio.run(run())


async def visit(city: City, hospital: Hospital, name: str, patient: str, *, saga_after_opening: bool) -> None:
    """Run a visit from its opening to its bill."""
    at: datetime = city.now()
    await handle_command(city, hospital, name, OpenVisit(patient, "emergency", at), f"{name}-open")
    key = visit_id(hospital.id, name)
    if saga_after_opening:
        await visit_saga.resume(city, key)
    for line in range(CHARGES):
        charge = Line(f"L{line}", "charge", "110100001", "诊查费", 2_000, at)
        await handle_command(city, hospital, name, charge, f"{name}-{line}")
    await handle_command(city, hospital, name, CloseVisit(at, final=True), f"{name}-close")
    billed = await visit_saga.resume(city, key)
    assert billed is not None
    assert billed.bill is not None
    assert [notice.sent for notice in billed.notices] == [True]


@pytest.mark.parametrize(("saga_after_opening", "most"), [(False, 16), (True, 19)])
def test_a_visit_takes_few_store_operations(address: str, tmp_path: Path, saga_after_opening: bool, most: int) -> None:
    """A hold that the sweep places before the visit is closed takes another three."""

    async def work(city: City, store: CountingStore, hospital: Hospital, patients: list[str]) -> None:
        for number in range(PATIENTS * VISITS_EACH):
            patient = patients[number % PATIENTS]
            await visit(city, hospital, f"V{number}", patient, saga_after_opening=saga_after_opening)
        average = store.total() / (PATIENTS * VISITS_EACH)
        print(f"{average} store operations per visit: {dict(store.calls)}")  # noqa: T201  shown by -s
        assert average <= most

    in_counted_city(address, tmp_path, work)


def test_a_first_visit_reads_four_documents_and_stores_each_command_with_one_write(
    address: str, tmp_path: Path
) -> None:
    """Every operation has a reason.

    The opening finds the person by the document that the hospital sent, reads their enrolment and inserts the visit;
    each charge and the closing is one write, since it is durable before it is answered. The background reads the visit,
    stores the claim before it is sent to the insurance, posts the debt, stores the bill, keeps the notice of it, and
    stores that it is kept.
    """

    async def work(city: City, store: CountingStore, hospital: Hospital, patients: list[str]) -> None:
        await visit(city, hospital, "V1", patients[0], saga_after_opening=False)
        opening = {("find", "Person"): 1, ("get", "Enrolment"): 1, ("insert", "Visit"): 1}
        billing = {("get", "Visit"): 1, ("replace", "Enrolment"): 1, ("insert", "Notice"): 1}
        assert store.calls == opening | billing | {("replace", "Visit"): CHARGES + 1 + 3}

    in_counted_city(address, tmp_path, work)


def test_two_processes_that_take_turns_at_a_visit_lose_no_charge_and_soon_read_it_again(
    address: str, tmp_path: Path
) -> None:
    """Each writes by an outdated copy at most MAX_REFUSED times, and then reads the visit before each command."""

    async def work(city: City, store: CountingStore, hospital: Hospital, patients: list[str]) -> None:
        stores = store, CountingStore(city.store)
        cities = [replace(city, store=one) for one in stores]
        await handle_command(city, hospital, "V1", OpenVisit(patients[0], "emergency", city.now()), "V1-open")
        charges = [Line(f"L{n}", "charge", "110100001", "诊查费", 2_000, city.now()) for n in range(20)]
        for number, charge in enumerate(charges):
            await handle_command(cities[number % 2], hospital, "V1", charge, f"V1-{number}")
        stored = await store.get(Visit, visit_id(hospital.id, "V1"))
        assert stored is not None
        assert stored.lines == tuple(charges)
        assert stores[1].calls["replace", "Visit"] <= len(charges) / 2 + MAX_REFUSED

    in_counted_city(address, tmp_path, work)
