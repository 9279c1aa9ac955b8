"""A hospital that asks about a person is in the audit log, and the person sees it."""

from tests.integrations.his.fhir.hospital_system import HospitalSystem, eligibility
from tests.services.audit_entries import acts, logged
from tests.services.medical_credit.scene import Patient, Scene


def test_a_person_sees_which_hospital_asked_whether_they_may_pay_later(
    first: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    for _ in range(2):  # repeated, it is one question
        first.post(eligibility(patient.id_number))
    (entry,) = [entry for entry in logged(scene.client) if entry.role == "hospital"]
    assert (entry.action, entry.account) == ("medical_credit.eligibility_asked", "hospital:HZ001")
    assert acts(scene.client, patient) == [("medical_credit.eligibility_asked", "hospital")]


def test_a_question_about_somebody_unknown_is_recorded_without_a_person(first: HospitalSystem, scene: Scene) -> None:
    first.create(eligibility("110101199003070054"))
    (entry,) = [entry for entry in logged(scene.client) if entry.role == "hospital"]
    assert entry.person == ""
