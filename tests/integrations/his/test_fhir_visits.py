import re

import pytest
from msgspec.structs import replace

from backend.services.medical_credit.model.visit import Visit
from tests.integrations.his.fhir_hospital import (
    HospitalSystem,
    charge,
    credit,
    eligibility,
    encounter,
    payment,
    refused,
)
from tests.services.medical_credit.scene import Patient, Scene


def test_a_visit_is_opened_charged_closed_and_billed(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    item = first.made(charge(visit, "L1", 100))
    assert item["priceOverride"] == {"value": 100.00, "currency": "CNY"}
    assert item["status"] == "billable"
    first.closed(visit)
    invoice = first.read(visit.replace("Encounter", "Invoice"))
    assert invoice["status"] == "issued"
    assert invoice["totalGross"]["value"] == 100
    assert first.read(f"ChargeItem/{item['id']}")["status"] == "billed"
    assert first.read(visit)["status"] == "finished"
    assert first.read(visit.replace("Encounter", "Account"))["status"] == "inactive"


def test_an_invoice_explains_the_copay_to_the_fen(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    first.made(charge(visit, "L1", 333.33))
    first.closed(visit)
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


def test_an_invoice_is_balanced_once_the_patient_has_paid(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = first.opened(patient)
    first.made(charge(visit, "L1", 100))
    first.closed(visit)
    assert scene.pays(patient, scene.advanced()).status_code == 201
    scene.advanced()
    assert first.read(visit.replace("Encounter", "Invoice"))["status"] == "balanced"


def test_amounts_are_written_with_both_decimal_places(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    answer = first.post(charge(visit, "L1", 12.5))
    assert '"value":12.50' in answer.text


def test_a_visit_told_twice_is_one(first: HospitalSystem, patient: Patient) -> None:
    made = first.post(encounter(patient))
    again = first.post(encounter(patient))
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json()["id"] == again.json()["id"]
    assert made.headers["etag"] == again.headers["etag"]


def test_a_charge_told_twice_is_one(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    made, again = first.post(charge(visit)), first.post(charge(visit))
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json()


def test_a_charge_told_again_with_another_price_is_refused(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    first.made(charge(visit, "L1", 10))
    refused(first.post(charge(visit, "L1", 11)), 409, "duplicate")


def test_a_credit_takes_back_a_part_of_its_charge(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    item = first.made(charge(visit, "L1", 10))
    back = first.made(credit(visit, f"ChargeItem/{item['id']}", "L2", -4))
    assert back["partOf"] == [{"reference": f"ChargeItem/{item['id']}"}]
    assert back["overrideReason"] == "credit"
    refused(first.post(credit(visit, f"ChargeItem/{item['id']}", "L3", -6.01)), 409, "business-rule")
    assert first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"] == 6


def test_an_adjustment_corrects_a_charge_up_or_down(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    item = first.made(charge(visit, "L1", 10))
    of = f"ChargeItem/{item['id']}"
    first.made(credit(visit, of, "L2", 2.5, overrideReason="adjustment"))
    first.made(credit(visit, of, "L3", -1, overrideReason="Adjustment"))
    assert first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"] == 11.5
    issue = refused(first.post(credit(visit, of, "L4", 1)), 422, "value", "ChargeItem.priceOverride.value")
    assert "adjustment" in issue["diagnostics"]


def test_a_charge_entered_in_error_is_taken_back_whole(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    item = first.made(charge(visit, "L1", 10))
    first.made(credit(visit, f"ChargeItem/{item['id']}", "L2", -4))
    item = first.read(f"ChargeItem/{item['id']}")
    for _ in range(2):
        answer = first.put(item | {"status": "entered-in-error"})
        assert answer.status_code == 200
        assert answer.json()["status"] == "entered-in-error"
    assert first.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"] == 0
    assert len(first.found(f"ChargeItem?context={visit}")) == 3


def test_a_charge_cannot_be_rewritten(first: HospitalSystem, patient: Patient) -> None:
    item = first.made(charge(first.opened(patient), "L1", 10))
    assert first.put(item).status_code == 200
    refused(first.put(item | {"priceOverride": {"value": 9, "currency": "CNY"}}), 422, "business-rule")


def test_a_visit_is_closed_and_opened_again(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    shown = first.read(visit)
    answer = first.put(shown | {"status": "finished"})
    assert answer.json()["status"] == "finished"
    assert answer.json()["period"]["end"].startswith("2022-04-20")
    answer = first.put(answer.json() | {"status": "in-progress"})
    assert answer.json()["status"] == "in-progress"
    assert "end" not in answer.json()["period"]


def test_a_visit_that_did_not_take_place_is_cancelled(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    shown = first.read(visit)
    cancelled = first.put(shown | {"status": "cancelled"})
    assert cancelled.json()["status"] == "cancelled"
    assert first.put(shown | {"status": "cancelled"}).status_code == 200
    refused(first.put(shown | {"status": "in-progress"}), 409, "business-rule")
    refused(first.post(charge(visit)), 409, "business-rule")


def test_the_class_and_the_beginning_of_a_visit_can_be_corrected(first: HospitalSystem, patient: Patient) -> None:
    shown = first.read(first.opened(patient))
    answer = first.put(shown | {"class": {"code": "EMER"}, "period": {"start": "2022-04-20T10:00:00+08:00"}})
    assert answer.json()["class"]["code"] == "EMER"
    assert answer.json()["period"]["start"] == "2022-04-20T02:00:00.000Z"


def test_a_visit_stays_with_its_patient(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    other = scene.patient("13800000202")
    visit = first.opened(patient)
    shown = first.read(visit)
    refused(first.put(shown | {"subject": encounter(other)["subject"]}), 409, "conflict")
    refused(first.post(encounter(other)), 409, "conflict")
    refused(first.post(charge(visit, subject=encounter(other)["subject"])), 409, "conflict")
    assert first.post(charge(visit, subject=encounter(patient)["subject"])).status_code == 201
    assert first.post(charge(visit, "L2", subject=shown["subject"])).status_code == 201


def test_each_hospital_knows_a_patient_by_another_name(
    first: HospitalSystem, second: HospitalSystem, patient: Patient
) -> None:
    here = first.read(first.opened(patient))["subject"]["identifier"]["value"]
    also_here = first.read(first.opened(patient, "V2"))["subject"]["identifier"]["value"]
    there = second.read(second.opened(patient))["subject"]["identifier"]["value"]
    assert here == also_here != there
    assert patient.id not in (here, there)


def test_nothing_that_is_sent_holds_an_id_number(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    first.made(charge(visit, subject=encounter(patient)["subject"]))
    asked = first.post(eligibility(patient.id_number))
    for path in (visit, "Encounter", f"ChargeItem?context={visit}", "Invoice", "CoverageEligibilityRequest"):
        assert patient.id_number not in first.get(path).text
    assert patient.id_number not in asked.text


def test_another_hospitals_visit_is_not_there(first: HospitalSystem, second: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    item = first.made(charge(visit))
    shown = first.read(visit)
    for path in (visit, visit.replace("Encounter", "Account"), visit.replace("Encounter", "Invoice")):
        refused(second.get(path), 404, "not-found")
    refused(second.get(f"ChargeItem/{item['id']}"), 404, "not-found")
    cancelled = encounter(patient, status="cancelled", id=shown["id"])
    refused(second.put(cancelled), 404, "not-found")
    unknown = second.post(charge("Encounter/" + "0" * 32))
    foreign = second.post(charge(visit))
    assert (unknown.status_code, foreign.status_code) == (404, 404)
    assert unknown.json()["issue"] == foreign.json()["issue"]
    assert second.found("Encounter") == second.found(f"ChargeItem?context={visit}") == []
    assert first.read(visit) == shown


def test_the_same_number_at_two_hospitals_means_two_visits(
    first: HospitalSystem, second: HospitalSystem, patient: Patient
) -> None:
    assert first.opened(patient) != second.opened(patient)


def test_who_has_not_agreed_to_pay_later_has_no_visit_here(first: HospitalSystem, scene: Scene) -> None:
    stranger = scene.citizen("13800000303")
    refused(first.post(encounter(stranger)), 404, "not-found")
    wrong = encounter("330106199003070001")
    refused(first.post(wrong), 400, "value")


def test_an_account_comes_with_its_visit(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    account = {"resourceType": "Account", "status": "active", "identifier": [{"value": "V1"}]}
    answer = first.post(account, If_None_Exist="identifier=V1")
    assert answer.status_code == 200
    assert answer.json()["id"] == visit.removeprefix("Encounter/")
    assert first.post(account).status_code == 200
    refused(first.post(account | {"identifier": [{"value": "V9"}]}), 422, "not-found", "Account.identifier")


def test_an_account_entered_in_error_cancels_its_visit(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    account = first.read(visit.replace("Encounter", "Account"))
    assert first.put(account | {"status": "inactive"}).json()["status"] == "inactive"
    assert first.put(account | {"status": "active"}).json()["status"] == "active"
    assert first.put(account | {"status": "entered-in-error"}).json()["status"] == "entered-in-error"
    assert first.read(visit)["status"] == "cancelled"
    refused(first.put(account | {"status": "on-hold"}), 422, "not-supported", "Account.status")


def test_what_is_paid_at_the_counter_is_noted_once(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    invoice = visit.replace("Encounter", "Invoice")
    made = first.post(payment(invoice, "P1", 5))
    assert made.status_code == 201
    assert first.post(payment(visit, "P1", 5)).status_code == 200
    refused(first.post(payment(invoice, "P1", 6)), 409, "duplicate")
    assert first.found(f"PaymentNotice?request={invoice}") == [made.json()]
    assert first.read(f"PaymentNotice/{made.json()['id']}")["amount"]["value"] == 5
    refused(first.post(payment(invoice, "P2", -1)), 422, "value", "PaymentNotice.amount.value")


def test_eligibility_tells_the_amount_and_nothing_else(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    asked = first.made(eligibility(patient.id_number))
    answer = first.found(f"CoverageEligibilityResponse?request=CoverageEligibilityRequest/{asked['id']}")[0]
    cover = answer["insurance"][0]
    assert cover["inforce"] is True
    allowed = cover["item"][0]["benefit"][0]["allowedMoney"]["value"]
    assert round(allowed * 100) == scene.limit(patient)["available_fen"]
    assert "640" not in str(answer)


def test_somebody_unknown_and_somebody_who_may_not_get_the_same_answer(first: HospitalSystem, scene: Scene) -> None:
    without = scene.citizen("13800000304")
    answers: list[str] = []
    for number, id_number in (("E1", without.id_number), ("E2", "330106199003079991")):
        asked = first.post(eligibility(id_number, number))
        if asked.status_code == 400:
            continue
        answer = first.read(f"CoverageEligibilityResponse/{asked.json()['id']}")
        answers.append(str(answer["insurance"]))
        assert answer["insurance"][0]["inforce"] is False
    assert len(set(answers)) == 1


def test_a_request_for_eligibility_told_twice_is_one(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    asked = first.made(eligibility(patient.id_number))
    again = first.post(eligibility(patient.id_number))
    assert (again.status_code, again.json()) == (200, asked)
    refused(first.post(eligibility(scene.citizen("13800000305").id_number)), 409, "conflict")
    assert first.post(eligibility(patient.id_number), If_None_Exist="identifier=E1").status_code == 200


def test_a_visit_may_be_told_of_when_it_is_over(first: HospitalSystem, patient: Patient) -> None:
    told = encounter(patient, status="finished", period={"start": "2022-04-20", "end": "2022-04-20T11:00:00+08:00"})
    made = first.made(told)
    assert made["status"] == "finished"
    assert made["period"] == {"start": "2022-04-19T16:00:00.000Z", "end": "2022-04-20T03:00:00.000Z"}
    refused(first.put(made | {"period": {"end": "2022-04-20T12:00:00+08:00"}}), 422, "value", "Encounter.period.end")


def test_what_a_hospital_expects_is_set_aside(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    extension = [{"url": "urn:chengma:fhir:estimated-share", "valueMoney": {"value": 880.5, "currency": "CNY"}}]
    first.made(encounter(patient, extension=extension))
    assert scene.advanced().requested_hold_fen == 88_050


def test_a_patient_may_be_contained(first: HospitalSystem, patient: Patient) -> None:
    contained = {"resourceType": "Patient", "id": "p", "identifier": [encounter(patient)["subject"]["identifier"]]}
    assert first.post(encounter(patient, subject={"reference": "#p"}, contained=[contained])).status_code == 201
    refused(first.post(encounter(patient, "V2", subject={"reference": "Patient/9"})), 422, "value", "Encounter.subject")


def test_a_charge_names_its_visit_by_id_by_number_or_by_account(first: HospitalSystem, patient: Patient) -> None:
    visit = first.opened(patient)
    account = [{"reference": visit.replace("Encounter", "Account")}]
    assert first.post(charge("http://testserver.local/fhir/" + visit, "L1")).status_code == 201
    by_number = charge("", "L2") | {"context": {"identifier": {"system": "urn:any", "value": "V1"}}}
    assert first.post(by_number).status_code == 201
    by_account = {name: value for name, value in charge("", "L3", account=account).items() if name != "context"}
    assert first.post(by_account).status_code == 201
    assert first.post(charge(f"{visit}/_history/1", "L4", account=account)).status_code == 201
    other = first.opened(patient, "V2")
    refused(first.post(charge(other, "L5", account=account)), 422, "value")
    refused(first.post(charge("Practitioner/1", "L5")), 422, "not-found", "ChargeItem.context")


def test_a_version_does_not_change_while_nothing_that_is_shown_changes(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    made = first.post(encounter(patient))
    scene.advanced()
    first.made(charge(f"Encounter/{made.json()['id']}"))
    assert first.get(f"Encounter/{made.json()['id']}").headers["etag"] == made.headers["etag"]


def test_whatever_is_told_becomes_of_one_visit(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    visit = first.opened(patient)
    first.made(charge(visit))
    stored = scene.call(scene.city.store.get, Visit, visit.removeprefix("Encounter/"))
    assert stored is not None
    assert [line.amount_fen for line in stored.lines] == [1_250]
    assert re.fullmatch("[0-9a-f]{32}", stored.id)


@pytest.mark.parametrize("status", ["planned", "arrived", "triaged", "onleave"])
def test_a_visit_that_runs_in_any_way_is_open(first: HospitalSystem, patient: Patient, status: str) -> None:
    assert first.made(encounter(patient, status=status))["status"] == "in-progress"


def test_a_disabled_hospital_is_refused_at_once(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    visit = first.opened(patient)
    scene.call(scene.city.store.replace, replace(scene.first, enabled=False))
    refused(first.get(visit), 401, "login")
