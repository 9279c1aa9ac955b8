"""The ZYB segment: what the hospital settled, or cancelled, at the insurance itself."""

from datetime import UTC, datetime

import pytest

from backend.services.medical_credit.model.commands import CloseVisit
from backend.services.medical_credit.model.hospital_settlement import ReportCancellation, ReportSettlement
from backend.services.medical_credit.model.visit import Line
from backend.services.medical_credit.ports import Split
from integrations.his.hl7v2.errors import Hl7Error
from integrations.his.hl7v2.message import parse_message
from integrations.his.hl7v2.trigger_events import parse_commands
from tests.integrations.his.hospital import Hl7System, transaction

AT = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
SETTLED = "ZYB|2207|S1|G7|20261124100000+0800|100.00|60.00|10.00||30.00||40.00"


def commands(text: str) -> list[object]:
    return [one.command for one in parse_commands(parse_message(text.encode(), "utf-8"), UTC).commands]


def fault(segment: str) -> tuple[str, str]:
    with pytest.raises(Hl7Error) as caught:
        commands(Hl7System().charge_message("V1", segment))
    return str(caught.value.location), caught.value.code


def test_a_dft_brings_charges_and_then_their_settlement() -> None:
    line, settled = commands(Hl7System().charge_message("V1", transaction("L1", "100.00"), SETTLED))
    assert isinstance(line, Line)
    assert settled == ReportSettlement(Split("S1", 10_000, 6_000, 0, 1_000, 0, 3_000), AT, "G7")


def test_the_end_of_an_account_brings_its_settlement() -> None:
    text = Hl7System().visit_message("BAR^P06", "V1").rstrip("\r") + f"\r{SETTLED.replace('2207', '2304')}\r"
    ended, settled = commands(text)
    assert isinstance(ended, CloseVisit)
    assert isinstance(settled, ReportSettlement)


@pytest.mark.parametrize("transaction_code", ["2208", "2305"])
def test_a_cancelled_settlement_needs_only_its_number(transaction_code: str) -> None:
    found = commands(Hl7System().charge_message("V1", f"ZYB|{transaction_code}|S1"))
    assert found == [ReportCancellation("S1")]


@pytest.mark.parametrize(
    ("segment", "where", "code"),
    [
        ("ZYB||S1", "ZYB-1", "101"),
        ("ZYB|2206|S1", "ZYB-1", "103"),
        (SETTLED.replace("S1", ""), "ZYB-2", "101"),
        (SETTLED.replace("100.00", ""), "ZYB-5", "101"),
        (SETTLED.replace("100.00", "100.001"), "ZYB-5", "102"),
        (SETTLED.replace("100.00", "100.00&USD"), "ZYB-5", "102"),
        (SETTLED.replace("60.00", "-60.00"), "ZYB-6", "102"),
        (SETTLED.replace("30.00", ""), "ZYB-9", "101"),
        (SETTLED.replace("40.00", "41.00"), "ZYB-11", "102"),
    ],
)
def test_a_fault_is_told_at_its_field(segment: str, where: str, code: str) -> None:
    assert fault(segment) == (where, code)
