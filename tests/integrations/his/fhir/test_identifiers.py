"""Identifiers are pairs of system and value: the same number in two systems names two things."""

from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.reconciliation import our_records, reconcile
from tests.integrations.his.fhir.hospital_system import (
    OURS,
    HospitalSystem,
    Json,
    charge,
    credit,
    eligibility,
    encounter,
    entry,
    expect_error,
    payment,
)
from tests.services.medical_credit.scene import Patient, Scene

CLINIC, WARD = "urn:his:outpatient-no", "urn:his:ward-no"


def numbered(system: str | None, number: str = "1001") -> list[Json]:
    return [{"value": number} if system is None else {"system": system, "value": number}]


def opened(first: HospitalSystem, patient: Patient, system: str | None, number: str = "1001") -> str:
    created = first.create(encounter(patient, identifier=numbered(system, number)))
    return f"Encounter/{created['id']}"


def total(first: HospitalSystem, visit: str) -> float:
    return first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"]


def test_one_number_in_two_systems_names_two_visits_with_their_own_bills(
    first: HospitalSystem, patient: Patient
) -> None:
    clinic, ward = opened(first, patient, CLINIC), opened(first, patient, WARD)
    for system, price in ((CLINIC, 10), (WARD, 20)):
        by_number = {"type": "Encounter", "identifier": {"system": system, "value": "1001"}}
        first.create(charge("", "L1", price) | {"context": by_number})
    assert (total(first, clinic), total(first, ward)) == (10, 20)
    assert first.read(ward)["identifier"] == [{"system": WARD, "value": "1001"}]


