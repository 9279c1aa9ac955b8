"""What users of interface engines reported, replayed: each test is named after its report."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from backend.services.medical_credit.model.hospital import HisMessage
from backend.services.medical_credit.model.visit import Visit
from backend.store import StoreNotWritable
from backend.store.time import to_ms
from integrations.his.hl7v2.batch import receive_block
from integrations.his.hl7v2.message import parse_message
from integrations.his.hl7v2.message_store import RETRY_AFTER
from integrations.his.hl7v2.mllp_client import MllpClient
from integrations.his.hl7v2.mllp_frames import END_BLOCK, START_BLOCK
from integrations.his.hl7v2.mllp_listener import Peer, serve_mllp
from tests.integrations.his.hl7v2.mllp_scene import HOST, msa, wait_for
from tests.integrations.his.hl7v2.receiver_scene import Receiver, acknowledgement
from tests.integrations.his.hospital import transaction


class PersistentQueue:
    """Sends its first message until it gets AA or AR: AE means try again, AR that the message is in error."""

    def __init__(self, receiver: Receiver, *messages: str) -> None:
        self.receiver, self.waiting, self.in_error = receiver, list(messages), list[str]()

    def sends(self) -> str:
        code = self.receiver.code(self.waiting[0])
        if code != "AE":
            sent = self.waiting.pop(0)
            self.in_error += [sent] if code == "AR" else []
        return code


def test_nextgenhealthcare_connect_1767_a_queue_sends_again_on_ae_and_goes_on_after_ar(receiver: Receiver) -> None:
    person = receiver.new_person()
    receiver.system.patient = person
    faulty = receiver.system.charge_message("V1", transaction("A1", "20.00"), transaction("A2", "99.00", "CD", of="A1"))
    queue = PersistentQueue(
        receiver,
        receiver.system.registration("V1"),
        faulty,
        receiver.system.charge_message("V1", transaction("B1", "20.00"), transaction("B2", "9.00", "CD", of="B1")),
    )
    assert [queue.sends() for _ in range(3)] == ["AE", "AE", "AE"]
    receiver.enrol(person)
    assert [queue.sends() for _ in range(3)] == ["AA", "AR", "AA"]
    assert queue.in_error == [faulty]
    assert receiver.lines("V1") == {"B1": 2_000, "B2": -900}


@pytest.mark.parametrize("kind", [HisMessage, Visit])
def test_nextgenhealthcare_connect_2027_a_message_that_cannot_be_stored_is_not_acknowledged(
    receiver: Receiver, kind: type[HisMessage | Visit]
) -> None:
    message = receiver.system.registration("V1")
    receiver.store.failures = {("insert", kind): StoreNotWritable("the disk is full")}
    assert receiver.code(message) == "AE"
    receiver.store.failures = {}
    assert receiver.code(message) == "AA"


def test_nextgenhealthcare_connect_329_a_valid_message_does_not_get_the_error_of_the_one_before(
    receiver: Receiver,
) -> None:
    first = receiver.system.registration("V1").replace("小明", "小\x0c明")
    second = receiver.system.registration("V1")
    for message, code in ((first, "AR"), (second, "AA")):
        reply = receiver.send(message)
        assert (acknowledgement(reply), reply.segment("MSA").field(2).text) == (code, message.split("|", 10)[9])


def test_nextgenhealthcare_connect_1441_a_late_answer_names_its_own_message(receiver: Receiver) -> None:
    messages = [receiver.system.registration("V1"), receiver.system.charge_message("V1", transaction("L1", "1.00"))]

    async def slow(raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(0.1)
        async for reply in receive_block(receiver.city, raw, peer):
            yield reply

    async def conversation() -> list[tuple[str, str]]:
        async with serve_mllp(slow, HOST, 0) as served, MllpClient(HOST, served.port, timeout_seconds=5) as client:
            for message in messages:  # the sender does not wait for the first answer
                await client.send(message.encode())
            return [msa(await client.receive()) for _ in messages]

    assert receiver.run(conversation) == [("AA", message.split("|", 10)[9]) for message in messages]


def test_nextgenhealthcare_connect_2367_a_sender_that_left_before_its_answer_gets_it_when_it_repeats(
    receiver: Receiver,
) -> None:
    message = receiver.system.registration("V1")

    async def conversation() -> tuple[str, str]:
        def handle(raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
            return receive_block(receiver.city, raw, peer)

        async with serve_mllp(handle, HOST, 0) as served:
            _, writer = await asyncio.open_connection(HOST, served.port)
            writer.write(START_BLOCK + message.encode() + END_BLOCK)
            await writer.drain()
            writer.transport.abort()
            await asyncio.sleep(0)
            await wait_for(lambda: not served._tasks)
            async with MllpClient(HOST, served.port) as client:
                await client.send(message.encode())
                return msa(await client.receive())

    assert receiver.run(conversation)[0] == "AA"
    assert receiver.visit("V1") is not None


def test_medplum_3720_a_message_whose_receiver_ends_before_processing_it_is_processed_though_it_is_never_sent_again(
    receiver: Receiver,
) -> None:
    """The device gets the accept acknowledgement, waits for the other one in vain, and does not repeat the message."""
    receiver.send(receiver.system.registration("V1"))
    charge = receiver.system.charge_message("V1", transaction("L1", "1.00"), acknowledgement="AL|AL").encode()

    async def receive_and_end() -> bytes:
        replies = receive_block(receiver.city, charge, Peer(HOST))
        accepted = await anext(replies)
        await replies.aclose()
        return accepted

    accepted = receiver.run(receive_and_end)
    assert acknowledgement(parse_message(accepted, "utf-8")) == "CA"
    assert receiver.lines("V1") == {}
    receiver.clock.now += RETRY_AFTER
    (stored,) = receiver.messages("received")
    assert stored.due_ms is not None
    assert stored.due_ms <= to_ms(receiver.clock.now), "the sweep finds it"
    receiver.retry(stored.id)
    assert receiver.lines("V1") == {"L1": 100}


def test_nextgenhealthcare_connect_1314_a_flood_of_the_same_message_is_one_charge_with_one_answer(
    receiver: Receiver,
) -> None:
    receiver.send(receiver.system.registration("V1"))
    raw = receiver.system.charge_message("V1", transaction("L1", "1.00")).encode()

    async def flood() -> set[bytes]:
        async def once() -> bytes:
            (reply,) = [reply async for reply in receive_block(receiver.city, raw, Peer(HOST))]
            return reply

        return set(await asyncio.gather(*(once() for _ in range(100))))

    (answer,) = receiver.run(flood)
    assert acknowledgement(parse_message(answer, "utf-8")) == "AA"
    assert receiver.lines("V1") == {"L1": 100}
