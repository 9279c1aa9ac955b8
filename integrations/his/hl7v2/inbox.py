"""Taking HL7 v2 messages: stored raw, answered, carried out once, and kept waiting where another must come first."""

import base64
import hashlib
import logging
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.city.person import InvalidIdNumber
from backend.city.service import City
from backend.i18n import Text
from backend.problems import Problem
from backend.services.medical_credit import tasks
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model import problems
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.message import (
    MAX_WAIT,
    MESSAGE_RETENTION,
    HisMessage,
    MessageState,
    message_id,
)
from backend.services.medical_credit.model.visit import visit_id
from backend.store import Conflict, Duplicate, Order
from integrations.his.hl7v2.acknowledgement import Acknowledgement, acknowledge, wanted_acknowledgements
from integrations.his.hl7v2.error import Code, Hl7Error, Place
from integrations.his.hl7v2.message import Encoding, Message, header_of, read, too_long
from integrations.his.hl7v2.mllp import Limits, Peer
from integrations.his.hl7v2.reading import Told, check_header, read_told, read_visit_number

RETRIED_AFTER = timedelta(minutes=1)
MAX_PENDING = 200
"""How many messages of one visit are tried again when another of it has come."""

_log = logging.getLogger("chengma.his")

_CODES: dict[type[Problem], Code] = {
    InvalidIdNumber: "204",
    problems.UnknownPatient: "204",
    problems.UnknownVisit: "204",
    problems.UnknownLine: "204",
    problems.LineChanged: "205",
    problems.VisitChanged: "205",
    problems.LineExceeded: "102",
    problems.CannotPayLater: "206",
    problems.VisitCancelled: "206",
    problems.VisitPaid: "206",
    problems.RefundTooLate: "206",
    problems.TooManyLines: "206",
}
"""HL7 table 0357 for what can stand in the way of a message."""

_WAITS = (problems.UnknownVisit, problems.UnknownLine)
_ID_NUMBER = Place("PID", 1, 3)


class Outcome(Struct, frozen=True):
    """What became of a message: the application's answer, the errors it tells, and whether it is done with."""

    code: Acknowledgement
    state: MessageState
    errors: tuple[Hl7Error, ...] = ()


def refuse_too_long(head: bytes, _peer: Peer) -> bytes | None:
    """Answer a message that is too long, by its beginning."""
    header = header_of(head, "utf-8")
    return _answer(header, "AR", [too_long(Limits().message_bytes)], datetime.now().astimezone())


