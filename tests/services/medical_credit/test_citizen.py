"""Citizens enrol in pay later, see their limits and visits, and end the enrolment."""

from datetime import timedelta

from tests.services.health_code.scene import problem
from tests.services.medical_credit.scene import Patient, Scene


def test_enrolment_requires_explicit_consent(scene: Scene) -> None:
    citizen = scene.citizen("13800000101")
    body = {"agreement": "2026-01", "i_agree": False}
    problem(scene.client.post("/v1/me/medical-credit", json=body, headers=citizen), 409, "not-eligible")
    problem(scene.client.get("/v1/me/medical-credit", headers=citizen), 409, "not-enrolled")


def test_consent_must_be_to_the_current_version(scene: Scene) -> None:
    citizen = scene.citizen("13800000101")
    body = {"agreement": "2019-01", "i_agree": True}
    said = problem(scene.client.post("/v1/me/medical-credit", json=body, headers=citizen), 409, "not-eligible")
    assert said["agreement"] == "2026-01"


def test_limits_show_the_used_held_and_available_amounts(scene: Scene, patient: Patient) -> None:
    shown = scene.limit(patient)
    assert 50_000 <= shown["limit_fen"] <= 500_000
    assert (shown["used_fen"], shown["held_fen"], shown["over_limit_fen"]) == (0, 0, 0)
    assert shown["available_fen"] == shown["limit_fen"]
    assert scene.limit(patient, "inpatient")["limit_fen"] == 1_500_000


def test_each_factor_of_the_limit_says_what_it_adds(scene: Scene, patient: Patient) -> None:
    shown = scene.limit(patient)
    assert shown["factors"]
    total = sum(reason["amount_fen"] for reason in shown["factors"])
    assert shown["limit_fen"] == min(500_000, max(50_000, total))
    assert all(reason["because"]["zh"] and reason["because"]["en"] for reason in shown["factors"])


def test_repeated_enrolment_changes_only_automatic_debit(scene: Scene, patient: Patient) -> None:
    first = scene.credit(patient)["consented_at"]
    scene.clock.now += timedelta(days=1)
    assert scene.open_credit(patient, automatic_debit=True).status_code == 201
    shown = scene.credit(patient)
    assert (shown["consented_at"], shown["automatic_debit"]) == (first, True)


def test_enrolment_can_be_ended_when_nothing_is_owed(scene: Scene, patient: Patient) -> None:
    assert scene.client.delete("/v1/me/medical-credit", headers=patient).status_code == 204
    problem(scene.client.get("/v1/me/medical-credit", headers=patient), 409, "not-enrolled")
    assert scene.open_credit(patient).status_code == 201


def test_enrolment_cannot_be_ended_while_a_bill_is_unpaid(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    said = problem(scene.client.delete("/v1/me/medical-credit", headers=patient), 409, "outstanding-balance")
    assert said["owed_fen"] == visit.owed_fen()
    assert scene.credit(patient)["standing"] == "good"


def test_visits_are_listed_newest_first_page_by_page(scene: Scene, patient: Patient) -> None:
    for number in range(25):
        scene.opens(patient, f"V{number}", estimate_fen=1)
        scene.clock.now += timedelta(minutes=1)
    first = scene.client.get("/v1/me/visits", headers=patient).json()
    second = scene.client.get("/v1/me/visits", params={"cursor": first["cursor"]}, headers=patient).json()
    opened = [visit["opened_at"] for page in (first, second) for visit in page["visits"]]
    assert (len(first["visits"]), len(opened)) == (20, 25)
    assert opened == sorted(opened, reverse=True)


def test_the_bill_explains_who_pays_which_part_of_the_fee(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000, 4_000)
    shown = scene.visit_details(patient, visit)
    assert shown["medical_fee_fen"] == 24_000 == sum(share["amount_fen"] for share in shown["shares"])
    assert shown["shares"][-1]["payer"] == "cash"
    assert shown["shares"][-1]["amount_fen"] == shown["bill"]["cash_fen"]
    assert [line["id"] for line in shown["lines"]] == ["L1", "L2"]


def test_nobody_sees_the_visit_of_another(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    other = scene.patient("13800000102")
    problem(scene.client.get(f"/v1/me/visits/{visit.id}", headers=other), 404, "not-found")
    problem(scene.pays(other, visit, 100), 404, "not-found")
