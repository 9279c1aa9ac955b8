"""Batches of messages (FHS, BHS, BTS, FTS) in one MLLP block."""

from integrations.his.hl7v2.batch import split_batch
from integrations.his.hl7v2.message import parse_message
from tests.integrations.his.hl7v2.receiving_city import ReceivingCity
from tests.integrations.his.hospital import Hl7System, transaction


def batch(*messages: str, count: int | None = None) -> str:
    body = "".join(messages)
    head = "FHS|^~\\&|HIS|HZ001|C|C|||||F-7\rBHS|^~\\&|HIS|HZ001|C|C|||||B-7\r"
    return f"{head}{body}BTS|{len(messages) if count is None else count}\rFTS|1\r"


def acknowledged(answer: bytes) -> list[tuple[str, str]]:
    """Return MSA-1 and MSA-2 of the acknowledgements in the answer to a batch."""
    parts = [parse_message(part, "utf-8") for part in split_batch(answer) if part.startswith(b"MSH")]
    return [(one.segment("MSA").field(1).text, one.segment("MSA").field(2).text) for one in parts]


def test_every_message_of_a_batch_is_processed_and_acknowledged_in_one_batch(receiving: ReceivingCity) -> None:
    system = Hl7System()
    (answer,) = receiving.receive(
        batch(
            system.registration("B1", control="B1-1"),
            system.charge_message("B1", transaction("G1", "10.00"), control="B1-2"),
            system.charge_message("B1", transaction("G2", "1.005"), control="B1-3"),
        )
    )
    assert [control for _, control in acknowledged(answer)] == ["B1-1", "B1-2", "B1-3"]
    assert [code == "AA" for code, _ in acknowledged(answer)] == [True, True, False]
    assert receiving.lines("B1") == [("G1", 1_000)]
    segments = answer.decode().split("\r")
    assert [line.split("|")[0] for line in segments if line[:3] in ("FHS", "BHS", "BTS", "FTS")] == [
        "FHS",
        "BHS",
        "BTS",
        "FTS",
    ]
    assert [segments[0].split("|")[11], segments[1].split("|")[11]] == ["F-7", "B-7"]
    assert segments[-3:] == ["BTS|3", "FTS|1", ""]


def test_a_message_is_the_same_alone_and_in_a_batch(receiving: ReceivingCity) -> None:
    message = Hl7System().registration("B2")
    (alone,) = receiving.receive(message)
    (answer,) = receiving.receive(batch(message))
    assert alone in answer


def test_a_batch_need_not_have_a_file_header_or_trailers(receiving: ReceivingCity) -> None:
    message = Hl7System().registration("B3", control="B3-1")
    (answer,) = receiving.receive(f"\ufeffBHS|^~\\&|HIS|HZ001\r\n{message}\n\n")
    assert acknowledged(answer) == [("AA", "B3-1")]


def test_a_batch_with_fewer_messages_than_announced_is_answered_with_both_numbers(receiving: ReceivingCity) -> None:
    (answer,) = receiving.receive(batch(Hl7System().registration("B4"), count=3))
    assert "BTS|1|BTS-1 announced 3 messages\r" in answer.decode()


def test_an_empty_batch_is_answered_with_an_empty_batch(receiving: ReceivingCity) -> None:
    (answer,) = receiving.receive(batch())
    assert answer.decode().endswith("BTS|0\rFTS|1\r")


def test_what_is_no_message_in_a_batch_is_rejected_in_its_place(receiving: ReceivingCity) -> None:
    (answer,) = receiving.receive("BHS|^~\\&|HIS|HZ001\rPID|1\rBTS|1\r")
    assert acknowledged(answer) == [("AR", "")]


def test_two_messages_in_a_block_without_a_batch_header_are_told(receiving: ReceivingCity) -> None:
    system = Hl7System()
    answer = receiving.answer(system.registration("B5", control="B5-1") + system.registration("B6"))
    assert [answer.segment("MSA").field(number).text for number in (1, 2)] == ["AR", "B5-1"]
    assert "second MSH" in answer.segment("ERR").field(8).text
