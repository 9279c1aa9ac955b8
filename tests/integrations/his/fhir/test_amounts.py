"""Amounts of FHIR are decimal yuan: exact, in CNY, and JSON numbers."""

import json

from tests.integrations.his.fhir.hospital_system import (
    HospitalSystem,
    Json,
    charge,
    credit,
    encounter,
    entry,
    expect_error,
    payment,
)
from tests.services.medical_credit.scene import Patient, Scene


def sent(first: HospitalSystem, resource: Json, number: str) -> Json:
    """Create a resource whose price is written as this JSON number, and return it."""
    body = json.dumps(resource).replace('"value": 12.5', f'"value": {number}')
    response = first.request("POST", resource["resourceType"], body)
    assert response.status_code == 201, response.text
    return response.json()


def test_a_json_number_is_read_exactly(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    numbers = {"100.100": "100.10", "1e2": "100.00", "79.000000": "79.00", "0": "0.00", "0.00": "0.00", "5E-1": "0.50"}
    for number, yuan in numbers.items():
        item = sent(first, charge(visit, f"L{number}"), number)
        assert f'"value":{yuan},' in first.get(f"ChargeItem/{item['id']}").text


def test_an_amount_that_is_not_whole_fen_or_too_large_is_refused(first: HospitalSystem, patient: Patient) -> None:
    resource = json.dumps(charge(first.open_visit(patient)))
    for number in ("1.005", "1e-3", "1e20", "-1", "100000000.01", "1" * 30, "1e400"):
        response = first.request("POST", "ChargeItem", resource.replace('"value": 12.5', f'"value": {number}'))
        assert response.status_code in (400, 422), response.text
        assert response.json()["issue"][0]["expression"] == ["ChargeItem.priceOverride.value"]


def test_a_free_line_among_others_is_kept_and_not_billed(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    visit = first.open_visit(patient)
    items = [first.create(charge(visit, f"L{n}", price)) for n, price in enumerate((10, 0, 20.5))]
    assert [item["status"] for item in items] == ["billable", "not-billable", "billable"]
    first.close_account(visit)
    claim = scene.advanced().settlement
    assert claim is not None
    assert claim.split.medfee_fen == 30_50
    statuses = [one["status"] for one in first.found(f"ChargeItem?context={visit}")]
    assert statuses == ["billed", "not-billable", "billed"]
    assert first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"] == 30.5


def test_a_visit_with_free_lines_only_is_closed_without_a_claim(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 0))
    first.close_account(visit)
    assert scene.advanced().settlement is not None
    assert first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"] == 0


def test_a_free_line_after_the_bill_changes_nothing(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 100))
    first.close_account(visit)
    before = scene.advanced()
    assert scene.pays(patient, before).status_code == 201
    first.create(charge(visit, "L2", 0))
    after = scene.advanced()
    assert (after.settlement, after.bill) == (before.settlement, before.bill)
    assert first.read(visit.replace("Encounter", "Invoice"))["status"] == "balanced"


