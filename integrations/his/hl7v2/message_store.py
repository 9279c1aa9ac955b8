"""Store HL7 v2 messages unchanged, and recognise repeated ones.

A message is known by its hospital (MSH-4), sending application (MSH-3), control id (MSH-10) and content. A sender that
repeats it may write another time of sending (MSH-7). A control id with another content is an error, because one of the
two would be lost. Counters restart, however, so that after a while it is a new message.

That while is dated here, and not with the terms of the agreement: it is between the city and the hospitals, and a
release of those rules that was published before would know no such term.
"""

import asyncio
import base64
import hashlib
from contextlib import suppress
from datetime import date, datetime, timedelta

from msgspec import Struct, json
from msgspec.structs import replace

from backend.city.service import City
from backend.i18n import Text
from backend.services.medical_credit.model.hospital import HisMessage, Hospital, message_id, reused_message_id
from backend.store import Duplicate, Order
from backend.store.place import Place
from backend.store.time import to_ms
from integrations.his.hl7v2.errors import Hl7Error
from integrations.his.hl7v2.message import Message

RETRY_AFTER = timedelta(minutes=1)


class ControlIdWindow(Struct, frozen=True):
    """From the day `since` on, a control id may be used for another message after this time."""

    since: date
    length: timedelta
    source: str


CONTROL_ID_WINDOWS = (
    ControlIdWindow(
        date(2020, 1, 1),
        timedelta(hours=12),
        "[A] counters restart once a day at most, and a message is corrected under its own id within hours",
    ),
)


async def store_message(city: City, hospital: Hospital, message: Message, raw: bytes) -> HisMessage:
    """Store a message unchanged, or return the stored duplicate. Raises Hl7Error 205 if the content differs."""
    new = new_message(city, hospital, message, raw)
    reused_id = reused_message_id(new.id, new.digest)
    known, reuses = await asyncio.gather(
        city.store.get_many(HisMessage, [new.id, reused_id]),
        city.store.find(HisMessage, {"reuses": new.id}, order=Order("received_ms", "descending"), limit=1),
    )
    for one in known.values():
        if one.digest in (new.digest, _digest_of_bytes(raw)):
            return one
    earlier = [*known.values(), *reuses.documents]
    if earlier:
        _check_window(message, max(one.received_ms for one in earlier), city.now())
        new = new_message(city, hospital, message, raw, reused_id, reuses=new.id)
    try:
        return await city.store.insert(new)
    except Duplicate:
        return await store_message(city, hospital, message, raw)


def new_message(
    city: City,
    hospital: Hospital,
    message: Message,
    raw: bytes,
    new_id: str | None = None,
    *,
    reuses: str | None = None,
) -> HisMessage:
    """Return the record of a message that was received now, by default under the id that its control id gives."""
    header, now = message.header, city.now()
    new_id = new_id or message_id(hospital.id, header.field(3).text, header.field(10).text)
    return HisMessage(
        id=new_id,
        hospital=hospital.id,
        control_id=header.field(10).text,
        kind=f"{header.field(9).component(1).text}^{header.field(9).component(2).text}",
        raw=city.encryption.encrypt(base64.b64encode(raw).decode(), Place.of(HisMessage, new_id, "raw")),
        digest=message_digest(message),
        received_ms=to_ms(now),
        expires_ms=to_ms(now + HisMessage.retention.length(now)),
        due_ms=to_ms(now + RETRY_AFTER),
        reuses=reuses,
    )


async def store_unread(city: City, hospital: Hospital, header: Message, raw: bytes, reason: str) -> None:
    """Store a message of which only the header could be read, for an operator. Raises Hl7Error for that header."""
    unread = replace(new_message(city, hospital, header, raw), digest=_digest_of_bytes(raw))
    with suppress(Duplicate):
        await city.store.insert(replace(unread, state="failed", reason=reason, due_ms=None))


def message_digest(message: Message) -> str:
    """Return the digest of the content of a message: of all fields but its time of sending (MSH-7)."""
    header, *others = (segment.fields for segment in message.segments)
    content = [[*header[:7], "", *header[8:]], *others]
    return hashlib.sha256(json.encode(content)).hexdigest()


def _digest_of_bytes(raw: bytes) -> str:
    """Return the digest of messages that could not be read, and of all messages before 2026-12."""
    return hashlib.sha256(raw.strip(b"\r\n")).hexdigest()


def _check_window(message: Message, received_ms: int, now: datetime) -> None:
    window = [one for one in CONTROL_ID_WINDOWS if one.since <= now.date()][-1].length
    if to_ms(now) - received_ms < window.total_seconds() * 1_000:
        location = message.header.field(10).location
        text = Text(
            zh="消息控制ID（MSH-10）重复，但内容不同",
            en=f"{location}: this message control ID was already used for another message",
        )
        raise Hl7Error(location, "205", text)
