"""Receive HL7 v2 messages: store them unchanged, acknowledge them, process each once, and hold early ones back.

Every message is answered, whatever happens: a sender that keeps the order of its messages waits for each answer.
"""

import base64
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import InvalidIdNumber
from backend.city.service import City
from backend.i18n import Text
from backend.services.medical_credit import tasks
from backend.services.medical_credit.hospital_commands import CommandRefused, handle_commands
from backend.services.medical_credit.model.hospital import MAX_WAIT, HisMessage, Hospital
from backend.services.medical_credit.model.hospital_settlement import ReportCancellation, ReportSettlement
from backend.services.medical_credit.model.problems import OtherPatient
from backend.services.medical_credit.model.unreferenced_line import UnreferencedLine
from backend.services.medical_credit.model.visit import Line, visit_id
from backend.store import Order, StoreUnavailable
from backend.store.time import to_ms
from backend.store.update import update_document
from integrations.his import mapping
from integrations.his.hl7v2.acknowledgement import (
    AcknowledgementCode,
    RequestedAcknowledgements,
    acknowledge,
    requested_acknowledgements,
)
from integrations.his.hl7v2.errors import Hl7Error
from integrations.his.hl7v2.event_table import OPENING, check_event, treatment_of
from integrations.his.hl7v2.ignored_messages import ignore_event, ignore_person, process_ignored, process_ignored_of
from integrations.his.hl7v2.local_codes import with_standard_codes
from integrations.his.hl7v2.message import Message, message_too_long, parse_header, parse_message
from integrations.his.hl7v2.message_store import RETRY_AFTER, store_message, store_unread
from integrations.his.hl7v2.mllp_listener import Limits, Peer
from integrations.his.hl7v2.refusals import (
    PATIENT,
    ProcessingResult,
    refusal_code,
    refuse,
    refuse_command,
    unavailable,
    unexpected,
)
from integrations.his.hl7v2.settlement_warnings import outdated_settlement
from integrations.his.hl7v2.syntax import Encoding
from integrations.his.hl7v2.trigger_events import LocatedCommand, check_header, parse_commands, parse_visit_number

MAX_RETRY_INTERVAL = timedelta(hours=6)
MAX_PENDING = 200
"""The maximum number of waiting messages of a visit that are read at once after another of its messages."""

_log = logging.getLogger("chengma.his")


class Received(Struct, frozen=True):
    """A message that is stored, its hospital, and the acknowledgements that it requests."""

    hospital: Hospital
    message: Message
    requested: RequestedAcknowledgements
    stored: HisMessage


def reject_oversize(head: bytes, _peer: Peer) -> bytes | None:
    """Return the reply to a message that is too long, from its first bytes."""
    header = parse_header(head, "utf-8")
    return _reply(header, "AR", [message_too_long(Limits().max_message_bytes)], datetime.now().astimezone())


