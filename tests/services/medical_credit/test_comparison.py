"""The comparison of a hospital's day, on records that are written by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import astuple, replace

from backend.paylater.bill import Bill, Payment, Refund
from backend.paylater.ports import BankEntry
from backend.paylater.statement import missing_at_bank
from backend.services.medical_credit.model.comparison import compare, totals_of
from backend.services.medical_credit.model.hospital_file import our_record
from backend.services.medical_credit.model.visit import Line, Settlement, Visit, visit_id
from backend.services.medical_credit.ports import SettlementRecord, Split

DAY = datetime(2026, 3, 1, 16, 0, tzinfo=UTC)
MIDNIGHT = DAY + timedelta(days=1)
"""The end of 2 March in the city."""


def settled_visit(number: str = "V1") -> Visit:
    """Return a visit with one line of 100 yuan: 50 from the fund, 10 and 5 from accounts, and 35 in cash."""
    split = Split(f"S-{number}", 100_00, 50_00, 0, 10_00, 5_00, 35_00)
    return Visit(
        id=visit_id("HZ001", number),
        hospital="HZ001",
        number=number,
        person="p",
        kind="outpatient",
        opened_at=DAY,
        opened_ms=0,
        created_at=DAY,
        changed_ms=0,
        requested_hold_fen=0,
        expires_at=MIDNIGHT,
        lines=(Line("L1", "charge", "A1", "诊查费", 100_00, DAY),),
        settlement=Settlement(1, "m", 1, split, MIDNIGHT),
        bill=Bill(1, 35_00, 20_00, 10_00, 5_00, MIDNIGHT, ()),
    )


def paid(visit: Visit, at: datetime) -> Visit:
    """Return the visit with a payment of 30 yuan, and a refund of one, that the bank answered at an instant."""
    payment = Payment(f"{visit.id}/p", 30_00, "p", "citizen", DAY, "paid", at)
    refund = Refund(f"{visit.id}/r", payment.id, 1_00, DAY, "done", at)
    return replace(visit, payments=(payment,), refunds=(refund,))


def insured(visit: Visit, settlement_id: str) -> SettlementRecord:
    return SettlementRecord(settlement_id, visit.id, 100_00, 50_00, 10_00, 35_00)


def found(ours: list[Visit], theirs: list[Visit], settlements: list[SettlementRecord], *known: Visit) -> list[object]:
    """Return the kind, subject and repair of each difference."""
    filed = {visit.number: our_record(visit) for visit in theirs}
    differences = compare("HZ001", ours, filed, settlements, [], {visit.id: visit for visit in known})
    return [(one.kind, one.subject, one.repair) for one in differences]


def test_a_settlement_before_midnight_that_we_recorded_after_it_is_no_difference() -> None:
    visit = settled_visit()
    assert found([], [], [insured(visit, "S-V1")], visit) == []


def test_a_second_settlement_of_a_visit_is_cancelled_at_the_insurance() -> None:
    visit = settled_visit()
    assert found([], [], [insured(visit, "S-V1"), insured(visit, "S-other")], visit) == [
        ("settlement_only_at_insurance", "S-other", "cancel_at_insurance")
    ]


@pytest.mark.parametrize(("fen", "repair"), [(90_00, "adjust_line"), (110_00, "contact_hospital")])
def test_after_payment_a_line_is_adjusted_only_down(fen: int, repair: str) -> None:
    visit = paid(settled_visit(), MIDNIGHT)
    corrected = replace(visit, lines=(replace(visit.lines[0], amount_fen=fen),))
    assert found([visit], [corrected], [insured(visit, "S-V1")], visit) == [("line_differs", "L1", repair)]


def test_before_payment_a_line_is_adjusted_up() -> None:
    visit = settled_visit()
    corrected = replace(visit, lines=(replace(visit.lines[0], amount_fen=110_00),))
    assert found([visit], [corrected], [insured(visit, "S-V1")], visit) == [("line_differs", "L1", "adjust_line")]


def test_a_transfer_at_midnight_belongs_to_the_day_that_begins() -> None:
    visit = paid(settled_visit(), MIDNIGHT)
    assert not list(missing_at_bank([visit], [], DAY, MIDNIGHT))
    missing = missing_at_bank([visit], [], MIDNIGHT, MIDNIGHT + timedelta(days=1))
    assert [one.kind for one in missing] == ["payment_missing_at_bank", "refund_missing_at_bank"]


# ── totals ──


def test_the_totals_of_a_day_are_the_sums_of_its_visits_and_of_the_banks_statement() -> None:
    visits = [settled_visit("V1"), settled_visit("V2")]
    banked = [BankEntry("a", "payment", 30_00, DAY, "r"), BankEntry("b", "refund", 1_00, DAY, "r")]
    totals, each = totals_of(visits, banked)
    assert (totals.visits, [one.payout_fen for one in each]) == (2, [30_00, 30_00])
    assert (totals.medfee_fen, totals.fund_fen, totals.account_fen, totals.cash_fen) == (200_00, 100_00, 30_00, 70_00)
    assert (totals.covered_fen, totals.exception_fen, totals.counter_fen) == (40_00, 20_00, 10_00)
    assert (totals.payout_fen, totals.paid_fen, totals.refunded_fen) == (60_00, 30_00, 1_00)


def test_a_day_without_visits_adds_up_to_nothing() -> None:
    totals, each = totals_of([], [])
    assert set(astuple(totals)) == {0}
    assert each == ()
