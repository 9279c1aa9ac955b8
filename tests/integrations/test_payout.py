"""Payouts and collections: once per id, for any answer of the bank."""

import subprocess
import sys
from asyncio import run
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backend.city.bank_cards import NAME_DIFFERS, CardHolder, HolderCheck
from backend.city.upstream import BankAnswer, ForgedNotice, UpstreamRejected, UpstreamTimeout
from integrations._sandbox.database import SandboxDatabase
from integrations._sandbox.holders import STRANGERS_CARD
from integrations.payment.sandbox import SandboxBank
from integrations.payout.sandbox import PayoutEntry, SandboxPayoutBank
from tests.conftest import ROOT

WANG, LI = "6222020200112233", "6222020200112241"
NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


@pytest.fixture
def bank(tmp_path: Path) -> SandboxPayoutBank:
    bank = SandboxPayoutBank(SandboxDatabase(str(tmp_path / "sandbox.db")))
    bank.database.clock = lambda: NOON
    return bank


NAME = "王芳"
MOVE = {"pay_out": SandboxPayoutBank.pay_out, "collect": SandboxPayoutBank.collect}
both_ways = pytest.mark.parametrize("call", MOVE)


# ── once per id ──


def test_payouts_and_collections_are_recorded(bank: SandboxPayoutBank) -> None:
    paid = run(bank.pay_out("p1", WANG, NAME, 1_000_000))
    taken = run(bank.collect("c1", WANG, NAME, 400_000))
    assert (paid.outcome, taken.outcome) == ("done", "done")
    assert paid.receipt is not None
    assert taken.receipt is not None
    assert bank.entries() == [
        PayoutEntry("c1", "collection", WANG, 400_000, NOON, taken.receipt),
        PayoutEntry("p1", "payout", WANG, 1_000_000, NOON, paid.receipt),
    ]


@both_ways
def test_a_repeated_request_gets_the_same_answer_and_moves_no_money(bank: SandboxPayoutBank, call: str) -> None:
    first = run(MOVE[call](bank, "p1", WANG, NAME, 1_000))
    assert run(MOVE[call](bank, "p1", WANG, NAME, 1_000)) == run(bank.look_up("p1")) == first
    assert len(bank.entries()) == 1


def test_an_id_has_one_amount_one_account_and_one_direction(bank: SandboxPayoutBank) -> None:
    run(bank.pay_out("p1", WANG, NAME, 1_000))
    for other in (
        bank.pay_out("p1", WANG, NAME, 1_001),
        bank.pay_out("p1", LI, NAME, 1_000),
        bank.collect("p1", WANG, NAME, 1_000),
    ):
        with pytest.raises(UpstreamRejected, match="p1"):
            run(other)
    assert [(entry.account, entry.amount_fen) for entry in bank.entries()] == [(WANG, 1_000)]


def test_an_id_without_a_request_is_unknown(bank: SandboxPayoutBank) -> None:
    assert run(bank.look_up("p1")) == BankAnswer("unknown")


# ── faults ──


@both_ways
def test_a_lost_request_is_unknown_and_can_be_repeated(bank: SandboxPayoutBank, call: str) -> None:
    bank.database.script_outcomes(call, "lost_before")
    with pytest.raises(UpstreamTimeout):
        run(MOVE[call](bank, "p1", WANG, NAME, 1_000))
    assert run(bank.look_up("p1")).outcome == "unknown"
    assert run(MOVE[call](bank, "p1", WANG, NAME, 1_000)).outcome == "done"


@both_ways
def test_after_a_lost_answer_the_money_has_moved_once(bank: SandboxPayoutBank, call: str) -> None:
    bank.database.script_outcomes(call, "lost_after", "lost_after")
    for _ in range(2):
        with pytest.raises(UpstreamTimeout):
            run(MOVE[call](bank, "p1", WANG, NAME, 1_000))
    assert run(bank.look_up("p1")).outcome == "done"
    assert len(bank.entries()) == 1


@both_ways
def test_a_failed_transfer_stays_failed_and_moves_no_money(bank: SandboxPayoutBank, call: str) -> None:
    bank.database.script_outcomes(call, "refused")
    failed = run(MOVE[call](bank, "p1", WANG, NAME, 1_000))
    assert (failed.outcome, failed.receipt) == ("failed", None)
    assert failed.reason == {"pay_out": "account closed", "collect": "insufficient funds"}[call]
    assert run(MOVE[call](bank, "p1", WANG, NAME, 1_000)) == run(bank.look_up("p1")) == failed
    assert bank.entries() == []


