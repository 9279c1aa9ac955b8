"""What the Invoice of a visit tells the hospital."""

from tests.integrations.his.fhir.hospital_system import HospitalSystem, charge
from tests.services.medical_credit.scene import Patient, Scene


def test_an_invoice_explains_the_copay_to_the_fen(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 333.33))
    first.close_account(visit)
    invoice = first.read(visit.replace("Encounter", "Invoice"))
    fen: dict[str, int] = {}
    sums = {"base": 0, "deduction": 0, "informational": 0}
    for part in invoice["totalPriceComponent"]:
        amount_fen = round(part["amount"]["value"] * 100)
        sums[part["type"]] += amount_fen
        fen[part["code"]["coding"][0]["code"]] = amount_fen
    assert sums["base"] == 33_333
    assert sums["base"] - sums["deduction"] == round(invoice["totalNet"]["value"] * 100) == fen["cash"]
    assert fen["cash"] == fen.get("credit", 0) + fen.get("exception", 0) + fen.get("counter", 0)


def test_an_invoice_names_the_settlement_as_the_city_s_records_of_the_day_do(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 100))
    invoice = visit.replace("Encounter", "Invoice")
    assert "extension" not in first.read(invoice)
    first.close_account(visit)
    settled = scene.advanced().settlement
    assert settled is not None
    number = {"system": "urn:chengma:hospital:HZ001:settlement", "value": settled.split.settlement_id}
    assert number["value"]
    assert first.read(invoice)["extension"] == [{"url": "urn:chengma:fhir:settlement", "valueIdentifier": number}]


def test_an_invoice_is_balanced_once_the_patient_has_paid(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 100))
    first.close_account(visit)
    assert scene.pays(patient, scene.advanced()).status_code == 201
    scene.advanced()
    assert first.read(visit.replace("Encounter", "Invoice"))["status"] == "balanced"
