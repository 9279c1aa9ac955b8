"""Conformance checks over MLLP: every message type, and everything that can go wrong in transmission."""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from integrations.his.conformance.checks import CheckFailed, CheckSuite, expect
from integrations.his.hl7v2.message import Message, parse_message
from integrations.his.hl7v2.mllp_client import MllpClient
from integrations.his.hl7v2.mllp_frames import END_BLOCK, START_BLOCK
from integrations.his.hl7v2.syntax import Encoding

CHECKS = CheckSuite("mllp")
TRAILING = "丅朶侓鈥"
"""Characters whose second byte in GB18030 is one of the delimiters."""

UNKNOWN_PATIENT = "11010519491231002X"
_CHARACTER_SETS: dict[Encoding, str] = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}


class MllpTester:
    """A target, with the hospital and the test patient to use. Each run uses new visit numbers and control IDs."""

    def __init__(self, host: str, port: int, hospital: str, patient: str, encoding: Encoding = "utf-8") -> None:
        self.host, self.port = host, port
        self.hospital, self.patient = hospital, patient
        self.encoding: Encoding = encoding
        self.run = secrets.token_hex(3).upper()
        self._numbers = 0

    def new_id(self, letter: str) -> str:
        """Return a new identifier."""
        self._numbers += 1
        return f"{letter}{self.run}{self._numbers:03}"

    def message(
        self,
        message_type: str,
        *segments: str,
        acknowledgement: str = "|",
        encoding: Encoding | None = None,
        control: str = "",
    ) -> str:
        """Return a message; `acknowledgement` is MSH-15 and MSH-16."""
        at = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
        control = control or self.new_id("M")
        header = f"MSH|^~\\&|KIT|{self.hospital}|CITY|CITY|{at}||{message_type}|{control}|P|2.5|||{acknowledgement}||"
        return "\r".join([header + _CHARACTER_SETS[encoding or self.encoding], *segments]) + "\r"

    def patient_and_visit(self, visit: str, class_: str = "E", patient: str = "") -> tuple[str, str]:
        """Return PID and PV1."""
        identity = f"{patient or self.patient}^^^CN^NI"
        return f"PID|1||{identity}||测^试||||||||||||{visit}", f"PV1|1|{class_}{'|' * 17}{visit}"

    def registration(
        self, visit: str, *, acknowledgement: str = "|", encoding: Encoding | None = None, control: str = ""
    ) -> str:
        """Return an ADT^A04."""
        return self.visit_message("ADT^A04", visit, acknowledgement=acknowledgement, encoding=encoding, control=control)

    def visit_message(
        self,
        message_type: str,
        visit: str,
        *,
        acknowledgement: str = "|",
        encoding: Encoding | None = None,
        control: str = "",
    ) -> str:
        """Return a message with PID and PV1 only."""
        return self.message(
            message_type,
            *self.patient_and_visit(visit),
            acknowledgement=acknowledgement,
            encoding=encoding,
            control=control,
        )

    def charge_message(
        self, visit: str, *transactions: str, acknowledgement: str = "|", encoding: Encoding | None = None
    ) -> str:
        """Return a DFT^P03."""
        return self.message(
            "DFT^P03", *self.patient_and_visit(visit), *transactions, acknowledgement=acknowledgement, encoding=encoding
        )

    async def send(self, *messages: str, encoding: Encoding | None = None) -> list[Message]:
        """Send messages one after the other over one connection, and return the application's answer to each."""
        used = encoding or self.encoding
        async with MllpClient(self.host, self.port) as client:
            answers: list[Message] = []
            for message in messages:
                await client.send(message.encode(used))
                answers.append(await self.receive_answer(client, control_id(message), used))
            return answers

    async def send_raw(self, *pieces: bytes, control_ids: Sequence[str] = ("",), pause: float = 0) -> list[Message]:
        """Send bytes without frames, with a pause after each piece, and return the answers to messages with these ids.

        An empty id stands for a message of which the target may be unable to read the id.
        """
        async with MllpClient(self.host, self.port) as client:
            for piece in pieces:
                await client.send_raw(piece)
                await asyncio.sleep(pause)
            return [await self.receive_answer(client, one, self.encoding) for one in control_ids]

    async def receive_answer(self, client: MllpClient, message_id: str, encoding: Encoding) -> Message:
        """Return the answer of the application to a message, which in enhanced mode follows an accept acknowledgement.

        A rejection (CE, CR) is an answer too, because none follows it. Raises CheckFailed if none comes in time.
        """
        expected, seen = f"an answer with {message_id} in MSA-2", list[str]()
        while True:
            try:
                reply = parse_message(await client.receive(), encoding)
            except TimeoutError:
                if not seen:
                    raise
                raise CheckFailed(f"{expected} after the accept acknowledgement", " ".join(seen)) from None
            code, answered = acknowledgement_code(reply), reply.segment("MSA").field(2).text
            if code != "CA" and message_id in ("", answered):
                return reply
            seen.append(f"{code} {answered}")
            expect(self.run in answered, expected, seen[-1])  # it may be late for an earlier message of this run


