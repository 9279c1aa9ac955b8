"""Batches of messages: the segments FHS, BHS, BTS and FTS around messages in one MLLP block.

Each message of a batch is received as if it had come alone. The acknowledgements form one batch, which is the one block
that answers the block of the sender: BHS-12 and FHS-12 name the batch and the file that it answers, BTS-1 and FTS-1
count its acknowledgements and batches.
"""

import re
import secrets
from collections.abc import AsyncGenerator
from datetime import datetime

from backend.city.service import City
from integrations.his.hl7v2.message import without_preamble
from integrations.his.hl7v2.message_receiver import receive_message
from integrations.his.hl7v2.mllp_listener import Peer

_HEADERS, _TRAILERS = (b"FHS", b"BHS"), (b"BTS", b"FTS")
_LINE_END = re.compile(rb"[\r\n]+")
_CONTROL_ID = 11
"""The number of the field with the control id in BHS and FHS."""


async def receive_block(city: City, raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
    """Process the message or the batch of an MLLP block, and yield its replies, which for a batch are one."""
    if not without_preamble(raw).startswith(_HEADERS):
        async for reply in receive_message(city, raw, peer):
            yield reply
        return
    answer: list[bytes] = []
    messages = batches = 0
    for part in split_batch(raw):
        if part.startswith(_HEADERS):
            answer.append(_header(part, city.now()))
        elif part.startswith(b"BTS"):
            answer.append(_batch_trailer(part, messages))
            messages, batches = 0, batches + 1
        elif part.startswith(b"FTS"):
            answer.append(b"FTS|%d\r" % batches)
        else:
            messages += 1
            answer += [reply async for reply in receive_message(city, part, peer)]
    yield b"".join(answer)


def split_batch(raw: bytes) -> list[bytes]:
    """Return the messages and the segments around them, in order.

    What follows neither a header nor a message is a part of its own, which is then no valid message.
    """
    parts: list[bytes] = []
    in_message = False
    for line in _LINE_END.split(without_preamble(raw)):
        segment = without_preamble(line)
        if segment.startswith((*_HEADERS, *_TRAILERS)):
            parts.append(segment)
            in_message = False
        elif segment.startswith(b"MSH") or (segment and not in_message):
            parts.append(segment + b"\r")
            in_message = True
        elif segment:
            parts[-1] += line + b"\r"
    return parts


def _header(segment: bytes, now: datetime) -> bytes:
    """Return the header of the answer to a batch or a file, in the usual delimiters."""
    field = segment[3:4] or b"|"
    values = segment.split(field)
    control_id = values[_CONTROL_ID - 1] if len(values) >= _CONTROL_ID else b""
    at, new_id = now.strftime("%Y%m%d%H%M%S%z"), secrets.token_hex(10)
    return segment[:3] + f"|^~\\&|||||{at}||||{new_id}|".encode() + control_id + b"\r"


def _batch_trailer(segment: bytes, messages: int) -> bytes:
    """Return the trailer of the answer to a batch, with a comment if its own count differs."""
    announced = re.search(rb"[0-9]+", segment[3:].split(b"|", 2)[1] if segment.count(b"|") else b"")
    if announced is None or int(announced[0]) == messages:
        return b"BTS|%d\r" % messages
    return b"BTS|%d|BTS-1 announced %s messages\r" % (messages, announced[0])
