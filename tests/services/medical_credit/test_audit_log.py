"""What operators and approvers do with a hospital's day is in the audit log; patients see repairs of their bills."""

import pytest

from tests.conftest import SignIn
from tests.services.audit_entries import acts, logged, verified
from tests.services.health_code.scene import Headers
from tests.services.medical_credit.scene import Patient, Scene

DAY = "/v1/reconciliations/HZ001/2022-04-20"


@pytest.fixture
def operator(sign_in: SignIn) -> Headers:
    return sign_in("13800000008", roles=["operator"])


@pytest.fixture
def approver(sign_in: SignIn) -> Headers:
    return sign_in("13800000009", roles=["approver"])


def test_each_step_of_a_repair_is_recorded_and_the_patient_sees_it(
    scene: Scene, patient: Patient, operator: Headers, approver: Headers
) -> None:
    scene.billed(patient, 20_000)
    file = scene.client.get(f"{DAY}/file", headers=operator).text.replace("200.00", "199.00", 1)
    found = scene.client.put(DAY, json={"file": file}, headers=operator).json()["differences"]
    chosen = {"differences": [one["difference"]["id"] for one in found]}
    assert scene.client.post(f"{DAY}/acceptances", json=chosen, headers=operator).status_code == 200
    assert scene.client.post(f"{DAY}/approvals", json=chosen, headers=approver).status_code == 200
    entries = [entry for entry in logged(scene.client) if entry.action.startswith("medical_credit.")]
    repairs = [(entry.action, entry.role) for entry in entries if "repair" in entry.action]
    assert sorted(repairs) == [
        ("medical_credit.repair_accepted", "operator"),
        ("medical_credit.repair_approved", "approver"),
    ]
    day = [(entry.action, entry.about) for entry in entries if "repair" not in entry.action]
    assert sorted(day) == [
        ("medical_credit.day_reconciled", "HZ001 2022-04-20"),
        ("medical_credit.records_exported", "HZ001 2022-04-20"),
    ]
    seen = sorted(acts(scene.client, patient))
    assert seen == sorted(repairs)
    assert verified(scene.client).entries == len(logged(scene.client))


def test_reading_a_day_and_its_page_is_recorded(scene: Scene, operator: Headers) -> None:
    assert scene.first
    file = scene.client.get(f"{DAY}/file", headers=operator).text
    scene.client.put(DAY, json={"file": file}, headers=operator)
    for path in (DAY, f"{DAY}/page"):
        assert scene.client.get(path, headers=operator).status_code == 200
    assert [entry.action for entry in logged(scene.client)].count("medical_credit.day_read") == 2


def test_a_day_that_is_reconciled_again_keeps_the_acts_that_the_log_has_not_taken_over(
    scene: Scene, operator: Headers
) -> None:
    assert scene.first
    file = scene.client.get(f"{DAY}/file", headers=operator).text
    for _ in range(3):
        assert scene.client.put(DAY, json={"file": file}, headers=operator).status_code == 200
    assert [entry.action for entry in logged(scene.client)].count("medical_credit.day_reconciled") == 3
