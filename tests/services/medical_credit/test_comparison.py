"""The comparison of a hospital's day, on records that are written by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import astuple, replace

from backend.paylater.bill import Bill, Payment, Refund
from backend.paylater.ports import BankEntry
from backend.paylater.statement import compare_transfers, missing_at_bank
from backend.services.medical_credit.model.comparison import bank_differences, compare_with_hospital, totals_of
from backend.services.medical_credit.model.hospital_file import (
    COLUMNS,
    OPTIONAL_COLUMNS,
    FiledVisit,
    our_record,
    write_file,
)
from backend.services.medical_credit.model.insurance_comparison import compare_with_insurance
from backend.services.medical_credit.model.reconciliation import Difference, Totals
from backend.services.medical_credit.model.visit import CounterPayment, Line, Settlement, Visit, visit_id
from backend.services.medical_credit.ports import SettlementRecord, Split

DAY = datetime(2026, 3, 1, 16, 0, tzinfo=UTC)
MIDNIGHT = DAY + timedelta(days=1)
"""The end of 2 March in the city."""

ZONE = ZoneInfo("Asia/Shanghai")
FILE_DAY = (MIDNIGHT - timedelta(hours=1)).astimezone(ZONE).date()

CHARGE = Line("L1", "charge", "A1", "诊查费", 100_00, DAY)
CHARGE_2 = Line("L2", "charge", "A2", "化验费", 5_00, DAY)


def credit(fen: int) -> Line:
    """Return a credit of the first charge."""
    return Line("C1", "credit", "", "", -fen, DAY, "L1")


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
        lines=(CHARGE,),
        settlement=Settlement(1, "m", 1, split, MIDNIGHT - timedelta(hours=1)),
        bill=Bill(1, 35_00, 20_00, 10_00, 5_00, MIDNIGHT, ()),
    )


def with_lines(visit: Visit, *lines: Line) -> Visit:
    """Return the visit with these lines instead."""
    return replace(visit, lines=lines)


def paid(visit: Visit, at: datetime) -> Visit:
    """Return the visit with a payment of 30 yuan, and a refund of one, that the bank answered at an instant."""
    payment = Payment(f"{visit.id}/p", 30_00, "p", "citizen", DAY, "paid", at)
    refund = Refund(f"{visit.id}/r", payment.id, 1_00, DAY, "done", at)
    return replace(visit, payments=(payment,), refunds=(refund,))


def insured(visit: Visit, settlement_id: str) -> SettlementRecord:
    return SettlementRecord(settlement_id, visit.id, 100_00, 50_00, 10_00, 35_00)


def compared(
    ours: list[Visit], theirs: list[Visit], settlements: Sequence[SettlementRecord] | None = None, *known: Visit
) -> list[Difference]:
    """Return the differences; without `settlements`, the insurance agrees with our visits."""
    filed = {visit.number: our_record(visit, ZONE) for visit in theirs}
    if settlements is None:
        settlements = [insured(visit, f"S-{visit.number}") for visit in ours]
    mine = {visit.id: visit for visit in (*known, *ours)}
    return [
        *compare_with_hospital("HZ001", FILE_DAY, ours, filed, mine, ZONE),
        *compare_with_insurance(ours, settlements, {}, mine),
    ]


def with_file(visit: Visit, filed: FiledVisit) -> list[Difference]:
    """Return the differences between a visit that is settled here and a hospital's record of it."""
    return list(compare_with_hospital("HZ001", FILE_DAY, [visit], {visit.number: filed}, {}, ZONE))


def found(ours: list[Visit], theirs: list[Visit], settlements: list[SettlementRecord], *known: Visit) -> list[object]:
    """Return the kind, subject and repair of each difference."""
    return [(one.kind, one.subject, one.repair) for one in compared(ours, theirs, settlements, *known)]


def amounts(differences: list[Difference]) -> list[object]:
    """Return the kind and subject of each difference, and the amounts of both sides."""
    return [(one.kind, one.subject, one.ours_fen, one.theirs_fen) for one in differences]


# ── visits and lines ──


def test_a_visit_that_only_the_hospital_has_is_reported_with_the_sum_of_its_lines() -> None:
    visit = with_lines(settled_visit(), CHARGE, credit(10_00))
    (one,) = compared([], [visit])
    assert amounts([one]) == [("visit_only_at_hospital", "V1", None, 90_00)]
    assert (one.visit, one.number, one.repair) == ("", "V1", "contact_hospital")


