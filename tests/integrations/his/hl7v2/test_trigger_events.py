"""The commands that the messages of a hospital contain."""

from datetime import UTC, datetime

from backend.services.medical_credit.model.visit import Line
from integrations.his.hl7v2.message import parse_message
from integrations.his.hl7v2.trigger_events import parse_commands
from tests.integrations.his.hospital import Hl7System, transaction


def test_an_adjustment_lowers_its_line() -> None:
    text = Hl7System().charge_message("V1", transaction("A1", "-5.00", "AJ", of="L1"))
    found = parse_commands(parse_message(text.encode(), "utf-8"), UTC)
    (located,) = found.commands
    assert found.visit_number == "V1"
    assert located.command == Line(
        "A1", "adjustment", "", "诊查费", -500, datetime(2026, 11, 24, 1, 30, tzinfo=UTC), "L1"
    )