async def receive_message(city: City, raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
    """Process one message and yield its replies: the accept acknowledgement, if requested, then the application's.

    The message is stored unchanged before it is accepted. If it cannot be stored now, it is answered with an error and
    the sender must send it again.
    """
    header, hospital = parse_header(raw, "utf-8"), None
    try:
        hospital = await city.store.get(Hospital, header.header.field(4).component(1).text)
        received = await _receive(city, hospital, header, raw, peer)
    except Exception as error:  # noqa: BLE001  a message is answered, whatever the fault
        yield await _refuse_unstored(city, hospital, raw, peer, error)
        return
    if received.requested.accept_due(ok=True):
        yield _reply(received.message, "CA", (), city.now())
    answered = await _answer(city, received)
    assert answered.answer is not None, "processing sets the answer"
    if received.requested.application_due(ok=answered.answer_code == "AA"):
        yield answered.answer.encode(received.message.syntax.encoding)


async def _receive(city: City, hospital: Hospital | None, header: Message, raw: bytes, peer: Peer) -> Received:
    """Parse a message and store it. Raises Hl7Error if it is rejected, StoreUnavailable, or whatever goes wrong."""
    if not header.header.field(4).raw:
        parse_message(raw, "utf-8").header.field(4).required()
    hospital = _authorize(hospital, header, peer)
    message = parse_message(raw, hospital.encoding)
    requested = requested_acknowledgements(message, hospital.acknowledgement)
    check_header(message, development=city.settings.development)
    check_event(message, hospital)
    return Received(hospital, message, requested, await store_message(city, hospital, message, raw))


async def _refuse_unstored(city: City, hospital: Hospital | None, raw: bytes, peer: Peer, error: Exception) -> bytes:
    """Return the reply to a message that was not stored; one that failed unexpectedly is kept for an operator."""
    header = parse_header(raw, _encoding(hospital))
    if isinstance(error, Hl7Error):
        _log.warning("MLLP: a message from %s was rejected: %s", peer.address, error)
        reason = error
    elif isinstance(error, StoreUnavailable):
        _log.warning("MLLP: a message from %s was not stored: %s", peer.address, error)
        reason = unavailable()
    else:
        _log.error("MLLP: a message from %s failed", peer.address, exc_info=error)
        reason = unexpected(error)
        if hospital is not None:
            with suppress(StoreUnavailable, Hl7Error):
                await store_unread(city, hospital, header, raw, str(reason))
    code = _rejection_code(header, hospital, permanent=isinstance(error, Hl7Error))
    return _reply(header, code, [reason], city.now())


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


def _rejection_code(header: Message, hospital: Hospital | None, *, permanent: bool) -> AcknowledgementCode:
    """Return the code for a message that was not stored: CR or CE in enhanced mode, AR or AE in the original mode."""
    code = refusal_code(hospital, permanent=permanent)
    with suppress(Hl7Error):
        mode = hospital.acknowledgement if hospital is not None else "by_message"
        if requested_acknowledgements(header, mode).mode == "enhanced":
            return "CR" if code == "AR" else "CE"
    return code


async def _answer(city: City, received: Received) -> HisMessage:
    """Return the message with its answer: the stored one, or that of processing it now.

    A repeated message that has failed is processed again. Its answer stays the same until it succeeds.
    """
    hospital, message, stored = received.hospital, received.message, received.stored
    if stored.answer is not None and stored.state != "failed":
        return stored
    try:
        return await _process(city, hospital, message, stored)
    except StoreUnavailable as error:
        _log.warning("MLLP: message %s was not processed: %s", stored.id, error)
        told = unavailable()
    except Exception as error:  # noqa: BLE001  whatever the fault, it is answered, and a sweep tries it again
        _log.exception("MLLP: message %s failed", stored.id)
        told = unexpected(error)
    code = refusal_code(hospital, permanent=False)
    reply = _reply(message, code, [told], city.now()).decode(message.syntax.encoding)
    return replace(stored, answer=reply, answer_code=code)


async def _process(city: City, hospital: Hospital, message: Message, stored: HisMessage) -> HisMessage:
    """Apply a message, save its result, and process the messages that waited for it."""
    result, visit = await _result_of(city, hospital, message, stored)
    saved = await _save_result(city, stored, message, result, visit)
    if visit is not None and result.state == "done":
        await _follow_up(stored, tasks.advance.enqueue(city.jobs, visit))
        await _follow_up(stored, _process_dependent(city, hospital, visit, saved))
    elif visit is not None and result.state == "ignored" and saved.kind in OPENING:
        await _follow_up(stored, _retry_waiting(city, hospital, visit, stored.id))
    return saved


async def _process_dependent(city: City, hospital: Hospital, visit: str, done: HisMessage) -> None:
    """Process the messages that waited for one that is done, and after an opening those that were ignored before."""
    if done.kind in OPENING and hospital.people_without_credit == "ignore":
        await process_ignored_of(city, visit, lambda stored: _retry(city, hospital, stored))
    await _retry_waiting(city, hospital, visit, done.id)


async def _follow_up(stored: HisMessage, work: Awaitable[None]) -> None:
    """Do what follows a message that is done; if it fails, sweeps do it."""
    try:
        await work
    except Exception:  # noqa: BLE001  the message keeps its answer
        _log.exception("MLLP: what follows message %s is left to sweeps", stored.id)


async def _result_of(
    city: City, hospital: Hospital, message: Message, stored: HisMessage
) -> tuple[ProcessingResult, str | None]:
    """Apply a message that has an effect; return the result, and the id of the visit if it could be read.

    Raises StoreUnavailable.
    """
    try:
        message = with_standard_codes(message, hospital)
        ignored = await ignore_event(city, hospital, message)
        if ignored is not None:
            return ProcessingResult("AA", "ignored", ignored=ignored), None
        if treatment_of(message) == "kept":
            return ProcessingResult("AA", "done"), None
        result, visit = await _apply(city, hospital, message, stored)
        if result.state == "done":
            return result, visit
        ignored = await ignore_person(city, hospital, message, visit, result.errors)
        return (result if ignored is None else ProcessingResult("AA", "ignored", ignored.errors, ignored)), visit
    except Hl7Error as error:
        return refuse(hospital, error, permanent=True), None
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001  kept as failed, so that the messages after it are not blocked
        _log.exception("MLLP: message %s failed", stored.id)
        return refuse(hospital, unexpected(error), permanent=False), None


async def _apply(
    city: City, hospital: Hospital, message: Message, stored: HisMessage
) -> tuple[ProcessingResult, str | None]:
    """Apply the commands of a message: all, or none. Return the result, and the visit's id if it could be read."""
    visit: str | None = None
    try:
        visit = visit_id(hospital.id, parse_visit_number(message))
        parsed = parse_commands(message, ZoneInfo(city.settings.time_zone))
    except Hl7Error as error:
        return refuse(hospital, error, permanent=True), visit
    located = sorted(parsed.commands, key=_rank)
    commands = [(one.command, f"{stored.id}/{number}") for number, one in enumerate(located)]
    try:
        changed = await handle_commands(
            city, hospital, parsed.visit_number, commands, parsed.patient, parsed.desk_token
        )
    except CommandRefused as refused:
        return refuse_command(hospital, refused.problem, located[refused.index].location), visit
    except (OtherPatient, InvalidIdNumber) as problem:
        return refuse_command(hospital, problem, PATIENT), visit
    warnings = [one for each in located for one in each.warnings]
    return ProcessingResult("AA", "done", (*warnings, *outdated_settlement(changed, located))), visit


def _rank(one: LocatedCommand) -> int:
    """Return the order of a command within its message: charges, then what refers to them, then their settlement."""
    command = one.command
    if isinstance(command, ReportSettlement | ReportCancellation):
        return 2
    return int(isinstance(command, UnreferencedLine) or (isinstance(command, Line) and command.of is not None))


async def _save_result(
    city: City, stored: HisMessage, message: Message, result: ProcessingResult, visit: str | None
) -> HisMessage:
    """Save the result of a message. The first reply is kept, unless a message that was refused succeeds later."""
    now = city.now()
    reply = _reply(message, result.code, result.errors, now).decode(message.syntax.encoding)

    def with_result(current: HisMessage) -> HisMessage:
        if current.state == "done" or (result.state != "done" and current.revision != stored.revision):
            return current  # a duplicate was processed at the same time
        waits = result.state == "waiting"
        expired = waits and to_ms(now) - current.received_ms > MAX_WAIT.total_seconds() * 1_000
        retry_after = min(RETRY_AFTER * 2**current.attempts, MAX_RETRY_INTERVAL)
        answers = current.answer is None or (current.answer_code != "AA" == result.code and not expired)
        return replace(
            current,
            state="failed" if expired else result.state,
            visit=visit,
            answer=reply if answers else current.answer,
            answer_code=result.code if answers else current.answer_code,
            patient=result.ignored and result.ignored.patient,
            reason=result.ignored.reason if result.ignored else "; ".join(map(str, result.errors)) or None,
            attempts=current.attempts + 1,
            due_ms=to_ms(now + retry_after) if waits and not expired else None,
        )

    load = partial(city.store.get, HisMessage, stored.id)
    saved = await update_document(city.store, load, with_result, stored)
    return saved or with_result(stored)


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
    raw = raw_message(city, stored)
    visit: str | None = None
    try:
        message = parse_message(raw, hospital.encoding)
        check_header(message, development=city.settings.development)
        check_event(message, hospital)
    except Hl7Error as error:
        message, result = parse_header(raw, hospital.encoding), refuse(hospital, error, permanent=True)
    else:
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
