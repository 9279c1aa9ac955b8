"""Hospitals need the patient: their consent, a desk token, or an emergency, over both interfaces."""

from typing import Any

import pytest
from msgspec.structs import replace

from backend.services.medical_credit.model.desk_token import (
    MAX_GUESSES_AT_PERSON,
)
from backend.services.medical_credit.model.emergency_access import EmergencyAccess
from backend.services.medical_credit.model.hospital import HisMessage, Hospital
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.tasks import process_ignored_messages
from tests.conftest import SignIn
from tests.integrations.his.desk import (
    HOSPITALS,
    NOBODY,
    allow,
    answer_of,
    by_both,
    by_token,
    code_of,
    hl7,
    registration,
    wrong,
)
from tests.integrations.his.fhir.hospital_system import HospitalSystem, eligibility, encounter, expect_error
from tests.integrations.his.hospital import Hl7System, transaction
from tests.services.audit_entries import acts, logged
from tests.services.health_code.scene import problem, stored
from tests.services.medical_credit.scene import Patient, Scene

# ── choosing hospitals ──


def test_all_hospitals_of_the_city_are_allowed_until_the_person_chooses(
    scene: Scene, patient: Patient, second: HospitalSystem
) -> None:
    shown = scene.client.get(HOSPITALS, headers=patient).json()
    assert (shown["all_hospitals"], shown["chosen_at"]) == (True, None)
    assert [(one["code"], one["allowed"]) for one in shown["hospitals"]] == [("HZ001", True), ("HZ002", True)]
    second.open_visit(patient)


def test_a_person_restricts_pay_later_to_hospitals_and_opens_it_again(
    scene: Scene, patient: Patient, second: HospitalSystem
) -> None:
    shown = allow(scene, patient, "HZ001")
    assert [one["allowed"] for one in shown["hospitals"]] == [True, False]
    assert shown["chosen_at"] is not None
    expect_error(second.post(encounter(patient)), 404, "not-found")
    allow(scene, patient, everywhere=True)
    second.open_visit(patient)


def test_a_hospital_that_does_not_exist_cannot_be_chosen(scene: Scene, patient: Patient) -> None:
    body = {"all_hospitals": False, "hospitals": ["HZ001", "HZ404"]}
    refused = problem(scene.client.put(HOSPITALS, json=body, headers=patient), 400, "invalid-request")
    assert refused["errors"][0]["pointer"] == "/hospitals/1"


def test_a_person_who_is_not_enrolled_has_no_hospitals_and_no_desk_tokens(scene: Scene) -> None:
    citizen = scene.citizen("13800000109")
    problem(scene.client.get(HOSPITALS, headers=citizen), 409, "not-enrolled")
    problem(scene.client.post("/v1/me/medical-credit/desk-tokens", headers=citizen), 409, "not-enrolled")


def test_the_choice_stays_when_a_person_enrols_again(scene: Scene, patient: Patient) -> None:
    allow(scene, patient, "HZ001")
    assert scene.client.delete("/v1/me/medical-credit", headers=patient).status_code == 204
    scene.open_credit(patient)
    assert not scene.client.get(HOSPITALS, headers=patient).json()["all_hospitals"]


# ── who is not allowed learns nothing ──


def test_a_hospital_that_is_not_allowed_gets_the_answers_about_somebody_who_never_enrolled(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    allow(scene, patient)
    assert answer_of(first, eligibility(patient.id_number, "E1")) == answer_of(first, eligibility(NOBODY, "E2"))
    by_fhir = [first.post(encounter(number, f"V{number}")).json()["issue"] for number in (patient.id_number, NOBODY)]
    assert by_fhir[0] == by_fhir[1]
    (msa, *errors), (other_msa, *other_errors) = (
        hl7(scene, registration(number, "V9")) for number in (patient.id_number, NOBODY)
    )
    assert (msa.split("|")[1], errors) == (other_msa.split("|")[1], other_errors)
    assert stored(scene.client, Visit) == []


def test_a_wrong_desk_token_tells_no_more_than_none(scene: Scene, patient: Patient, first: HospitalSystem) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)
    without = answer_of(first, eligibility(patient.id_number, "E1"))
    assert answer_of(first, by_both(eligibility("", "E2"), patient.id_number, wrong(code))) == without
    assert answer_of(first, by_token(eligibility("", "E3"), wrong(code))) == without
    assert answer_of(first, by_both(eligibility("", "E4"), NOBODY, code)) == without


# ── emergencies ──


@pytest.fixture
def operator(sign_in: SignIn) -> Any:  # noqa: ANN401  headers
    return sign_in("13800000008", roles=["operator"])


