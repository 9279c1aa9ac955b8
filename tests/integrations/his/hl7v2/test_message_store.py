"""Which messages are the same, and when a control id may be used again."""

import re
from datetime import timedelta

from integrations.his.hl7v2.message_store import CONTROL_ID_WINDOWS
from tests.integrations.his.hl7v2.receiving_city import ReceivingCity
from tests.integrations.his.hospital import Hl7System, transaction

WINDOW = CONTROL_ID_WINDOWS[-1].length


def sent_at(message: str, second: int) -> str:
    """Return a message with another time of sending."""
    return re.sub(r"\|20\d{12}\+0000\|\|", f"|202603020405{second:02}+0000||", message, count=1)


def test_a_message_that_differs_in_its_time_of_sending_is_the_same(receiving: ReceivingCity) -> None:
    system = Hl7System()
    charge = system.charge_message("S1", transaction("L1", "5.00"))
    assert receiving.code(system.registration("S1")) == "AA"
    first = receiving.receive(sent_at(charge, 1))
    assert sent_at(charge, 1) != sent_at(charge, 2)
    assert receiving.receive(sent_at(charge, 2)) == first
    assert receiving.lines("S1") == [("L1", 500)]


def test_a_message_is_the_same_with_other_line_ends(receiving: ReceivingCity) -> None:
    message = Hl7System().registration("S2")
    assert receiving.receive(message) == receiving.receive(message.replace("\r", "\r\n"))


def test_another_message_under_the_same_control_id_is_refused_within_the_window(receiving: ReceivingCity) -> None:
    system = Hl7System()
    assert receiving.code(system.registration("S3", control="7")) == "AA"
    receiving.clock.now += WINDOW - timedelta(seconds=1)
    answer = receiving.answer(system.registration("S4", control="7"))
    assert answer.segment("ERR").field(3).component(1).text == "205"


def test_a_counter_that_restarts_after_the_window_gives_new_messages(receiving: ReceivingCity) -> None:
    system = Hl7System()
    days = [system.registration(f"S5-{day}", control="1") for day in range(4)]
    replies: list[list[bytes]] = []
    for message in days:
        replies.append(receiving.receive(message))
        receiving.clock.now += WINDOW
    assert all(b"MSA|AA|1" in reply for (reply,) in replies)
    assert [receiving.visit(f"S5-{day}").number for day in range(4)] == [f"S5-{day}" for day in range(4)]
    assert [receiving.receive(message) for message in days] == replies


def test_a_control_id_that_was_used_again_is_refused_for_a_third_message_within_the_window(
    receiving: ReceivingCity,
) -> None:
    system = Hl7System()
    assert receiving.code(system.registration("S6", control="9")) == "AA"
    receiving.clock.now += WINDOW
    assert receiving.code(system.registration("S7", control="9")) == "AA"
    receiving.clock.now += WINDOW / 2
    answer = receiving.answer(system.registration("S8", control="9"))
    assert answer.segment("ERR").field(3).component(1).text == "205"
