"""What the kit tries over MLLP: every kind of message, and every way in which messages go wrong on the way."""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from integrations.his.conformance.kit import Failed, Kit, expect
from integrations.his.hl7v2.message import Encoding, Message, read
from integrations.his.hl7v2.mllp import END, START, MllpClient

KIT = Kit("mllp")
TRAILING = "丅朶侓鈥"
"""Characters whose second byte in GB18030 is one of the delimiters."""

UNKNOWN_PATIENT = "11010519491231002X"
_WORDS: dict[Encoding, str] = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}


class MllpBench:
    """A target, and the hospital and patient as which it is tried. Visits and messages are of this run alone."""

    def __init__(self, host: str, port: int, hospital: str, patient: str, encoding: Encoding = "utf-8") -> None:
        self.host, self.port = host, port
        self.hospital, self.patient = hospital, patient
        self.encoding: Encoding = encoding
        self.run = secrets.token_hex(3).upper()
        self._numbers = 0

    def next(self, letter: str) -> str:
        """Give a name that was not used before."""
        self._numbers += 1
        return f"{letter}{self.run}{self._numbers:03}"

    def message(
        self, kind: str, *segments: str, wants: str = "|", encoding: Encoding | None = None, control: str = ""
    ) -> str:
        """Write a message; `wants` are MSH-15 and MSH-16."""
        at = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
        header = f"MSH|^~\\&|KIT|{self.hospital}|CITY|CITY|{at}||{kind}|{control or self.next('M')}|P|2.5|||{wants}||"
        return "\r".join([header + _WORDS[encoding or self.encoding], *segments]) + "\r"

    def of_visit(self, visit: str, class_: str = "E", patient: str = "") -> tuple[str, str]:
        """Write PID and PV1."""
        identity = f"{patient or self.patient}^^^CN^NI"
        return f"PID|1||{identity}||测^试||||||||||||{visit}", f"PV1|1|{class_}{'|' * 17}{visit}"

    def opens(self, visit: str, *, wants: str = "|", encoding: Encoding | None = None, control: str = "") -> str:
        """Write an ADT^A04."""
        return self.tells("ADT^A04", visit, wants=wants, encoding=encoding, control=control)

    def tells(
        self, kind: str, visit: str, *, wants: str = "|", encoding: Encoding | None = None, control: str = ""
    ) -> str:
        """Write a message about a visit and no more."""
        return self.message(kind, *self.of_visit(visit), wants=wants, encoding=encoding, control=control)

    def charges(self, visit: str, *transactions: str, wants: str = "|", encoding: Encoding | None = None) -> str:
        """Write a DFT^P03."""
        return self.message("DFT^P03", *self.of_visit(visit), *transactions, wants=wants, encoding=encoding)

    async def ask(self, *messages: str, encoding: Encoding | None = None) -> list[Message]:
        """Send messages one after the other over one connection, and give the answer to each."""
        used = encoding or self.encoding
        async with MllpClient(self.host, self.port) as client:
            answers: list[Message] = []
            for message in messages:
                await client.send(message.encode(used))
                answers.append(read(await client.receive(), used))
            return answers

    async def raw(self, *pieces: bytes, answers: int = 1, pause: float = 0) -> list[Message]:
        """Write bytes as they are, with a pause between them, and give so many answers."""
        async with MllpClient(self.host, self.port) as client:
            for piece in pieces:
                await client.write(piece)
                await asyncio.sleep(pause)
            return [read(await client.receive(), self.encoding) for _ in range(answers)]


def transaction(line: str, yuan: str, kind: str = "CG", of: str = "", title: str = "conformance") -> str:
    """Write an FT1."""
    at = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    return "|".join(["FT1", "1", line, "", at, "", kind, "110100001", title, "", "", yuan, *[""] * 19, of])


def code_of(answer: Message) -> str:
    """Give MSA-1."""
    return answer.segment("MSA").field(1).text


def _accepted(answers: Sequence[Message]) -> None:
    codes = [code_of(answer) for answer in answers]
    expect(set(codes) <= {"AA", "CA"}, "AA for each", codes)


def _refused(answer: Message, codes: str, place: str) -> None:
    expect(code_of(answer) in codes.split(), codes, code_of(answer))
    errors = answer.all("ERR")
    found = [error.field(2).raw for error in errors]
    expect(any(one.startswith(place) for one in found), f"ERR-2 {place}", found)


