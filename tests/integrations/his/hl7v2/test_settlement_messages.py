"""Messages of a hospital that settles at the insurance itself, from the charge to the bill."""

import pytest
from msgspec.structs import replace

from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import visit_id
from backend.services.medical_credit.saga import visit_saga
from tests.integrations.his.hl7v2.receiver_scene import Receiver, acknowledgement
from tests.integrations.his.hospital import transaction

SETTLED = "ZYB|2207|S1|G7|20261124100000+0800|15.00|9.00|0.00||6.00"
CANCELLED = "ZYB|2208|S1"
LINES = [transaction("C1", "-5.00", "CD", of="L1"), transaction("L1", "20.00")]


@pytest.fixture
def settling(receiver: Receiver) -> Receiver:
    """Return a receiver whose hospital settles itself, with the open visit V1."""

    async def work() -> None:
        known = await receiver.city.store.get(Hospital, "HZ001")
        assert known is not None
        await receiver.city.store.replace(replace(known, settles="hospital"))

    receiver.run(work)
    assert receiver.code(receiver.system.registration("V1")) == "AA"
    return receiver


def owed_fen(receiver: Receiver) -> int:
    receiver.run(lambda: visit_saga.resume(receiver.city, visit_id("HZ001", "V1")))
    visit = receiver.visit("V1")
    assert visit is not None
    return visit.owed_fen() if visit.stage() == "billed" else 0


def send(receiver: Receiver, *segments: str) -> str:
    return receiver.code(receiver.system.charge_message("V1", *segments))


def test_one_message_brings_charges_their_credits_and_the_settlement(settling: Receiver) -> None:
    assert send(settling, SETTLED, *LINES) == "AA"
    assert owed_fen(settling) == 600
    assert settling.insurance.database.calls("2207") == []


def test_a_settlement_of_another_total_is_refused_and_succeeds_once_the_lines_are_there(settling: Receiver) -> None:
    assert send(settling, LINES[1]) == "AA"
    settled = settling.system.charge_message("V1", SETTLED)
    assert settling.code(settled) == "AE"
    assert send(settling, LINES[0]) == "AA"
    assert send(settling, SETTLED) == "AA"
    assert owed_fen(settling) == 600


def test_shares_that_do_not_add_up_are_refused_for_good_with_their_lines(settling: Receiver) -> None:
    assert send(settling, *LINES, SETTLED.replace("6.00", "6.01")) == "AR"
    assert settling.lines("V1") == {}


def test_a_line_after_the_settlement_is_answered_with_what_the_hospital_must_do(settling: Receiver) -> None:
    send(settling, *LINES, SETTLED)
    answer = settling.send(settling.system.charge_message("V1", transaction("L2", "1.00")))
    assert acknowledgement(answer) == "AA"
    error = answer.segment("ERR")
    assert error.field(4).text == "W"
    assert "Settlement S1 is of 15 yuan" in answer.segment("ERR").field(7).text + error.field(8).text
    assert owed_fen(settling) == 0


def test_one_message_cancels_a_settlement_adds_a_line_and_settles_again(settling: Receiver) -> None:
    send(settling, *LINES, SETTLED)
    again = SETTLED.replace("S1", "S2").replace("15.00", "16.00").replace("||6.00", "||7.00")
    assert send(settling, CANCELLED, again, transaction("L2", "1.00")) == "AA"
    assert owed_fen(settling) == 700


def test_a_cancellation_that_arrives_before_its_settlement_waits_for_it(settling: Receiver) -> None:
    assert send(settling, CANCELLED) == "AA"
    assert len(settling.messages("waiting")) == 1
    send(settling, *LINES, SETTLED)
    assert settling.messages("waiting") == []
    visit = settling.visit("V1")
    assert visit is not None
    assert (visit.settlement, visit.awaited()) == (None, "settlement")
