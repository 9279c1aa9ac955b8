"""Notifications name the dates and amounts that the patient needs."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backend.paylater.bill import Bill, Instalment, Notice, NoticeKind
from backend.paylater.effects import notice_text
from backend.services.medical_credit.model.visit import Visit

NOON = datetime(2026, 12, 3, 4, 0, tzinfo=UTC)
DUE = datetime(2026, 12, 5, 12, 5, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def make_visit(*parts_fen: int, automatic_debit: bool = False) -> Visit:
    schedule = tuple(Instalment(fen, DUE + timedelta(days=30 * place)) for place, fen in enumerate(parts_fen))
    return Visit(
        id="v",
        hospital="HZ001",
        number="V1",
        person="p",
        kind="emergency",
        opened_at=NOON,
        opened_ms=0,
        created_at=NOON,
        changed_ms=0,
        requested_hold_fen=0,
        expires_at=NOON,
        automatic_debit=automatic_debit,
        bill=Bill(1, sum(parts_fen), sum(parts_fen), 0, 0, NOON, schedule) if parts_fen else None,
    )


def chinese(visit: Visit, kind: NoticeKind = "bill", fen: int = 12_345, retry: datetime | None = None) -> str:
    return notice_text(Notice(kind, NOON, fen), visit, retry, SHANGHAI).zh


def test_a_bill_names_its_amount_and_due_date_in_the_citys_time() -> None:
    text = notice_text(Notice("bill", NOON, 12_345), make_visit(12_345), None, SHANGHAI)
    assert text.zh == "您的就医账单已生成，应付123.45元，请在12月5日20:05前支付。"
    assert text.en == "Your bill is ready: 123.45 yuan. Please pay by 2026-12-05 20:05."


def test_a_bill_that_is_debited_names_the_date_of_the_debit() -> None:
    text = chinese(make_visit(12_345, automatic_debit=True))
    assert text == "您的就医账单已生成，应付123.45元，将于12月5日20:05自动扣款；您也可以提前支付。"


@pytest.mark.parametrize(
    ("automatic_debit", "end"),
    [(False, "请在12月5日20:05前支付首期23.45元。"), (True, "首期23.45元将于12月5日20:05自动扣款。")],
)
def test_a_bill_in_instalments_names_the_first_one(automatic_debit: bool, end: str) -> None:
    text = chinese(make_visit(2_345, 10_000, automatic_debit=automatic_debit))
    assert text == f"您的就医账单已生成，应付123.45元，分2期支付；{end}"


def test_a_bill_that_changed_before_its_notification_names_no_date() -> None:
    assert chinese(make_visit(500)) == "您的就医账单已生成，应付123.45元。"
    assert chinese(make_visit()) == "您的就医账单已生成，应付123.45元。"


def test_a_failed_debit_names_the_next_one_if_there_is_one() -> None:
    again = chinese(make_visit(12_345), "debit_failed", retry=DUE)
    last = chinese(make_visit(12_345), "debit_failed")
    assert again == "自动扣款123.45元未成功，请检查银行卡余额，或自行支付；12月5日20:05将再次扣款。"
    assert last == "自动扣款123.45元未成功，请检查银行卡余额，并自行支付。"
