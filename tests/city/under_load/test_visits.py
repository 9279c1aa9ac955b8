"""A thousand concurrent visits at twenty hospitals, with an API process killed in the middle."""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest

from backend.city.service import City
from backend.paylater.ports import Bank, BankEntry
from backend.security.identity import Access, Caller
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import COLUMNS, OPTIONAL_COLUMNS
from backend.services.medical_credit.model.reconciliation import Difference
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.ports import Insurance
from backend.services.medical_credit.reconciliation import our_records, reconcile
from backend.services.medical_credit.saga import visit_saga
from backend.store import Order
from tests.accounts import keep_account
from tests.draws import draws
from tests.integrations.his.hospital import connect, enrol, in_city
from tests.servers import Process, chengma, city_environment, free_port, listens, wait_until
from tests.services.health_code.scene import id_number

pytestmark = pytest.mark.slow

VISITS, HOSPITALS, PATIENTS, MAX_CONCURRENT = draws(400, soak=1_000), 20, 200, 40
LINES = 4
LOSSES = {"lost_before": 20, "lost_after": 20}


class HospitalCity:
    """A city with twenty hospitals, two hundred patients, an unreliable insurance and bank, and its API processes."""

    def __init__(self, folder: Path, store: str, apis: int) -> None:
        self.ports = [free_port() for _ in range(apis)]
        self.environment = city_environment(folder, store, "", access_log="false", system_requests_per_minute=10**6)
        migrating = chengma(folder, "migrate", self.environment, "migrate")
        assert migrating._process.wait(60) == 0, migrating.log_text()
        self.hospitals = [f"H{number:02}" for number in range(HOSPITALS)]
        self.patients = [id_number(number) for number in range(PATIENTS)]
        self.people = in_city(self.environment, self._connect_and_enrol)
        self.apis = [
            chengma(folder, f"api-{port}", self.environment | {"CHENGMA_PORT": str(port)}, "serve")
            for port in self.ports
        ]
        self.acknowledged = 0
        self.wait_until_ready()

    async def _connect_and_enrol(self, city: City) -> list[str]:
        for code in self.hospitals:
            await connect(city, code)
        insurance: Any = city.port(Insurance)
        for call in ("settle", "cancel", "reverse", "pay", "look_up"):
            insurance.database.inject_faults(call, LOSSES)
        access = Access(city.settings, city.keys, lambda: datetime.now(UTC))
        now = datetime.now(UTC)
        self.tokens = {
            code: access.issue(
                Caller(f"hospital:{code}", "city", roles=("hospital",), scopes=("system/*.cruds",)), now, 3_600
            )
            for code in self.hospitals
        }
        people = [await enrol(city, number) for number in self.patients]
        self.citizens: dict[str, str] = {}
        for person in people:
            caller = await keep_account(
                city.store, city.encryption, Caller(f"a-{person}", "city", person, level=3), now
            )
            self.citizens[person] = access.issue(caller, now, 3_600)
        return people

    def wait_until_ready(self) -> None:
        for port, api in zip(self.ports, self.apis, strict=True):
            wait_until(lambda port=port: listens(port), api.log_text, 60)

    def kill_and_restart(self, api: Process) -> None:
        api.kill()
        api.start()

    # ── requests of hospitals and patients, repeated until acknowledged ──

    async def send(
        self, client: httpx.AsyncClient, token: str, method: str, path: str, body: object, **headers: str
    ) -> dict[str, Any]:
        deadline = time.monotonic() + 90
        for attempt in range(10_000):
            port = self.ports[(hash(path) + attempt) % len(self.ports)]
            try:
                answer = await client.request(
                    method,
                    f"http://127.0.0.1:{port}{path}",
                    json=body,
                    headers={"Authorization": f"Bearer {token}", **headers},
                )
                if answer.status_code < 300:
                    self.acknowledged += 1
                    return answer.json()
                assert answer.status_code in (409, 503), answer.text
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"{method} {path} was never acknowledged"
            await asyncio.sleep(0.1)
        raise AssertionError(path)

    async def visit(self, client: httpx.AsyncClient, number: int) -> None:
        code, patient = self.hospitals[number % HOSPITALS], self.patients[number % PATIENTS]
        token, at = self.tokens[code], datetime.now(UTC).isoformat()
        opened = await self.send(client, token, "POST", "/fhir/Encounter", encounter(patient, number, at))
        context = f"Encounter/{opened['id']}"
        charges = [self.send(client, token, "POST", "/fhir/ChargeItem", charge(context, n, at)) for n in range(LINES)]
        charges.append(self.send(client, token, "POST", "/fhir/ChargeItem", charge(context, 0, at)))  # send it again
        await asyncio.gather(*charges)
        path = f"/fhir/Account/{opened['id']}"
        account = await self.send(client, token, "GET", path, None)
        await self.send(client, token, "PUT", path, account | {"status": "inactive"})

    async def pay(self, client: httpx.AsyncClient, visit: Visit) -> None:
        wanted = {"amount_fen": visit.owed_fen(), "scope": "all"}
        path, token = f"/v1/me/visits/{visit.id}/payments", self.citizens[visit.person]
        twice = (
            self.send(client, token, "POST", path, wanted, **{"Idempotency-Key": f"pay-{visit.id}"}) for _ in range(2)
        )
        await asyncio.gather(*twice)


