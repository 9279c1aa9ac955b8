"""Our payments and refunds against the bank's statement of a day."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from backend.paylater.bill import Payment, Refund
from backend.paylater.ports import BankEntry
from backend.paylater.statement import compare_transfers, missing_at_bank
from tests.paylater.pool import Swim

ZONE = ZoneInfo("Asia/Shanghai")
DAY = datetime(2026, 3, 1, 16, 0, tzinfo=UTC)
MIDNIGHT = DAY + timedelta(days=1)
NOON = DAY + timedelta(hours=12)

PAYMENT = Payment("swim/p", 30_00, "p", "citizen", DAY, "paid", NOON)
REFUND = Refund("swim/r", "swim/p", 1_00, DAY, "done", NOON)


def swim(*payments: Payment, refunds: tuple[Refund, ...] = ()) -> Swim:
    """Return a swim with these transfers."""
    return Swim(
        id="swim",
        person="p",
        created_at=DAY,
        requested_hold_fen=30_00,
        expires_at=MIDNIGHT,
        payments=payments,
        refunds=refunds,
    )


def statement(*, payment_fen: int | None = None, refund_fen: int | None = None) -> list[BankEntry]:
    """Return the bank's statement with a payment and a refund of these amounts."""
    entries: list[BankEntry] = []
    if payment_fen is not None:
        entries.append(BankEntry("swim/p", "payment", payment_fen, NOON, "receipt"))
    if refund_fen is not None:
        entries.append(BankEntry("swim/r", "refund", refund_fen, NOON, "receipt"))
    return entries


@pytest.mark.parametrize(
    ("payment_fen", "refund_fen", "differing"),
    [
        (30_00, 1_00, []),
        (30_01, 1_00, [("swim/p", 30_00, 30_01)]),
        (30_00, 99, [("swim/r", 1_00, 99)]),
    ],
    ids=["nothing differs", "the payment differs", "the refund differs"],
)
def test_a_transfer_of_another_amount_is_clarified_with_the_bank(
    payment_fen: int, refund_fen: int, differing: list[object]
) -> None:
    ours = [swim(PAYMENT, refunds=(REFUND,))]
    found = list(compare_transfers(ours, statement(payment_fen=payment_fen, refund_fen=refund_fen), ZONE))
    assert [(one.transfer, one.ours_fen, one.theirs_fen) for one in found] == differing
    assert {(one.kind, one.billable, one.repair) for one in found} <= {("transfer_differs", "swim", "contact_bank")}


@pytest.mark.parametrize("state", ["requested", "failed"])
def test_what_the_bank_did_and_we_have_not_as_done_is_accepted_from_its_statement(state: str) -> None:
    ours = [swim(replace(PAYMENT, state=state), refunds=(replace(REFUND, state=state),))]
    found = list(compare_transfers(ours, statement(payment_fen=30_00, refund_fen=1_00), ZONE))
    assert [(one.kind, one.transfer, one.ours_fen, one.theirs_fen, one.repair) for one in found] == [
        ("payment_only_at_bank", "swim/p", None, 30_00, "accept_bank_record"),
        ("refund_only_at_bank", "swim/r", None, 1_00, "accept_bank_record"),
    ]


def test_the_bank_is_queried_about_transfers_that_we_do_not_know() -> None:
    found = list(compare_transfers([swim()], statement(payment_fen=30_00, refund_fen=1_00), ZONE))
    assert [(one.kind, one.billable, one.transfer, one.repair) for one in found] == [
        ("payment_only_at_bank", "swim", "swim/p", "query_bank"),
        ("refund_only_at_bank", "swim", "swim/r", "query_bank"),
    ]


def test_an_open_transfer_that_the_bank_does_not_have_is_no_difference() -> None:
    assert not list(compare_transfers([swim(replace(PAYMENT, state="requested"))], [], ZONE))


def test_only_what_is_done_in_our_records_can_be_missing_at_the_bank() -> None:
    done, failed = swim(PAYMENT, refunds=(REFUND,)), swim(replace(PAYMENT, state="failed"), refunds=(REFUND,))

    def missing(ours: Swim, banked: list[BankEntry]) -> list[object]:
        found = missing_at_bank([ours], banked, DAY, MIDNIGHT)
        return [(one.kind, one.ours_fen, one.theirs_fen, one.repair) for one in found]

    payment = ("payment_missing_at_bank", 30_00, None, "query_bank")
    refund = ("refund_missing_at_bank", 1_00, None, "query_bank")
    assert missing(done, []) == [payment, refund]
    assert missing(failed, []) == [refund]
    assert missing(done, statement(refund_fen=1_00)) == [payment]
    assert missing(done, statement(payment_fen=30_00, refund_fen=1_00)) == []
