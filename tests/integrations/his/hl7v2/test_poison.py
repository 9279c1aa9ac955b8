"""Whatever is wrong with a message, it is answered and kept, and the messages after it are processed."""

import asyncio
from datetime import timedelta

import pytest

from backend.services.medical_credit.model.hospital import HisMessage, Hospital
from backend.services.medical_credit.model.visit import Visit
from backend.store import StoreUnavailable
from integrations.his.hl7v2 import message_receiver
from integrations.his.hl7v2.batch import receive_block
from integrations.his.hl7v2.message import parse_message
from integrations.his.hl7v2.mllp_client import MllpClient
from integrations.his.hl7v2.mllp_listener import serve_mllp
from tests.integrations.his.hl7v2.mllp_scene import HOST, msa
from tests.integrations.his.hl7v2.receiver_scene import Receiver, acknowledgement, at, error
from tests.integrations.his.hospital import transaction

IMPOSSIBLE_TIMES = ["19000101", "00010101000000", "99991231235959", "00000101", "20260230", "21010101", "2026"]


def with_times(message: str, value: str) -> dict[str, str]:
    """Return a message with an impossible time in each field that has one, by location."""
    segments = message.split("\r")
    header, patient, visit, *rest = segments

    def field(segment: str, number: int) -> str:
        fields = segment.split("|")
        fields += [""] * (number + 1 - len(fields))
        fields[number] = value
        return "|".join(fields)

    return {
        at("MSH", 1, 7): "\r".join([field(header, 6), patient, visit, *rest]),
        at("EVN", 1, 2): "\r".join([header, f"EVN||{value}", patient, visit, *rest]),
        at("PV1", 1, 44): "\r".join([header, patient, field(visit, 44), *rest]),
        at("PV1", 1, 45): "\r".join([header, patient, field(visit, 45), *rest]),
    }


@pytest.mark.parametrize("value", IMPOSSIBLE_TIMES)
def test_an_impossible_time_of_a_line_is_answered_and_kept(receiver: Receiver, value: str) -> None:
    receiver.send(receiver.system.registration("V1"))
    line = transaction("L1", "1.00").replace("20261124093000+0800", value)
    assert error(receiver.send(receiver.system.charge_message("V1", line))) == ("AR", "102", at("FT1", 1, 4))
    (failed,) = receiver.messages("failed")
    assert "FT1-4" in (failed.reason or "")
    assert receiver.code(receiver.system.charge_message("V1", transaction("L1", "1.00"))) == "AA"


@pytest.mark.parametrize("value", IMPOSSIBLE_TIMES)
def test_an_impossible_time_of_a_visit_is_answered_and_kept(receiver: Receiver, value: str) -> None:
    used = {"ADT^A04": 44, "ADT^A08": 44, "ADT^A03": 45, "BAR^P06": 45}
    receiver.send(receiver.system.registration("V1"))
    before, refused = receiver.visit("V1"), 0
    for trigger, number in used.items():
        fields = [at("PV1", 1, number), *([] if trigger == "ADT^A08" else [at("EVN", 1, 2), at("MSH", 1, 7)])]
        for location in fields:
            message = with_times(receiver.system.visit_message(trigger, "V1"), value)[location]
            assert error(receiver.send(message)) == ("AR", "102", location), trigger
            refused += 1
    assert receiver.visit("V1") == before
    assert len(receiver.messages("failed")) == refused


def test_a_visit_begins_at_most_a_day_from_now(receiver: Receiver) -> None:
    hours = {wait: (receiver.clock.now + timedelta(hours=wait)).strftime("%Y%m%d%H%M%S+0000") for wait in (23, 25)}

    def begins(trigger: str, wait: int) -> str:
        return with_times(receiver.system.visit_message(trigger, "V1"), hours[wait])[at("PV1", 1, 44)]

    for trigger in ("ADT^A04", "ADT^A01", "ADT^A06"):
        assert error(receiver.send(begins(trigger, 25))) == ("AR", "102", at("PV1", 1, 44)), trigger
    assert receiver.code(begins("ADT^A04", 23)) == "AA"
    assert error(receiver.send(begins("ADT^A08", 25))) == ("AR", "102", at("PV1", 1, 44))


def test_one_connection_goes_on_after_every_impossible_time(receiver: Receiver) -> None:
    lines = [transaction("L1", "1.00").replace("20261124093000+0800", value) for value in IMPOSSIBLE_TIMES]
    poisoned = [receiver.system.charge_message("V1", line) for line in lines]
    messages = [receiver.system.registration("V1"), *poisoned, receiver.system.visit_message("ADT^A03", "V1")]

    async def conversation() -> list[str]:
        codes: list[str] = []
        async with (
            serve_mllp(lambda raw, peer: receive_block(receiver.city, raw, peer), HOST, 0) as served,
            MllpClient(HOST, served.port) as client,
        ):
            for message in messages:
                await client.send(message.encode())
                codes.append(msa(await client.receive())[0])
        return codes

    assert receiver.run(lambda: asyncio.wait_for(conversation(), 30)) == ["AA", *["AR"] * len(poisoned), "AA"]