@KIT.must
async def every_kind_of_message_is_acknowledged(bench: MllpBench) -> None:
    """Every kind of message is acknowledged: A01, A03, A04, A08, A11, A13, P01, P05, P06, DFT with CG, CD, AJ, PY."""
    visit, other = bench.next("V"), bench.next("V")
    stay = bench.message("ADT^A01", *bench.of_visit(other))
    messages = [
        bench.opens(visit),
        bench.tells("BAR^P01", visit),
        bench.tells("ADT^A08", visit),
        bench.tells("BAR^P05", visit),
        bench.charges(visit, transaction("L1", "12.50"), transaction("L2", "7.50")),
        bench.charges(visit, transaction("C1", "2.50", "CD", "L1"), transaction("A1", "-0.50", "AJ", "L2")),
        bench.charges(visit, transaction("P1", "1.00", "PY")),
        bench.tells("ADT^A03", visit),
        bench.tells("ADT^A13", visit),
        bench.tells("BAR^P06", visit),
        stay,
        bench.tells("ADT^A11", other),
        bench.tells("ADT^A11", visit),
    ]
    _accepted(await bench.ask(*messages))


@KIT.must
async def an_answer_names_the_message_that_it_answers(bench: MllpBench) -> None:
    """An answer names the control id, swaps sender and receiver, and keeps processing id and version."""
    visit = bench.next("V")
    (answer,) = await bench.ask(bench.opens(visit, control=f"X{bench.run}"))
    expect(answer.segment("MSA").field(2).text == f"X{bench.run}", "the control id in MSA-2", answer.segment("MSA"))
    header = answer.header
    came = [header.field(number).text for number in (3, 4, 5, 6, 11, 12)]
    expect(came == ["CITY", "CITY", "KIT", bench.hospital, "P", "2.5"], "the parties swapped", came)
    await bench.ask(bench.tells("ADT^A11", visit))


@KIT.must
async def a_message_that_comes_twice_is_answered_twice_and_done_once(bench: MllpBench) -> None:
    """A message that comes twice is answered with the same, and a charge stands once."""
    visit = bench.next("V")
    charge = bench.charges(visit, transaction("L1", "5.00"))
    answers = await bench.ask(bench.opens(visit), charge, charge)
    _accepted(answers)
    first, second = (code_of(answer) for answer in answers[1:])
    expect(first == second, "the same answer", (first, second))
    over_limit = bench.charges(visit, transaction("C1", "5.01", "CD", "L1"))
    (answer,) = await bench.ask(over_limit)
    expect(code_of(answer) != "AA", "no more than 5.00 to be credited", code_of(answer))
    await bench.ask(bench.tells("ADT^A11", visit))


@KIT.must
async def a_charge_before_its_visit_is_kept_until_the_visit_opens(bench: MllpBench) -> None:
    """A charge that comes before its visit, and a credit before its charge, are kept and not lost."""
    visit = bench.next("V")
    early = [
        bench.charges(visit, transaction("C1", "1.00", "CD", "L1")),
        bench.charges(visit, transaction("L1", "1.00")),
    ]
    _accepted(await bench.ask(*early, bench.opens(visit)))
    (answer,) = await bench.ask(bench.charges(visit, transaction("C2", "0.01", "CD", "L1")))
    expect(code_of(answer) == "AE", "AE, since nothing is left of the charge", code_of(answer))
    await bench.ask(bench.tells("ADT^A11", visit))


@KIT.must
async def a_message_may_come_in_pieces(bench: MllpBench) -> None:
    """A message that is split over packets, even byte by byte, is one message."""
    visit = bench.next("V")
    raw = START + bench.opens(visit).encode(bench.encoding) + END
    _accepted(await bench.raw(*(raw[at : at + 1] for at in range(len(raw)))))
    half = START + bench.tells("ADT^A11", visit).encode(bench.encoding) + END
    for cut in (1, 30, len(half) - 2, len(half) - 1):
        _accepted(await bench.raw(half[:cut], half[cut:], pause=0.02))


@KIT.must
async def two_messages_in_one_packet_are_two(bench: MllpBench) -> None:
    """Two messages in one packet are answered one after the other."""
    visit = bench.next("V")
    messages = [bench.opens(visit), bench.tells("ADT^A11", visit)]
    packet = b"".join(START + message.encode(bench.encoding) + END for message in messages)
    _accepted(await bench.raw(packet, answers=2))


@KIT.must
async def a_slow_sender_is_waited_for(bench: MllpBench) -> None:
    """A sender that pauses for seconds within a message, or between two, is waited for."""
    visit = bench.next("V")
    raw = START + bench.opens(visit).encode(bench.encoding) + END
    _accepted(await bench.raw(raw[:40], raw[40:90], raw[90:], pause=1.5))
    await bench.ask(bench.tells("ADT^A11", visit))