@both_ways
def test_a_pending_transfer_is_decided_at_the_second_look_up(bank: SandboxPayoutBank, call: str) -> None:
    bank.database.script_outcomes(call, "pending")
    assert run(MOVE[call](bank, "p1", WANG, NAME, 1_000)) == BankAnswer("pending")
    assert run(MOVE[call](bank, "p1", WANG, NAME, 1_000)) == BankAnswer("pending")
    assert bank.entries() == []
    assert [run(bank.look_up("p1")).outcome for _ in range(3)] == ["pending", "done", "done"]
    assert len(bank.entries()) == 1


def test_a_look_up_may_time_out(bank: SandboxPayoutBank) -> None:
    run(bank.pay_out("p1", WANG, NAME, 1_000))
    bank.database.script_outcomes("look_up", "lost_before")
    with pytest.raises(UpstreamTimeout):
        run(bank.look_up("p1"))
    assert run(bank.look_up("p1")).outcome == "done"


def test_injected_faults_affect_one_call_until_they_are_cleared(bank: SandboxPayoutBank) -> None:
    bank.database.inject_faults("pay_out", {"lost_before": 1_000})
    with pytest.raises(UpstreamTimeout):
        run(bank.pay_out("p1", WANG, NAME, 1_000))
    assert run(bank.collect("c1", WANG, NAME, 1_000)).outcome == "done"
    bank.database.clear_faults()
    assert run(bank.pay_out("p1", WANG, NAME, 1_000)).outcome == "done"


# ── closed accounts ──


def test_a_closed_account_neither_receives_nor_pays_money(bank: SandboxPayoutBank) -> None:
    bank.close_account(WANG)
    assert run(bank.pay_out("p1", WANG, NAME, 1_000)) == BankAnswer("failed", reason="account closed")
    assert run(bank.collect("c1", WANG, NAME, 1_000)) == BankAnswer("failed", reason="insufficient funds")
    assert run(bank.pay_out("p2", LI, NAME, 1_000)).outcome == "done"


def test_a_reopened_account_is_paid_under_another_id(bank: SandboxPayoutBank) -> None:
    bank.close_account(WANG)
    run(bank.pay_out("p1", WANG, NAME, 1_000))
    bank.reopen_account(WANG)
    assert run(bank.pay_out("p1", WANG, NAME, 1_000)).outcome == "failed"
    assert run(bank.pay_out("p2", WANG, NAME, 1_000)).outcome == "done"
    assert [entry.id for entry in bank.entries()] == ["p2"]


def test_a_pending_payout_fails_if_the_account_is_closed_meanwhile(bank: SandboxPayoutBank) -> None:
    bank.database.script_outcomes("pay_out", "pending")
    run(bank.pay_out("p1", WANG, NAME, 1_000))
    bank.close_account(WANG)
    assert run(bank.look_up("p1")) == BankAnswer("pending")
    assert run(bank.look_up("p1")) == BankAnswer("failed", reason="account closed")
    bank.reopen_account(WANG)
    assert run(bank.look_up("p1")).outcome == "failed"


# ── notices ──


def test_the_bank_may_send_the_notice_of_a_pending_payout_late_and_twice(bank: SandboxPayoutBank) -> None:
    bank.database.script_outcomes("pay_out", "pending")
    run(bank.pay_out("p1", WANG, NAME, 1_000))
    first, second = bank.notice("p1"), bank.notice("p1")
    notice = bank.read_notice(*first)
    assert first == second
    assert (notice.id, notice.answer) == ("p1", run(bank.look_up("p1")))
    assert notice.answer.outcome == "done"


def test_a_changed_notice_and_one_signed_by_another_bank_are_forged(bank: SandboxPayoutBank) -> None:
    medical = SandboxBank(bank.database, ZoneInfo("Asia/Shanghai"))
    run(bank.pay_out("p1", WANG, NAME, 1_000))
    run(medical.pay("p1", "somebody", 1_000))
    body, signature = bank.notice("p1")
    forgeries = [
        (body.replace(b"p1", b"p2"), signature),
        (body, signature[:-1] + "语"),
        (body, ""),
        medical.notice("p1"),
    ]
    for forged in forgeries:
        with pytest.raises(ForgedNotice):
            bank.read_notice(*forged)
    with pytest.raises(ForgedNotice):
        medical.read_notice(body, signature)


# ── other users of the file ──


