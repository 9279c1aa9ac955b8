"""Reconciled days as hospitals read them."""

from datetime import date
from zoneinfo import ZoneInfo

from fhir.resources.R4B.paymentreconciliation import PaymentReconciliation

from backend.services.medical_credit.model.comparison import compare_with_hospital
from backend.services.medical_credit.model.hospital_file import COLUMNS, read_file
from backend.services.medical_credit.model.reconciliation import Reconciliation, Totals, VisitTotal
from backend.services.medical_credit.reconciliation import our_records, reconcile
from integrations.his.fhir.payment_reconciliation import payment_reconciliation
from integrations.his.fhir.representation import encode
from tests.integrations.his.fhir.hospital_system import HospitalSystem
from tests.services.medical_credit.scene import NOON, Patient, Scene, make_hospital


def a_day(*rows: str) -> Reconciliation:
    theirs = read_file("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return Reconciliation(
        id="0123456789abcdef",
        revision=3,
        hospital="HZ001",
        day="2026-03-02",
        created_at=NOON,
        file_digest="",
        totals=Totals(visits=1, medfee_fen=6_000, payout_fen=1_234),
        visits=(VisitTotal("V1", "ab12", 6_000, 1_234),),
        differences=tuple(compare_with_hospital("HZ001", date(2026, 3, 2), [], theirs, {}, ZoneInfo("Asia/Shanghai"))),
    )


def test_a_day_without_differences_is_complete_and_lists_the_amount_of_each_visit() -> None:
    shown = PaymentReconciliation.model_validate_json(encode(payment_reconciliation(a_day(), make_hospital())))
    assert (shown.outcome, str(shown.paymentAmount.value)) == ("complete", "12.34")
    assert [(one.identifier.value, str(one.amount.value)) for one in shown.detail] == [("V1", "12.34")]


def test_a_day_with_differences_is_partial_and_lists_them() -> None:
    resource = payment_reconciliation(a_day("V9,charge,L1,,A1,1.00,,,"), make_hospital())
    shown = PaymentReconciliation.model_validate_json(encode(resource))
    assert shown.outcome == "partial"
    assert [note.text for note in shown.processNote] == [
        "visit_only_at_hospital: Visit V9 has 1.00 yuan at the hospital, on 1 line(s), and is unknown here."
    ]


def test_a_hospital_reads_only_its_own_days(
    first: HospitalSystem, second: HospitalSystem, scene: Scene, patient: Patient
) -> None:
    visit = scene.billed(patient, 20_000)
    day = date(2022, 4, 20)
    file = scene.call(our_records, scene.city, first.hospital, day)
    scene.call(reconcile, scene.city, first.hospital, day, file)
    (found,) = first.found("PaymentReconciliation?created=2022-04-20")
    assert (found["outcome"], found["detail"][0]["request"]["reference"]) == ("complete", f"Invoice/{visit.id}")
    assert first.read(f"PaymentReconciliation/{found['id']}") == found == first.found("PaymentReconciliation")[0]
    assert second.found("PaymentReconciliation") == second.found("PaymentReconciliation?created=2022-04-20") == []
    assert second.get(f"PaymentReconciliation/{found['id']}").status_code == 404
    assert first.get("PaymentReconciliation?created=yesterday").status_code == 400
