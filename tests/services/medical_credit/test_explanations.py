"""What citizens read about their standing and their limits."""

from typing import Any

from tests.services.health_code.scene import problem
from tests.services.medical_credit.scene import Patient, Scene

PATH = "/v1/me/medical-credit/explanation"


def explained(scene: Scene, patient: Patient, about: str, language: str = "en") -> dict[str, Any]:
    response = scene.client.get(PATH, params={"about": about}, headers={**patient, "accept-language": language})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_patient_in_good_standing_needs_nothing(scene: Scene, patient: Patient) -> None:
    found = explained(scene, patient, "standing")
    assert (found["module"], found["result"], found["way_out"]["kind"]) == ("medical_credit.standing", "good", "best")


def test_the_payment_of_an_overdue_bill_is_the_shortest_way_back(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000)
    scene.time_passes(days=40)
    found = explained(scene, patient, "standing", "zh")
    assert found["result"] == "suspended"
    (way,) = found["way_out"]["ways"]
    assert [act["field"] for act in way["acts"]] == ["owing"]
    assert found["way_out"]["proved"]
    assert any(sentence.startswith("最简便的办法：付清逾期账单（") for sentence in found["sentences"])
    assert any(sentence.endswith("您可以先看病后付费。") for sentence in found["sentences"])


def test_a_limit_is_raised_by_a_further_proof_of_identity(scene: Scene, patient: Patient) -> None:
    found = explained(scene, patient, "outpatient")
    assert found["result"] == scene.limit(patient)["limit_fen"]
    (way,) = found["way_out"]["ways"]
    assert [(act["field"], act["values"]) for act in way["acts"]] == [("real_name", {"real_name": "bank"})]
    assert way["then"]["result"] == found["result"] + 30_000
    assert any(
        sentence.startswith("The shortest way: Verify your identity by a further proof (a bank account in your name).")
        for sentence in found["sentences"]
    )


def test_a_person_who_is_not_enrolled_gets_no_explanation(scene: Scene) -> None:
    citizen = scene.citizen("13800000109")
    problem(scene.client.get(PATH, headers=citizen), 409, "not-enrolled")
