"""Receive HL7 v2 messages: store them unchanged, acknowledge them, process each once, and hold early ones back."""

import base64
import logging
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import InvalidIdNumber
from backend.city.service import City
from backend.i18n import Text
from backend.problems import Problem
from backend.services.medical_credit import tasks
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model import problems
from backend.services.medical_credit.model.hospital import (
    MAX_WAIT,
    HisMessage,
    Hospital,
    MessageState,
)
from backend.services.medical_credit.model.visit import visit_id
from backend.store import Conflict, Order
from backend.store.time import to_ms
from integrations.his import mapping
from integrations.his.hl7v2.acknowledgement import AcknowledgementCode, acknowledge, requested_acknowledgements
from integrations.his.hl7v2.errors import ConditionCode, Hl7Error, Location
from integrations.his.hl7v2.event_table import OPENING, check_event, treatment_of
from integrations.his.hl7v2.ignored_messages import (
    Ignored,
    ignore_event,
    ignore_person,
    process_ignored,
    process_ignored_of,
)
from integrations.his.hl7v2.local_codes import with_standard_codes
from integrations.his.hl7v2.message import Message, message_too_long, parse_header, parse_message
from integrations.his.hl7v2.message_store import RETRY_AFTER, store_message
from integrations.his.hl7v2.mllp_listener import Limits, Peer
from integrations.his.hl7v2.syntax import Encoding
from integrations.his.hl7v2.trigger_events import (
    LocatedCommand,
    check_header,
    parse_commands,
    parse_visit_number,
)

MAX_RETRY_INTERVAL = timedelta(hours=6)
MAX_PENDING = 200
"""The maximum number of waiting messages of a visit that are read at once after another of its messages."""

_log = logging.getLogger("chengma.his")

_CONDITION_CODES: dict[type[Problem], ConditionCode] = {
    InvalidIdNumber: "204",
    problems.UnknownPatient: "204",
    problems.UnknownVisit: "204",
    problems.UnknownLine: "204",
    problems.AmbiguousLine: "204",
    problems.UnknownSettlement: "204",
    problems.SettlementChanged: "205",
    problems.SettlementDiffers: "102",
    problems.SettlementUnbalanced: "102",
    problems.SettledByCity: "206",
    problems.VisitSettled: "206",
    problems.LineChanged: "205",
    problems.VisitChanged: "205",
    problems.LineExceeded: "102",
    problems.CannotPayLater: "206",
    problems.DeskTokensRefused: "206",
    problems.VisitCancelled: "206",
    problems.VisitPaid: "206",
    problems.RefundTooLate: "206",
    problems.TooManyLines: "206",
}
"""The condition code (HL7 table 0357) of each Problem."""

_EARLY = (problems.UnknownVisit, problems.UnknownLine, problems.UnknownSettlement)
"""The Problems of a message that arrived before one it depends on."""

_ID_NUMBER_LOCATION = Location("PID", 1, 3)


class ProcessingResult(Struct, frozen=True):
    """The application acknowledgement of a message, its new state, and its errors; `ignored` says why it is ignored."""

    code: AcknowledgementCode
    state: MessageState
    errors: tuple[Hl7Error, ...] = ()
    ignored: Ignored | None = None


def reject_oversize(head: bytes, _peer: Peer) -> bytes | None:
    """Return the reply to a message that is too long, from its first bytes."""
    header = parse_header(head, "utf-8")
    return _reply(header, "AR", [message_too_long(Limits().max_message_bytes)], datetime.now().astimezone())