def test_the_own_systems_of_a_hospital_and_none_name_the_visit_that_they_always_named(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = opened(first, patient, None)
    assert visit == f"Encounter/{visit_id('HZ001', '1001')}"
    assert visit_id("HZ001", "1001", "urn:chengma:hospital:HZ001:visit") == visit_id("HZ001", "1001")
    for system in (None, OURS, "urn:chengma:hospital:HZ001:visit"):
        assert first.post(encounter(patient, identifier=numbered(system))).json()["id"] == visit.split("/")[1]
    stored = scene.call(scene.city.store.get, Visit, visit.split("/")[1])
    assert (stored.number, stored.plain_number) == ("1001", None)
    assert first.read(visit)["identifier"] == [{"system": "urn:chengma:hospital:HZ001:visit", "value": "1001"}]


SEARCHES: dict[str, set[str | None]] = {
    "identifier=1001": {None, CLINIC, WARD},
    "identifier=|1001": {None},
    f"identifier={CLINIC}|1001": {CLINIC},
    f"identifier={CLINIC}|": {CLINIC},
    "identifier=urn:other|1001": set(),
    "identifier=urn:other|": set(),
    f"identifier={CLINIC}|1001,{WARD}|1001": {CLINIC, WARD},
    f"identifier={CLINIC}|,{WARD}|1001": {CLINIC, WARD},
    f"identifier=1001&identifier={WARD}|": {WARD},
    f"identifier={CLINIC}|&identifier={WARD}|1001": set(),
    f"identifier={OURS}|1001": {None},
    "identifier=urn:chengma:hospital:HZ001:visit|": {None},
    "status=urn:other|in-progress": set(),
    "status=http://hl7.org/fhir/encounter-status|in-progress": {None, CLINIC, WARD},
    "class=urn:other|AMB": set(),
    "class=http://terminology.hl7.org/CodeSystem/v3-ActCode|AMB": {None, CLINIC, WARD},
}


def test_a_search_respects_the_system_of_a_token(first: HospitalSystem, patient: Patient) -> None:
    visits = {opened(first, patient, system): system for system in (None, CLINIC, WARD)}
    for criterion, expected in SEARCHES.items():
        found = first.found(f"Encounter?{criterion}")
        assert {visits[f"Encounter/{one['id']}"] for one in found} == expected, criterion


def test_a_conditional_create_finds_the_visit_of_the_same_system_only(first: HospitalSystem, patient: Patient) -> None:
    clinic = opened(first, patient, CLINIC)
    ward = encounter(patient, identifier=numbered(WARD))
    assert first.post(ward, If_None_Exist=f"identifier={WARD}|1001").status_code == 201
    again = first.post(ward, If_None_Exist=f"identifier={CLINIC}|1001")
    assert (again.status_code, f"Encounter/{again.json()['id']}") == (200, clinic)
    expect_error(first.post(ward, If_None_Exist="identifier=1001"), 412, "conflict")


def test_a_conditional_reference_and_a_transaction_respect_the_system(first: HospitalSystem, patient: Patient) -> None:
    clinic = opened(first, patient, CLINIC)
    response = first.send(
        "transaction",
        entry("POST", "Encounter", encounter(patient, identifier=numbered(WARD)), "urn:uuid:1"),
        entry("POST", "ChargeItem", charge("urn:uuid:1", "L1", 7)),
        entry("POST", "ChargeItem", charge(f"Encounter?identifier={CLINIC}|1001", "L1", 9)),
    )
    assert response.status_code == 200, response.text
    assert total(first, clinic) == 9
    widened = charge(f"Encounter?identifier={CLINIC}|1001&status=finished", "L2")
    expect_error(first.post(widened), 422, "not-found", "ChargeItem.context")


def test_one_number_in_two_systems_names_two_lines_and_two_payments(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    items = [
        first.create(charge(visit, "7", price, identifier=numbered(system, "7")))
        for system, price in ((None, 10), ("urn:his:drugs", 20), ("urn:his:tests", 40))
    ]
    assert items[1]["identifier"] == [{"system": "urn:his:drugs", "value": "7"}]
    assert total(first, visit) == 70
    by_identifier = {"type": "ChargeItem", "identifier": {"system": "urn:his:tests", "value": "7"}}
    first.create(credit(visit, "", "C1", -5) | {"partOf": [by_identifier]})
    assert first.read(f"ChargeItem/{items[0]['id']}")["status"] == "billable"
    assert total(first, visit) == 65
    query = f"ChargeItem?context={visit}&identifier="
    assert [one["priceOverride"]["value"] for one in first.found(f"{query}urn:his:drugs|7")] == [20]
    assert len(first.found(f"{query}7")) == 3
    assert [one["id"] for one in first.found(f"{query}|7")] == [items[0]["id"]]
    assert len(first.found(f"{query}urn:his:tests|")) == 1
    request = visit.replace("Encounter", "Invoice")
    for system in ("urn:his:cash", "urn:his:card"):
        first.create(payment(request) | {"identifier": numbered(system, "P1")})
    found = first.found(f"PaymentNotice?request={request}&identifier=urn:his:card|P1")
    assert [one["payment"]["identifier"] for one in found] == [{"system": "urn:his:card", "value": "P1"}]


def test_a_search_through_the_number_of_a_visit_respects_its_system(first: HospitalSystem, patient: Patient) -> None:
    clinic, ward = opened(first, patient, CLINIC), opened(first, patient, WARD)
    for visit in (clinic, ward):
        first.create(charge(visit))
    contexts = [one["context"] for one in first.found(f"ChargeItem?context.identifier={WARD}|1001")]
    assert contexts == [{"reference": ward}]
    assert len(first.found("ChargeItem?context.identifier=1001")) == 2
    assert first.found("ChargeItem?context.identifier=urn:other|1001") == []
    assert first.found(f"ChargeItem?context={clinic}&account.identifier={WARD}|") == []
    assert len(first.found(f"Invoice?account.identifier={WARD}|1001")) == 1


def test_an_account_belongs_to_the_visit_of_its_system(first: HospitalSystem, patient: Patient) -> None:
    ward = opened(first, patient, WARD)
    account = {"resourceType": "Account", "status": "active"}
    created = first.post(account | {"identifier": numbered(WARD)})
    assert (created.status_code, created.json()["id"]) == (200, ward.split("/")[1])
    expect_error(first.post(account | {"identifier": numbered(CLINIC)}), 422, "not-found", "Account.identifier")
    assert [one["id"] for one in first.found(f"Account?identifier={WARD}|1001")] == [ward.split("/")[1]]


def test_an_update_may_repeat_the_number_of_a_visit_and_not_change_it(first: HospitalSystem, patient: Patient) -> None:
    visit = first.read(opened(first, patient, WARD))
    assert first.put(visit | {"status": "finished"}).status_code == 200
    both = [*numbered("urn:his:archive", "A-1"), *numbered(WARD)]
    assert first.put(visit | {"status": "finished", "identifier": both}).status_code == 200
    for other in (numbered(CLINIC), numbered(None), numbered(WARD, "a b")):
        expect_error(first.put(visit | {"identifier": other}), 422, "value", "Encounter.identifier")


def test_one_number_in_two_systems_names_two_eligibility_requests(first: HospitalSystem, patient: Patient) -> None:
    asked = [
        first.create(eligibility(patient.id_number) | {"identifier": numbered(system, "E1")})["id"]
        for system in (None, "urn:his:desk")
    ]
    assert asked[0] != asked[1]
    assert len(first.found("CoverageEligibilityRequest?identifier=E1")) == 2
    (found,) = first.found("CoverageEligibilityResponse?identifier=urn:his:desk|E1")
    assert (found["id"], found["identifier"]) == (asked[1], numbered("urn:his:desk", "E1"))
    assert first.found("CoverageEligibilityRequest?identifier=urn:other|E1") == []


def test_a_patient_is_searched_by_system_and_number(first: HospitalSystem, patient: Patient) -> None:
    first.open_visit(patient)
    for system, count in (("", 1), ("urn:oid:2.16.156.10011.1.3|", 1), ("urn:other|", 0)):
        form = f"patient.identifier={system}{patient.id_number}"
        headers = {"Content_Type": "application/x-www-form-urlencoded"}
        assert first.request("POST", "Encounter/_search", form, **headers).json()["total"] == count


def test_an_identifier_that_is_no_longer_in_use_does_not_name_a_visit(first: HospitalSystem, patient: Patient) -> None:
    old, new = {"use": "old", "value": "O-1"}, {"value": "N-1"}
    assert first.create(encounter(patient, identifier=[old, new]))["identifier"][0]["value"] == "N-1"
    expect_error(first.post(encounter(patient, identifier=[old])), 422, "required", "Encounter.identifier")


def test_an_identifier_and_its_system_have_a_greatest_length(first: HospitalSystem, patient: Patient) -> None:
    for wrong in (numbered("urn:" + "x" * 200), numbered(CLINIC, "1|2")):
        expect_error(first.post(encounter(patient, identifier=wrong)), 422, "value", "Encounter.identifier")


def test_the_file_of_a_hospital_may_leave_out_systems_that_are_not_needed(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = opened(first, patient, WARD)
    item = first.create(charge(visit, identifier=numbered("urn:his:tests", "7"), priceOverride={"value": 100}))
    first.create(credit(visit, f"ChargeItem/{item['id']}", "C1", -1))
    first.put(first.read(visit.replace("Encounter", "Account")) | {"status": "inactive"})
    settled = scene.advanced(f"{WARD}|1001")
    assert settled.settlement is not None
    day = settled.settlement.at.astimezone(scene.city.rulebook.time_zone).date()
    file = scene.call(our_records, scene.city, scene.first, day)
    assert f"{WARD}|1001,charge,urn:his:tests|7," in file
    assert f"{WARD}|1001,credit,C1,urn:his:tests|7," in file
    for same in (file, file.replace(f"{WARD}|", ""), file.replace("urn:his:tests|", "")):
        assert scene.call(reconcile, scene.city, scene.first, day, same).differences == ()
    without = file.replace(f"{WARD}|1001", "1001").replace(",100.00,", ",90.00,")
    assert {one.number for one in scene.call(reconcile, scene.city, scene.first, day, without).differences} == {
        f"{WARD}|1001"
    }
