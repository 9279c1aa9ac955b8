"""A visit from its opening to its one bill, with repeated, late and reordered commands."""

import pytest

from backend.services.medical_credit.model.commands import ChangeVisit, CloseVisit, OpenVisit
from backend.services.medical_credit.model.problems import (
    CannotPayLater,
    LineChanged,
    LineExceeded,
    OtherPatient,
    RefundTooLate,
    UnknownLine,
    UnknownPatient,
    UnknownVisit,
    VisitCancelled,
    VisitPaid,
)
from backend.services.medical_credit.model.visit import CounterPayment
from tests.services.medical_credit.scene import Patient, Scene

# ── opening ──


def test_opening_a_visit_places_a_hold(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    visit = scene.advanced()
    assert visit.held_fen == 50_000
    assert scene.limit(patient)["held_fen"] == 50_000


def test_a_higher_estimate_is_held_instead(scene: Scene, patient: Patient) -> None:
    scene.opens(patient, estimate_fen=60_000)
    assert scene.advanced().requested_hold_fen == 60_000


def test_an_inpatient_stay_uses_a_separate_limit(scene: Scene, patient: Patient) -> None:
    scene.opens(patient, kind="inpatient")
    scene.advanced()
    assert scene.limit(patient, "inpatient")["held_fen"] == 500_000
    assert scene.limit(patient, "outpatient")["held_fen"] == 0


def test_a_visit_opened_twice_is_one_visit(scene: Scene, patient: Patient) -> None:
    assert not scene.opens(patient).repeated
    assert scene.opens(patient).repeated
    scene.advanced()
    assert scene.limit(patient)["held_fen"] == 50_000


def test_a_visit_number_is_used_for_one_patient(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    with pytest.raises(OtherPatient):
        scene.opens(scene.patient("13800000102"))


def test_a_person_who_is_not_enrolled_is_unknown_to_hospitals(scene: Scene) -> None:
    with pytest.raises(UnknownPatient):
        scene.opens(scene.citizen("13800000103"))


def test_an_unknown_person_gets_the_same_answer(scene: Scene) -> None:
    with pytest.raises(UnknownPatient):
        scene.send(OpenVisit("11010519491231002X", "outpatient", scene.clock.now))


def test_a_visit_must_be_opened_before_other_commands(scene: Scene) -> None:
    with pytest.raises(UnknownVisit):
        scene.charges("L1", 100)


def test_an_outpatient_visit_can_become_an_emergency(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    visit = scene.send(ChangeVisit(kind="emergency")).visit
    assert visit.kind == "emergency"


def test_the_patient_of_a_visit_cannot_change(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    with pytest.raises(OtherPatient):
        scene.send(ChangeVisit(id_number=scene.patient("13800000102").id_number))


# ── charges ──


def test_a_repeated_charge_is_added_once(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    assert not scene.charges("L1", 1_000).repeated
    assert scene.charges("L1", 1_000).repeated
    assert scene.advanced().total_fen() == 1_000


def test_the_same_line_with_another_amount_is_refused(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 1_000)
    with pytest.raises(LineChanged):
        scene.charges("L1", 1_001)


def test_a_credit_cancels_its_charge(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 1_000)
    scene.credits("C1", "L1", 1_000)
    assert scene.advanced().total_fen() == 0


def test_credits_cannot_exceed_the_charge(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 1_000)
    scene.credits("C1", "L1", 600)
    with pytest.raises(LineExceeded) as problem:
        scene.credits("C2", "L1", 401)
    assert problem.value.members == {"remaining_fen": 400}


def test_a_credit_waits_for_its_charge(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    with pytest.raises(UnknownLine):
        scene.credits("C1", "L1", 1_000)


def test_an_adjustment_goes_up_or_down(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 1_000)
    scene.adjusts("A1", "L1", 250)
    scene.adjusts("A2", "L1", -50)
    assert scene.advanced().total_fen() == 1_200


# ── the bill ──


def test_a_closed_visit_ends_in_one_bill(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 10_000, 5_000)
    assert visit.stage() == "billed"
    assert visit.settlement is not None
    assert visit.bill is not None
    assert visit.settlement.split.medfee_fen == 15_000
    assert visit.bill.cash_fen == visit.settlement.split.cash_fen == visit.owed_fen()


def test_the_share_of_the_insurance_becomes_available_again(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    limit = scene.limit(patient)
    assert (limit["held_fen"], limit["used_fen"]) == (0, visit.owed_fen())


def test_the_bill_waits_for_late_charges_unless_the_close_is_final(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 10_000)
    scene.closes(final=False)
    assert scene.advanced().stage() == "closing"
    scene.charges("L2", 2_000)
    scene.time_passes(minutes=30)
    visit = scene.advanced()
    assert visit.stage() == "billed"
    assert visit.total_fen() == 12_000


def test_a_charge_after_the_bill_reissues_the_bill(scene: Scene, patient: Patient) -> None:
    before = scene.billed(patient, 10_000)
    scene.charges("L9", 5_000)
    after = scene.advanced()
    assert after.stage() == "billed"
    assert after.settlement is not None
    assert after.settlement.split.medfee_fen == 15_000
    assert after.owed_fen() > before.owed_fen()
    assert scene.limit(patient)["used_fen"] == after.owed_fen()


def test_a_credit_after_the_bill_reduces_it(scene: Scene, patient: Patient) -> None:
    before = scene.billed(patient, 10_000, 8_000)
    scene.credits("C1", "L2", 8_000)
    after = scene.advanced()
    assert after.owed_fen() < before.owed_fen()
    assert scene.limit(patient)["used_fen"] == after.owed_fen()


def test_a_visit_without_charges_owes_nothing(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient)
    assert (visit.stage(), visit.owed_fen()) == ("paid", 0)
    assert scene.limit(patient)["held_fen"] == 0


def test_a_reopened_visit_is_billed_when_it_closes_again(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 10_000)
    scene.reopens()
    assert scene.advanced().stage() == "open"
    scene.charges("L2", 1_000)
    scene.closes()
    visit = scene.advanced()
    assert (visit.stage(), visit.total_fen()) == ("billed", 11_000)


def test_the_amount_over_the_limit_is_paid_at_the_counter(scene: Scene, patient: Patient) -> None:
    limit_fen = scene.limit(patient)["limit_fen"]
    visit = scene.billed(patient, 10 * limit_fen)
    assert visit.bill is not None
    assert visit.bill.covered_fen == limit_fen
    assert visit.bill.counter_fen == visit.bill.cash_fen - limit_fen > 0
    assert scene.limit(patient)["available_fen"] == 0


def test_a_repeated_counter_payment_is_recorded_once(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    payment = CounterPayment("P1", 5_000, scene.clock.now)
    assert not scene.send(payment).repeated
    assert scene.send(payment).repeated


def test_an_emergency_over_the_limit_is_an_exception_in_instalments(scene: Scene, patient: Patient) -> None:
    limit_fen = scene.limit(patient)["limit_fen"]
    visit = scene.billed(patient, 10 * limit_fen, kind="emergency")
    assert visit.bill is not None
    assert visit.bill.covered_fen == limit_fen
    assert visit.bill.counter_fen == 0
    assert visit.bill.exception_fen == visit.bill.cash_fen - limit_fen
    assert sum(part.amount_fen for part in visit.bill.schedule) == visit.bill.cash_fen
    assert len(visit.bill.schedule) == 1 + 6
    shown = scene.limit(patient)
    assert (shown["used_fen"], shown["over_limit_fen"]) == (limit_fen, visit.bill.exception_fen)


def test_a_suspended_person_is_refused_except_in_an_emergency(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000)
    scene.time_passes(days=20)
    assert scene.credit(patient)["standing"] == "suspended"
    with pytest.raises(CannotPayLater):
        scene.opens(patient, "V2")
    visit = scene.billed(patient, 20_000, number="V3", kind="emergency")
    assert visit.bill is not None
    assert (visit.bill.covered_fen, visit.bill.exception_fen) == (0, visit.bill.cash_fen)


# ── cancelling ──


def test_cancelling_a_visit_releases_its_hold(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.advanced()
    scene.cancels()
    assert scene.advanced().stage() == "cancelled"
    assert scene.limit(patient)["held_fen"] == 0


def test_a_cancelled_visit_owes_nothing_and_has_no_settlement(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000)
    scene.cancels()
    visit = scene.advanced()
    assert (visit.stage(), visit.settlement, visit.owed_fen()) == ("cancelled", None, 0)
    assert scene.limit(patient)["used_fen"] == 0


def test_cancelling_twice_has_no_further_effect(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    assert not scene.cancels().repeated
    assert scene.cancels().repeated


def test_nothing_more_is_charged_to_a_cancelled_visit(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.cancels()
    with pytest.raises(VisitCancelled):
        scene.charges("L1", 100)


def test_payments_are_refunded_when_the_visit_is_cancelled(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    paid = visit.owed_fen()
    assert scene.pays(patient, visit).status_code == 201
    scene.advanced()
    scene.cancels()
    visit = scene.advanced()
    assert [refund.amount_fen for refund in visit.refunds] == [paid]
    assert (visit.stage(), visit.paid_fen()) == ("cancelled", 0)
    assert scene.limit(patient)["used_fen"] == 0


def test_a_settlement_cancellation_without_an_answer_is_completed_before_a_new_settlement(
    scene: Scene, patient: Patient
) -> None:
    scene.billed(patient, 20_000)
    scene.insurance.database.script_outcomes("cancel", "lost_after")
    scene.reopens()
    scene.advanced()
    scene.closes()
    scene.time_passes(minutes=5)
    visit = scene.advanced()
    assert visit.settlement is not None
    assert scene.insurance.in_force()[visit.id] == visit.settlement.split


def test_a_repeated_event_without_effect_has_none_after_the_opposite_event(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000)
    scene.send(CloseVisit(scene.clock.now, final=True), event="closed-again")
    scene.reopens()
    scene.send(CloseVisit(scene.clock.now, final=True), event="closed-again")
    assert scene.advanced().stage() == "open"


# ── after payment ──


def test_a_paid_bill_can_only_be_reduced(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    scene.pays(patient, visit)
    with pytest.raises(VisitPaid):
        scene.charges("L9", 100)
    with pytest.raises(VisitPaid):
        scene.reopens()


def test_a_credited_line_of_a_paid_bill_is_refunded(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000, 8_000)
    paid = visit.owed_fen()
    scene.pays(patient, visit)
    scene.advanced()
    scene.credits("C1", "L2", 8_000)
    visit = scene.advanced()
    assert visit.bill is not None
    assert visit.paid_fen() == visit.bill.cash_fen < paid
    assert sum(refund.amount_fen for refund in visit.refunds) == paid - visit.bill.cash_fen
    assert scene.limit(patient)["used_fen"] == 0


def test_a_payment_can_be_refunded_within_a_year(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000, 8_000)
    scene.pays(patient, visit)
    scene.advanced()
    scene.time_passes(days=366)
    with pytest.raises(RefundTooLate):
        scene.credits("C1", "L2", 8_000)


# ── what the insurance answers ──


def test_shares_that_do_not_add_up_are_reversed_and_asked_again_later(scene: Scene, patient: Patient) -> None:
    scene.insurance.database.script_outcomes("settle", "wrong")
    visit = scene.billed(patient, 20_000)
    assert (visit.stage(), visit.settlement) == ("closing", None)
    assert scene.insurance.database.calls("2601") == scene.insurance.database.calls("2207")
    scene.time_passes(minutes=1)
    split = scene.insurance.in_force()[visit.id]
    settled = scene.advanced().settlement
    assert settled is not None
    assert settled.split == split