def test_a_free_line_can_be_withdrawn_or_adjusted(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    withdrawn, adjusted = first.create(charge(visit, "L1", 0)), first.create(charge(visit, "L2", 0))
    for _ in range(2):
        assert first.put(withdrawn | {"status": "entered-in-error"}).json()["status"] == "entered-in-error"
    first.create(credit(visit, f"ChargeItem/{adjusted['id']}", "L3", 4, overrideReason="adjustment"))
    assert first.read(f"ChargeItem/{adjusted['id']}")["status"] == "billable"
    assert first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"] == 4


ESTIMATE = {"url": "urn:chengma:fhir:estimated-share"}


def test_another_currency_than_the_yuan_is_refused_everywhere(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    item = first.create(charge(visit))
    for currency in ("USD", "cny", "RMB", ""):
        money = {"value": 12.5, "currency": currency}
        for response in (
            first.post(charge(visit, "L2", priceOverride=money)),
            first.put(item | {"priceOverride": money}),
            first.put(item | {"priceOverride": money, "status": "entered-in-error"}),
            first.post(payment(visit.replace("Encounter", "Invoice")) | {"amount": money}),
            first.post(encounter(patient, "V2", extension=[ESTIMATE | {"valueMoney": money}])),
            first.post(charge(visit, "L2", extension=[{"url": "urn:x", "valueMoney": money}])),
        ):
            assert response.status_code in (400, 422), response.text
            assert response.json()["issue"][0]["expression"][0].endswith(".currency")
    assert len(first.found(f"ChargeItem?context={visit}")) == 1


TEXT = {"value": "12.50", "currency": "CNY"}


def test_an_amount_as_text_is_refused_wherever_it_is(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    item = first.create(charge(visit))
    invoice = visit.replace("Encounter", "Invoice")
    for resource, path in (
        (charge(visit, "L2", "12.50"), "ChargeItem.priceOverride.value"),
        (charge(visit, "L2", quantity={"value": "1"}), "ChargeItem.quantity.value"),
        (charge(visit, "L2", factorOverride="1"), "ChargeItem.factorOverride"),
        (payment(invoice, amount="12.50"), "PaymentNotice.amount.value"),
        (
            encounter(patient, "V2", extension=[ESTIMATE | {"valueMoney": TEXT}]),
            "Encounter.extension[0].valueMoney.value",
        ),
        (
            charge(visit, "L2", extension=[{"url": "urn:x", "extension": [{"url": "y", "valueDecimal": "1.5"}]}]),
            "ChargeItem.extension[0].extension[0].valueDecimal",
        ),
        (
            charge(visit, "L2", code={"coding": [{"code": "1", "userSelected": "true"}]}),
            "ChargeItem.code.coding[0].userSelected",
        ),
        (charge(visit, "L2", occurrenceDateTime=20220420), "ChargeItem.occurrenceDateTime"),
    ):
        expect_error(first.post(resource), 400, "structure", path)
    expect_error(first.put(item | {"priceOverride": TEXT}), 400, "structure", "ChargeItem.priceOverride.value")


def test_an_update_needs_a_price_that_is_one(first: HospitalSystem, patient: Patient) -> None:
    item = first.create(charge(first.open_visit(patient)))
    without = {name: value for name, value in item.items() if name != "priceOverride"}
    expect_error(first.put(without), 422, "required", "ChargeItem.priceOverride.value")
    body = json.dumps(item).replace('"value": 12.5', '"value": 1e20')
    response = first.request("PUT", f"ChargeItem/{item['id']}", body)
    expect_error(response, 422, "value", "ChargeItem.priceOverride.value")
    assert first.put(without | {"status": "entered-in-error"}).status_code == 200


def test_a_batch_answers_each_entry_by_itself(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    item = first.create(charge(visit))
    without = {name: value for name, value in item.items() if name != "priceOverride"}
    response = first.send(
        "batch",
        entry("POST", "ChargeItem", charge(visit, "A1", "12.50")),
        entry("PUT", f"ChargeItem/{item['id']}", without),
        entry("POST", "ChargeItem", charge(visit, "A2", contained=[{"resourceType": "Nonsense", "id": "n"}])),
        entry("POST", "Encounter", encounter(patient, "V2", modifierExtension=[{"url": "urn:x"}])),
        entry("POST", "ChargeItem", charge(visit, "A3", 3)) | {"modifierExtension": [{"url": "urn:x"}]},
        entry("PUT", "ChargeItem/" + "9" * 5_000, item | {"id": "9" * 5_000}),
        {"request": "nothing"},
        entry("POST", "ChargeItem", charge(visit, "A4", 4)),
    )
    assert response.status_code == 200, response.text
    statuses = [one["response"]["status"][:3] for one in response.json()["entry"]]
    assert statuses == ["400", "422", "400", "422", "422", "400", "400", "201"]
    found = [one["identifier"][0]["value"] for one in first.found(f"ChargeItem?context={visit}")]
    assert found == ["L1", "A4"]