def test_payouts_and_payments_of_medical_bills_are_independent(bank: SandboxPayoutBank) -> None:
    medical = SandboxBank(bank.database, ZoneInfo("Asia/Shanghai"))
    run(medical.pay("p1", WANG, 700))
    assert run(bank.look_up("p1")).outcome == "unknown"
    bank.close_account(WANG)
    assert run(bank.pay_out("p1", WANG, NAME, 1_000)).outcome == "failed"
    assert run(medical.pay("p2", WANG, 700)).outcome == "done"
    assert [entry.id for entry in medical.entries()] == ["p1", "p2"]
    assert bank.entries() == []


PAYER = """
import asyncio, sys
from integrations._sandbox.database import SandboxDatabase
from integrations.payout.sandbox import SandboxPayoutBank

async def pay():
    bank = SandboxPayoutBank(SandboxDatabase(sys.argv[1]))
    for number in range(20):
        print((await bank.pay_out(f"p{number}", "6222020200112233", "王芳", 1_000)).receipt)

asyncio.run(pay())
"""


def test_two_processes_that_request_the_same_payouts_get_the_same_receipts(tmp_path: Path) -> None:
    """Neither process finds the file; both create it at the same time."""
    file = str(tmp_path / "new" / "sandbox.db")
    ask = [sys.executable, "-c", PAYER, file]
    processes = [subprocess.Popen(ask, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    entries = SandboxPayoutBank(SandboxDatabase(file)).entries()
    assert printed[0] == printed[1]
    assert sorted(printed[0]) == sorted(entry.receipt for entry in entries)
    assert len(entries) == 20


# ── holders ──


HOLDER = CardHolder("王芳", "33010619900307002X", "13800138000")


@both_ways
def test_money_moves_only_if_the_name_is_that_of_the_holder(bank: SandboxPayoutBank, call: str) -> None:
    bank.set_holder(WANG, HOLDER)
    refused = run(MOVE[call](bank, "p1", WANG, "李强", 1_000))
    assert (refused.outcome, refused.reason) == ("failed", NAME_DIFFERS)
    assert run(bank.look_up("p1")) == refused
    assert bank.entries() == []
    assert run(MOVE[call](bank, "p2", WANG, "王芳", 1_000)).outcome == "done"


def test_an_account_belongs_to_whoever_is_first_paid_on_it(bank: SandboxPayoutBank) -> None:
    assert run(bank.pay_out("p1", LI, "李强", 1_000)).outcome == "done"
    assert run(bank.pay_out("p2", LI, "王芳", 1_000)).reason == NAME_DIFFERS
    assert run(bank.check_holder(LI, CardHolder("王芳"))) == "differs"
    assert run(bank.check_holder(STRANGERS_CARD, CardHolder("王芳"))) == "differs"


@pytest.mark.parametrize("name", ["ABDUL·KARIM", "abdul karim", "Abdul • Karim"])
def test_the_name_fits_however_it_is_spaced_and_capitalised(bank: SandboxPayoutBank, name: str) -> None:
    bank.set_holder(WANG, CardHolder("Abdul·Karim"))
    assert run(bank.check_holder(WANG, CardHolder(name))) == "fits"


@pytest.mark.parametrize(
    ("given", "check"),
    [
        (CardHolder("王芳"), "fits"),
        (HOLDER, "fits"),
        (CardHolder("王芳", HOLDER.id_number, "+8613800138000"), "fits"),
        (CardHolder("王芳", HOLDER.id_number, "13900139000"), "differs"),
        (CardHolder("王芳", "330106199003070011", HOLDER.phone), "differs"),
        (CardHolder("李强", HOLDER.id_number, HOLDER.phone), "differs"),
    ],
)
def test_all_given_factors_must_be_those_of_the_holder(
    bank: SandboxPayoutBank, given: CardHolder, check: HolderCheck
) -> None:
    bank.set_holder(WANG, HOLDER)
    assert run(bank.check_holder(WANG, given)) == check


def test_the_check_of_a_holder_may_err_be_refused_or_time_out(bank: SandboxPayoutBank) -> None:
    bank.set_holder(WANG, HOLDER)
    bank.database.script_outcomes("check_holder", "wrong", "refused", "lost_before")
    assert run(bank.check_holder(WANG, HOLDER)) == "differs"
    assert run(bank.check_holder(WANG, HOLDER)) == "unknown"
    with pytest.raises(UpstreamTimeout):
        run(bank.check_holder(WANG, HOLDER))
    assert run(bank.check_holder(WANG, HOLDER)) == "fits"
