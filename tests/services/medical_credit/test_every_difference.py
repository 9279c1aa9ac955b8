"""Every kind of record that can differ between the hospital, the city, the insurance and the bank, in every way.

Each row plants one difference into a day on which all sides agree, and names how it is classified and what its
sentence says. The day has a visit with two charges, a credit, a settlement and a payment at the counter, and the bank
has a payment and a refund of it.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from msgspec import Struct
from msgspec.structs import replace

from backend.paylater.bill import Bill, Payment, Refund
from backend.paylater.ports import BankEntry
from backend.paylater.statement import compare_transfers, missing_at_bank
from backend.services.medical_credit.model.comparison import bank_differences, compare_with_hospital, other_patients
from backend.services.medical_credit.model.hospital_file import COLUMNS, OPTIONAL_COLUMNS, read_file
from backend.services.medical_credit.model.insurance_comparison import compare_with_insurance
from backend.services.medical_credit.model.reconciliation import DIFFERENCE_TITLES, Difference
from backend.services.medical_credit.model.visit import CounterPayment, Line, Settlement, Visit, visit_id
from backend.services.medical_credit.ports import SettlementRecord, Split

ZONE = ZoneInfo("Asia/Shanghai")
DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
BEGINS, ENDS = datetime(2026, 3, 1, 16, tzinfo=UTC), datetime(2026, 3, 2, 16, tzinfo=UTC)
V1, OTHER = visit_id("HZ001", "V1"), visit_id("HZ001", "V2")

HEAD = ",".join((*COLUMNS, *OPTIONAL_COLUMNS))
CHARGE = "V1,charge,L1,,A1,100.00,,,,2026-03-02,"
CHARGE_2 = "V1,charge,L2,,A2,5.00,,,,2026-03-02,"
CREDIT = "V1,credit,C1,L1,,-5.00,,,,2026-03-02,"
SETTLEMENT = "V1,settlement,S1,,,100.00,50.00,15.00,35.00,2026-03-02,"
COUNTER = "V1,counter,P1,,,5.00,,,,2026-03-02,"
FILE = (CHARGE, CHARGE_2, CREDIT, SETTLEMENT, COUNTER)

VISIT = Visit(
    id=V1,
    hospital="HZ001",
    number="V1",
    person="p",
    kind="outpatient",
    opened_at=NOON,
    opened_ms=0,
    created_at=NOON,
    changed_ms=0,
    requested_hold_fen=0,
    expires_at=ENDS,
    lines=(
        Line("L1", "charge", "A1", "诊查费", 100_00, NOON),
        Line("L2", "charge", "A2", "化验费", 5_00, NOON),
        Line("C1", "credit", "", "退费", -5_00, NOON, "L1"),
    ),
    settlement=Settlement(1, "m", 3, Split("S1", 100_00, 50_00, 0, 10_00, 5_00, 35_00), NOON),
    settled_ms=1,
    counter_payments=(CounterPayment("P1", 5_00, NOON),),
    payments=(Payment(f"{V1}/p", 30_00, "p", "citizen", NOON, "paid", NOON),),
    refunds=(Refund(f"{V1}/r", f"{V1}/p", 1_00, NOON, "done", NOON),),
)
INSURED = SettlementRecord("S1", V1, 100_00, 50_00, 10_00, 35_00)
PAID = BankEntry(f"{V1}/p", "payment", 30_00, NOON, "receipt", "p")
REFUNDED = BankEntry(f"{V1}/r", "refund", 1_00, NOON, "receipt", "p")


class Day(Struct, frozen=True):
    """The four records of a day; all sides agree unless a test changes one."""

    file: tuple[str, ...] = FILE
    visits: tuple[Visit, ...] = (VISIT,)
    settled_today: bool = True
    insured: tuple[SettlementRecord, ...] = (INSURED,)
    adjacent: tuple[SettlementRecord, ...] = ()
    statement: tuple[BankEntry, ...] = (PAID, REFUNDED)
    other_patients: tuple[Visit, ...] = ()

    def differences(self) -> list[Difference]:
        """Return the differences between all sides."""
        known = {visit.id: visit for visit in self.visits}
        ours = [visit for visit in self.visits if self.settled_today and visit.settlement is not None]
        filed = read_file("\n".join((HEAD, *self.file)))
        transfers = [
            *compare_transfers(self.visits, self.statement, ZONE),
            *missing_at_bank(self.visits, self.statement, BEGINS, ENDS),
        ]
        return [
            *compare_with_hospital("HZ001", DAY, ours, filed, known, ZONE),
            *other_patients(self.other_patients),
            *compare_with_insurance(ours, self.insured, {one.settlement_id: one for one in self.adjacent}, known),
            *bank_differences(transfers, known),
        ]


def filed(*rows: str) -> Callable[[Day], Day]:
    """Plant the rows of the hospital's file."""
    return lambda day: replace(day, file=rows)