@pytest.mark.parametrize("escape", ["\\XFF\\", "\\XC3\\", "\\X00\\"])
def test_an_escape_that_is_not_text_is_answered_wherever_it_is(receiver: Receiver, escape: str) -> None:
    receiver.send(receiver.system.registration("V1"))
    segments = receiver.system.charge_message("V1", transaction("L1", "1.00")).split("\r")
    for index, segment in enumerate(segments):
        fields = segment.split("|")
        for number in range(2 if index == 0 else 1, len(fields)):
            changed = "|".join([*fields[:number], escape, *fields[number + 1 :]])
            replies = receiver.replies("\r".join([*segments[:index], changed, *segments[index + 1 :]]))
            assert all(parse_message(reply, "utf-8").all("MSA") for reply in replies)
            assert replies


# ── faults of ours ──


@pytest.mark.parametrize("operation", ["get", "replace"])
def test_a_message_that_fails_for_an_unexpected_reason_is_answered_kept_and_shown(
    receiver: Receiver, operation: str
) -> None:
    receiver.send(receiver.system.registration("V1"))
    receiver.restart()
    charge = receiver.system.charge_message("V1", transaction("L1", "1.00"))
    receiver.store.failures = {(operation, Visit): OverflowError("a fault of ours")}
    assert error(receiver.send(charge)) == ("AE", "207", "")
    (failed,) = receiver.messages("failed")
    assert "OverflowError" in (failed.reason or "")
    receiver.store.failures = {}
    assert receiver.code(receiver.system.charge_message("V1", transaction("L2", "1.00"))) == "AA"
    assert receiver.retry(failed.id) == "done"
    assert receiver.lines("V1") == {"L2": 100, "L1": 100}


def test_a_message_that_cannot_be_read_for_an_unexpected_reason_is_answered_and_kept(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = receiver.system.registration("V1")
    with monkeypatch.context() as fault:
        fault.setattr(message_receiver, "parse_message", lambda *_: [].pop())
        assert error(receiver.send(message)) == ("AE", "207", "")
        (failed,) = receiver.messages("failed")
        assert receiver.code(message) == "AE"
    assert receiver.code(message) == "AA"
    assert receiver.visit("V1") is not None
    assert receiver.messages("done")[0].id == failed.id


def test_what_follows_a_message_does_not_change_its_answer(receiver: Receiver) -> None:
    early = receiver.system.charge_message("V1", transaction("L1", "1.00"))
    assert receiver.code(early) == "AA"
    receiver.store.failures = {("replace", Visit): OverflowError("a fault of ours")}
    assert receiver.code(receiver.system.registration("V1")) == "AA"


# ── the store does not answer ──


@pytest.mark.parametrize("place", [("get", Hospital), ("get", HisMessage), ("insert", HisMessage)], ids=str)
def test_a_message_that_cannot_be_stored_is_answered_and_may_be_sent_again(
    receiver: Receiver, place: tuple[str, type[Hospital | HisMessage]]
) -> None:
    message = receiver.system.registration("V1")
    receiver.store.failures = {place: StoreUnavailable("the store does not answer")}
    reply = receiver.send(message)
    assert error(reply) == ("AE", "207", "")
    assert "send the message again" in reply.segment("ERR").field(8).text
    receiver.store.failures = {}
    assert receiver.visit("V1") is None
    assert receiver.code(message) == "AA"


@pytest.mark.parametrize("place", [("get", Visit), ("replace", Visit), ("replace", HisMessage)], ids=str)
def test_a_message_that_was_stored_but_not_processed_is_processed_once(
    receiver: Receiver, place: tuple[str, type[Visit | HisMessage]]
) -> None:
    receiver.send(receiver.system.registration("V1"))
    receiver.restart()
    charge = receiver.system.charge_message("V1", transaction("L1", "1.00"))
    receiver.store.failures = {place: StoreUnavailable("the store does not answer")}
    assert error(receiver.send(charge)) == ("AE", "207", "")
    receiver.store.failures = {}
    (stored,) = receiver.messages("received")
    assert stored.due_ms is not None
    assert receiver.retry(stored.id) == "done"
    assert receiver.code(charge) == "AA"
    assert receiver.lines("V1") == {"L1": 100}


def test_in_enhanced_mode_a_message_that_was_not_processed_gets_both_acknowledgements(receiver: Receiver) -> None:
    receiver.store.failures = {("insert", Visit): StoreUnavailable("the store does not answer")}
    replies = receiver.replies(receiver.system.registration("V1", acknowledgement="AL|AL"))
    assert [acknowledgement(parse_message(reply, "utf-8")) for reply in replies] == ["CA", "AE"]
