"""Hospitals need the patient: their consent, a desk token that they show, or an emergency, over both interfaces."""

import asyncio
from contextlib import suppress
from typing import Any, cast

import pytest
from msgspec.structs import replace

from backend.services.medical_credit.model.desk_token import (
    LIFETIME,
    MAX_GUESSES_AT_PERSON,
    MAX_GUESSES_OF_HOSPITAL,
    DeskToken,
)
from backend.services.medical_credit.model.emergency_access import EmergencyAccess
from backend.services.medical_credit.model.visit import Visit
from backend.store import Store
from integrations.his.hl7v2.message_receiver import receive_message
from integrations.his.hl7v2.mllp_listener import Peer
from integrations.his.mapping import DESK_SYSTEM
from tests.conftest import SignIn
from tests.integrations.his.fhir.hospital_system import HospitalSystem, Json, eligibility, encounter, expect_error
from tests.integrations.his.hospital import Hl7System
from tests.services.audit_entries import acts, logged
from tests.services.health_code.scene import problem, stored
from tests.services.killing import Killed, KillingStore
from tests.services.medical_credit.scene import Patient, Scene

NOBODY = "110101199003070054"
HOSPITALS = "/v1/me/medical-credit/hospitals"


def allow(scene: Scene, patient: Patient, *hospitals: str, everywhere: bool = False) -> Json:
    body = {"all_hospitals": everywhere, "hospitals": list(hospitals)}
    answer = scene.client.put(HOSPITALS, json=body, headers=patient)
    assert answer.status_code == 200, answer.text
    return answer.json()


def code_of(scene: Scene, patient: Patient) -> str:
    answer = scene.client.post("/v1/me/medical-credit/desk-tokens", headers=patient)
    assert answer.status_code == 201, answer.text
    return answer.json()["code"]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08}"


def by_token(resource: Json, code: str) -> Json:
    """Name the patient of a resource by a desk token alone."""
    element = "patient" if "patient" in resource else "subject"
    return resource | {element: {"identifier": {"system": DESK_SYSTEM, "value": code}}}


def by_both(resource: Json, patient: str, code: str) -> Json:
    """Name the patient by an ID number and a desk token, in a contained Patient."""
    element = "patient" if "patient" in resource else "subject"
    identifiers = [{"value": patient}, {"system": DESK_SYSTEM, "value": code}]
    contained = {"resourceType": "Patient", "id": "p", "identifier": identifiers}
    return resource | {element: {"reference": "#p"}, "contained": [contained]}


def answer_of(system: HospitalSystem, resource: Json) -> Json:
    """Return the answer to an eligibility request, without what differs between all answers."""
    created = system.create(resource)
    found = system.read(f"CoverageEligibilityResponse/{created['id']}")
    for name in ("id", "meta", "identifier", "patient", "request", "created"):
        found.pop(name, None)
    return found


def hl7(scene: Scene, message: str) -> list[str]:
    """Return the fields of MSA and ERR of the answer to a message."""

    async def receive() -> str:
        replies = [reply async for reply in receive_message(scene.city, message.encode(), Peer("127.0.0.1"))]
        return replies[-1].decode()

    answer = scene.call(receive)
    return [line for line in answer.split("\r") if line.startswith(("MSA", "ERR"))]


def registration(patient: str, visit: str, class_: str = "O", *, code: str = "", hospital: str = "HZ001") -> str:
    system = Hl7System(hospital)
    identifiers = [f"{patient}^^^CN^NI"] * bool(patient) + [f"{code}^^^CHENGMA^DESK"] * bool(code)
    pid = f"PID|1||{'~'.join(identifiers)}||王^小明"
    return system.message("ADT^A04", pid, f"PV1|1|{class_}{'|' * 17}{visit}")


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


# ── desk tokens ──


def test_a_desk_token_alone_opens_a_visit_over_fhir_and_names_its_patient_afterwards(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)
    opening = by_token(encounter("", "V1"), f" {code[:4]} {code[4:]}")
    created = first.create(opening)
    scene.clock.now += 2 * LIFETIME
    assert first.post(opening).status_code == 200, "a repetition is the same visit, when the code has expired, too"
    finished = by_token(encounter("", "V1") | {"id": created["id"], "status": "finished"}, code)
    assert first.put(finished).status_code == 200
    expect_error(first.put(by_token(finished, wrong(code))), 409, "conflict")
    [visit] = stored(scene.client, Visit)
    assert visit.person == patient.id
    assert scene.city.encryption.read(visit, "id_number") == patient.id_number


def test_a_desk_token_in_pid_3_opens_a_visit_with_or_without_the_id_number(scene: Scene, patient: Patient) -> None:
    allow(scene, patient)
    for number, document in (("V1", ""), ("V2", patient.id_number)):
        answer = hl7(scene, registration(document, number, code=code_of(scene, patient)))
        assert answer[0].startswith("MSA|AA"), answer
    assert {visit.person for visit in stored(scene.client, Visit)} == {patient.id}


def test_a_desk_token_answers_and_opens_one_visit_of_one_hospital(
    scene: Scene, patient: Patient, first: HospitalSystem, second: HospitalSystem
) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)
    inquiry = by_token(eligibility("", "E1"), code)
    assert answer_of(first, inquiry)["insurance"][0]["inforce"]
    assert first.post(inquiry).status_code == 200
    expect_error(second.post(by_token(encounter("", "V1"), code)), 404, "not-found")
    first.create(by_token(encounter("", "V1"), code))
    expect_error(first.post(by_token(encounter("", "V2"), code)), 404, "not-found")
    assert len(stored(scene.client, Visit)) == 1