def control_id(message: str) -> str:
    """Return MSH-10 of a message."""
    return message.split("|", 10)[9]


def transaction(line: str, yuan: str, transaction_type: str = "CG", of: str = "", title: str = "conformance") -> str:
    """Return an FT1."""
    at = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    return "|".join(["FT1", "1", line, "", at, "", transaction_type, "110100001", title, "", "", yuan, *[""] * 19, of])


def acknowledgement_code(reply: Message) -> str:
    """Return MSA-1."""
    return reply.segment("MSA").field(1).text


def _expect_accepted(replies: Sequence[Message]) -> None:
    codes = [acknowledgement_code(reply) for reply in replies]
    expect(set(codes) <= {"AA", "CA"}, "AA for each", codes)


def _expect_error(reply: Message, location: str) -> None:
    _expect_told(reply, location, "AE", "AR", "CE", "CR")


def _expect_told(reply: Message, location: str, *codes: str) -> None:
    code = acknowledgement_code(reply)
    expect(code in codes, " or ".join(codes), code)
    errors = reply.all("ERR")
    found = [error.field(2).raw for error in errors]
    expect(any(one.startswith(location) for one in found), f"ERR-2 {location}", found)


@CHECKS.must
async def every_message_type_is_acknowledged(tester: MllpTester) -> None:
    """Every message type is acknowledged: A01, A03, A04, A08, A11, A13, P01, P05, P06, P03 with CG, CD, AJ and PY."""
    visit, other = tester.new_id("V"), tester.new_id("V")
    stay = tester.message("ADT^A01", *tester.patient_and_visit(other))
    messages = [
        tester.registration(visit),
        tester.visit_message("BAR^P01", visit),
        tester.visit_message("ADT^A08", visit),
        tester.visit_message("BAR^P05", visit),
        tester.charge_message(visit, transaction("L1", "12.50"), transaction("L2", "7.50")),
        tester.charge_message(visit, transaction("C1", "2.50", "CD", "L1"), transaction("A1", "-0.50", "AJ", "L2")),
        tester.charge_message(visit, transaction("P1", "1.00", "PY")),
        tester.visit_message("ADT^A03", visit),
        tester.visit_message("ADT^A13", visit),
        tester.visit_message("BAR^P06", visit),
        stay,
        tester.visit_message("ADT^A11", other),
        tester.visit_message("ADT^A11", visit),
    ]
    _expect_accepted(await tester.send(*messages))


@CHECKS.must
async def acknowledgement_references_its_message(tester: MllpTester) -> None:
    """An acknowledgement contains the message control ID, processing ID and version, and swaps sender and receiver."""
    visit = tester.new_id("V")
    (reply,) = await tester.send(tester.registration(visit, control=f"X{tester.run}"))
    expect(
        reply.segment("MSA").field(2).text == f"X{tester.run}", "the message control ID in MSA-2", reply.segment("MSA")
    )
    header = reply.header
    actual = [header.field(number).text for number in (3, 4, 5, 6, 11, 12)]
    expect(actual == ["CITY", "CITY", "KIT", tester.hospital, "P", "2.5"], "sender and receiver swapped", actual)
    await tester.send(tester.visit_message("ADT^A11", visit))


