"""What may change the meaning of a resource is refused, never ignored."""

from tests.integrations.his.fhir.hospital_system import (
    ID_NUMBER,
    HospitalSystem,
    Json,
    charge,
    eligibility,
    encounter,
    entry,
    expect_error,
    payment,
)
from tests.services.medical_credit.scene import Patient, Scene

MODIFIER = [{"url": "urn:his:not-done", "valueBoolean": True}]


def test_a_modifier_extension_is_refused_in_every_resource(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    account, invoice = (visit.replace("Encounter", name) for name in ("Account", "Invoice"))
    for resource in (
        encounter(patient, "V2"),
        charge(visit),
        payment(invoice),
        eligibility(patient.id_number),
        {"resourceType": "Account", "status": "active", "identifier": [{"value": "V1"}]},
    ):
        modified = resource | {"modifierExtension": MODIFIER}
        path = f"{resource['resourceType']}.modifierExtension"
        expect_error(first.post(modified), 422, "extension", path)
    for known in (first.read(visit), first.read(account)):
        path = f"{known['resourceType']}.modifierExtension"
        expect_error(first.put(known | {"modifierExtension": MODIFIER}), 422, "extension", path)


def contained_in(**members: object) -> Json:
    return {"contained": [{"resourceType": "Patient", "id": "p", **members}]}


MODIFIERS: list[tuple[Json, str, str]] = [
    ({"implicitRules": "urn:his:rules"}, "implicitRules", "not-supported"),
    ({"_implicitRules": {"id": "r"}}, "_implicitRules", "not-supported"),
    (contained_in(implicitRules="urn:x"), "contained[0].implicitRules", "not-supported"),
    (contained_in(modifierExtension=MODIFIER), "contained[0].modifierExtension", "extension"),
    ({"participant": [{"modifierExtension": []}]}, "participant[0].modifierExtension", "extension"),
    (
        {"location": [{"location": {"display": "x"}, "modifierExtension": MODIFIER}]},
        "location[0].modifierExtension",
        "extension",
    ),
]


def test_a_modifier_is_refused_at_any_depth(first: HospitalSystem, patient: Patient) -> None:
    for members, path, code in MODIFIERS:
        modified = encounter(patient, **members)
        expect_error(first.post(modified), 422, code, f"Encounter.{path}")
        bundled = first.send("transaction", entry("POST", "Encounter", modified))
        expect_error(bundled, 422, code, f"Bundle.entry[0].resource.{path}")
    assert first.found("Encounter?identifier=V1") == []


def test_a_modifier_of_a_bundle_or_of_an_entry_is_refused(first: HospitalSystem, patient: Patient) -> None:
    visit = entry("POST", "Encounter", encounter(patient))
    whole = {"resourceType": "Bundle", "type": "transaction", "implicitRules": "urn:x", "entry": [visit]}
    expect_error(first.request("POST", "", whole), 422, "not-supported", "Bundle.implicitRules")
    for wrong in (
        visit | {"modifierExtension": MODIFIER},
        visit | {"request": visit["request"] | {"modifierExtension": MODIFIER}},
    ):
        expect_error(first.send("transaction", wrong), 422, "extension")
        answer = first.send("batch", wrong).json()["entry"][0]["response"]
        assert answer["status"].startswith("422")
    assert first.found("Encounter?identifier=V1") == []


def patient_in(system: str, value: str, **members: object) -> Json:
    return {"resourceType": "Patient", "id": "p", "identifier": [{"system": system, "value": value}], **members}


def test_a_contained_patient_with_the_identifier_of_another_one_is_refused(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    other = scene.patient("13800000102").id_number
    contained = patient_in(ID_NUMBER, patient.id_number)
    by_other = {"reference": "#p", "identifier": {"system": ID_NUMBER, "value": other}}
    without_system = {"reference": "#p", "identifier": {"value": other}}
    for subject in (by_other, without_system):
        wrong = encounter(patient, subject=subject, contained=[contained])
        expect_error(first.post(wrong), 422, "value", "Encounter.subject")
        expect_error(first.send("transaction", entry("POST", "Encounter", wrong)), 422, "value")
    two = contained | {"identifier": [*contained["identifier"], {"system": ID_NUMBER, "value": other}]}
    expect_error(first.post(encounter(patient, subject={"reference": "#p"}, contained=[two])), 422, "value")
    twice = [contained, patient_in(ID_NUMBER, other)]
    expect_error(first.post(encounter(patient, subject={"reference": "#p"}, contained=twice)), 422, "value")
    nobody = [{"resourceType": "Practitioner", "id": "p", "identifier": contained["identifier"]}]
    expect_error(first.post(encounter(patient, subject={"reference": "#p"}, contained=nobody)), 422, "value")
    assert first.found("Encounter?identifier=V1") == []


def test_a_charge_for_a_contained_patient_who_is_somebody_else_is_refused(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    pseudonym = first.read(visit)["subject"]["identifier"]
    other = patient_in(ID_NUMBER, scene.patient("13800000102").id_number)
    subject = {"reference": "#p", "identifier": pseudonym}
    expect_error(first.post(charge(visit, subject=subject, contained=[other])), 409, "conflict")
    same = patient_in(ID_NUMBER, patient.id_number)
    assert first.post(charge(visit, subject=subject, contained=[same])).status_code == 201


def test_a_contained_patient_may_have_numbers_that_are_no_documents(first: HospitalSystem, patient: Patient) -> None:
    identifiers = [
        {"value": "P-77"},
        {"system": "urn:his:patients", "value": "77"},
        {"system": ID_NUMBER, "value": patient.id_number},
        {"type": {"coding": [{"code": "PPN"}]}, "value": "EA1234567"},
    ]
    contained = {"resourceType": "Patient", "id": "p", "identifier": identifiers}
    subject = {"reference": "#p", "identifier": {"system": ID_NUMBER, "value": f" {patient.id_number} "}}
    first.create(encounter(patient, subject=subject, contained=[contained]))


def test_a_reference_and_its_identifier_name_the_same_visit_and_charge(first: HospitalSystem, patient: Patient) -> None:
    one, other = first.open_visit(patient), first.open_visit(patient, "V2")
    for number, status in (("V1", 201), ("V2", 422)):
        context = {"reference": one, "identifier": {"value": number}}
        response = first.post(charge("", "L1", 10) | {"context": context})
        assert response.status_code == status, response.text
    item = first.found(f"ChargeItem?context={one}")[0]
    first.create(charge(one, "L2", 10))
    for number, status in (("L2", 422), ("L1", 201)):
        part_of = [{"reference": f"ChargeItem/{item['id']}", "identifier": {"value": number}}]
        response = first.post(charge(one, "C1", -1, partOf=part_of))
        assert response.status_code == status, response.text
    assert first.found(f"ChargeItem?context={other}") == []