def test_a_visit_that_the_hospital_does_not_have_is_reported_with_our_total() -> None:
    visit = with_lines(settled_visit(), CHARGE, credit(10_00))
    (one,) = compared([visit], [])
    assert amounts([one]) == [("visit_missing_at_hospital", "V1", 90_00, None)]
    assert (one.visit, one.number) == (visit.id, "V1")


def test_differences_are_listed_by_visit_and_line() -> None:
    ours = [settled_visit(f"V{number}") for number in (5, 1, 3, 7)]
    theirs = [settled_visit(f"V{number}") for number in (8, 2, 6, 4)]
    assert [one.number for one in compared(ours, theirs)] == [f"V{number}" for number in range(1, 9)]
    visit = with_lines(settled_visit(), *(replace(CHARGE, id=f"L{number}") for number in (5, 1, 3, 7)))
    filed = with_lines(settled_visit(), *(replace(CHARGE, id=f"L{number}") for number in (8, 2, 6, 4)))
    assert [one.subject for one in compared([visit], [filed])] == [f"L{number}" for number in range(1, 9)]


def test_a_line_that_the_hospital_has_twice_counts_twice_on_its_side() -> None:
    visit = settled_visit()
    filed = replace(our_record(visit, ZONE), repeated_lines=["L1"])
    assert amounts(with_file(visit, filed)) == [("line_duplicated_at_hospital", "L1", 100_00, 200_00)]


@pytest.mark.parametrize(
    ("line", "before_payment", "after_payment"),
    [
        (Line("L2", "charge", "A2", "", 1, DAY), "add_charge", "contact_hospital"),
        (Line("L2", "adjustment", "", "", 5_00, DAY, "L1"), "add_credit", "contact_hospital"),
        (Line("L2", "adjustment", "", "", 0, DAY, "L1"), "add_credit", "add_credit"),
        (Line("L2", "credit", "", "", -5_00, DAY, "L1"), "add_credit", "add_credit"),
    ],
    ids=["a charge", "an increase", "an adjustment by nothing", "a credit"],
)
def test_after_payment_no_line_is_added_that_makes_the_bill_larger(
    line: Line, before_payment: str, after_payment: str
) -> None:
    visit = settled_visit()
    filed = with_lines(visit, CHARGE, line)
    for ours, repair in ((visit, before_payment), (paid(visit, MIDNIGHT), after_payment)):
        (one,) = compared([ours], [filed])
        assert amounts([one]) == [("line_only_at_hospital", "L2", None, line.amount_fen)]
        assert (one.repair, one.line) == (repair, our_record(filed, ZONE).lines["L2"])


@pytest.mark.parametrize(
    ("credited_fen", "repair"), [(0, "credit_line"), (99_99, "credit_line"), (100_00, "contact_hospital")]
)
def test_a_charge_that_the_hospital_does_not_have_is_credited_if_anything_is_left_of_it(
    credited_fen: int, repair: str
) -> None:
    visit = with_lines(settled_visit(), CHARGE, credit(credited_fen))
    (one,) = compared([visit], [with_lines(visit, credit(credited_fen))])
    assert amounts([one]) == [("line_missing_at_hospital", "L1", 100_00, None)]
    assert one.repair == repair


@pytest.mark.parametrize(
    "line", [Line("L2", "adjustment", "", "", 5_00, DAY, "L1"), Line("L2", "credit", "", "", -5_00, DAY, "L1")]
)
def test_only_a_charge_can_be_credited(line: Line) -> None:
    visit = settled_visit()
    (one,) = compared([with_lines(visit, CHARGE, line)], [visit])
    assert (one.kind, one.subject, one.repair) == ("line_missing_at_hospital", "L2", "contact_hospital")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (CHARGE_2, replace(CHARGE_2, code="A3", amount_fen=4_00)),
        (CHARGE_2, replace(CHARGE_2, kind="adjustment", amount_fen=4_00)),
        (credit(5_00), replace(credit(5_00), of="L3")),
        (credit(5_00), credit(6_00)),
    ],
    ids=["another code", "another kind", "of another charge", "a credit of another amount"],
)
def test_only_the_amount_of_a_charge_is_adjusted(ours: Line, theirs: Line) -> None:
    visit = settled_visit()
    (one,) = compared([with_lines(visit, CHARGE, ours)], [with_lines(visit, CHARGE, theirs)])
    assert amounts([one]) == [("line_differs", ours.id, ours.amount_fen, theirs.amount_fen)]
    assert one.repair == "contact_hospital"