async def receive_message(city: City, raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
    """Process one message and yield its replies: the accept acknowledgement, if requested, then the application's.

    The message is stored unchanged before any reply is sent. Raises StoreUnavailable, so that the sender sends it
    again.
    """
    header = parse_header(raw, "utf-8")
    hospital = await city.store.get(Hospital, header.header.field(4).component(1).text)
    try:
        if not header.header.field(4).raw:
            parse_message(raw, "utf-8").header.field(4).required()
        hospital = _authorize(hospital, header, peer)
        message = parse_message(raw, hospital.encoding)
        requested = requested_acknowledgements(message, hospital.acknowledgement)
        check_header(message, development=city.settings.development)
        check_event(message, hospital)
    except Hl7Error as error:
        _log.warning("MLLP: a message from %s was rejected: %s", peer.address, error)
        code = _rejection_code(header, hospital)
        yield _reply(parse_header(raw, _encoding(hospital)), code, [error], city.now())
        return
    try:
        stored = await store_message(city, hospital, message, raw)
    except Hl7Error as error:
        yield _reply(message, "AE" if requested.mode == "original" else "CE", [error], city.now())
        return
    if requested.accept_due(ok=True):
        yield _reply(message, "CA", (), city.now())
    if stored.answer is None:
        stored = await _process(city, hospital, message, stored)
    assert stored.answer is not None, "processing sets the answer"
    if requested.application_due(ok=stored.answer_code == "AA"):
        yield stored.answer.encode(message.syntax.encoding)


def _authorize(hospital: Hospital | None, header: Message, peer: Peer) -> Hospital:
    """Return the hospital of MSH-4. Raises Hl7Error 204 if it is not connected or the certificate is not its own.

    Under TLS a hospital without a certificate is refused as well: any client with a certificate could send its code.
    """
    location = header.header.field(4).location
    if hospital is None or not hospital.enabled:
        text = Text(zh=f"{location}：该机构未接入", en=f"{location}: this facility is not connected")
        raise Hl7Error(location, "204", text)
    if hospital.certificate != peer.name:
        text = Text(
            zh=f"{location}：客户端证书不属于该机构",
            en=f"{location}: the client certificate does not belong to this facility",
        )
        raise Hl7Error(location, "204", text)
    return hospital


def _encoding(hospital: Hospital | None) -> Encoding:
    return hospital.encoding if hospital is not None else "utf-8"


def _rejection_code(header: Message, hospital: Hospital | None) -> AcknowledgementCode:
    """Return CR or AR for a message that cannot be stored, by the acknowledgement mode that it requests."""
    with suppress(Hl7Error):
        mode = hospital.acknowledgement if hospital is not None else "by_message"
        return "CR" if requested_acknowledgements(header, mode).mode == "enhanced" else "AR"
    return "AR"


async def _process(city: City, hospital: Hospital, message: Message, stored: HisMessage) -> HisMessage:
    """Apply a message, save its result, and process the messages that waited for it."""
    result, visit = await _result_of(city, hospital, message, stored)
    saved = await _save_result(city, stored, message, result, visit)
    if visit is not None and result.state == "done":
        await tasks.advance.enqueue(city.jobs, visit)
        await _process_dependent(city, hospital, visit, saved)
    elif visit is not None and result.state == "ignored" and saved.kind in OPENING:
        await _retry_waiting(city, hospital, visit, stored.id)
    return saved


async def _process_dependent(city: City, hospital: Hospital, visit: str, done: HisMessage) -> None:
    """Process the messages that waited for one that is done, and after an opening those that were ignored before."""
    if done.kind in OPENING and hospital.people_without_credit == "ignore":
        await process_ignored_of(city, visit, lambda stored: _retry(city, hospital, stored))
    await _retry_waiting(city, hospital, visit, done.id)


async def _result_of(
    city: City, hospital: Hospital, message: Message, stored: HisMessage
) -> tuple[ProcessingResult, str | None]:
    """Apply a message that has an effect; return the result, and the id of the visit if it could be read."""
    message = with_standard_codes(message, hospital)
    try:
        ignored = await ignore_event(city, hospital, message)
    except Hl7Error as error:
        return ProcessingResult("AE", "failed", (error,)), None
    if ignored is not None:
        return ProcessingResult("AA", "ignored", ignored=ignored), None
    if treatment_of(message) == "kept":
        return ProcessingResult("AA", "done"), None
    result, visit = await _apply(city, hospital, message, stored)
    if result.state == "done":
        return result, visit
    ignored = await ignore_person(city, hospital, message, visit, result.errors)
    return (result if ignored is None else ProcessingResult("AA", "ignored", ignored.errors, ignored)), visit


async def _apply(
    city: City, hospital: Hospital, message: Message, stored: HisMessage
) -> tuple[ProcessingResult, str | None]:
    """Apply the commands of a message; return the result, and the id of the visit if it could be read."""
    visit: str | None = None
    try:
        visit = visit_id(hospital.id, parse_visit_number(message))
        parsed = parse_commands(message, ZoneInfo(city.settings.time_zone))
    except Hl7Error as error:
        return ProcessingResult("AE", "failed", (error,)), visit
    for number, one in enumerate(parsed.commands):
        try:
            await handle_command(city, hospital, parsed.visit_number, one.command, f"{stored.id}/{number}")
        except Problem as problem:
            return _failure(one, problem), visit
    return ProcessingResult("AA", "done", tuple(one for each in parsed.commands for one in each.warnings)), visit


def _failure(command: LocatedCommand, problem: Problem) -> ProcessingResult:
    """Return the result of a command that failed; a message that is only early is accepted and waits."""
    code = _CONDITION_CODES.get(type(problem), "207")
    is_about_patient = isinstance(problem, problems.UnknownPatient | InvalidIdNumber)
    location = _ID_NUMBER_LOCATION if is_about_patient else command.location
    if isinstance(problem, problems.UnknownLine):
        location = Location("FT1", command.location.sequence, 31)
    if isinstance(problem, _EARLY):
        return ProcessingResult("AA", "waiting", (Hl7Error(location, code, problem.detail, "W"),))
    return ProcessingResult("AE", "failed", (Hl7Error(location, code, problem.detail),))


async def _save_result(
    city: City, stored: HisMessage, message: Message, result: ProcessingResult, visit: str | None
) -> HisMessage:
    """Save the result of a message; the first reply is kept, whatever the result of a retry."""
    now = city.now()
    waits = result.state == "waiting"
    expired = waits and to_ms(now) - stored.received_ms > MAX_WAIT.total_seconds() * 1_000
    reply = _reply(message, result.code, result.errors, now).decode(message.syntax.encoding)
    retry_after = min(RETRY_AFTER * 2**stored.attempts, MAX_RETRY_INTERVAL)
    changed = replace(
        stored,
        state="failed" if expired else result.state,
        visit=visit,
        answer=stored.answer or reply,
        answer_code=stored.answer_code or result.code,
        patient=result.ignored and result.ignored.patient,
        reason=result.ignored.reason if result.ignored else "; ".join(map(str, result.errors)) or None,
        attempts=stored.attempts + 1,
        due_ms=to_ms(now + retry_after) if waits and not expired else None,
    )
    try:
        return await city.store.replace(changed)
    except Conflict:  # a duplicate was processed at the same time
        known = await city.store.get(HisMessage, stored.id)
        return known if known is not None and known.answer is not None else changed


async def _retry_waiting(city: City, hospital: Hospital, visit: str, processed_id: str) -> None:
    """Process the waiting messages of a visit, oldest first, until no more of them succeed."""
    order = Order("received_ms")
    progress = True
    while progress:
        progress = False
        page = await city.store.find(HisMessage, {"visit": visit, "state": "waiting"}, order=order, limit=MAX_PENDING)
        for stored in page.documents:
            if stored.id != processed_id:
                progress |= (await _retry(city, hospital, stored)).state == "done"


async def _retry(city: City, hospital: Hospital, stored: HisMessage) -> HisMessage:
    message = parse_message(raw_message(city, stored), hospital.encoding)
    result, visit = await _result_of(city, hospital, message, stored)
    saved = await _save_result(city, stored, message, result, visit)
    if visit is not None and saved.state == "done":
        await tasks.advance.enqueue(city.jobs, visit)
    return saved


def raw_message(city: City, stored: HisMessage) -> bytes:
    """Return a message as it was received."""
    return base64.b64decode(city.encryption.read(stored, "raw"))


class Hl7Inbox:
    """Processes stored messages again: those that wait, have failed, were interrupted, or were ignored."""

    async def retry(self, city: City, message: str) -> str | None:
        """Process a message again and return its new state, or None if it does not exist."""
        stored = await city.store.get(HisMessage, message)
        if stored is None or stored.state == "done":
            return None if stored is None else stored.state
        hospital = await city.store.get(Hospital, stored.hospital)
        assert hospital is not None, "hospitals are disabled, never deleted"
        saved = await _retry(city, hospital, stored)
        if saved.state == "done" and saved.visit is not None:
            await _process_dependent(city, hospital, saved.visit, saved)
        return saved.state

    async def process_ignored(self, city: City, person: str) -> None:
        """Process the ignored messages of a person who has enrolled, for visits that are still open."""

        async def process(stored: HisMessage) -> HisMessage:
            hospital = await city.store.get(Hospital, stored.hospital)
            assert hospital is not None, "hospitals are disabled, never deleted"
            saved = await _retry(city, hospital, stored)
            if saved.state == "done" and saved.visit is not None:
                await _retry_waiting(city, hospital, saved.visit, stored.id)
            return saved

        await process_ignored(city, person, process, lambda stored: _is_inpatient(city, stored))


async def _is_inpatient(city: City, stored: HisMessage) -> bool:
    """Return whether a stored message is about a stay in hospital (PV1-2)."""
    hospital = await city.store.get(Hospital, stored.hospital)
    assert hospital is not None, "hospitals are disabled, never deleted"
    message = with_standard_codes(parse_message(raw_message(city, stored), hospital.encoding), hospital)
    visits = message.all("PV1")
    return any(mapping.VISIT_KINDS.get(visit.field(2).text) == "inpatient" for visit in visits)


def _reply(message: Message, code: AcknowledgementCode, errors: Sequence[Hl7Error], now: datetime) -> bytes:
    return acknowledge(message, code, errors, control_id=secrets.token_hex(10), now=now)