def test_a_desk_token_expires_after_ten_minutes(scene: Scene, patient: Patient, first: HospitalSystem) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)
    scene.clock.now += LIFETIME
    expect_error(first.post(by_token(encounter("", "V1"), code)), 404, "not-found")


def test_a_desk_token_of_somebody_else_does_not_help(scene: Scene, patient: Patient, first: HospitalSystem) -> None:
    other = scene.patient("13800000102")
    allow(scene, patient)
    code = code_of(scene, other)
    expect_error(first.post(by_both(encounter("", "V1"), patient.id_number, code)), 404, "not-found")
    assert stored(scene.client, DeskToken)[0].hospital is None, "it was not used"


def test_a_desk_token_ends_with_the_enrolment(scene: Scene, patient: Patient, first: HospitalSystem) -> None:
    code = code_of(scene, patient)
    assert scene.client.delete("/v1/me/medical-credit", headers=patient).status_code == 204
    expect_error(first.post(by_token(encounter("", "V1"), code)), 404, "not-found")


def test_a_hospital_that_is_allowed_needs_no_token_and_a_wrong_one_does_no_harm(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    for number in range(MAX_GUESSES_OF_HOSPITAL + 5):
        first.create(by_both(encounter("", f"V{number}", "EMER"), patient.id_number, "00000000"))
    assert stored(scene.client, EmergencyAccess) == []


def test_a_hospital_may_guess_a_few_codes_an_hour(scene: Scene, patient: Patient, first: HospitalSystem) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)
    for _ in range(MAX_GUESSES_OF_HOSPITAL):
        expect_error(first.post(by_token(encounter("", "V1"), wrong(code))), 404, "not-found")
    refused = first.post(by_token(encounter("", "V1"), code))
    expect_error(refused, 429, "throttled")
    assert 0 < int(refused.headers["Retry-After"]) <= 3_600
    assert hl7(scene, registration("", "V1", code=code))[0].startswith("MSA|AE")
    scene.clock.now += 6 * LIFETIME
    first.create(by_token(encounter("", "V1"), code_of(scene, patient)))


def test_codes_that_are_guessed_at_once_do_not_exceed_the_limit(scene: Scene, patient: Patient) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)

    async def guess(number: int) -> str:
        message = registration("", f"V{number}", code=f"{(int(wrong(code)) + number) % 10**8:08}")
        replies = [reply async for reply in receive_message(scene.city, message.encode(), Peer("127.0.0.1"))]
        return replies[-1].decode()

    async def guess_at_once() -> list[str]:
        return await asyncio.gather(*(guess(number) for number in range(3 * MAX_GUESSES_OF_HOSPITAL)))

    answers = scene.call(guess_at_once)
    assert sum("|206^" in answer for answer in answers) == 2 * MAX_GUESSES_OF_HOSPITAL


def test_the_guesses_at_one_person_end_sooner_and_only_for_that_hospital(
    scene: Scene, patient: Patient, first: HospitalSystem, second: HospitalSystem
) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)
    for _ in range(MAX_GUESSES_AT_PERSON):
        expect_error(first.post(by_both(encounter("", "V1"), patient.id_number, wrong(code))), 404, "not-found")
    expect_error(first.post(by_both(encounter("", "V1"), patient.id_number, code)), 429, "throttled")
    second.create(by_both(encounter("", "V1"), patient.id_number, code))


def test_a_person_gets_a_limited_number_of_codes_an_hour(scene: Scene, patient: Patient) -> None:
    path = "/v1/me/medical-credit/desk-tokens"
    answers = [scene.client.post(path, headers=patient).status_code for _ in range(21)]
    assert answers == [201] * 20 + [429]


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


# ── kills ──


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
def test_a_process_that_dies_at_any_write_of_an_opening_leaves_a_visit_that_a_repetition_opens(
    scene: Scene, patient: Patient, *, after: bool
) -> None:
    allow(scene, patient)
    store = KillingStore(scene.city.store)
    city, store.after = replace(scene.city, store=cast("Store", store)), after

    async def receive(message: str) -> str:
        replies = [reply async for reply in receive_message(city, message.encode(), Peer("127.0.0.1"))]
        return replies[-1].decode()

    async def opens(message: str, writes: int) -> str:
        """Let the process die at this write, and return the answer when the message is sent again."""
        store.countdown = writes
        with suppress(Killed):
            await receive(message)
        store.countdown = None
        return await receive(message)

    for class_ in ("O", "E"):
        for writes in range(7):
            visit = f"{class_}{writes}"
            code = "" if class_ == "E" else code_of(scene, patient)
            message = registration("" if code else patient.id_number, visit, class_, code=code)
            assert "\rMSA|AA" in scene.call(opens, message, writes)
            scene.cancels(visit)  # so that the credit suffices for the next one
            scene.advanced(visit)
    assert store.kills >= 10
    visits = {one.id: one for one in stored(scene.client, Visit)}
    emergencies = {one.id for one in visits.values() if one.kind == "emergency"}
    assert {one.about for one in stored(scene.client, EmergencyAccess)} == emergencies
    assert {one.visit for one in stored(scene.client, DeskToken) if one.hospital} == visits.keys() - emergencies
