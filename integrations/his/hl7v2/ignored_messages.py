"""Messages that are accepted and ignored: unused events, and people who may not pay later.

A hospital sends everybody, and most people never enrol. Their messages are stored and acknowledged, and wait for
nothing. If a person enrols while the visit is open, the messages are processed as if they had just arrived.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby

from msgspec import Struct

from backend.city.id_number import IdentityDocument, InvalidIdNumber, parse_id_number
from backend.city.person import id_digest_of, known_person
from backend.city.service import City
from backend.i18n import Text
from backend.services.medical_credit.eligibility import find_person_id
from backend.services.medical_credit.hospital_access import may_use
from backend.services.medical_credit.model.hospital import HisMessage, Hospital
from backend.services.medical_credit.model.visit import Visit
from backend.store import Order
from backend.store.paging import find_all
from backend.store.time import to_ms
from integrations.his import mapping
from integrations.his.hl7v2.errors import Hl7Error, Location
from integrations.his.hl7v2.event_table import OPENING, event_of, treatment_of
from integrations.his.hl7v2.identity_changes import check_identity_change
from integrations.his.hl7v2.message import Message
from integrations.his.hl7v2.trigger_events import desk_token_of, identity_documents

MAX_AGE = timedelta(days=3)
"""How long an outpatient or emergency registration counts as open: many hospitals send no discharge for it. A stay
counts as open until it is discharged."""

# Both fit into MSA-3, the only place of a warning before version 2.5.
_NOT_A_PAYER = Text(
    zh="该患者未使用先看病后付费，消息已接收，不作处理",
    en="this patient does not pay later; message ignored",
)
_NO_DOCUMENT = Text(
    zh="PID-3无可识别类型的证件，消息已接收，不作处理",
    en="PID-3: no document of a known type; ignored",
)

_CLOSING = ("ADT^A03", "BAR^P06")
_OLDEST_FIRST = Order("received_ms")


class Ignored(Struct, frozen=True):
    """Why a message is ignored: a `reason` for the list of messages, and `errors` for the acknowledgement.

    `patient` is the keyed hash of the ID number of the person without credit, if the message or its opening has one.
    """

    reason: str
    errors: tuple[Hl7Error, ...] = ()
    patient: str | None = None


async def ignore_event(city: City, hospital: Hospital, message: Message) -> Ignored | None:
    """Return why the event of a message has no effect, or None if it has one.

    Raises Hl7Error for a change of identifiers that concerns a visit or a person with credit.
    """
    treatment = treatment_of(message)
    if treatment == "identity":
        await check_identity_change(city, hospital, message)
        return Ignored("nobody with credit and no visit is concerned")
    if treatment == "unused":
        return Ignored(f"{'^'.join(event_of(message))} changes no visit")
    return None


async def ignore_person(
    city: City, hospital: Hospital, message: Message, visit: str | None, faults: Sequence[Hl7Error]
) -> Ignored | None:
    """Return why a message that failed or would wait is ignored: it is about a person who may not pay later, or nobody.

    `faults` are the errors that it would get otherwise. Returns None if they must be reported. That the opening of the
    visit was ignored explains why a message would wait, but no error in it.
    """
    if hospital.people_without_credit == "refuse":
        return None
    if visit is not None and await city.store.get(Visit, visit) is not None:
        return None
    digest = _patient(city, message)
    opening = None if visit is None else await _ignored_opening(city, visit)
    would_wait = all(fault.severity != "E" for fault in faults)
    is_explained = opening is not None and would_wait
    if not is_explained and not await _is_without_credit(city, hospital, message, faults, opening):
        return None
    error = _ignored_patient(message)
    return Ignored(str(error), (error,), digest or (opening and opening.patient))


def _ignored_patient(message: Message) -> Hl7Error:
    """Return why the patient of a message is ignored: a warning if PID-3 has no document, which may be a mistake."""
    location = Location("PID", 1, 3)
    if _documents(message):
        return Hl7Error(location, "204", _NOT_A_PAYER, "I")
    return Hl7Error(location, "204", _NO_DOCUMENT, "W")


async def _is_without_credit(
    city: City, hospital: Hospital, message: Message, faults: Sequence[Hl7Error], opening: HisMessage | None
) -> bool:
    """Return whether the patient of a message has no credit; a wrong ID number is reported instead.

    `opening` is the ignored message that opens its visit. A patient without a document has no credit if there is one,
    or if the message opens a visit itself.
    """
    opens = "^".join(event_of(message)) in OPENING
    if opens and any(desk_token_of(patient) is not None for patient in message.all("PID")[:1]):
        return False  # the patient has shown a code at the desk, which may be mistyped or expired
    documents = _documents(message)
    if not documents:
        return opens or opening is not None
    document = mapping.require_document(documents)
    try:
        person = await find_person_id(city, document)
    except InvalidIdNumber:
        return False
    if opens and any(fault.code in ("204", "206") for fault in faults):
        return True  # the city knows neither the visit nor, for this hospital, the person
    return not await may_use(city, hospital, person)


def _documents(message: Message) -> list[IdentityDocument]:
    return [one for patient in message.all("PID")[:1] for one in identity_documents(patient.field(3))]


def _patient(city: City, message: Message) -> str | None:
    """Return the keyed hash of the patient's ID number, or None without a valid one."""
    documents = _documents(message)
    if not documents:
        return None
    document = mapping.require_document(documents)
    with suppress(InvalidIdNumber):
        return id_digest_of(city.encryption, parse_id_number(document.number, city.today(), kind=document.kind))
    return None


