"""A transaction with a Patient, as interface engines and generators of synthetic data send a visit."""

import pytest

from tests.integrations.his.fhir.hospital_system import (
    ID_NUMBER,
    HospitalSystem,
    Json,
    charge,
    encounter,
    entry,
    expect_error,
)
from tests.services.medical_credit.scene import Patient, Scene

ANN = "urn:uuid:11111111-1111-4111-8111-111111111111"
VISIT = "urn:uuid:22222222-2222-4222-8222-222222222222"


def synthetic(id_number: str, **members: object) -> Json:
    """Return a Patient in the form of Synthea, with a resident card among its identifiers."""
    types = {"MR": "Medical Record Number", "SS": "Social Security Number", "DL": "Driver's license number"}
    identifiers = [
        {"type": {"coding": [{"code": code, "display": name}]}, "system": f"urn:example:{code}", "value": f"{code}-1"}
        for code, name in types.items()
    ]
    return {
        "resourceType": "Patient",
        "id": "11111111-1111-4111-8111-111111111111",
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
        "identifier": [
            {"system": "https://github.com/synthetichealth/synthea", "value": "11111111"},
            *identifiers,
            {"type": {"coding": [{"code": "PPN"}]}, "system": "urn:example:passport", "value": "X19416767X"},
            {"system": ID_NUMBER, "value": id_number},
        ],
        "name": [{"use": "official", "family": "王", "given": ["小明"]}],
        "gender": "male",
        "birthDate": "1990-03-07",
        **members,
    }


def visit_of_ann(patient: Patient, **members: object) -> Json:
    return encounter(patient, subject={"reference": ANN, "display": "王小明"}, **members)


def test_a_visit_and_its_charges_are_of_the_person_whom_the_patient_entry_names(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    response = first.send(
        "transaction",
        entry("POST", "Patient", synthetic(patient.id_number), ANN),
        entry("POST", "Encounter", visit_of_ann(patient), VISIT),
        entry("POST", "ChargeItem", charge(VISIT, "L1", 100, subject={"reference": ANN})),
    )
    assert response.status_code == 200, response.text
    kept, visit, item = response.json()["entry"]
    assert scene.advanced().person == patient.id
    assert "contained" not in visit["resource"]
    assert item["resource"]["subject"] == visit["resource"]["subject"]
    assert kept["response"]["status"] == "200 OK"
    assert not {"resource", "location", "etag"} & {*kept, *kept["response"]}
    assert "患者资料不在本系统保存" in kept["response"]["outcome"]["issue"][0]["details"]["text"]


@pytest.mark.parametrize(
    ("method", "url", "full_url", "reference"),
    [
        ("PUT", "Patient/p1", "http://his.example/fhir/Patient/p1", "Patient/p1"),
        ("PUT", "Patient/p1", "http://his.example/fhir/Patient/p1", "http://his.example/fhir/Patient/p1"),
        ("POST", "Patient", "", f"Patient?identifier={ID_NUMBER}|{{}}"),
    ],
)
def test_a_patient_is_referenced_by_its_address_or_by_its_identifier(
    first: HospitalSystem, scene: Scene, patient: Patient, method: str, url: str, full_url: str, reference: str
) -> None:
    subject = {"reference": reference.format(patient.id_number)}
    response = first.send(
        "transaction",
        entry(method, url, synthetic(patient.id_number, id="p1"), full_url),
        entry("POST", "Encounter", encounter(patient, subject=subject)),
    )
    assert response.status_code == 200, response.text
    assert scene.advanced().person == patient.id


def test_a_charge_that_references_another_patient_entry_is_refused(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit, other = first.open_visit(patient), scene.patient("13800000102").id_number
    wrong = first.send(
        "transaction",
        entry("POST", "Patient", synthetic(other), ANN),
        entry("POST", "ChargeItem", charge(visit, subject={"reference": ANN})),
    )
    expect_error(wrong, 409, "conflict", "Bundle.entry[1].resource.subject")
    by_two = {"reference": ANN, "identifier": {"system": ID_NUMBER, "value": patient.id_number}}
    disagreeing = first.send(
        "transaction",
        entry("POST", "Patient", synthetic(other), ANN),
        entry("POST", "Encounter", encounter(patient, "V2", subject=by_two)),
    )
    expect_error(disagreeing, 422, "value", "Bundle.entry[1].resource.subject")
    assert first.found(f"ChargeItem?context={visit}") == []


def test_a_patient_entry_is_validated_and_its_full_url_is_its_own(first: HospitalSystem, patient: Patient) -> None:
    valid, visit = synthetic(patient.id_number), entry("POST", "Encounter", visit_of_ann(patient))
    modified = valid | {"modifierExtension": [{"url": "urn:x"}]}
    for wrong, status in ((valid | {"gender": 5}, 400), (modified, 422), (valid | {"name": "x"}, 400)):
        response = first.send("transaction", entry("POST", "Patient", wrong, ANN), visit)
        assert response.status_code == status, response.text
        assert response.json()["issue"][0]["expression"][0].startswith("Bundle.entry[0].resource.")
    one = entry("POST", "Patient", valid, ANN)
    expect_error(first.send("transaction", one, one, visit), 400, "structure", "Bundle.entry[1].fullUrl")
    expect_error(first.send("transaction", one, visit | {"fullUrl": ANN}), 400, "structure", "Bundle.entry[1].fullUrl")
    nobody = entry("POST", "Patient", valid | {"identifier": [{"system": "urn:x", "value": "1"}]}, ANN)
    expect_error(first.send("transaction", nobody, visit), 422, "value", "Bundle.entry[1].resource.subject")
    assert first.found("Encounter?identifier=V1") == []


def test_a_patient_is_not_kept_and_not_read(first: HospitalSystem, patient: Patient) -> None:
    alone = first.send("transaction", entry("POST", "Patient", synthetic(patient.id_number), ANN))
    assert alone.json()["entry"][0]["response"]["status"] == "200 OK"
    assert first.post(synthetic(patient.id_number)).status_code == 404
    assert first.send("transaction", entry("GET", "Patient/p1")).status_code == 404
    batch = first.send("batch", entry("POST", "Patient", synthetic(patient.id_number)))
    assert batch.json()["entry"][0]["response"]["status"].startswith("404")
