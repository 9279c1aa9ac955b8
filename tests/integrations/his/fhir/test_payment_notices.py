"""A hospital reports a payment at its counter, withdraws it, and learns what it must give back."""

import pytest

from tests.integrations.his.fhir.hospital_system import HospitalSystem, charge, expect_error, payment
from tests.services.medical_credit.scene import Patient, Scene


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_a_payment_at_the_counter_is_withdrawn(
    first: HospitalSystem, scene: Scene, patient: Patient, status: str
) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 100))
    first.close_account(visit)
    invoice = visit.replace("Encounter", "Invoice")
    owed_fen = scene.advanced().owed_fen()
    notice = first.create(payment(invoice, "P1", 5))
    assert scene.advanced().owed_fen() == owed_fen - 500
    for _ in range(2):
        assert first.put(notice | {"status": status}).json()["status"] == status
    assert scene.advanced().owed_fen() == owed_fen
    expect_error(first.put(notice), 422, "business-rule", "PaymentNotice")
    other = {"value": 6, "currency": "CNY"}
    partial = first.put(notice | {"status": status, "amount": other})
    told = expect_error(partial, 409, "business-rule", "PaymentNotice.amount.value")
    assert "P1 is of 5 yuan and can only be withdrawn as a whole" in told["diagnostics"]
    expect_error(first.put(notice | {"id": f"{notice['id']}9", "status": status}), 404, "not-found")


def test_an_invoice_says_what_the_hospital_must_give_back(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 100))
    first.close_account(visit)
    path = visit.replace("Encounter", "Invoice")
    share = first.read(path)["totalNet"]["value"]
    first.create(payment(path, "P1", share + 20))
    scene.advanced()
    invoice = first.read(path)
    assert invoice["status"] == "balanced"
    assert "Give 20.00 yuan back." in invoice["note"][0]["text"]
    codes = {one["code"]["coding"][0]["code"]: one["amount"]["value"] for one in invoice["totalPriceComponent"]}
    assert (codes["cash"], codes["counter"], codes["counter-overpaid"]) == (share, share, 20)


def test_an_invoice_says_what_is_to_be_paid_at_the_counter_and_what_was_paid_there(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 20_001))
    first.close_account(visit)
    path = visit.replace("Encounter", "Invoice")

    def component(code: str) -> tuple[str, float] | None:
        parts = {one["code"]["coding"][0]["code"]: one for one in first.read(path)["totalPriceComponent"]}
        found = parts.get(code)
        return found and (found["code"]["coding"][0]["display"], found["amount"]["value"])

    to_be_paid = component("counter")
    assert to_be_paid is not None
    assert to_be_paid[0] == "to be paid at the counter"
    assert component("counter-paid") is None
    first.create(payment(path, "P1", 100))
    scene.advanced()
    assert component("counter") == to_be_paid
    assert component("counter-paid") == ("paid at the counter", 100)
