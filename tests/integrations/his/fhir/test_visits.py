import json
import re

import pytest
from msgspec.structs import replace

from backend.services.medical_credit.model.visit import Visit
from tests.integrations.his.fhir.hospital_system import (
    OURS,
    HospitalSystem,
    bundle,
    charge,
    credit,
    eligibility,
    encounter,
    entry,
    expect_error,
    payment,
)
from tests.services.medical_credit.scene import Patient, Scene


def test_a_visit_is_opened_charged_closed_and_billed(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    item = first.create(charge(visit, "L1", 100))
    assert item["priceOverride"] == {"value": 100.00, "currency": "CNY"}
    assert item["status"] == "billable"
    first.close_account(visit)
    invoice = first.read(visit.replace("Encounter", "Invoice"))
    assert invoice["status"] == "issued"
    assert invoice["totalGross"]["value"] == 100
    assert first.read(f"ChargeItem/{item['id']}")["status"] == "billed"
    assert first.read(visit)["status"] == "finished"
    assert first.read(visit.replace("Encounter", "Account"))["status"] == "inactive"


@pytest.mark.parametrize(
    ("class_", "display"),
    [("AMB", "ambulatory"), ("EMER", "emergency"), ("IMP", "inpatient encounter")],
)
def test_a_visit_shows_its_class_with_its_display_text(
    first: HospitalSystem, patient: Patient, class_: str, display: str
) -> None:
    shown = first.create(encounter(patient, class_=class_))["class"]
    assert (shown["code"], shown["display"]) == (class_, display)


def test_amounts_are_written_with_both_decimal_places(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    response = first.post(charge(visit, "L1", 12.5))
    assert '"value":12.50' in response.text


def test_a_visit_created_twice_is_one(first: HospitalSystem, patient: Patient) -> None:
    created = first.post(encounter(patient))
    again = first.post(encounter(patient))
    assert (created.status_code, again.status_code) == (201, 200)
    assert created.json()["id"] == again.json()["id"]
    assert created.headers["etag"] == again.headers["etag"]


def test_a_charge_created_twice_is_one(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    created, again = first.post(charge(visit)), first.post(charge(visit))
    assert (created.status_code, again.status_code) == (201, 200)
    assert created.json() == again.json()


def test_a_charge_created_again_with_another_price_is_rejected(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 10))
    expect_error(first.post(charge(visit, "L1", 11)), 409, "duplicate")


def test_a_credit_reduces_its_charge(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    item = first.create(charge(visit, "L1", 10))
    back = first.create(credit(visit, f"ChargeItem/{item['id']}", "L2", -4))
    assert back["partOf"] == [{"reference": f"ChargeItem/{item['id']}"}]
    assert back["overrideReason"] == "credit"
    expect_error(first.post(credit(visit, f"ChargeItem/{item['id']}", "L3", -6.01)), 409, "business-rule")
    assert first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"] == 6


def test_an_adjustment_corrects_a_charge_up_or_down(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    item = first.create(charge(visit, "L1", 10))
    of = f"ChargeItem/{item['id']}"
    first.create(credit(visit, of, "L2", 2.5, overrideReason="adjustment"))
    first.create(credit(visit, of, "L3", -1, overrideReason="Adjustment"))
    assert first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"] == 11.5
    issue = expect_error(first.post(credit(visit, of, "L4", 1)), 422, "value", "ChargeItem.priceOverride.value")
    assert "adjustment" in issue["diagnostics"]


def test_a_charge_entered_in_error_is_credited_in_full(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    item = first.create(charge(visit, "L1", 10))
    first.create(credit(visit, f"ChargeItem/{item['id']}", "L2", -4))
    item = first.read(f"ChargeItem/{item['id']}")
    for _ in range(2):
        response = first.put(item | {"status": "entered-in-error"})
        assert response.status_code == 200
        assert response.json()["status"] == "entered-in-error"
    assert first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"] == 0
    assert len(first.found(f"ChargeItem?context={visit}")) == 3


def test_a_charge_cannot_be_changed(first: HospitalSystem, patient: Patient) -> None:
    item = first.create(charge(first.open_visit(patient), "L1", 10))
    assert first.put(item).status_code == 200
    expect_error(first.put(item | {"priceOverride": {"value": 9, "currency": "CNY"}}), 422, "business-rule")


def test_a_visit_is_closed_and_reopened(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    shown = first.read(visit)
    response = first.put(shown | {"status": "finished"})
    assert response.json()["status"] == "finished"
    assert response.json()["period"]["end"].startswith("2022-04-20")
    response = first.put(response.json() | {"status": "in-progress"})
    assert response.json()["status"] == "in-progress"
    assert "end" not in response.json()["period"]


def test_a_visit_that_did_not_take_place_is_cancelled(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    shown = first.read(visit)
    cancelled = first.put(shown | {"status": "cancelled"})
    assert cancelled.json()["status"] == "cancelled"
    assert first.put(shown | {"status": "cancelled"}).status_code == 200
    expect_error(first.put(shown | {"status": "in-progress"}), 409, "business-rule")
    expect_error(first.post(charge(visit)), 409, "business-rule")


def test_the_class_and_the_beginning_of_a_visit_can_be_corrected(first: HospitalSystem, patient: Patient) -> None:
    shown = first.read(first.open_visit(patient))
    response = first.put(shown | {"class": {"code": "EMER"}, "period": {"start": "2022-04-20T10:00:00+08:00"}})
    assert response.json()["class"]["code"] == "EMER"
    assert response.json()["period"]["start"] == "2022-04-20T02:00:00.000Z"


def test_the_patient_of_a_visit_cannot_be_changed(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    other = scene.patient("13800000202")
    visit = first.open_visit(patient)
    shown = first.read(visit)
    expect_error(first.put(shown | {"subject": encounter(other)["subject"]}), 409, "conflict")
    expect_error(first.post(encounter(other)), 409, "conflict")
    expect_error(first.post(charge(visit, subject=encounter(other)["subject"])), 409, "conflict")
    assert first.post(charge(visit, subject=encounter(patient)["subject"])).status_code == 201
    assert first.post(charge(visit, "L2", subject=shown["subject"])).status_code == 201


def test_each_hospital_has_its_own_pseudonym_for_a_patient(
    first: HospitalSystem, second: HospitalSystem, patient: Patient
) -> None:
    here = first.read(first.open_visit(patient))["subject"]["identifier"]["value"]
    also_here = first.read(first.open_visit(patient, "V2"))["subject"]["identifier"]["value"]
    there = second.read(second.open_visit(patient))["subject"]["identifier"]["value"]
    assert here == also_here != there
    assert patient.id not in (here, there)


def test_no_response_contains_an_id_number(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, subject=encounter(patient)["subject"]))
    request = first.post(eligibility(patient.id_number))
    for path in (visit, "Encounter", f"ChargeItem?context={visit}", "Invoice", "CoverageEligibilityRequest"):
        assert patient.id_number not in first.get(path).text
    assert patient.id_number not in request.text


def test_the_visit_of_another_hospital_is_not_found(
    first: HospitalSystem, second: HospitalSystem, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    item = first.create(charge(visit))
    shown = first.read(visit)
    for path in (visit, visit.replace("Encounter", "Account"), visit.replace("Encounter", "Invoice")):
        expect_error(second.get(path), 404, "not-found")
    expect_error(second.get(f"ChargeItem/{item['id']}"), 404, "not-found")
    cancelled = encounter(patient, status="cancelled", id=shown["id"])
    expect_error(second.put(cancelled), 404, "not-found")
    unknown = second.post(charge("Encounter/" + "0" * 32))
    foreign = second.post(charge(visit))
    assert (unknown.status_code, foreign.status_code) == (404, 404)
    assert unknown.json()["issue"] == foreign.json()["issue"]
    assert second.found("Encounter") == second.found(f"ChargeItem?context={visit}") == []
    assert first.read(visit) == shown


def test_the_same_number_at_two_hospitals_means_two_visits(
    first: HospitalSystem, second: HospitalSystem, patient: Patient
) -> None:
    assert first.open_visit(patient) != second.open_visit(patient)


def test_a_person_without_enrolment_has_no_visit(first: HospitalSystem, scene: Scene) -> None:
    stranger = scene.citizen("13800000303")
    expect_error(first.post(encounter(stranger)), 404, "not-found")
    wrong = encounter("330106199003070001")
    expect_error(first.post(wrong), 400, "value")


def test_an_account_comes_with_its_visit(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    account = {"resourceType": "Account", "status": "active", "identifier": [{"value": "V1"}]}
    response = first.post(account, If_None_Exist="identifier=V1")
    assert response.status_code == 200
    assert response.json()["id"] == visit.removeprefix("Encounter/")
    assert first.post(account).status_code == 200
    expect_error(first.post(account | {"identifier": [{"value": "V9"}]}), 422, "not-found", "Account.identifier")


def test_an_account_entered_in_error_cancels_its_visit(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    account = first.read(visit.replace("Encounter", "Account"))
    assert first.put(account | {"status": "inactive"}).json()["status"] == "inactive"
    assert first.put(account | {"status": "active"}).json()["status"] == "active"
    assert first.put(account | {"status": "entered-in-error"}).json()["status"] == "entered-in-error"
    assert first.read(visit)["status"] == "cancelled"
    expect_error(first.put(account | {"status": "on-hold"}), 422, "not-supported", "Account.status")


def test_a_payment_at_the_counter_is_recorded_once(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    invoice = visit.replace("Encounter", "Invoice")
    created = first.post(payment(invoice, "P1", 5))
    assert created.status_code == 201
    assert first.post(payment(visit, "P1", 5)).status_code == 200
    expect_error(first.post(payment(invoice, "P1", 6)), 409, "duplicate")
    assert first.found(f"PaymentNotice?request={invoice}") == [created.json()]
    assert first.read(f"PaymentNotice/{created.json()['id']}")["amount"]["value"] == 5
    expect_error(first.post(payment(invoice, "P2", -1)), 422, "value", "PaymentNotice.amount.value")


def test_eligibility_discloses_the_amount_and_nothing_else(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    request = first.create(eligibility(patient.id_number))
    response = first.found(f"CoverageEligibilityResponse?request=CoverageEligibilityRequest/{request['id']}")[0]
    cover = response["insurance"][0]
    assert cover["inforce"] is True
    allowed = cover["item"][0]["benefit"][0]["allowedMoney"]["value"]
    assert round(allowed * 100) == scene.limit(patient)["available_fen"]
    assert "640" not in str(response)


def test_an_unknown_and_an_ineligible_person_get_the_same_response(first: HospitalSystem, scene: Scene) -> None:
    without = scene.citizen("13800000304")
    answers: list[str] = []
    for number, id_number in (("E1", without.id_number), ("E2", "330106199003079991")):
        request = first.post(eligibility(id_number, number))
        if request.status_code == 400:
            continue
        response = first.read(f"CoverageEligibilityResponse/{request.json()['id']}")
        answers.append(str(response["insurance"]))
        assert response["insurance"][0]["inforce"] is False
    assert len(set(answers)) == 1


def test_an_eligibility_request_created_twice_is_one(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    request = first.create(eligibility(patient.id_number))
    again = first.post(eligibility(patient.id_number))
    assert (again.status_code, again.json()) == (200, request)
    expect_error(first.post(eligibility(scene.citizen("13800000305").id_number)), 409, "conflict")
    assert first.post(eligibility(patient.id_number), If_None_Exist="identifier=E1").status_code == 200


def test_a_visit_may_be_created_after_it_has_ended(first: HospitalSystem, patient: Patient) -> None:
    finished = encounter(patient, status="finished", period={"start": "2022-04-20", "end": "2022-04-20T11:00:00+08:00"})
    created = first.create(finished)
    assert created["status"] == "finished"
    assert created["period"] == {"start": "2022-04-19T16:00:00.000Z", "end": "2022-04-20T03:00:00.000Z"}
    expect_error(
        first.put(created | {"period": {"end": "2022-04-20T12:00:00+08:00"}}), 422, "value", "Encounter.period.end"
    )


def test_the_estimate_of_a_hospital_is_held(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    extension = [{"url": "urn:chengma:fhir:estimated-share", "valueMoney": {"value": 880.5, "currency": "CNY"}}]
    first.create(encounter(patient, extension=extension))
    assert scene.advanced().requested_hold_fen == 88_050


def test_a_patient_may_be_contained(first: HospitalSystem, patient: Patient) -> None:
    contained = {"resourceType": "Patient", "id": "p", "identifier": [encounter(patient)["subject"]["identifier"]]}
    assert first.post(encounter(patient, subject={"reference": "#p"}, contained=[contained])).status_code == 201
    expect_error(
        first.post(encounter(patient, "V2", subject={"reference": "Patient/9"})), 422, "value", "Encounter.subject"
    )


def test_a_charge_references_its_visit_by_id_by_number_or_by_account(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    account = [{"reference": visit.replace("Encounter", "Account")}]
    assert first.post(charge("http://testserver.local/fhir/" + visit, "L1")).status_code == 201
    by_number = charge("", "L2") | {"context": {"identifier": {"system": OURS, "value": "V1"}}}
    assert first.post(by_number).status_code == 201
    by_account = {name: value for name, value in charge("", "L3", account=account).items() if name != "context"}
    assert first.post(by_account).status_code == 201
    assert first.post(charge(f"{visit}/_history/1", "L4", account=account)).status_code == 201
    other = first.open_visit(patient, "V2")
    expect_error(first.post(charge(other, "L5", account=account)), 422, "value")
    expect_error(first.post(charge("Practitioner/1", "L5")), 422, "not-found", "ChargeItem.context")


def test_a_version_does_not_change_while_the_resource_does_not_change(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    created = first.post(encounter(patient))
    scene.advanced()
    first.create(charge(f"Encounter/{created.json()['id']}"))
    assert first.get(f"Encounter/{created.json()['id']}").headers["etag"] == created.headers["etag"]


def test_all_resources_belong_to_one_stored_visit(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit))
    stored = scene.call(scene.city.store.get, Visit, visit.removeprefix("Encounter/"))
    assert stored is not None
    assert [line.amount_fen for line in stored.lines] == [1_250]
    assert re.fullmatch("[0-9a-f]{32}", stored.id)


@pytest.mark.parametrize("status", ["arrived", "triaged", "onleave"])
def test_a_visit_with_any_status_in_progress_is_open(first: HospitalSystem, patient: Patient, status: str) -> None:
    assert first.create(encounter(patient, status=status))["status"] == "in-progress"


def test_a_disabled_hospital_is_rejected_at_once(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    visit = first.open_visit(patient)
    scene.call(scene.city.store.replace, replace(scene.first, enabled=False))
    expect_error(first.get(visit), 401, "login")


@pytest.mark.parametrize(
    ("before", "after", "pointer", "expression"),
    [
        ('"value": 11', '"value": 11, "value": 1', "/priceOverride/value", "ChargeItem.priceOverride.value"),
        ('"value": 11', '"value": 11, "v\\u0061lue": 1', "/priceOverride/value", "ChargeItem.priceOverride.value"),
        ('"status"', '"status": "planned", "status"', "/status", "ChargeItem.status"),
        ('"code": "1', '"code": "2", "code": "1', "/code/coding/0/code", "ChargeItem.code.coding[0].code"),
    ],
)
def test_a_resource_that_repeats_a_key_is_refused(
    first: HospitalSystem, patient: Patient, before: str, after: str, pointer: str, expression: str
) -> None:
    visit = first.open_visit(patient)
    item = json.dumps(charge(visit, "L1", 11)).replace(before, after, 1)
    response = first.request("POST", "ChargeItem", item)
    issue = expect_error(response, 400, "structure", expression)
    assert issue["details"]["text"] == f"请求体中{pointer}重复，请只保留一项。"
    assert issue["diagnostics"] == f"The body repeats the key {pointer}."
    assert first.found(f"ChargeItem?context={visit}") == []


def test_a_bundle_that_repeats_a_key_is_refused(first: HospitalSystem, patient: Patient) -> None:
    sent = json.dumps(bundle("transaction", entry("POST", "Encounter", encounter(patient))))
    response = first.request("POST", "", sent.replace('"status"', '"status": "planned", "status"'))
    expect_error(response, 400, "structure", "Bundle.entry[0].resource.status")
    assert first.found("Encounter?identifier=V1") == []


@pytest.mark.parametrize("depth", [100, 400, 800, 1_200, 50_000])
@pytest.mark.parametrize("beginning", ["", '{"resourceType": "ChargeItem", "extension": ', '{"x": 1, "x": '])
def test_a_deeply_nested_resource_is_refused(first: HospitalSystem, beginning: str, depth: int) -> None:
    body = f"{beginning}{'[' * depth}{']' * depth}{'}' if beginning else ''}"
    expect_error(first.request("POST", "ChargeItem", body), 400, "structure")
    bundled = f'{{"resourceType": "Bundle", "type": "transaction", "entry": [{{"resource": {body}}}]}}'
    expect_error(first.request("POST", "", bundled), 400, "structure")
