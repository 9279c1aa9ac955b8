"""Map HL7 v2 trigger events to commands to a visit. Pure.

| message | command |
| --- | --- |
| ADT^A04 | open the visit: number in PV1-19, class in PV1-2, patient in PID-3, start in PV1-44 |
| ADT^A01, A06, A07 | the same; if the visit is open, change its kind to that of PV1-2 |
| ADT^A08, BAR^P05 | correct the data of the visit |
| ADT^A03 | discharge the patient (PV1-45); late charges may follow |
| ADT^A11, ADT^A13 | cancel the visit; cancel the discharge |
| BAR^P01 | an account was added: no change |
| BAR^P06 | the account has ended: no more charges, issue the bill |
| DFT^P03, DFT^P11 | charges (FT1-6 CG), credits (CD), adjustments (AJ) and payments at the counter (PY) |
| ZYB in DFT or BAR^P06 | the hospital settled at the insurance, or cancelled a settlement |

`event_table` lists all other events.

FT1-2 identifies a line, FT1-31 the charge that a CD or AJ refers to; `financial_transactions` reads FT1. The patient's
identity document is the repetition of PID-3 whose type (CX-5) is in `mapping.DOCUMENT_TYPES`; a desk token
has the type `mapping.DESK_TYPE`.
"""

from collections.abc import Callable
from datetime import datetime, tzinfo

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import RESIDENT_CARD, IdentityDocument
from backend.i18n import Text
from backend.services.medical_credit.model.commands import (
    CancelVisit,
    ChangeVisit,
    CloseVisit,
    Command,
    OpenVisit,
    ReopenVisit,
)
from integrations.his import mapping
from integrations.his.hl7v2.errors import Hl7Error, Location
from integrations.his.hl7v2.errors import error_at as _error_at
from integrations.his.hl7v2.financial_transactions import parse_transaction
from integrations.his.hl7v2.identifiers import document_kind, parse_number
from integrations.his.hl7v2.message import Message, Part, Segment
from integrations.his.hl7v2.settlement_reports import TIME, parse_settlement
from integrations.his.hl7v2.timestamps import parse_timestamp

VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8")
_PV1_FIELDS: dict[mapping.Element, int] = {"class": 2, "visit": 19, "opened_at": 44, "closed_at": 45}


class LocatedCommand(Struct, frozen=True):
    """A command, the location in the message that it comes from, and warnings about it."""

    command: Command
    location: Location
    warnings: tuple[Hl7Error, ...] = ()


class VisitCommands(Struct, frozen=True):
    """The commands of a message to the visit with this number, and the `patient`'s identity documents in it.

    A resident identity card comes first. `desk_token` is the code that the patient showed, if the message has one.
    """

    visit_number: str
    commands: tuple[LocatedCommand, ...]
    patient: tuple[IdentityDocument, ...]
    desk_token: str | None = None


def check_header(message: Message, *, development: bool) -> None:
    """Raise Hl7Error 101, 202 or 203 at the field of MSH that is missing or not supported."""
    header = message.header
    header.field(10).required()
    version = header.field(12)
    if version.text not in VERSIONS:
        raise _unsupported_version(version)
    processing = header.field(11)
    if processing.required() not in (("P", "T", "D") if development else ("P",)):
        raise _not_for_production(processing)


def _unsupported_version(part: Part) -> Hl7Error:
    first, last = VERSIONS[0], VERSIONS[-1]
    text = Text(
        zh=f"{part.location}：不支持该版本，请使用{first}至{last}",
        en=f"{part.location}: version not supported; use {first} to {last}",
    )
    return Hl7Error(part.location, "203", text)


def _not_for_production(part: Part) -> Hl7Error:
    """Return the error for a message whose MSH-11 marks a test, debugging or anything but production."""
    text = Text(
        zh=f"{part.location}为{part.text[:10]}，生产环境只接收P（生产）消息，测试消息请发送至测试环境",
        en=f"{part.location} is {part.text[:10]}: only P (production) is processed here; send tests to a test system",
    )
    return Hl7Error(part.location, "202", text)


def parse_visit_number(message: Message) -> str:
    """Return the visit number with its system: PV1-19, or PID-18 without a PV1. Raises Hl7Error."""
    visits = message.all("PV1")
    return parse_number(visits[0].field(19) if visits else message.segment("PID").field(18), "visit")


def parse_commands(message: Message, time_zone: tzinfo) -> VisitCommands:
    """Return all commands of a message. Raises Hl7Error at the segment and field with the fault."""
    message_type = message.header.field(9)
    parser = _PARSERS[message_type.component(1).text, message_type.component(2).text]
    patient = [document for segment in message.all("PID") for document in _documents(segment)]
    patient.sort(key=lambda document: document.kind != RESIDENT_CARD)
    desk_token = next((code for segment in message.all("PID") if (code := desk_token_of(segment))), None)
    return VisitCommands(parse_visit_number(message), parser(message, time_zone), tuple(patient), desk_token)