def test_an_emergency_passes_is_listed_and_the_person_gets_one_notice_a_day(
    scene: Scene, patient: Patient, first: HospitalSystem, operator: dict[str, str]
) -> None:
    allow(scene, patient)
    assert answer_of(first, eligibility(patient.id_number, "E1", "EMER"))["insurance"][0]["inforce"]
    opened = [first.post(encounter(patient, "V1", "EMER")) for _ in range(2)]
    assert [one.status_code for one in opened] == [201, 200]
    assert hl7(scene, registration(patient.id_number, "V2", "E"))[0].startswith("MSA|AA")
    listed = scene.client.get("/v1/emergency-accesses", headers=operator).json()["accesses"]
    assert sorted(one["purpose"] for one in listed) == ["eligibility", "visit", "visit"]
    assert {one["hospital"] for one in listed} == {"HZ001"}
    notices = scene.client.get("/v1/me/notices", headers=patient).json()["notices"]
    assert [one["text"]["en"].startswith("A hospital that you had not allowed") for one in notices].count(True) == 1
    assert [entry.person for entry in logged(scene.client) if entry.action.endswith("access")] == [patient.id] * 3
    assert ("medical_credit.emergency_access", "hospital") in acts(scene.client, patient)
    counts = scene.city.decision_counts
    assert counts["medical_credit.hospital_access", "emergency", "admitted"] >= 3


def test_an_emergency_with_consent_or_a_desk_token_is_not_listed(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    first.create(encounter(patient, "V1", "EMER"))
    allow(scene, patient)
    first.create(by_token(encounter("", "V2", "EMER"), code_of(scene, patient)))
    assert first.post(encounter(patient, "V1", "EMER")).status_code == 200, "it was open before"
    assert stored(scene.client, EmergencyAccess) == []


def test_an_emergency_passes_when_the_hospital_has_guessed_too_often(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    allow(scene, patient)
    for _ in range(MAX_GUESSES_AT_PERSON):
        first.post(by_both(encounter("", "V1"), patient.id_number, "00000000"))
    first.create(by_both(encounter("", "V1", "EMER"), patient.id_number, "00000000"))
    assert len(stored(scene.client, EmergencyAccess)) == 1


def test_an_emergency_without_consent_does_not_become_an_outpatient_visit(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    allow(scene, patient)
    created = first.create(encounter(patient, "V1", "EMER"))
    expect_error(first.put(encounter(patient, "V1") | {"id": created["id"]}), 409, "conflict")


# ── changes afterwards ──


def test_an_open_visit_stays_valid_when_the_consent_is_withdrawn(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    visit = first.open_visit(patient)
    allow(scene, patient)
    assert first.post(encounter(patient)).status_code == 200
    scene.charges("L1", 20_000)
    assert hl7(scene, registration(patient.id_number, "V1"))[0].startswith("MSA|AA")
    first.close_account(visit)
    [billed] = stored(scene.client, Visit)
    assert billed.owed_fen() > 0


def test_a_person_exports_the_new_records_and_a_closed_account_keeps_the_emergency_only(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)
    first.create(eligibility(patient.id_number, "E1"))
    first.create(by_token(eligibility("", "E2"), code))
    emergency = first.create(encounter(patient, "V1", "EMER"))
    parts = {one["kind"]: one for one in scene.client.get("/v1/me/export", headers=patient).json()["parts"]}
    counts = {
        name: len(parts[name]["records"]) for name in ("desk_tokens", "emergency_accesses", "eligibility_answers")
    }
    assert counts == {"desk_tokens": 1, "emergency_accesses": 1, "eligibility_answers": 2}
    assert "desk_token" not in parts["medical_visits"]["records"][0]
    first.put(encounter(patient, "V1", "EMER") | {"id": emergency["id"], "status": "cancelled"})
    scene.advanced()
    closed = scene.client.post("/v1/me/closure", headers=patient)
    assert closed.status_code == 200, closed.text
    kept = {one["title"]["en"] for one in closed.json()["kept"]}
    assert "Emergencies without your consent" in kept
    assert "Desk tokens" not in kept


# ── hospitals that send everybody ──


def ignores_people(scene: Scene) -> None:
    """Let the hospital's messages about people without credit be ignored."""
    known = scene.call(scene.city.store.get, Hospital, "HZ001")
    scene.call(scene.city.store.replace, replace(known, people_without_credit="ignore"))


def test_a_hospital_that_sends_everybody_does_not_learn_who_enrolled(scene: Scene, patient: Patient) -> None:
    ignores_people(scene)
    allow(scene, patient)
    system = Hl7System()
    for number, kind in enumerate(("ADT^A04", "DFT^P03", "ADT^A03", "ADT^A40")):
        answers: list[list[str]] = []
        for person in (patient.id_number, NOBODY):
            pid = f"PID|1||{person}^^^CN^NI||王^小明"
            rest = (
                ["MRG|110101199003070134^^^CN^NI"] if kind == "ADT^A40" else [f"PV1|1|O{'|' * 17}{person[-4:]}{number}"]
            )
            rest += [transaction("L1", "5.00")] if kind == "DFT^P03" else []
            msa, *errors = hl7(scene, system.message(kind, pid, *rest))
            answers.append([msa.split("|")[1], *errors])
        assert answers[0] == answers[1], kind
        assert answers[0][0] == "AA", kind
    assert {one.state for one in stored(scene.client, HisMessage)} == {"ignored"}


def test_a_visit_that_was_ignored_opens_when_the_person_allows_the_hospital(scene: Scene, patient: Patient) -> None:
    ignores_people(scene)
    allow(scene, patient)
    hl7(scene, registration(patient.id_number, "V1"))
    assert stored(scene.client, Visit) == []
    allow(scene, patient, "HZ001")
    scene.call(process_ignored_messages, scene.city, patient.id)
    [visit] = stored(scene.client, Visit)
    assert visit.person == patient.id