def test_a_difference_keeps_its_id_when_its_repair_changes_but_not_with_another_amount() -> None:
    visit = settled_visit()
    dearer, still_dearer = (with_lines(visit, replace(CHARGE, amount_fen=fen)) for fen in (110_00, 120_00))
    (before,), (after,) = compared([visit], [dearer]), compared([paid(visit, MIDNIGHT)], [dearer])
    assert (before.repair, after.repair) == ("adjust_line", "contact_hospital")
    assert before.id == after.id
    assert compared([visit], [still_dearer])[0].id != before.id


# ── settlements ──


def test_a_settlement_that_differs_at_the_hospital_is_reported_with_both_cash_shares() -> None:
    visit = settled_visit()
    assert visit.settlement is not None
    other = replace(visit, settlement=replace(visit.settlement, split=replace(visit.settlement.split, cash_fen=30_00)))
    unsettled = replace(visit, settlement=None)
    assert amounts(compared([visit], [other])) == [("settlement_differs", "S-V1", 35_00, 30_00)]
    by_hospital = replace(visit, settled_by="hospital", closed_at=MIDNIGHT)
    assert amounts(compared([by_hospital], [unsettled])) == [("settlement_missing_at_hospital", "S-V1", 35_00, None)]
    assert amounts(compared([unsettled], [visit], [])) == [("settled_but_open_here", "S-V1", None, 35_00)]


def test_lines_are_compared_on_every_day_but_settlements_only_on_their_own() -> None:
    visit = settled_visit()
    assert visit.settlement is not None
    visit = replace(visit, settlement=replace(visit.settlement, at=MIDNIGHT))
    filed = with_lines(replace(visit, settlement=None), replace(CHARGE, amount_fen=90_00))
    assert amounts(compared([], [filed], [], visit)) == [("line_differs", "L1", 100_00, 90_00)]


def test_counter_payments_are_compared_by_their_sum() -> None:
    payments = (CounterPayment("P1", 5_00, DAY), CounterPayment("P2", 3_00, DAY))
    visit = replace(settled_visit(), counter_payments=payments)
    in_one = replace(visit, counter_payments=(CounterPayment("P3", 8_00, DAY),))
    assert compared([visit], [in_one]) == []
    only_first = replace(visit, counter_payments=payments[:1])
    assert amounts(compared([visit], [only_first])) == [("counter_missing_at_hospital", "P2", 3_00, None)]


# ── insurance ──


def test_a_settlement_that_the_insurance_does_not_have_is_made_again() -> None:
    visit = settled_visit()
    (one,) = compared([visit], [visit], [])
    assert amounts([one]) == [("settlement_missing_at_insurance", "S-V1", 100_00, None)]
    assert (one.number, one.repair) == ("V1", "settle_again")


@pytest.mark.parametrize("amount", ["medfee_fen", "fund_fen", "account_fen", "cash_fen"])
def test_a_split_that_differs_by_one_fen_at_the_insurance_is_made_again(amount: str) -> None:
    visit = settled_visit()
    record = insured(visit, "S-V1")
    other = replace(record, **{amount: getattr(record, amount) + 1})
    (one,) = compared([visit], [visit], [other])
    assert amounts([one]) == [("insurance_split_differs", "S-V1", 35_00, other.cash_fen)]
    assert one.repair == "settle_again"


def test_the_insurance_is_not_expected_to_have_a_visit_without_charges() -> None:
    visit = settled_visit()
    assert visit.settlement is not None
    free = replace(with_lines(visit), settlement=replace(visit.settlement, split=Split("", 0, 0, 0, 0, 0, 0)))
    other = settled_visit("V2")
    assert compared([free], [free], []) == []
    assert [one.number for one in compared([free, other], [free, other], [])] == ["V2"]


def test_a_settlement_that_only_the_insurance_has_is_reported_with_its_fee_and_the_number_of_a_known_visit() -> None:
    visit, unknown = settled_visit("V1"), settled_visit("V2")
    unsettled = replace(visit, settlement=None)
    differences = compared([], [], [insured(visit, "S-V1"), insured(unknown, "S-V2")], unsettled)
    assert amounts(differences) == [
        ("settlement_only_at_insurance", "S-V1", None, 100_00),
        ("settlement_only_at_insurance", "S-V2", None, 100_00),
    ]
    assert [(one.visit, one.number) for one in differences] == [(visit.id, "V1"), (unknown.id, "-")]


