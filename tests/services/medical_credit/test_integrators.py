"""Requirements that integrators of comparable systems name in public issue trackers."""

from concurrent.futures import ThreadPoolExecutor

from backend.jobs.saga import MAX_BACKOFF
from tests.services.health_code.scene import problem
from tests.services.medical_credit.scene import Patient, Scene


def test_a_double_click_on_settle_makes_one_bill(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 20_000)
    scene.closes()
    with ThreadPoolExecutor(4) as clicks:
        list(clicks.map(lambda _: scene.advanced(), range(4)))
    scene.closes()
    visit = scene.advanced()
    assert (visit.bill_count, len(scene.insurance.database.calls("2207"))) == (1, 1)


def test_a_double_cancel_refunds_once(scene: Scene, patient: Patient) -> None:
    scene.pays(patient, scene.billed(patient, 20_000))
    scene.advanced()
    for _ in range(2):
        scene.cancels()
        scene.advanced()
    visit = scene.advanced()
    assert sum(refund.amount_fen for refund in visit.refunds) == visit.payments[0].amount_fen
    assert visit.paid_fen() == 0


def test_a_cancel_after_a_refund_returns_only_what_is_left(scene: Scene, patient: Patient) -> None:
    scene.pays(patient, scene.billed(patient, 20_000, 8_000))
    scene.advanced()
    scene.credits("C1", "L2", 8_000)
    first = scene.advanced()
    scene.cancels()
    visit = scene.advanced()
    assert len(first.refunds) == 1
    assert sum(refund.amount_fen for refund in visit.refunds) == visit.payments[0].amount_fen


def test_the_due_amount_is_right_after_return_and_cancel(scene: Scene, patient: Patient) -> None:
    before = scene.billed(patient, 20_000).owed_fen()
    scene.charges("L2", 8_000)
    scene.credits("C1", "L2", 8_000)
    assert scene.advanced().owed_fen() == before
    scene.cancels()
    assert scene.advanced().owed_fen() == 0


def test_a_refund_keeps_its_lines(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000, 8_000)
    scene.pays(patient, visit)
    scene.advanced()
    scene.credits("C1", "L2", 3_000)
    scene.advanced()
    lines = scene.visit_details(patient, visit)["lines"]
    assert [(line["id"], line["amount_fen"], line["of"]) for line in lines] == [
        ("L1", 20_000, None),
        ("L2", 8_000, None),
        ("C1", -3_000, "L2"),
    ]


def test_a_waiver_is_a_negative_line_that_names_what_it_waives(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 20_000)
    scene.adjusts("W1", "L1", -20_000)
    scene.closes()
    visit = scene.advanced()
    assert (visit.total_fen(), visit.owed_fen(), visit.lines[1].of) == (0, 0, "L1")


def test_a_conditional_create_duplicates_nothing(scene: Scene, patient: Patient) -> None:
    assert not scene.opens(patient).repeated
    with ThreadPoolExecutor(4) as at_once:
        taken = list(at_once.map(lambda _: scene.opens(patient), range(4)))
    assert all(one.repeated for one in taken)
    assert len(scene.client.get("/v1/me/visits", headers=patient).json()["visits"]) == 1


def test_failed_steps_are_retried_with_a_growing_wait(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 20_000)
    scene.insurance.database.inject_faults("settle", {"lost_before": 1_000})
    scene.insurance.database.inject_faults("reverse", {"lost_before": 1_000})
    scene.closes()
    waits: list[float] = []
    for _ in range(14):
        visit = scene.advanced()
        assert visit.due_ms is not None
        waits.append(visit.due_ms / 1_000 - scene.clock.now.timestamp())
        scene.time_passes(seconds=max(1.0, waits[-1]))
    assert waits[-1] > 60 * max(1.0, waits[1])
    assert max(waits) <= MAX_BACKOFF.total_seconds() + 1


def test_a_resolved_failure_is_not_retried(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 20_000)
    scene.insurance.database.script_outcomes("settle", "lost_after")
    scene.closes()
    scene.advanced()
    scene.time_passes(minutes=5)
    settlements = len(scene.insurance.database.calls("2207"))
    scene.time_passes(hours=20)
    assert scene.advanced().stage() == "billed"
    assert len(scene.insurance.database.calls("2207")) == settlements == 2


def test_no_event_is_lost_while_the_insurance_does_not_answer(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 20_000)
    scene.insurance.database.inject_faults("settle", {"lost_before": 1_000})
    scene.closes()
    for _ in range(30):
        scene.time_passes(hours=1)
    scene.insurance.database.clear_faults()
    for _ in range(3):
        scene.time_passes(hours=1)
    assert scene.advanced().stage() == "billed"


def test_duplicate_callbacks_change_nothing(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    scene.bank.database.script_outcomes("pay", "pending")
    scene.pays(patient, visit)
    (payment,) = scene.advanced().payments
    body, signature = scene.bank.notice(payment.id)
    for _ in range(3):
        answer = scene.client.post("/v1/bank-notices", content=body, headers={"Bank-Signature": signature})
        assert answer.status_code == 202
    visit = scene.advanced()
    assert (visit.stage(), visit.paid_fen()) == ("paid", payment.amount_fen)


def test_a_forged_callback_pays_nothing(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    scene.bank.database.script_outcomes("pay", "pending")
    scene.pays(patient, visit)
    (payment,) = scene.advanced().payments
    body, _ = scene.bank.notice(payment.id)
    answer = scene.client.post("/v1/bank-notices", content=body, headers={"Bank-Signature": "0" * 64})
    problem(answer, 403, "not-allowed")
    assert scene.advanced().paid_fen() == 0


def test_a_callback_that_repeats_a_key_pays_nothing(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    scene.bank.database.script_outcomes("pay", "pending")
    scene.pays(patient, visit)
    (payment,) = scene.advanced().payments
    body, _ = scene.bank.notice(payment.id)
    body = body.replace(b'"outcome":', b'"outcome":"failed","outcome":')
    answer = scene.client.post("/v1/bank-notices", content=body, headers={"Bank-Signature": scene.bank.sign(body)})
    (error,) = problem(answer, 400, "invalid-request")["errors"]
    assert error["pointer"] == "/answer/outcome"
    assert scene.advanced().paid_fen() == 0


def test_a_payment_without_a_receipt_is_looked_up_at_the_bank(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    scene.bank.database.script_outcomes("pay", "lost_after")
    shown = scene.pays(patient, visit).json()
    assert shown["transfers"][0]["state"] == "requested"
    problem(scene.pays(patient, visit, visit.owed_fen(), key="key-2"), 409, "payment-in-progress")
    scene.time_passes(minutes=2)
    visit = scene.advanced()
    assert (visit.stage(), len(scene.bank.entries())) == ("paid", 1)
    assert visit.payments[0].receipt == scene.bank.entries()[0].receipt


def test_the_copay_is_explained(scene: Scene, patient: Patient) -> None:
    shown = scene.visit_details(patient, scene.billed(patient, 20_000))
    assert [(share["payer"], share["amount_fen"]) for share in shown["shares"]] == [
        ("fund", 12_000),
        ("account", 1_000),
        ("cash", 7_000),
    ]
    assert all(share["because"]["zh"] and share["because"]["en"] for share in shown["shares"])
    assert shown["bill"]["cash_fen"] == 7_000
