"""Reconciliation where the hospital settles at the insurance itself: the insurance also has its other patients."""

from msgspec.structs import replace

from backend.services.medical_credit.model.insurance_comparison import compare_with_insurance
from backend.services.medical_credit.model.reconciliation import Difference
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.ports import SettlementRecord, Split
from tests.services.medical_credit.test_every_difference import FILE, INSURED, NOON, VISIT, Day, filed

assert VISIT.settlement is not None
SETTLEMENT = replace(VISIT.settlement, settled_at=NOON, registration="G7")
OURS = replace(VISIT, settled_by="hospital", closed_at=NOON, settlement=SETTLEMENT)
THEIRS = replace(INSURED, visit="G7")


def compare(*insured: SettlementRecord, visit: Visit = OURS) -> list[Difference]:
    return list(compare_with_insurance([visit], insured, {}, {visit.id: visit}, "hospital"))


def test_a_settlement_of_the_hospital_agrees_with_the_insurance() -> None:
    assert compare(THEIRS) == []


def test_settlements_of_patients_who_do_not_pay_later_are_no_difference() -> None:
    other = replace(THEIRS, settlement_id="S9", visit="G9")
    assert compare(THEIRS, other, other) == []


def test_a_visit_that_the_hospital_settled_twice_is_for_the_hospital() -> None:
    (one,) = compare(THEIRS, replace(THEIRS, settlement_id="S2"))
    assert (one.kind, one.subject, one.number, one.repair) == (
        "settled_twice_at_insurance",
        "S2",
        "V1",
        "contact_hospital",
    )


def test_a_settlement_that_the_insurance_does_not_have_is_for_the_hospital() -> None:
    (one,) = compare()
    assert (one.kind, one.repair) == ("settlement_missing_at_insurance", "contact_hospital")


def test_a_settlement_with_another_split_is_for_the_hospital() -> None:
    (one,) = compare(replace(THEIRS, fund_fen=49_00, cash_fen=36_00))
    assert (one.kind, one.repair) == ("insurance_split_differs", "contact_hospital")


def test_a_settlement_of_another_registration_is_found() -> None:
    assert [one.kind for one in compare(replace(THEIRS, visit="G8"))] == ["insurance_visit_differs"]


def test_a_patient_who_is_not_insured_has_no_settlement_at_the_insurance() -> None:
    split = Split("R1", 100_00, 0, 0, 0, 0, 100_00)
    assert compare(visit=replace(OURS, settlement=replace(SETTLEMENT, split=split))) == []


def test_a_settlement_has_the_day_on_which_the_hospital_made_it() -> None:
    late = replace(OURS, settlement=replace(SETTLEMENT, at=NOON.replace(day=3)))
    assert replace(Day(), visits=(late,), insured=()).differences()[0].kind == "settlement_missing_at_insurance"


def test_a_file_without_days_and_patients_is_compared_by_the_rest() -> None:
    rows = (row.rsplit(",", 2)[0] for row in FILE)
    assert filed(*rows)(Day()).differences() == []
