"""An emergency visit becomes inpatient, and back: one visit, one bill, and the limit of its present kind."""

from datetime import timedelta

import pytest

from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.commands import ChangeVisit, OpenVisit
from backend.services.medical_credit.model.problems import CannotPayLater, OtherPatient, VisitChanged
from backend.services.medical_credit.model.visit import Visit
from tests.services.medical_credit.scene import Patient, Scene


def admit(scene: Scene, patient: Patient, kind: VisitKind = "inpatient") -> Visit:
    return scene.send(OpenVisit(patient.id_number, kind, scene.clock.now, admits=True)).visit


def held_fen(scene: Scene, patient: Patient) -> tuple[int, int]:
    """Return the amounts held on the outpatient and the inpatient limit."""
    return scene.limit(patient, "outpatient")["held_fen"], scene.limit(patient, "inpatient")["held_fen"]


def test_an_emergency_patient_who_is_admitted_uses_the_inpatient_limit(scene: Scene, patient: Patient) -> None:
    scene.opens(patient, kind="emergency")
    scene.advanced()
    assert held_fen(scene, patient) == (50_000, 0)
    assert admit(scene, patient).kind == "inpatient"
    scene.advanced()
    assert held_fen(scene, patient) == (0, 500_000)


def test_a_correction_of_the_kind_admits_as_well(scene: Scene, patient: Patient) -> None:
    scene.opens(patient, kind="emergency")
    scene.send(ChangeVisit(kind="inpatient"))
    scene.advanced()
    assert held_fen(scene, patient) == (0, 500_000)


def test_emergency_and_inpatient_charges_are_one_bill(scene: Scene, patient: Patient) -> None:
    scene.opens(patient, kind="emergency")
    scene.charges("L1", 30_000)
    scene.advanced()
    admit(scene, patient)
    scene.charges("L2", 70_000)
    scene.closes()
    visit = scene.advanced()
    assert visit.settlement is not None
    assert visit.settlement.split.medfee_fen == 100_000
    assert scene.account(patient, "inpatient").used_fen() == visit.owed_fen() > 0
    assert scene.account(patient, "outpatient").used_fen() == 0


def test_a_patient_may_be_admitted_and_sent_back_before_the_credit_has_moved(scene: Scene, patient: Patient) -> None:
    scene.opens(patient, kind="emergency")
    scene.advanced()
    for kind in ("inpatient", "emergency", "inpatient", "emergency"):
        admit(scene, patient, kind)
    scene.advanced()
    assert held_fen(scene, patient) == (50_000, 0)
    scene.charges("L1", 20_000)
    scene.closes()
    visit = scene.advanced()
    assert visit.stage() == "billed"
    assert scene.account(patient, "outpatient").used_fen() == visit.owed_fen()


def test_the_credit_of_a_cancelled_admission_is_available_again(scene: Scene, patient: Patient) -> None:
    scene.opens(patient, kind="emergency")
    admit(scene, patient)
    scene.cancels()
    assert scene.advanced().stage() == "cancelled"
    assert held_fen(scene, patient) == (0, 0)


def test_the_debt_of_a_reopened_emergency_moves_to_the_inpatient_limit(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000, kind="emergency")
    scene.reopens()
    scene.advanced()
    admit(scene, patient)
    scene.closes()
    visit = scene.advanced()
    assert scene.account(patient, "outpatient").used_fen() == 0
    assert scene.account(patient, "inpatient").used_fen() == visit.owed_fen() > 0


def test_a_settled_visit_keeps_its_kind(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000, kind="emergency")
    with pytest.raises(VisitChanged):
        admit(scene, patient)


def test_an_opening_with_another_kind_is_no_admission(scene: Scene, patient: Patient) -> None:
    scene.opens(patient, kind="emergency")
    with pytest.raises(VisitChanged):
        scene.opens(patient, kind="inpatient")


def test_an_admission_of_another_patient_is_refused(scene: Scene, patient: Patient) -> None:
    scene.opens(patient, kind="emergency")
    with pytest.raises(OtherPatient):
        admit(scene, scene.patient("13800000102"))


def test_an_emergency_stays_one_if_the_patient_may_not_pay_later_for_a_stay(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000)
    scene.clock.now += timedelta(days=90)
    scene.opens(patient, "V2", "emergency")
    scene.advanced("V2")
    with pytest.raises(CannotPayLater):
        scene.send(ChangeVisit(kind="inpatient"), "V2")
    visit = scene.advanced("V2")
    assert (visit.kind, visit.exceptional, visit.left_lines) == ("emergency", True, ())