@KIT.must
async def chinese_comes_through_in_gb18030(bench: MllpBench) -> None:
    """GB18030 is understood where MSH-18 names it, also characters whose second byte is a delimiter."""
    visit = bench.next("V")
    messages = [
        bench.opens(visit, encoding="gb18030"),
        bench.charges(visit, transaction("L1", "1.00", title=TRAILING), encoding="gb18030"),
        bench.tells("ADT^A11", visit, encoding="gb18030"),
    ]
    _accepted(await bench.ask(*messages, encoding="gb18030"))


@KIT.must
async def the_enhanced_mode_answers_as_it_is_asked(bench: MllpBench) -> None:
    """With AL in MSH-15 and MSH-16 a commit comes first; with NE in MSH-16 nothing follows it."""
    visit = bench.next("V")
    async with MllpClient(bench.host, bench.port) as client:
        await client.send(bench.opens(visit, wants="AL|AL").encode(bench.encoding))
        both = [code_of(read(await client.receive(), bench.encoding)) for _ in range(2)]
        expect(both == ["CA", "AA"], "CA, then AA", both)
        await client.send(bench.charges(visit, transaction("L1", "1.00"), wants="AL|NE").encode(bench.encoding))
        commit = code_of(read(await client.receive(), bench.encoding))
        await client.send(bench.tells("ADT^A11", visit, wants="NE|AL").encode(bench.encoding))
        after = code_of(read(await client.receive(), bench.encoding))
        expect((commit, after) == ("CA", "AA"), "CA alone, then AA alone", (commit, after))


@KIT.must
async def what_is_wrong_is_named_by_segment_and_field(bench: MllpBench) -> None:
    """An unknown patient, class, trigger or type and a third decimal place are named by segment and field."""
    visit = bench.next("V")
    stranger = bench.message("ADT^A04", *bench.of_visit(visit, patient=UNKNOWN_PATIENT))
    (answer,) = await bench.ask(stranger)
    _refused(answer, "AE AR", "PID^1^3")
    (answer,) = await bench.ask(bench.message("ADT^A04", *bench.of_visit(visit, class_="?")))
    _refused(answer, "AE AR", "PV1^1^2")
    (answer,) = await bench.ask(bench.tells("ADT^A77", visit))
    _refused(answer, "AR AE", "MSH^1^9")
    (answer,) = await bench.ask(bench.tells("ORU^R01", visit))
    _refused(answer, "AR AE", "MSH^1^9")
    (answer,) = await bench.ask(bench.charges(visit, transaction("L1", "1.005")))
    _refused(answer, "AE AR", "FT1^1^11")


@KIT.must
async def a_wrong_encoding_is_refused(bench: MllpBench) -> None:
    """Bytes that are no text in the declared encoding are refused, and the connection goes on or closes."""
    broken = bench.opens(bench.next("V")).encode("utf-8").replace("测".encode(), b"\xff\xfe")
    (answer,) = await bench.raw(START + broken + END)
    expect(code_of(answer) in ("AR", "AE", "CR", "CE"), "AR or AE", code_of(answer))


@KIT.must
async def what_is_broken_hurts_nobody_else(bench: MllpBench) -> None:
    """After garbage, an unclosed block and a hang-up in the middle, the next connection is served."""
    whole = START + bench.opens(bench.next("V")).encode(bench.encoding) + END
    for broken in (b"GET / HTTP/1.1\r\n\r\n", whole[:-2], whole[: len(whole) // 2], b"\x1c\r\x1c\r\x0b\x0b\x0b"):
        async with MllpClient(bench.host, bench.port) as client:
            await client.write(broken)
    visit = bench.next("V")
    _accepted(await bench.ask(bench.opens(visit), bench.tells("ADT^A11", visit)))


@KIT.must
async def a_message_that_is_too_long_is_refused_or_cut_off(bench: MllpBench) -> None:
    """A message of 20 MB is refused or cut off, and the next connection is served."""
    raw = START + bench.opens(bench.next("V")).encode(bench.encoding) + b"Z" * 20_000_000 + END
    try:
        (answer,) = await bench.raw(raw)
        expect(code_of(answer) in ("AR", "AE", "CR", "CE"), "AR, or the connection closed", code_of(answer))
    except (OSError, TimeoutError):
        pass
    visit = bench.next("V")
    _accepted(await bench.ask(bench.opens(visit), bench.tells("ADT^A11", visit)))


@KIT.should
async def an_idle_connection_stays_open(bench: MllpBench) -> None:
    """A connection that is idle for five seconds still takes a message."""
    visit = bench.next("V")
    async with MllpClient(bench.host, bench.port) as client:
        await asyncio.sleep(5)
        await client.send(bench.opens(visit).encode(bench.encoding))
        answer = read(await client.receive(), bench.encoding)
    if code_of(answer) != "AA":
        raise Failed("AA", code_of(answer))
    await bench.ask(bench.tells("ADT^A11", visit))
