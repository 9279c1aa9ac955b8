"""What citizens read about their talent class and their benefits."""

from typing import Any

from tests.services.talent_code.scene import DOCTOR, Citizen, Scene


def explained(scene: Scene, person: Citizen, what: str, language: str = "en") -> dict[str, Any]:
    response = scene.client.get(f"/v1/me/{what}/explanation", headers={**person, "accept-language": language})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_person_without_a_class_reads_which_qualification_gives_one(scene: Scene) -> None:
    found = explained(scene, scene.citizen(), "talent")
    assert (found["result"], found["way_out"]["kind"]) == ("none", "change")
    assert all(len(way["acts"]) == 1 for way in found["way_out"]["ways"])
    assert {act["field"] for way in found["way_out"]["ways"] for act in way["acts"]} <= {"degrees", "titles"}
    assert any("class E" in sentence for sentence in found["sentences"])


def test_a_higher_class_is_the_better_one(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    found = explained(scene, doctor, "talent")
    assert found["result"] == "e"
    assert found["way_out"]["ways"]
    assert {way["then"]["result"] for way in found["way_out"]["ways"]} <= {"d", "c", "b", "a"}


def test_a_benefit_says_what_would_give_more_of_it(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    found = explained(scene, doctor, "benefits/home_purchase", "zh")
    assert (found["result"], found["way_out"]["by"]) == (20_000_000, "authority")
    assert any("认定为更高的人才类别（" in sentence and "购房补贴：" in sentence for sentence in found["sentences"])


def test_a_benefit_is_claimed_and_a_service_is_used(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    money, service = (explained(scene, doctor, f"benefits/{one}", "zh") for one in ("home_purchase", "medical_service"))
    assert any("起可申领：购房补贴：" in sentence for sentence in money["sentences"]), money["sentences"]
    assert any("起可享受：" in sentence for sentence in service["sentences"]), service["sentences"]


def test_a_percentage_is_no_amount(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    found = explained(scene, doctor, "benefits/tax_reward")
    assert any(sentence.endswith("Income tax reward: 80 percent.") for sentence in found["sentences"])


def test_a_benefit_that_does_not_exist_has_no_explanation(scene: Scene) -> None:
    response = scene.client.get("/v1/me/benefits/moon_travel/explanation", headers=scene.citizen())
    assert response.status_code == 404
