"""Mutated messages are answered, each with a code and without a fault of ours."""

import logging
import random
import re
from collections import Counter

import pytest

from integrations.his.hl7v2.acknowledgement import requested_acknowledgements
from integrations.his.hl7v2.errors import Hl7Error
from integrations.his.hl7v2.message import parse_header
from tests.draws import draws
from tests.integrations.his.hl7v2.receiver_scene import Receiver
from tests.integrations.his.hospital import Hl7System, transaction

pytestmark = pytest.mark.slow

MUTATIONS = draws(2_000, soak=20_000)
PER_VISIT = 40
HOSTILE = [
    *("", '""', "~~~", "^^^^", "&&&", "\\", "\\X\\", "\\XFF\\", "\\X00\\", "\\.br\\", "\\H\\", "|" * 600),
    *("19000101", "00010101000000", "99991231235959", "20260230", "20260101+2500", "2026010199", "0"),
    *("1e400", "-0", "+1.00", "9" * 400, "NaN", "Infinity", "1_000", "0.001", "1.005", "١٢", "１２", "100&USD", ".5"),
    *("\u2028", "\u200b", "\ufeff", "😀" * 50, "𠅤", "\x00", "\x1b", "\x85", "A" * 5_000, "=cmd()", "%s{0}", "ı"),
    *("NI", "PPN", "03", "P", "T", "AL", "NE", "ER", "2.1", "2.9", "GBK", "UNICODE UTF-16", "A01", "DFT", "HZ002"),
]


def random_message(system: Hl7System, visit: str, draw: random.Random) -> str:
    """Return a valid message of any kind about a visit."""
    line = transaction(f"L{draw.randrange(20)}", f"{draw.randrange(1, 9)}.00")
    credit = transaction(f"C{draw.randrange(20)}", "0.10", "CD", of=f"L{draw.randrange(20)}")
    triggers = ["ADT^A03", "ADT^A08", "ADT^A11", "ADT^A13", "BAR^P01", "BAR^P05", "BAR^P06", "ADT^A01"]
    batch = f"BHS|^~\\&|HIS|HZ001|||||||B1\r{system.charge_message(visit, line)}{system.registration(visit)}BTS|2\r"
    return draw.choice(
        [
            batch,
            system.charge_message(visit, line),
            system.charge_message(visit, line, credit),
            system.registration(visit),
            system.visit_message(draw.choice(triggers), visit),
        ]
    )


def mutate(message: str, draw: random.Random) -> bytes:
    """Return a message with a few random changes of its segments, fields or bytes."""
    segments = message.split("\r")
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(segments))
        fields = segments[place].split("|")
        match draw.randrange(6):
            case 0:
                segments.insert(draw.randrange(len(segments)), segments[place])
            case 1:
                del segments[place]
                segments = segments or [""]
            case 2:
                segments[place] = "|".join(fields[: draw.randrange(len(fields) + 1)])
            case _:
                fields[draw.randrange(len(fields))] = draw.choice(HOSTILE)
                segments[place] = "|".join(fields)
    raw = bytearray("\r".join(segments).encode(draw.choice(["utf-8", "utf-8", "utf-8", "gb18030"]), "replace"))
    for _ in range(draw.choice([0, 0, 1, 5])):
        if raw:
            raw[draw.randrange(len(raw))] = draw.randrange(256)
    return bytes(raw)


def may_be_silent(raw: bytes) -> bool:
    """Return whether the message itself asks for no answer (MSH-15, MSH-16)."""
    try:
        return requested_acknowledgements(parse_header(raw, "utf-8")).mode == "enhanced"
    except Hl7Error:
        return False


def code_of(reply: bytes) -> str:
    """Return the code of a reply, whatever delimiters and encoding it has."""
    found = re.search(rb"\rMSA[!-/:-@\\[-`{-~](A[AER]|C[AER])", reply)
    assert found is not None, reply
    return found[1].decode()


def test_every_mutated_message_is_answered_without_a_fault_of_ours(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    codes = Counter[str]()
    for seed in range(MUTATIONS):
        draw = random.Random(seed)
        visit = f"V{seed // PER_VISIT}"
        if seed % PER_VISIT == 0:
            receiver.send(receiver.system.registration(visit))
        raw = mutate(random_message(receiver.system, visit, draw), draw)
        replies = receiver.replies(raw)
        assert replies or may_be_silent(raw), (seed, raw)
        for reply in replies:
            codes[code_of(reply)] += 1
        assert all(record.levelno < logging.ERROR for record in caplog.records), (seed, raw, caplog.text)
        caplog.clear()
    assert codes.keys() <= {"AA", "AE", "AR", "CA", "CE", "CR"}
    assert min(codes["AA"], codes["AR"]) > MUTATIONS / 20, codes
    assert receiver.code(receiver.system.registration("last")) == "AA"