def _admission(message: Message, time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    visit, patient = message.segment("PV1"), message.segment("PID")
    opened_at = _event_time(message, visit, 44, time_zone, "opened_at")
    try:
        keys = mapping.require_keys(_documents(patient), desk_token_of(patient))
        command = mapping.build_open_visit(keys, visit.field(2).text, opened_at)
    except mapping.Unmappable as error:
        raise _error_in_visit(visit, patient, error) from error
    command = replace(command, is_dated=bool(visit.field(44).text))
    return (LocatedCommand(command, _location(patient, 3)),)


def _change_of_kind(message: Message, time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    """Open the visit, or change the kind of the open visit, as when an emergency patient is admitted."""
    (located,) = _admission(message, time_zone)
    assert isinstance(located.command, OpenVisit), "an admission opens a visit"
    return (LocatedCommand(replace(located.command, admits=True), located.location),)


def _update(message: Message, time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    visit, patient = message.segment("PV1"), message.segment("PID")
    class_ = visit.field(2).text
    opened = visit.field(44)
    try:
        kind = mapping.visit_kind(class_) if class_ else None
        opened_at = _event_time(message, visit, 44, time_zone, "opened_at") if opened.text else None
        documents = _documents(patient)
        document = mapping.require_document(documents) if documents else None
    except mapping.Unmappable as error:
        raise _error_in_visit(visit, patient, error) from error
    change = ChangeVisit(kind, opened_at)
    if document is not None:
        change = ChangeVisit(kind, opened_at, document.number, document.kind)
    return (LocatedCommand(change, _location(visit, 19)),)


def _discharge(message: Message, time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    visit = message.segment("PV1")
    return (LocatedCommand(CloseVisit(_event_time(message, visit, 45, time_zone, "closed_at")), _location(visit, 19)),)


def _cancel_admission(message: Message, _time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    return (LocatedCommand(CancelVisit(), _location(message.segment("PV1"), 19)),)


def _cancel_discharge(message: Message, _time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    return (LocatedCommand(ReopenVisit(), _location(message.segment("PV1"), 19)),)


def _account_added(message: Message, _time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    return (LocatedCommand(ChangeVisit(), _location(message.segment("PID"), 18)),)


def _account_ended(message: Message, time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    visits = message.all("PV1")
    at = _event_time(message, visits[0] if visits else None, 45, time_zone, "closed_at")
    ended = LocatedCommand(CloseVisit(at, final=True), _location(message.segment("PID"), 18))
    return (ended, *_settlements(message, time_zone))


def _transactions(message: Message, time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    transactions, settlements = message.all("FT1"), _settlements(message, time_zone)
    if not transactions and not settlements:
        message.segment("FT1")
    commands: list[LocatedCommand] = []
    for one in transactions:
        command, warnings = parse_transaction(one, time_zone, before_2_5=message.is_before_2_5)
        commands.append(LocatedCommand(command, Location("FT1", one.sequence, 2), warnings))
    return (*commands, *settlements)


def _settlements(message: Message, time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    """Return the reports of what the hospital settled or cancelled at the insurance, in the order of the segments."""
    reports = ((one, _event_time(message, one, TIME, time_zone, "settled_at")) for one in message.all("ZYB"))
    return tuple(LocatedCommand(parse_settlement(one, at), _location(one, 2)) for one, at in reports)


def _documents(patient: Segment) -> list[IdentityDocument]:
    """Return the identity documents in PID-3."""
    return identity_documents(patient.field(3))


def identity_documents(identifiers: Part) -> list[IdentityDocument]:
    """Return the identity documents in a field of identifiers (CX) that have a number.

    Their kind is that of the type (CX-5) or of the assigning authority (CX-4).
    """
    found: list[IdentityDocument] = []
    for one in identifiers.repetitions():
        kind = document_kind(one)
        if kind is not None and one.component(1).text:
            found.append(IdentityDocument(one.component(1).text, kind))
    return found


def desk_token_of(patient: Segment) -> str | None:
    """Return the desk token in PID-3, if there is one."""
    typed = (one for one in patient.field(3).repetitions() if one.component(5).text == mapping.DESK_TYPE)
    return next((one.component(1).text for one in typed), None)


def _event_time(
    message: Message, segment: Segment | None, number: int, time_zone: tzinfo, element: mapping.Element
) -> datetime:
    """Return the time of a field, or else of the event (EVN-2), or else of the message (MSH-7)."""
    events = message.all("EVN")
    parts = [segment.field(number)] if segment is not None else []
    parts += [events[0].field(2)] if events else []
    parts.append(message.header.field(7))
    return _instant(next((part for part in parts if part.text), parts[-1]), time_zone, element)


def _instant(part: Part, time_zone: tzinfo, element: mapping.Element) -> datetime:
    try:
        return mapping.normalize_instant(parse_timestamp(part.text, part.location, time_zone), element)
    except mapping.Unmappable as error:
        raise _error_at(part.location, error) from error


def _location(segment: Segment, number: int) -> Location:
    return Location(segment.name, segment.sequence, number)


def _error_in_visit(visit: Segment, patient: Segment, error: mapping.Unmappable) -> Hl7Error:
    location = (
        _location(patient, 3) if error.element == "patient" else _location(visit, _PV1_FIELDS.get(error.element, 0))
    )
    return _error_at(location, error)


_PARSERS: dict[tuple[str, str], Callable[[Message, tzinfo], tuple[LocatedCommand, ...]]] = {
    ("ADT", "A01"): _change_of_kind,
    ("ADT", "A03"): _discharge,
    ("ADT", "A04"): _admission,
    ("ADT", "A06"): _change_of_kind,
    ("ADT", "A07"): _change_of_kind,
    ("ADT", "A08"): _update,
    ("ADT", "A11"): _cancel_admission,
    ("ADT", "A13"): _cancel_discharge,
    ("BAR", "P01"): _account_added,
    ("BAR", "P05"): _update,
    ("BAR", "P06"): _account_ended,
    ("DFT", "P03"): _transactions,
    ("DFT", "P11"): _transactions,
}