def ours(**changes: object) -> Callable[[Day], Day]:
    """Plant changes into our visit."""
    return lambda day: replace(day, visits=(replace(VISIT, **changes),))


def insured(*records: SettlementRecord, adjacent: tuple[SettlementRecord, ...] = ()) -> Callable[[Day], Day]:
    """Plant the settlements of the insurance."""
    return lambda day: replace(day, insured=records, adjacent=adjacent)


def banked(*entries: BankEntry) -> Callable[[Day], Day]:
    """Plant the statement of the bank."""
    return lambda day: replace(day, statement=entries)


def without(row: str, *instead: str) -> Callable[[Day], Day]:
    """Plant rows instead of one of the file's."""
    return filed(*(one for one in FILE if one != row), *instead)


def open_here(day: Day) -> Day:
    visit = replace(VISIT, settlement=None, settled_ms=None)
    return replace(day, visits=(visit,), settled_today=False, insured=())


def cancelled_here(day: Day) -> Day:
    return replace(open_here(day), visits=(replace(VISIT, settlement=None, settled_ms=None, cancelled_at=NOON),))


def settled_yesterday(day: Day) -> Day:
    assert VISIT.settlement is not None
    settlement = replace(VISIT.settlement, at=NOON - timedelta(days=1))
    return replace(day, visits=(replace(VISIT, settlement=settlement),), settled_today=False, insured=())


def unknown_here(day: Day) -> Day:
    return replace(day, visits=(), insured=(), statement=())


def both(*plants: Callable[[Day], Day]) -> Callable[[Day], Day]:
    def plant(day: Day) -> Day:
        for one in plants:
            day = one(day)
        return day

    return plant