def encounter(patient: str, number: int, at: str) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "identifier": [{"value": f"V{number}"}],
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EMER"},
        "subject": {"identifier": {"system": "urn:oid:2.16.156.10011.1.3", "value": patient}},
        "period": {"start": at},
    }


def charge(context: str, line: int, at: str) -> dict[str, Any]:
    return {
        "resourceType": "ChargeItem",
        "identifier": [{"value": f"L{line}"}],
        "status": "billable",
        "code": {"coding": [{"code": "110100001"}], "text": "诊查费"},
        "subject": {"display": "see the visit"},
        "context": {"reference": context},
        "occurrenceDateTime": at,
        "priceOverride": {"value": 20 + line, "currency": "CNY"},
    }


async def all_at_once(hospital_city: HospitalCity, work: list[Coroutine[Any, Any, None]], killed_after: int) -> None:
    """Run all jobs, forty at a time, and kill an API process after a number of acknowledged requests."""
    slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def one(job: Coroutine[Any, Any, None]) -> None:
        async with slots:
            await job

    async def kill_one() -> None:
        while hospital_city.acknowledged < killed_after:  # noqa: ASYNC110  acknowledgements are counted and not signalled
            await asyncio.sleep(0.01)
        await asyncio.to_thread(hospital_city.kill_and_restart, hospital_city.apis[0])

    await asyncio.gather(kill_one(), *map(one, work))


async def finish_all_steps(city: City) -> list[Visit]:
    """Sweep without waiting for the clock until nothing is due, and return the visits."""
    for name in ("settle", "cancel", "reverse", "pay", "look_up"):
        port: Any = city.port(Insurance)
        port.database.inject_faults(name, {})
    for _ in range(400):
        due = Order("due_ms", below=int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1_000))
        page = await city.store.find(Visit, {}, order=due, limit=500)
        if not page.documents:
            break
        await asyncio.gather(*(visit_saga.resume(city, visit.id) for visit in page.documents))
        await asyncio.sleep(1)
    return [visit async for visit in city.store.scan(Visit)]


def hospital_file(code: str, ours: str) -> str:
    """Return a hospital's file built from the charges it sent and the settlements it received."""
    rows = [",".join((*COLUMNS, *OPTIONAL_COLUMNS))]
    for number in range(VISITS):
        if number % HOSPITALS == int(code[1:]):
            rows += [f"V{number},charge,L{line},,110100001,{20 + line}.00,,," for line in range(LINES)]
    rows += [row for row in ours.splitlines() if ",settlement," in row]
    return "\n".join(rows) + "\n"


async def differences_of(city: City, code: str) -> list[Difference]:
    hospital = await city.store.get(Hospital, code)
    assert hospital is not None
    day = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    return list(
        (await reconcile(city, hospital, day, hospital_file(code, await our_records(city, hospital, day)))).differences
    )


@pytest.fixture(params=["sqlite", "mongodb"])
def hospital_city(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HospitalCity]:
    if request.param == "sqlite":
        created = HospitalCity(tmp_path, f"sqlite:///{tmp_path}/city.db", 1)
    else:
        address, _, options = request.getfixturevalue("mongod_url").partition("?")
        created = HospitalCity(tmp_path, f"{address.rstrip('/')}/visits_{uuid4().hex[:8]}?{options}", 2)
    yield created
    for api in created.apis:
        api.stop()


def test_a_thousand_visits_and_a_killed_process_leave_no_difference(hospital_city: HospitalCity) -> None:
    if datetime.now(ZoneInfo("Asia/Shanghai")).strftime("%H:%M") >= "23:55":
        time.sleep(310)  # visits before and after midnight would belong to two days

    async def visits() -> None:
        async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_connections=MAX_CONCURRENT * 6)) as client:
            await all_at_once(
                hospital_city, [hospital_city.visit(client, number) for number in range(VISITS)], VISITS * LINES
            )

    begin = time.monotonic()
    asyncio.run(visits())
    took = time.monotonic() - begin
    billed = in_city(hospital_city.environment, finish_all_steps)
    assert {visit.stage() for visit in billed} <= {"billed", "paid"}

    async def payments() -> None:
        async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_connections=MAX_CONCURRENT * 6)) as client:
            owing = [hospital_city.pay(client, visit) for visit in billed if visit.owed_fen() > 0]
            await all_at_once(hospital_city, owing, hospital_city.acknowledged + len(owing))

    hospital_city.wait_until_ready()
    asyncio.run(payments())
    found = in_city(hospital_city.environment, finish_all_steps)
    assert {visit.id for visit in found} == {visit_id(f"H{n % HOSPITALS:02}", f"V{n}") for n in range(VISITS)}
    assert {visit.stage() for visit in found} == {"paid"}
    assert {visit.total_fen() for visit in found} == {sum(2_000 + 100 * line for line in range(LINES))}
    assert all(sum(payment.state == "paid" for payment in visit.payments) <= 1 for visit in found)
    for code in hospital_city.hospitals:
        assert in_city(hospital_city.environment, lambda city, code=code: differences_of(city, code)) == []
    paid = sum(visit.paid_fen() for visit in found)
    assert sum(entry.amount_fen for entry in in_city(hospital_city.environment, bank_entries)) == paid > 0
    print(f"{VISITS} visits in {took:.0f} s, {hospital_city.acknowledged} requests acknowledged")  # noqa: T201


async def bank_entries(city: City) -> list[BankEntry]:
    bank: Any = city.port(Bank)
    return bank.entries()