def test_a_settlement_before_midnight_that_we_recorded_after_it_is_no_difference() -> None:
    visit = settled_visit()
    assert found([], [], [insured(visit, "S-V1")], visit) == []


def test_a_second_settlement_of_a_visit_is_cancelled_at_the_insurance() -> None:
    visit = settled_visit()
    assert found([], [], [insured(visit, "S-V1"), insured(visit, "S-other")], visit) == [
        ("settled_twice_at_insurance", "S-other", "cancel_at_insurance")
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


# ── bank ──


def test_a_transfer_that_only_the_bank_has_is_reported_with_the_number_of_its_visit() -> None:
    visit, unknown = settled_visit(), visit_id("HZ001", "V2")
    requested = replace(visit, payments=(Payment(f"{visit.id}/p", 30_00, "p", "citizen", DAY),))
    banked = [BankEntry(f"{one}/p", "payment", 30_00, DAY, "r") for one in (visit.id, unknown)]
    known = {visit.id: requested}
    differences = list(bank_differences(compare_transfers([requested], banked, ZONE), known))
    assert amounts(differences) == [
        ("payment_only_at_bank", f"{visit.id}/p", None, 30_00),
        ("payment_only_at_bank", f"{unknown}/p", None, 30_00),
    ]
    assert [(one.visit, one.number, one.repair) for one in differences] == [
        (visit.id, "V1", "accept_bank_record"),
        (unknown, "-", "query_bank"),
    ]


def test_a_transfer_at_midnight_belongs_to_the_day_that_begins() -> None:
    visit = paid(settled_visit(), MIDNIGHT)
    assert not list(missing_at_bank([visit], [], DAY, MIDNIGHT))
    missing = missing_at_bank([visit], [], MIDNIGHT, MIDNIGHT + timedelta(days=1))
    assert [one.kind for one in missing] == ["payment_missing_at_bank", "refund_missing_at_bank"]


# ── the file and the totals ──


def test_our_file_gives_own_and_family_account_as_one_amount() -> None:
    visit = replace(settled_visit(), counter_payments=(CounterPayment("P1", 5_00, DAY),))
    rows = (
        ",".join((*COLUMNS, *OPTIONAL_COLUMNS)),
        "V1,charge,L1,,A1,100.00,,,,2026-03-02,",
        "V1,settlement,S-V1,,,100.00,50.00,15.00,35.00,2026-03-02,",
        "V1,counter,P1,,,5.00,,,,2026-03-02,",
    )
    assert write_file([visit], ZONE).splitlines() == list(rows)


def test_the_totals_of_a_day_are_the_sums_of_its_visits_and_of_the_banks_statement() -> None:
    visits = [settled_visit("V1"), settled_visit("V2")]
    banked = [BankEntry("a", "payment", 30_00, DAY, "r"), BankEntry("b", "refund", 1_00, DAY, "r")]
    totals, each = totals_of(visits, banked)
    assert (totals.visits, [one.payout_fen for one in each]) == (2, [30_00, 30_00])
    assert (totals.medfee_fen, totals.fund_fen, totals.account_fen, totals.cash_fen) == (200_00, 100_00, 30_00, 70_00)
    assert (totals.covered_fen, totals.exception_fen, totals.counter_fen) == (40_00, 20_00, 10_00)
    assert (totals.payout_fen, totals.paid_fen, totals.refunded_fen) == (60_00, 30_00, 1_00)


def test_a_visit_without_a_bill_counts_its_fee_and_one_without_a_settlement_counts_nothing() -> None:
    visits = [replace(settled_visit("V1"), bill=None), replace(settled_visit("V2"), settlement=None)]
    totals, each = totals_of(visits, [])
    assert (totals.visits, totals.medfee_fen, totals.covered_fen, totals.payout_fen) == (1, 100_00, 0, 0)
    assert [(one.number, one.medfee_fen, one.payout_fen) for one in each] == [("V1", 100_00, 0)]


def test_a_day_without_visits_adds_up_to_nothing() -> None:
    totals, each = totals_of([], [])
    assert totals == Totals()
    assert set(astuple(totals)) == {0}
    assert each == ()