LATER = NOON + timedelta(days=1)
LATE_LINES = (*VISIT.lines, replace(VISIT.lines[0], id="L3"))
LATE_VISIT = ours(settled_by="hospital", closed_at=NOON, lines=LATE_LINES)
LATE_LINE = both(LATE_VISIT, filed(*FILE, CHARGE.replace("L1", "L3")))
DIFFERENCES: dict[str, tuple[Callable[[Day], Day], str, str]] = {
    # visits
    "a visit is missing at the hospital": (filed(), "visit_missing_at_hospital", "not in the hospital's file"),
    "a visit is unknown here": (
        unknown_here,
        "visit_only_at_hospital",
        "100.00 yuan at the hospital, on 3 line(s), and is unknown here",
    ),
    "a visit is of another patient": (
        lambda day: replace(day, other_patients=(VISIT,)),
        "patient_differs",
        "visit V1 to another patient",
    ),
    # lines
    "a line is missing at the hospital": (without(CHARGE_2), "line_missing_at_hospital", "The charge L2 of 5.00 yuan"),
    "a line is missing here": (
        filed(*FILE, CHARGE_2.replace("L2", "L3")),
        "line_only_at_hospital",
        "The charge L3 of 5.00 yuan is in the records of the hospital and not in those of the city",
    ),
    "a line is twice in the file": (filed(*FILE, CHARGE_2), "line_duplicated_at_hospital", "more than once"),
    "a line has another amount": (
        without(CHARGE_2, CHARGE_2.replace("5.00", "6.00")),
        "line_differs",
        "Line L2: the amount is 5.00 here and 6.00 at the hospital.",
    ),
    "a line has another code": (
        without(CHARGE_2, CHARGE_2.replace("A2", "A9")),
        "line_differs",
        "Line L2: the code is A2 here and A9 at the hospital.",
    ),
    "a line has another day": (
        without(CHARGE_2, CHARGE_2.replace("03-02", "03-01")),
        "line_differs",
        "Line L2: the day is 2026-03-02 here and 2026-03-01 at the hospital.",
    ),
    "a credit is of another charge": (
        without(CREDIT, CREDIT.replace("L1", "L2")),
        "line_differs",
        "Line C1: the charge that it corrects is L1 here and L2 at the hospital.",
    ),
    "a charge is a credit at the hospital": (
        without(CHARGE_2, CHARGE_2.replace("charge", "credit").replace("L2,", "L2,L1").replace("5.00", "-5.00")),
        "line_differs",
        "the record is charge here and credit at the hospital",
    ),
    # settlements at the hospital
    "a settlement is missing in the file": (
        both(without(SETTLEMENT), ours(settled_by="hospital", closed_at=NOON)),
        "settlement_missing_at_hospital",
        "the hospital's file has no settlement of it",
    ),
    "a settlement is twice in the file": (
        filed(*FILE, SETTLEMENT),
        "settlement_repeated_at_hospital",
        "2 settlements in the hospital's file: S1, S1",
    ),
    "a visit is settled twice at the hospital": (
        filed(*FILE, SETTLEMENT.replace("S1", "S2")),
        "settlement_repeated_at_hospital",
        "S1, S2",
    ),
    "a settlement has another cash share": (
        without(SETTLEMENT, SETTLEMENT.replace("15.00,35.00", "20.00,30.00")),
        "settlement_differs",
        "the accounts is 15.00 here and 20.00 at the hospital; the cash share is 35.00 here and 30.00 at the hospital",
    ),
    "a settlement has another number": (
        without(SETTLEMENT, SETTLEMENT.replace("S1", "S2")),
        "settlement_differs",
        "the number is S1 here and S2 at the hospital",
    ),
    "a visit is settled on another day here": (
        settled_yesterday,
        "settlement_differs",
        "the day is 2026-03-01 here and 2026-03-02 at the hospital",
    ),
    "a visit is settled at the hospital and open here": (open_here, "settled_but_open_here", "not settled here yet"),
    "a visit is settled at the hospital and cancelled here": (
        cancelled_here,
        "settled_but_cancelled_here",
        "settled at the hospital (S1) and cancelled here",
    ),
    "a settlement is cancelled at the hospital": (
        filed(*FILE, "V1,settlement,S1,,,-100.00,-50.00,-15.00,-35.00,,"),
        "settlement_cancelled_at_hospital",
        "S1 is still in force here",
    ),
    # payments at the counter
    "a counter payment is missing in the file": (
        without(COUNTER),
        "counter_missing_at_hospital",
        "P1 of 5.00 yuan is in the records of the city and not in those of the hospital",
    ),
    "a counter payment is missing here": (
        ours(counter_payments=()),
        "counter_only_at_hospital",
        "P1 of 5.00 yuan is in the records of the hospital and not in those of the city",
    ),
    "a counter payment is twice in the file": (
        filed(*FILE, COUNTER),
        "counter_repeated_at_hospital",
        "The counter payment P1 is in the hospital's file more than once",
    ),
    "more was paid at the counter than the share": (
        ours(bill=Bill(2, 4_00, 0, 0, 4_00, NOON, (), 5_00)),
        "counter_overpaid",
        "The patient of visit V1 paid 1.00 yuan too much at the counter; the hospital must give it back",
    ),
    "a counter payment has another amount": (
        without(COUNTER, COUNTER.replace("5.00", "6.00")),
        "counter_differs",
        "the amount is 5.00 here and 6.00 at the hospital",
    ),
    "a counter payment has another day": (
        without(COUNTER, COUNTER.replace("03-02", "03-01")),
        "counter_differs",
        "the day is 2026-03-02 here and 2026-03-01 at the hospital",
    ),
    # settlements at the insurance
    "a settlement is missing at the insurance, or cancelled there": (
        insured(),
        "settlement_missing_at_insurance",
        "the insurance does not have it or cancelled it",
    ),
    "a settlement is of a visit that is unknown here": (
        insured(INSURED, replace(INSURED, settlement_id="S9", visit=OTHER)),
        "settlement_only_at_insurance",
        "S9 of 100.00 yuan; the visit is unknown here",
    ),
    "a visit is open here and settled at the insurance": (
        both(open_here, filed(CHARGE, CHARGE_2, CREDIT, COUNTER), insured(INSURED)),
        "settlement_only_at_insurance",
        "the visit is not settled here",
    ),
    "a visit is cancelled here and settled at the insurance": (
        both(cancelled_here, filed(CHARGE, CHARGE_2, CREDIT, COUNTER), insured(INSURED)),
        "settlement_only_at_insurance",
        "the visit is cancelled here",
    ),
    "a visit is settled twice at the insurance": (
        insured(INSURED, replace(INSURED, settlement_id="S9")),
        "settled_twice_at_insurance",
        "as S1 and S9; only the first is ours",
    ),
    "a settlement is twice in the insurance's list": (
        insured(INSURED, INSURED),
        "settlement_repeated_at_insurance",
        "more than once",
    ),
    "a settlement has another fund share at the insurance": (
        insured(replace(INSURED, fund_fen=49_00, account_fen=11_00)),
        "insurance_split_differs",
        "the fund is 50.00 here and 49.00 at the insurance; the personal account is 10.00 here and 11.00",
    ),
    "a settlement is of another visit at the insurance": (
        insured(replace(INSURED, visit=OTHER)),
        "insurance_visit_differs",
        "to another visit at the insurance, perhaps of another patient",
    ),
    # hospitals that settle at the insurance themselves
    "a line was added after the hospital's settlement": (LATE_LINE, "settlement_outdated", "they total 200 yuan now"),
    # payments and refunds at the bank
    "a payment is missing at the bank": (banked(REFUNDED), "payment_missing_at_bank", "not in the bank's statement"),
    "a refund is missing at the bank": (banked(PAID), "refund_missing_at_bank", "not in the bank's statement"),
    "a payment is unknown here": (
        banked(PAID, REFUNDED, replace(PAID, id=f"{V1}/p2")),
        "payment_only_at_bank",
        "30.00 yuan is done at the bank; it is unknown here",
    ),
    "a payment is not done here": (
        ours(payments=(replace(VISIT.payments[0], state="requested", answered_at=None),)),
        "payment_only_at_bank",
        "it is not done here",
    ),
    "a payment failed here": (
        ours(payments=(replace(VISIT.payments[0], state="failed"),)),
        "payment_only_at_bank",
        "it is not done here",
    ),
    "a refund is not done here": (
        ours(refunds=(replace(VISIT.refunds[0], state="requested", answered_at=None),)),
        "refund_only_at_bank",
        "Refund",
    ),
    "a payment is twice in the statement": (banked(PAID, REFUNDED, PAID), "transfer_repeated_at_bank", "Payment"),
    "a refund is twice in the statement": (banked(PAID, REFUNDED, REFUNDED), "transfer_repeated_at_bank", "Refund"),
    "a payment has another amount": (
        banked(replace(PAID, amount_fen=31_00), REFUNDED),
        "transfer_differs",
        "the amount is 30.00 here and 31.00 at the bank",
    ),
    "a refund has another amount": (
        banked(PAID, replace(REFUNDED, amount_fen=2_00)),
        "transfer_differs",
        "the amount is 1.00 here and 2.00 at the bank",
    ),
    "a payment is of another payer": (
        banked(replace(PAID, payer="q"), REFUNDED),
        "transfer_differs",
        "the payer is p here and q at the bank",
    ),
    "a payment has another day": (
        ours(payments=(replace(VISIT.payments[0], answered_at=LATER),)),
        "transfer_differs",
        "the day is 2026-03-03 here and 2026-03-02 at the bank",
    ),
    "a refund has another day": (
        ours(refunds=(replace(VISIT.refunds[0], answered_at=LATER),)),
        "transfer_differs",
        "the day is 2026-03-03 here and 2026-03-02 at the bank",
    ),
    "a payment is a refund at the bank": (
        banked(replace(PAID, kind="refund"), REFUNDED),
        "transfer_differs",
        "the direction is payment here and refund at the bank",
    ),
}


def test_a_day_on_which_all_sides_agree_has_no_difference() -> None:
    assert Day().differences() == []


@pytest.mark.parametrize(("plant", "kind", "told"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_a_planted_difference_is_found_classified_and_told(plant: Callable[[Day], Day], kind: str, told: str) -> None:
    (one,) = plant(Day()).differences()
    assert one.kind == kind
    assert one.detail is not None
    assert told in one.detail.en
    assert one.detail.zh


def test_every_kind_of_difference_is_planted() -> None:
    assert {kind for _, kind, _ in DIFFERENCES.values()} == set(DIFFERENCE_TITLES)


# ── what is no difference ──


def test_a_settlement_close_to_midnight_may_have_the_adjacent_day_at_the_insurance() -> None:
    assert insured(adjacent=(INSURED,))(Day()).differences() == []


def test_a_transfer_close_to_midnight_may_have_the_adjacent_day_at_the_bank() -> None:
    late, early = ENDS - timedelta(seconds=1), ENDS + timedelta(seconds=1)
    paid = ours(payments=(replace(VISIT.payments[0], answered_at=early),))
    assert both(paid, banked(replace(PAID, at=late), REFUNDED))(Day()).differences() == []