async def _ignored_opening(city: City, visit: str) -> HisMessage | None:
    """Return the oldest ignored message that opens a visit, or None."""
    async for message in find_all(city.store, HisMessage, {"visit": visit, "state": "ignored"}, _OLDEST_FIRST):
        if message.kind in OPENING:
            return message
    return None


# ── people who enrol ──

Process = Callable[[HisMessage], Awaitable[HisMessage]]
"""Processes a stored message again and returns it in its new state."""
IsInpatient = Callable[[HisMessage], Awaitable[bool]]
"""Returns whether a stored message is about a stay in hospital."""


async def process_ignored(city: City, person: str, process: Process, is_inpatient: IsInpatient) -> None:
    """Process the ignored messages of a person for visits that are open, oldest first. It can be repeated.

    Messages of a visit that is closed, cancelled or too old stay ignored: the patient has paid there.
    """
    patient = (await known_person(city.store, person)).id_digest
    found = [one async for one in find_all(city.store, HisMessage, _ignored(patient), _OLDEST_FIRST)]
    by_visit = sorted((one for one in found if one.visit is not None), key=lambda one: one.visit or "")
    for visit, messages in groupby(by_visit, key=lambda one: one.visit or ""):
        await _process_visit(city, visit, list(messages), process, is_inpatient)


def _ignored(patient: str) -> dict[str, str]:
    return {"patient": patient, "state": "ignored"}


async def _process_visit(
    city: City, visit: str, messages: Sequence[HisMessage], process: Process, is_inpatient: IsInpatient
) -> None:
    """Open a visit that is not over, unless it is open already, and process its other messages."""
    current = _since_cancellation(messages)
    if await city.store.get(Visit, visit) is None:
        opening = next((one for one in current if one.kind in OPENING), None)
        if opening is None or _is_over(current) or not await _is_recent(opening, current, city.now(), is_inpatient):
            return
        if (await process(opening)).state != "done":
            return
        current = [one for one in current if one is not opening]
    for message in current:
        await process(message)


async def process_ignored_of(city: City, visit: str, process: Process) -> None:
    """Process what was ignored of a visit that has been opened since, unless it says that the visit is over."""
    ignored = {"visit": visit, "state": "ignored"}
    found = [one async for one in find_all(city.store, HisMessage, ignored, _OLDEST_FIRST)]
    current = _since_cancellation(found)
    if not _is_over(current):
        for message in current:
            if message.kind not in OPENING:
                await process(message)


def _since_cancellation(messages: Sequence[HisMessage]) -> Sequence[HisMessage]:
    """Return the messages of a visit after its last cancellation."""
    cancelled = max((place for place, one in enumerate(messages) if one.kind == "ADT^A11"), default=-1)
    return messages[cancelled + 1 :]


def _is_over(messages: Sequence[HisMessage]) -> bool:
    """Return whether the last message that closes or reopens the visit closes it."""
    ends = [one.kind for one in messages if one.kind in (*_CLOSING, "ADT^A13")]
    return bool(ends) and ends[-1] in _CLOSING


async def _is_recent(
    opening: HisMessage, messages: Sequence[HisMessage], now: datetime, is_inpatient: IsInpatient
) -> bool:
    if to_ms(now) - opening.received_ms <= MAX_AGE.total_seconds() * 1_000:
        return True
    return any([await is_inpatient(message) for message in messages if message.kind.startswith("ADT")])
