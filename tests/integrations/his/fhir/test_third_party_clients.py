"""The FHIR interface of a real server, tested over real sockets with third-party clients."""

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

from integrations.his.conformance.fhir_checks import FhirTester
from tests.integrations.his.conformance.test_conformance import OwnCity
from tests.integrations.his.hospital import enrol, in_city
from tests.servers import wait_until
from tests.services.health_code.scene import id_number

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnCity]:
    running = OwnCity(tmp_path_factory.mktemp("clients"))
    yield running
    running.api.stop()
    running.process.stop()


@pytest.fixture
def tester(own_city: OwnCity) -> FhirTester:
    """Return a tester with a new patient."""
    number = next(own_city._people) + 300
    in_city(own_city.environment, lambda city: enrol(city, id_number(number)))
    base = f"http://127.0.0.1:{own_city.api_port}/fhir"
    return FhirTester(base, "KIT01", id_number(number), json.loads(own_city.key.read_text()))


def unsaved(client: Any, resource: dict[str, Any]) -> Any:  # noqa: ANN401  fhirpy has no types
    """Return fhirpy's object of a resource that is not saved yet."""
    return client.resource(resource["resourceType"], **{k: v for k, v in resource.items() if k != "resourceType"})


def charge_of(tester: FhirTester, context: str, line: str, yuan: float) -> dict[str, Any]:
    return json.loads(tester.charge(context, line, str(yuan)))


def test_fhirpy_takes_a_visit_from_opening_to_bill(tester: FhirTester) -> None:
    client = SyncFHIRClient(tester.base, authorization=f"Bearer {asyncio.run(tester.access_token())}")
    visit = unsaved(client, tester.encounter("PY1"))
    visit.create()
    for line, yuan in (("L1", 12.5), ("L2", 7.25)):
        unsaved(client, charge_of(tester, f"Encounter/{visit['id']}", line, yuan)).create()
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


def test_fhirpy_creates_a_resource_conditionally(tester: FhirTester) -> None:
    client = SyncFHIRClient(tester.base, authorization=f"Bearer {asyncio.run(tester.access_token())}")
    first, created = (
        client.resources("Encounter").search(identifier="PY2").get_or_create(unsaved(client, tester.encounter("PY2")))
    )
    second, created_again = (
        client.resources("Encounter").search(identifier="PY2").get_or_create(unsaved(client, tester.encounter("PY2")))
    )
    assert (created, created_again, first["id"] == second["id"]) == (True, False, True)


def test_fhirpy_reads_our_errors(tester: FhirTester) -> None:
    client = SyncFHIRClient(tester.base, authorization=f"Bearer {asyncio.run(tester.access_token())}")
    with pytest.raises(ResourceNotFound):
        client.reference("Encounter", "0" * 32).to_resource()
    visit = unsaved(client, tester.encounter("PY3"))
    visit.create()
    with pytest.raises(OperationOutcome) as refused:
        unsaved(client, charge_of(tester, f"Encounter/{visit['id']}", "L1", 1.005)).create()
    assert "ChargeItem.priceOverride.value" in str(refused.value)


def test_fhirpy_works_asynchronously(tester: FhirTester) -> None:
    async def work() -> list[str]:
        client = AsyncFHIRClient(tester.base, authorization=f"Bearer {await tester.access_token()}")
        visit = unsaved(client, tester.encounter("PY4"))
        await visit.create()
        charges = [charge_of(tester, f"Encounter/{visit['id']}", f"L{n}", n + 1) for n in range(5)]
        await asyncio.gather(*(unsaved(client, one).create() for one in charges))
        found = await client.resources("ChargeItem").search(context=f"Encounter/{visit['id']}").fetch_all()
        return sorted(item["identifier"][0]["value"] for item in found)

    assert asyncio.run(work()) == ["L0", "L1", "L2", "L3", "L4"]


def test_fhirclient_takes_a_visit_from_opening_to_bill(tester: FhirTester) -> None:
    server = FHIRServer(None, base_uri=tester.base + "/")
    server.session.headers["Authorization"] = f"Bearer {asyncio.run(tester.access_token())}"
    visit = Encounter(tester.encounter("SMART1")).create(server)
    context = f"Encounter/{visit['id']}"
    ChargeItem(charge_of(tester, context, "L1", 30.5)).create(server)
    (found,) = Encounter.where({"identifier": "SMART1"}).perform_resources_iter(server)
    assert found.id == visit["id"]
    found.status = "finished"
    found.update(server)
    asyncio.run(tester.request("PUT", f"/Account/{visit['id']}", _inactive(tester, visit["id"])))
    wait_until(
        lambda: Invoice.where({"identifier": "SMART1"}).perform_resources_iter(server).__next__().status == "issued"
    )
    invoice = Invoice.read(visit["id"], server)
    assert invoice.totalGross.value == 30.5
    assert server.capabilityStatement.fhirVersion.startswith("4.")


def _inactive(tester: FhirTester, visit: str) -> dict[str, Any]:
    return asyncio.run(tester.request("GET", f"/Account/{visit}")).json | {"status": "inactive"}