@CHECKS.must
async def duplicate_message_is_processed_once(tester: MllpTester) -> None:
    """A duplicate message gets the same acknowledgement, and its charge is booked once."""
    visit = tester.new_id("V")
    charge = tester.charge_message(visit, transaction("L1", "5.00"))
    replies = await tester.send(tester.registration(visit), charge, charge)
    _expect_accepted(replies)
    first, second = (acknowledgement_code(reply) for reply in replies[1:])
    expect(first == second, "the same acknowledgement", (first, second))
    over_limit = tester.charge_message(visit, transaction("C1", "5.01", "CD", "L1"))
    (reply,) = await tester.send(over_limit)
    expect(acknowledgement_code(reply) != "AA", "at most 5.00 can be credited", acknowledgement_code(reply))
    await tester.send(tester.visit_message("ADT^A11", visit))


@CHECKS.must
async def early_message_waits_for_its_visit(tester: MllpTester) -> None:
    """A charge that arrives before its visit, or a credit before its charge, is accepted and processed later."""
    visit = tester.new_id("V")
    early = [
        tester.charge_message(visit, transaction("C1", "1.00", "CD", "L1")),
        tester.charge_message(visit, transaction("L1", "1.00")),
    ]
    _expect_accepted(await tester.send(*early, tester.registration(visit)))
    (reply,) = await tester.send(tester.charge_message(visit, transaction("C2", "0.01", "CD", "L1")))
    expect(
        acknowledgement_code(reply) in ("AE", "AR"),
        "AE or AR, because the charge is already credited in full",
        acknowledgement_code(reply),
    )
    await tester.send(tester.visit_message("ADT^A11", visit))


@CHECKS.must
async def message_may_be_split_into_packets(tester: MllpTester) -> None:
    """A message that is split into packets, even byte by byte, is received as one message."""
    visit = tester.new_id("V")
    raw = START_BLOCK + tester.registration(visit).encode(tester.encoding) + END_BLOCK
    _expect_accepted(await tester.send_raw(*(raw[at : at + 1] for at in range(len(raw)))))
    half = START_BLOCK + tester.visit_message("ADT^A11", visit).encode(tester.encoding) + END_BLOCK
    for cut in (1, 30, len(half) - 2, len(half) - 1):
        _expect_accepted(await tester.send_raw(half[:cut], half[cut:], pause=0.02))


@CHECKS.must
async def two_messages_in_one_packet_are_both_acknowledged(tester: MllpTester) -> None:
    """Two messages in one packet are acknowledged one after the other."""
    visit = tester.new_id("V")
    messages = [tester.registration(visit), tester.visit_message("ADT^A11", visit)]
    packet = b"".join(START_BLOCK + message.encode(tester.encoding) + END_BLOCK for message in messages)
    _expect_accepted(await tester.send_raw(packet, control_ids=[control_id(one) for one in messages]))


@CHECKS.must
async def slow_sender_is_not_disconnected(tester: MllpTester) -> None:
    """A sender that pauses for seconds within a message is not disconnected."""
    visit = tester.new_id("V")
    raw = START_BLOCK + tester.registration(visit).encode(tester.encoding) + END_BLOCK
    _expect_accepted(await tester.send_raw(raw[:40], raw[40:90], raw[90:], pause=1.5))
    await tester.send(tester.visit_message("ADT^A11", visit))


@CHECKS.must
async def gb18030_is_supported(tester: MllpTester) -> None:
    """GB18030 is decoded if MSH-18 names it, including characters whose second byte is a delimiter."""
    visit = tester.new_id("V")
    messages = [
        tester.registration(visit, encoding="gb18030"),
        tester.charge_message(visit, transaction("L1", "1.00", title=TRAILING), encoding="gb18030"),
        tester.visit_message("ADT^A11", visit, encoding="gb18030"),
    ]
    _expect_accepted(await tester.send(*messages, encoding="gb18030"))


@CHECKS.must
async def enhanced_mode_is_supported(tester: MllpTester) -> None:
    """AL in MSH-15 and MSH-16 requests an accept and an application acknowledgement; NE suppresses them."""
    visit = tester.new_id("V")
    async with MllpClient(tester.host, tester.port) as client:
        await client.send(tester.registration(visit, acknowledgement="AL|AL").encode(tester.encoding))
        both = [acknowledgement_code(parse_message(await client.receive(), tester.encoding)) for _ in range(2)]
        expect(both == ["CA", "AA"], "CA, then AA", both)
        await client.send(
            tester.charge_message(visit, transaction("L1", "1.00"), acknowledgement="AL|NE").encode(tester.encoding)
        )
        accept = acknowledgement_code(parse_message(await client.receive(), tester.encoding))
        await client.send(tester.visit_message("ADT^A11", visit, acknowledgement="NE|AL").encode(tester.encoding))
        application = acknowledgement_code(parse_message(await client.receive(), tester.encoding))
        expect((accept, application) == ("CA", "AA"), "only CA, then only AA", (accept, application))


