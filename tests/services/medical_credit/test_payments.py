"""A bill is paid once, by any payer, for any number of requests, and for any answer of the bank."""

from datetime import timedelta

from backend.paylater.steps import next_debit_at
from backend.services.medical_credit.eligibility import terms_of
from tests.services.health_code.scene import problem
from tests.services.medical_credit.scene import Patient, Scene


def test_a_bill_is_paid_with_one_payment(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    owed = visit.owed_fen()
    shown = scene.pays(patient, visit).json()
    assert (shown["stage"], shown["bill"]["paid_fen"], shown["bill"]["owed_fen"]) == ("paid", owed, 0)
    scene.advanced()
    assert scene.limit(patient)["used_fen"] == 0


def test_a_double_press_of_the_button_pays_once_and_answers_the_same(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    owed = visit.owed_fen()
    first = scene.pays(patient, visit, owed)
    again = scene.pays(patient, visit, owed)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert len(scene.advanced().payments) == 1


def test_another_press_after_payment_finds_nothing_to_pay(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    owed = visit.owed_fen()
    scene.pays(patient, visit, owed)
    problem(scene.pays(patient, visit, owed, key="key-2"), 409, "nothing-to-pay")


def test_a_payment_that_was_refused_is_judged_again_with_its_key(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    refused = problem(scene.pays(patient, visit, 1), 409, "nothing-to-pay")
    assert refused["payable_fen"] == visit.owed_fen()
    assert scene.pays(patient, visit).status_code == 201
    again = problem(scene.pays(patient, visit, 1, key="key-2"), 409, "nothing-to-pay")
    assert "payable_fen" not in again


def test_a_key_is_used_for_one_request(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    scene.pays(patient, visit)
    problem(scene.pays(patient, visit, 77), 422, "idempotency-key-reused")


def test_a_payment_without_a_key_is_refused(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    path, body = f"/v1/me/visits/{visit.id}/payments", {"amount_fen": visit.owed_fen()}
    problem(scene.client.post(path, json=body, headers=patient), 400, "invalid-request")


def test_a_payment_of_an_outdated_bill_is_refused_with_the_current_amount(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    seen = visit.owed_fen()
    scene.charges("L9", 5_000)
    now = scene.advanced().owed_fen()
    refused = problem(scene.pays(patient, visit, seen), 409, "nothing-to-pay")
    assert refused["payable_fen"] == now


def test_an_open_visit_has_nothing_to_pay(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    problem(scene.pays(patient, scene.advanced(), 100), 409, "nothing-to-pay")


def test_instalments_are_paid_one_by_one_or_all_at_once(scene: Scene, patient: Patient) -> None:
    limit_fen = scene.limit(patient)["limit_fen"]
    visit = scene.billed(patient, 10 * limit_fen, kind="emergency")
    assert visit.bill is not None
    scene.pays(patient, visit)
    assert scene.advanced().paid_fen() == visit.bill.covered_fen
    scene.pays(patient, visit, key="key-2")
    first = visit.bill.schedule[1].amount_fen
    assert scene.advanced().paid_fen() == visit.bill.covered_fen + first
    scene.pays(patient, visit, key="key-3", scope="all")
    assert scene.advanced().stage() == "paid"
    assert scene.limit(patient)["over_limit_fen"] == 0


# ── family ──


def test_a_family_member_can_pay_when_both_consent(scene: Scene, patient: Patient) -> None:
    payer = scene.citizen("13800000104")
    visit = scene.billed(patient, 20_000)
    body = {"id_number": payer.id_number, "relation": "child"}
    assert scene.client.post("/v1/me/family", json=body, headers=patient).status_code == 202
    problem(scene.pays(payer, visit, visit.owed_fen()), 404, "not-found")
    (consent,) = scene.client.get("/v1/me/family", headers=payer).json()["consents"]
    assert scene.client.put(f"/v1/me/family/{consent['id']}/agreement", headers=payer).status_code == 200
    (bill,) = scene.client.get("/v1/me/family-bills", headers=payer).json()["visits"]
    assert bill["owed_fen"] == visit.owed_fen()
    assert scene.pays(payer, visit).json()["stage"] == "paid"
    assert scene.advanced().payments[0].method == "family"


def test_only_the_payer_can_agree_to_a_consent(scene: Scene, patient: Patient) -> None:
    payer = scene.citizen("13800000104")
    body = {"id_number": payer.id_number, "relation": "spouse"}
    scene.client.post("/v1/me/family", json=body, headers=patient)
    (consent,) = scene.client.get("/v1/me/family", headers=patient).json()["consents"]
    problem(scene.client.put(f"/v1/me/family/{consent['id']}/agreement", headers=patient), 404, "not-found")


def test_an_ended_consent_allows_no_payment(scene: Scene, patient: Patient) -> None:
    payer = scene.citizen("13800000104")
    visit = scene.billed(patient, 20_000)
    scene.client.post("/v1/me/family", json={"id_number": payer.id_number, "relation": "spouse"}, headers=patient)
    (consent,) = scene.client.get("/v1/me/family", headers=payer).json()["consents"]
    scene.client.put(f"/v1/me/family/{consent['id']}/agreement", headers=payer)
    assert scene.client.delete(f"/v1/me/family/{consent['id']}", headers=payer).status_code == 204
    problem(scene.pays(payer, visit, visit.owed_fen()), 404, "not-found")


def test_a_patient_has_at_most_five_family_payers(scene: Scene, patient: Patient) -> None:
    members = [scene.citizen(f"1380000020{number}") for number in range(6)]
    responses = [
        scene.client.post("/v1/me/family", json={"id_number": one.id_number, "relation": "child"}, headers=patient)
        for one in members
    ]
    assert [answer.status_code for answer in responses[:5]] == [202] * 5
    problem(responses[5], 409, "too-many-family-payers")


# ── when a bill is due ──


def test_a_bill_is_debited_when_it_is_due_if_the_patient_agreed(scene: Scene) -> None:
    patient = scene.patient("13800000105", automatic_debit=True)
    scene.billed(patient, 20_000)
    scene.time_passes(hours=47, minutes=59)
    assert scene.advanced().stage() == "billed"
    scene.time_passes(minutes=1)
    visit = scene.advanced()
    assert (visit.stage(), [payment.method for payment in visit.payments]) == ("paid", ["automatic"])


def test_at_most_three_reminders_are_sent_for_a_bill(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000)
    for _ in range(10):
        scene.time_passes(hours=24)
    assert sum(notice.kind == "reminder" for notice in scene.advanced().notices) == 3


def test_an_overdue_bill_suspends_and_payment_restores_at_once(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    for _ in range(8):
        scene.time_passes(days=1)
    assert scene.credit(patient)["standing"] == "suspended"
    scene.pays(patient, visit)
    visit = scene.advanced()
    assert scene.credit(patient)["standing"] == "good"
    assert visit.notices[-1].kind == "restored"


def test_three_consecutive_breaches_suspend_even_if_all_bills_are_paid(scene: Scene, patient: Patient) -> None:
    for number in ("V1", "V2", "V3"):
        visit = scene.billed(patient, 20_000, number=number, kind="outpatient")
        for _ in range(8):
            scene.time_passes(days=1)
        scene.pays(patient, visit, key=f"key-{number}")
        scene.advanced(number)
    scene.clock.now += timedelta(days=1)
    assert scene.credit(patient)["standing"] == "suspended"


def test_a_failed_debit_is_announced_with_the_date_of_the_next_one(scene: Scene) -> None:
    patient = scene.patient("13800000105", automatic_debit=True)
    scene.bank.close_account(patient.id)
    scene.billed(patient, 20_000)
    terms = terms_of(scene.city, scene.clock.now)
    retries: list[timedelta | None] = []
    for _ in range(3):
        scene.time_passes(hours=24 if retries else 48)
        retry = next_debit_at(scene.advanced(), terms)
        retries.append(None if retry is None else retry - scene.clock.now)
    assert retries == [timedelta(hours=24), timedelta(hours=24), None]
