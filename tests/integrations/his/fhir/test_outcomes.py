"""An OperationOutcome names the element at fault, and says what to do about it."""

from datetime import datetime, timedelta

import pytest

from tests.conftest import Clock
from tests.integrations.his.fhir.hospital_system import (
    HospitalSystem,
    charge,
    credit,
    eligibility,
    encounter,
    expect_error,
)
from tests.services.medical_credit.scene import Patient, Scene


class RunningClock(Clock):
    """A clock of which no two readings are the same."""

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def clock(clock: Clock) -> Clock:
    return RunningClock(clock.now)


def test_a_wrong_patient_is_named_as_one_at_the_reference_to_them(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    other = encounter(scene.patient("13800000102"))
    opened = first.read(visit)
    for answer, path in (
        (first.post(charge(visit, subject=other["subject"])), "ChargeItem.subject"),
        (first.post(other), "Encounter.subject"),
        (first.put(opened | {"subject": other["subject"]}), "Encounter.subject"),
    ):
        issue = expect_error(answer, 409, "conflict", path)
        assert issue["details"]["coding"][0]["code"] == "other-patient"


def test_a_number_that_cannot_be_or_is_not_enrolled_is_at_the_patient(first: HospitalSystem, scene: Scene) -> None:
    unknown = scene.citizen("13800000103").id_number
    expect_error(first.post(encounter("110105194912310021")), 400, "value", "Encounter.subject")
    expect_error(first.post(encounter(unknown)), 404, "not-found", "Encounter.subject")
    path = "CoverageEligibilityRequest.patient"
    expect_error(first.post(eligibility("110105194912310021")), 400, "value", path)


def test_a_charge_that_is_refused_names_its_visit_identifier_or_amount(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    item = first.create(charge(visit, "L1", 10))
    expect_error(first.post(charge(visit, "L1", 11)), 409, "duplicate", "ChargeItem.identifier")
    exceeding = credit(visit, f"ChargeItem/{item['id']}", "C1", -11)
    expect_error(first.post(exceeding), 409, "business-rule", "ChargeItem.priceOverride.value")
    issue = expect_error(first.post(charge("Encounter/V1", "L2")), 404, "not-found", "ChargeItem.context")
    assert "by number, use the identifier" in issue["diagnostics"]


def test_a_visit_is_referenced_by_its_number(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    number = first.read(visit)["identifier"][0]
    created = first.create(charge(visit) | {"context": {"identifier": number}})
    assert created["context"]["reference"] == visit


def test_a_time_without_a_zone_is_told_what_it_lacks(first: HospitalSystem, patient: Patient) -> None:
    answer = first.post(encounter(patient, period={"start": "2022-04-20T11:30:00"}))
    issue = expect_error(answer, 400, "structure", "Encounter.period.start")
    assert "a zone, such as 2026-11-24T09:25:00+08:00" in issue["diagnostics"]


def test_the_answer_to_an_update_of_an_account_shows_its_new_status(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 10))
    account = first.read(visit.replace("Encounter", "Account"))
    assert first.put(account | {"status": "inactive"}).json()["status"] == "inactive"
    assert first.put(account | {"status": "active"}).json()["status"] == "active"


def test_a_visit_begins_at_most_a_day_from_now(first: HospitalSystem, scene: Scene, patient: Patient) -> None:
    def begins(hours: int) -> dict[str, str]:
        return {"start": (scene.clock.now + timedelta(hours=hours)).isoformat()}

    later = encounter(patient, period=begins(25))
    issue = expect_error(first.post(later), 422, "value", "Encounter.period.start")
    assert issue["details"]["coding"][0]["code"] == "visit-begins-later"
    opened = first.create(encounter(patient, period=begins(23)))
    expect_error(first.put(opened | {"period": begins(25)}), 422, "value", "Encounter.period.start")


def test_a_system_without_a_token_is_told_where_to_request_one(scene: Scene) -> None:
    issue = expect_error(scene.client.get("/fhir/Encounter"), 401, "login")
    assert "at the token_endpoint" in issue["diagnostics"]
    assert "token_endpoint" in issue["details"]["text"]
