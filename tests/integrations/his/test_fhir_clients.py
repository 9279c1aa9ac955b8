"""The FHIR door of a real server, driven over real sockets by clients that we did not write."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fhirclient.models.chargeitem import ChargeItem
from fhirclient.models.encounter import Encounter
from fhirclient.models.invoice import Invoice
from fhirclient.server import FHIRServer
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from integrations.his.conformance.fhir import FhirBench
from tests.integrations.his.hospital import enrol, in_city
from tests.integrations.his.test_conformance import Ourselves
from tests.servers import wait_until
from tests.services.health_code.scene import id_number

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ourselves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ourselves]:
    made = Ourselves(tmp_path_factory.mktemp("clients"))
    yield made
    made.api.stop()
    made.process.stop()


@pytest.fixture
def bench(ourselves: Ourselves) -> FhirBench:
    """Give an address, a new patient, and the means to sign in."""
    number = next(ourselves._people) + 300
    in_city(ourselves.environment, lambda city: enrol(city, id_number(number)))
    base = f"http://127.0.0.1:{ourselves.api_port}/fhir"
    return FhirBench(base, "KIT01", id_number(number), json.loads(ourselves.key.read_text()))


def made(client: Any, resource: dict[str, Any]) -> Any:  # noqa: ANN401  fhirpy tells no types
    """Give a resource as fhirpy has it, not sent yet."""
    return client.resource(resource["resourceType"], **{k: v for k, v in resource.items() if k != "resourceType"})


def charge_of(bench: FhirBench, context: str, line: str, yuan: float) -> dict[str, Any]:
    return json.loads(bench.charge(context, line, str(yuan)))


def test_fhirpy_takes_a_visit_from_its_opening_to_its_bill(bench: FhirBench) -> None:
    client = SyncFHIRClient(bench.base, authorization=f"Bearer {asyncio.run(bench.token())}")
    visit = made(client, bench.encounter("PY1"))
    visit.create()
    for line, yuan in (("L1", 12.5), ("L2", 7.25)):
        made(client, charge_of(bench, f"Encounter/{visit['id']}", line, yuan)).create()
    found = client.resources("ChargeItem").search(context=f"Encounter/{visit['id']}").limit(1).fetch_all()
    assert [item["identifier"][0]["value"] for item in found] == ["L1", "L2"]
    account = client.resources("Account").search(identifier="PY1").first()
    assert account is not None
    account["status"] = "inactive"
    account.save()
    invoices = client.resources("Invoice").search(identifier="PY1")
    wait_until(lambda: (one := invoices.first()) is not None and one["status"] == "balanced", seconds=30)
    invoice = client.reference("Invoice", visit["id"]).to_resource()
    assert invoice["totalGross"]["value"] == 19.75


def test_fhirpy_creates_once_what_it_creates_conditionally(bench: FhirBench) -> None:
    client = SyncFHIRClient(bench.base, authorization=f"Bearer {asyncio.run(bench.token())}")
    first, new = (
        client.resources("Encounter").search(identifier="PY2").get_or_create(made(client, bench.encounter("PY2")))
    )
    second, newer = (
        client.resources("Encounter").search(identifier="PY2").get_or_create(made(client, bench.encounter("PY2")))
    )
    assert (new, newer, first["id"] == second["id"]) == (True, False, True)


def test_fhirpy_understands_our_errors(bench: FhirBench) -> None:
    client = SyncFHIRClient(bench.base, authorization=f"Bearer {asyncio.run(bench.token())}")
    with pytest.raises(ResourceNotFound):
        client.reference("Encounter", "0" * 32).to_resource()
    visit = made(client, bench.encounter("PY3"))
    visit.create()
    with pytest.raises(OperationOutcome) as refused:
        made(client, charge_of(bench, f"Encounter/{visit['id']}", "L1", 1.005)).create()
    assert "ChargeItem.priceOverride.value" in str(refused.value)


def test_fhirpy_works_asynchronously(bench: FhirBench) -> None:
    async def work() -> list[str]:
        client = AsyncFHIRClient(bench.base, authorization=f"Bearer {await bench.token()}")
        visit = made(client, bench.encounter("PY4"))
        await visit.create()
        charges = [charge_of(bench, f"Encounter/{visit['id']}", f"L{n}", n + 1) for n in range(5)]
        await asyncio.gather(*(made(client, one).create() for one in charges))
        found = await client.resources("ChargeItem").search(context=f"Encounter/{visit['id']}").fetch_all()
        return sorted(item["identifier"][0]["value"] for item in found)

    assert asyncio.run(work()) == ["L0", "L1", "L2", "L3", "L4"]


def test_fhirclient_takes_a_visit_from_its_opening_to_its_bill(bench: FhirBench) -> None:
    server = FHIRServer(None, base_uri=bench.base + "/")
    server.session.headers["Authorization"] = f"Bearer {asyncio.run(bench.token())}"
    visit = Encounter(bench.encounter("SMART1")).create(server)
    context = f"Encounter/{visit['id']}"
    ChargeItem(charge_of(bench, context, "L1", 30.5)).create(server)
    (found,) = Encounter.where({"identifier": "SMART1"}).perform_resources_iter(server)
    assert found.id == visit["id"]
    found.status = "finished"
    found.update(server)
    asyncio.run(bench.ask("PUT", f"/Account/{visit['id']}", _inactive(bench, visit["id"])))
    wait_until(
        lambda: Invoice.where({"identifier": "SMART1"}).perform_resources_iter(server).__next__().status == "issued"
    )
    invoice = Invoice.read(visit["id"], server)
    assert invoice.totalGross.value == 30.5
    assert server.capabilityStatement.fhirVersion.startswith("4.")


def _inactive(bench: FhirBench, visit: str) -> dict[str, Any]:
    return asyncio.run(bench.ask("GET", f"/Account/{visit}")).json | {"status": "inactive"}
