"""Desk tokens: codes by which a patient lets a hospital use pay later for one visit, over both interfaces."""

import asyncio
from contextlib import suppress
from typing import cast

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
from tests.integrations.his.desk import (
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
from tests.integrations.his.hospital import Hl7System, last_reply, transaction
from tests.services.health_code.scene import stored
from tests.services.killing import Killed, KillingStore
from tests.services.medical_credit.scene import Patient, Scene


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


def test_a_used_desk_token_is_told_apart_for_the_hospital_that_used_it_and_for_no_other(
    scene: Scene, patient: Patient, first: HospitalSystem, second: HospitalSystem
) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)
    first.create(by_token(encounter("", "V1"), code))
    for named in (by_token(encounter("", "V2"), code), by_both(encounter("", "V2"), NOBODY, code)):
        assert "already used for another visit" in first.post(named).text
    assert "already used for another visit" in " ".join(hl7(scene, registration("", "V2", code=code)))
    others = [second.post(by_token(encounter("", "V2"), one)).json()["issue"] for one in (code, wrong(code))]
    assert others[0] == others[1], "it does not learn that the code was right elsewhere"


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
        return await last_reply(scene.city, message)

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


def test_every_message_of_the_visit_may_name_the_patient_by_its_desk_token_and_by_no_other(
    scene: Scene, patient: Patient
) -> None:
    allow(scene, patient)
    code = code_of(scene, patient)
    assert hl7(scene, registration("", "V1", code=code))[0].startswith("MSA|AA")
    scene.clock.now += 2 * LIFETIME
    system, visit = Hl7System(), f"PV1|1|O{'|' * 17}V1"
    for kind in ("ADT^A04", "DFT^P03", "ADT^A08", "ADT^A03", "ADT^A13", "BAR^P06", "ADT^A11"):
        rest = [transaction("L1", "5.00")] if kind == "DFT^P03" else []
        for shown, expected in ((wrong(code), "MSA|AR"), (code, "MSA|AA")):
            pid = f"PID|1||{shown}^^^CHENGMA^DESK||王^小明|||||||||||||V1"
            answer = hl7(scene, system.message(kind, pid, visit, *rest))
            assert answer[0].startswith(expected), f"{kind}: {answer}"


# ── kills ──


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
def test_a_process_that_dies_at_any_write_of_an_opening_leaves_a_visit_that_a_repetition_opens(
    scene: Scene, patient: Patient, *, after: bool
) -> None:
    allow(scene, patient)
    store = KillingStore(scene.city.store)
    city, store.after = replace(scene.city, store=cast("Store", store)), after

    async def receive(message: str) -> str:
        return await last_reply(city, message)

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