async def take_message(city: City, raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
    """Take one message and yield its answers: the commit's where one is wanted, then the application's.

    It is stored as it came before anything is answered. Raises StoreUnavailable, for its sender to send it again.
    """
    header = header_of(raw, "utf-8")
    hospital = await city.store.get(Hospital, header.header.field(4).component(1).text)
    try:
        hospital = _admitted(hospital, header, peer)
        message = read(raw, hospital.encoding)
        wanted = wanted_acknowledgements(message, hospital.acknowledgement)
        check_header(message, development=city.settings.development)
    except Hl7Error as error:
        _log.warning("MLLP: a message of %s is refused: %s", peer.address, error)
        yield _answer(header_of(raw, _encoding(hospital)), _refusal(header, hospital), [error], city.now())
        return
    try:
        kept = await _keep(city, hospital, message, raw)
    except Hl7Error as error:
        yield _answer(message, "AE" if wanted.mode == "original" else "CE", [error], city.now())
        return
    if wanted.wants_commit(ok=True):
        yield _answer(message, "CA", (), city.now())
    if kept.answer is None:
        kept = await _carry_out(city, hospital, message, kept)
    assert kept.answer is not None, "it was answered just now"
    if wanted.wants_application(ok=kept.answer_code == "AA"):
        yield kept.answer.encode(message.syntax.encoding)


def _admitted(hospital: Hospital | None, header: Message, peer: Peer) -> Hospital:
    if hospital is None or not hospital.enabled:
        place = header.header.field(4).place
        raise Hl7Error(place, "204", Text(zh="该机构未接入", en=f"{place}: this facility is not connected"))
    if hospital.certificate is not None and hospital.certificate != peer.name:
        place = header.header.field(4).place
        raise Hl7Error(place, "204", Text(zh="证书与机构不符", en="the client certificate is another facility's"))
    return hospital


def _encoding(hospital: Hospital | None) -> Encoding:
    return hospital.encoding if hospital is not None else "utf-8"


def _refusal(header: Message, hospital: Hospital | None) -> Acknowledgement:
    """Tell how a message is refused that nobody could store: by the mode in which it wants to be answered."""
    with suppress(Hl7Error):
        mode = hospital.acknowledgement if hospital is not None else "by_message"
        return "CR" if wanted_acknowledgements(header, mode).mode == "enhanced" else "AR"
    return "AR"


async def _keep(city: City, hospital: Hospital, message: Message, raw: bytes) -> HisMessage:
    """Store a message as it came, or find it where it came before. Raises Hl7Error 205 where it says something else."""
    header, now = message.header, city.now()
    control_id = header.field(10).text
    digest = hashlib.sha256(raw.strip(b"\r\n")).hexdigest()
    kept = HisMessage(
        id=message_id(hospital.id, header.field(3).text, control_id),
        hospital=hospital.id,
        control_id=control_id,
        kind=f"{header.field(9).component(1).text}^{header.field(9).component(2).text}",
        raw=city.encryption.encrypt(base64.b64encode(raw).decode()),
        digest=digest,
        received_ms=_ms(now),
        expires_ms=_ms(now + MESSAGE_RETENTION),
        due_ms=_ms(now + RETRIED_AFTER),
    )
    known = await city.store.get(HisMessage, kept.id)
    if known is None:
        try:
            return await city.store.insert(kept)
        except Duplicate:
            known = await city.store.get(HisMessage, kept.id)
            assert known is not None, "messages are kept for months"
    if known.digest != digest:
        place = header.field(10).place
        raise Hl7Error(place, "205", Text(zh="同一消息号的内容不同", en=f"{place}: this control id was used before"))
    return known


async def _carry_out(city: City, hospital: Hospital, message: Message, kept: HisMessage) -> HisMessage:
    """Do what a message tells, note what became of it, and try again what has waited for it."""
    outcome, visit = await _outcome(city, hospital, message, kept)
    noted = await _note(city, kept, message, outcome, visit)
    if visit is not None and outcome.state == "done":
        await tasks.advance.enqueue(city.jobs, visit)
        await _try_waiting(city, hospital, visit, kept.id)
    return noted


async def _outcome(city: City, hospital: Hospital, message: Message, kept: HisMessage) -> tuple[Outcome, str | None]:
    visit: str | None = None
    try:
        visit = visit_id(hospital.id, read_visit_number(message))
        reading = read_told(message, ZoneInfo(city.settings.time_zone))
    except Hl7Error as error:
        return Outcome("AE", "failed", (error,)), visit
    for number, told in enumerate(reading.told):
        try:
            await handle_command(city, hospital, reading.number, told.command, f"{kept.id}/{number}")
        except Problem as problem:
            return _unfit(told, problem), visit
    return Outcome("AA", "done"), visit


def _unfit(told: Told, problem: Problem) -> Outcome:
    """Say what stands in the way, at the segment that told it; what is only too early waits."""
    code = _CODES.get(type(problem), "207")
    place = _ID_NUMBER if isinstance(problem, problems.UnknownPatient | InvalidIdNumber) else told.place
    if isinstance(problem, problems.UnknownLine):
        place = Place("FT1", told.place.sequence, 31)
    if isinstance(problem, _WAITS):
        return Outcome("AA", "waiting", (Hl7Error(place, code, problem.detail, "W"),))
    return Outcome("AE", "failed", (Hl7Error(place, code, problem.detail),))


async def _note(city: City, kept: HisMessage, message: Message, outcome: Outcome, visit: str | None) -> HisMessage:
    """Note what became of a message; the first answer stays the answer, whatever a later try comes to."""
    now = city.now()
    waits = outcome.state == "waiting"
    given_up = waits and _ms(now) - kept.received_ms > MAX_WAIT.total_seconds() * 1_000
    answer = _answer(message, outcome.code, outcome.errors, now).decode(message.syntax.encoding)
    noted = replace(
        kept,
        state="failed" if given_up else outcome.state,
        visit=visit,
        answer=kept.answer or answer,
        answer_code=kept.answer_code or outcome.code,
        reason="; ".join(map(str, outcome.errors)) or None,
        attempts=kept.attempts + 1,
        due_ms=_ms(now + min(RETRIED_AFTER * 2**kept.attempts, timedelta(hours=6))) if waits and not given_up else None,
    )
    try:
        return await city.store.replace(noted)
    except Conflict:  # the same message came twice at once, and the other was faster
        known = await city.store.get(HisMessage, kept.id)
        return known if known is not None and known.answer is not None else noted


async def _try_waiting(city: City, hospital: Hospital, visit: str, but: str) -> None:
    """Try again what has waited for a message of this visit, the oldest first, as long as something comes of it."""
    order = Order("received_ms")
    progress = True
    while progress:
        progress = False
        page = await city.store.find(HisMessage, {"visit": visit, "state": "waiting"}, order=order, limit=MAX_PENDING)
        for kept in page.documents:
            if kept.id != but:
                progress |= (await _again(city, hospital, kept)).state == "done"


async def _again(city: City, hospital: Hospital, kept: HisMessage) -> HisMessage:
    message = read(raw_of(city, kept), hospital.encoding)
    outcome, visit = await _outcome(city, hospital, message, kept)
    noted = await _note(city, kept, message, outcome, visit)
    if visit is not None and noted.state == "done":
        await tasks.advance.enqueue(city.jobs, visit)
    return noted


def raw_of(city: City, kept: HisMessage) -> bytes:
    """Give a message as it came."""
    return base64.b64decode(city.encryption.decrypt(kept.raw))


class MessageInbox:
    """Tries messages again that waited, failed, or were cut off before they were answered."""

    async def retry(self, city: City, message: str) -> str | None:
        """Try a message again; gives its state then, or None for an unknown one."""
        kept = await city.store.get(HisMessage, message)
        if kept is None or kept.state == "done":
            return None if kept is None else kept.state
        hospital = await city.store.get(Hospital, kept.hospital)
        assert hospital is not None, "hospitals are disabled and never deleted"
        noted = await _again(city, hospital, kept)
        if noted.state == "done" and noted.visit is not None:
            await _try_waiting(city, hospital, noted.visit, kept.id)
        return noted.state


def _answer(message: Message, code: Acknowledgement, errors: Sequence[Hl7Error], now: datetime) -> bytes:
    return acknowledge(message, code, errors, control_id=secrets.token_hex(10), now=now)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1_000)