@CHECKS.must
async def errors_name_segment_and_field(tester: MllpTester) -> None:
    """Errors name segment and field: unknown patient, class, trigger event or message type, third decimal place."""
    visit = tester.new_id("V")
    stranger = tester.message("ADT^A04", *tester.patient_and_visit(visit, patient=UNKNOWN_PATIENT))
    (reply,) = await tester.send(stranger)
    _expect_told(
        reply, "PID^1^3", "AE", "AR", "CE", "CR", "AA"
    )  # AA where people without credit are accepted and ignored
    (reply,) = await tester.send(tester.message("ADT^A04", *tester.patient_and_visit(visit, class_="?")))
    _expect_error(reply, "PV1^1^2")
    (reply,) = await tester.send(tester.visit_message("ADT^A77", visit))
    _expect_error(reply, "MSH^1^9")
    (reply,) = await tester.send(tester.visit_message("ZZZ^Z01", visit))
    _expect_error(reply, "MSH^1^9")
    (reply,) = await tester.send(tester.charge_message(visit, transaction("L1", "1.005")))
    _expect_error(reply, "FT1^1^11")


@CHECKS.must
async def invalid_encoding_is_rejected(tester: MllpTester) -> None:
    """Bytes that are invalid in the declared encoding are rejected."""
    broken = tester.registration(tester.new_id("V")).encode("utf-8").replace("测".encode(), b"\xff\xfe")
    (reply,) = await tester.send_raw(START_BLOCK + broken + END_BLOCK)
    expect(acknowledgement_code(reply) in ("AR", "AE", "CR", "CE"), "AR or AE", acknowledgement_code(reply))


@CHECKS.must
async def broken_input_does_not_affect_other_connections(tester: MllpTester) -> None:
    """After invalid bytes, an unfinished block or a disconnection within a message, the next connection is served."""
    whole = START_BLOCK + tester.registration(tester.new_id("V")).encode(tester.encoding) + END_BLOCK
    for broken in (b"GET / HTTP/1.1\r\n\r\n", whole[:-2], whole[: len(whole) // 2], b"\x1c\r\x1c\r\x0b\x0b\x0b"):
        async with MllpClient(tester.host, tester.port) as client:
            await client.send_raw(broken)
    visit = tester.new_id("V")
    _expect_accepted(await tester.send(tester.registration(visit), tester.visit_message("ADT^A11", visit)))


@CHECKS.must
async def oversized_message_is_rejected(tester: MllpTester) -> None:
    """A message of 20 MB is rejected or the connection is closed, and the next connection is served."""
    raw = START_BLOCK + tester.registration(tester.new_id("V")).encode(tester.encoding) + b"Z" * 20_000_000 + END_BLOCK
    try:
        (reply,) = await tester.send_raw(raw)
        expect(
            acknowledgement_code(reply) in ("AR", "AE", "CR", "CE"),
            "AR, or the connection closed",
            acknowledgement_code(reply),
        )
    except (OSError, TimeoutError):
        pass
    visit = tester.new_id("V")
    _expect_accepted(await tester.send(tester.registration(visit), tester.visit_message("ADT^A11", visit)))


@CHECKS.should
async def idle_connection_stays_open(tester: MllpTester) -> None:
    """A connection that was idle for five seconds still accepts a message."""
    visit = tester.new_id("V")
    async with MllpClient(tester.host, tester.port) as client:
        await asyncio.sleep(5)
        message = tester.registration(visit)
        await client.send(message.encode(tester.encoding))
        reply = await tester.receive_answer(client, control_id(message), tester.encoding)
    if acknowledgement_code(reply) != "AA":
        raise CheckFailed("AA", acknowledgement_code(reply))
    await tester.send(tester.visit_message("ADT^A11", visit))
