"""Map HL7 v2 trigger events to commands to a visit. Pure.

| message | command |
| --- | --- |
| ADT^A01, ADT^A04 | open the visit: number in PV1-19, class in PV1-2, patient in PID-3, start in PV1-44 |
| ADT^A08, BAR^P05 | correct the data of the visit |
| ADT^A03 | discharge the patient (PV1-45); late charges may follow |
| ADT^A11, ADT^A13 | cancel the visit; cancel the discharge |
| BAR^P01 | an account was added: no change |
| BAR^P06 | the account has ended: no more charges, issue the bill |
| DFT^P03 | charges (FT1-6 CG), credits (CD), adjustments (AJ) and payments at the counter (PY) |
| ZYB in DFT^P03 or BAR^P06 | the hospital settled at the insurance, or cancelled a settlement |

FT1-2 identifies a line, FT1-31 the charge that a CD or AJ refers to. FT1-11 is the amount; if FT1-10 and FT1-12 are
present too, quantity times unit price must equal it to the fen. The patient's identity document is the repetition of
PID-3 whose type (CX-5) is in `mapping.DOCUMENT_TYPES`.
"""

from collections.abc import Callable
from datetime import datetime, tzinfo
from decimal import Decimal

from msgspec import Struct

from backend.city.id_number import IdentityDocument
from backend.i18n import Text
from backend.services.medical_credit.model.commands import (
    CancelVisit,
    ChangeVisit,
    CloseVisit,
    Command,
    ReopenVisit,
)
from integrations.his import mapping
from integrations.his.hl7v2.errors import ConditionCode, Hl7Error, Location
from integrations.his.hl7v2.message import Message, Part, Segment
from integrations.his.hl7v2.timestamps import parse_timestamp
from integrations.his.settlements import Amount, build_report

VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8")
_FAULT_CODES: dict[mapping.Fault, ConditionCode] = {"required": "101", "value": "102", "unknown": "103"}
_FT1_FIELDS: dict[mapping.Element, int] = {
    "line": 2,
    "payment": 2,
    "occurred_at": 4,
    "transaction": 6,
    "code": 7,
    "title": 8,
    "amount": 11,
    "original_line": 31,
}
_ZYB_FIELDS: dict[mapping.Element, int] = {
    "settlement_kind": 1,
    "settlement": 2,
    "registration": 3,
    "settled_at": 4,
}
_ZYB_AMOUNTS: dict[mapping.Element, int] = {
    "medical_fee": 5,
    "fund": 6,
    "account": 7,
    "family_account": 8,
    "cash": 9,
    "hospital_part": 10,
    "person_part": 11,
}
_PV1_FIELDS: dict[mapping.Element, int] = {"class": 2, "visit": 19, "opened_at": 44, "closed_at": 45}


class LocatedCommand(Struct, frozen=True):
    """A command, and the location in the message that it comes from."""

    command: Command
    location: Location


class VisitCommands(Struct, frozen=True):
    """The commands of a message to the visit with this number."""

    visit_number: str
    commands: tuple[LocatedCommand, ...]


def check_header(message: Message, *, development: bool) -> None:
    """Raise Hl7Error 101, 200, 201, 202 or 203 at the field of MSH that is missing or not supported."""
    header = message.header
    header.field(10).required()
    version = header.field(12)
    if version.text not in VERSIONS:
        raise _unsupported(version, "203", "版本", "version")
    processing = header.field(11)
    if processing.text not in (("P", "T", "D") if development else ("P",)):
        raise _unsupported(processing, "202", "处理ID", "processing ID")
    code, trigger = header.field(9).component(1), header.field(9).component(2)
    triggers = [known_trigger for known_code, known_trigger in _PARSERS if known_code == code.text]
    if not triggers:
        raise _unsupported(code, "200", "消息类型", "message type")
    if trigger.text not in triggers:
        raise _unsupported(trigger, "201", "触发事件", "trigger event")


def _unsupported(part: Part, code: ConditionCode, zh: str, en: str) -> Hl7Error:
    return Hl7Error(
        part.location,
        code,
        Text(zh=f"{part.location}：不支持该{zh}", en=f"{part.location}: this {en} is not supported"),
    )


def parse_visit_number(message: Message) -> str:
    """Return the visit number: PV1-19, or PID-18 without a PV1. Raises Hl7Error."""
    visits = message.all("PV1")
    part = visits[0].field(19) if visits else message.segment("PID").field(18)
    try:
        return mapping.parse_identifier(part.text, "visit")
    except mapping.Unmappable as error:
        raise _error_at(part.location, error) from error


def parse_commands(message: Message, time_zone: tzinfo) -> VisitCommands:
    """Return all commands of a message. Raises Hl7Error at the segment and field with the fault."""
    message_type = message.header.field(9)
    parser = _PARSERS[message_type.component(1).text, message_type.component(2).text]
    return VisitCommands(parse_visit_number(message), parser(message, time_zone))


def _admission(message: Message, time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    visit, patient = message.segment("PV1"), message.segment("PID")
    opened_at = _event_time(message, visit, 44, time_zone, "opened_at")
    try:
        command = mapping.build_open_visit(
            mapping.require_document(_documents(patient)), visit.field(2).text, opened_at
        )
    except mapping.Unmappable as error:
        raise _error_in_visit(visit, patient, error) from error
    return (LocatedCommand(command, _location(patient, 3)),)


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
    lines = (LocatedCommand(_transaction(one, time_zone), Location("FT1", one.sequence, 2)) for one in transactions)
    return (*lines, *settlements)


def _settlements(message: Message, time_zone: tzinfo) -> tuple[LocatedCommand, ...]:
    """Return the reports of what the hospital settled or cancelled at the insurance, in the order of the segments."""
    return tuple(LocatedCommand(_settlement(message, one, time_zone), _location(one, 2)) for one in message.all("ZYB"))


def _settlement(message: Message, segment: Segment, time_zone: tzinfo) -> Command:
    at = _event_time(message, segment, 4, time_zone, "settled_at")
    amounts: dict[mapping.Element, Amount] = {
        element: segment.field(number).raw for element, number in _ZYB_AMOUNTS.items()
    }
    kind, settlement, registration = (segment.field(number).text for number in (1, 2, 3))
    try:
        return build_report(kind, settlement, registration, amounts, at)
    except mapping.Unmappable as error:
        number = {**_ZYB_FIELDS, **_ZYB_AMOUNTS}.get(error.element, 0)
        raise _error_at(_location(segment, number), error) from error


def _transaction(segment: Segment, time_zone: tzinfo) -> Command:
    at = mapping.normalize_instant(_timestamp(segment.field(4), time_zone), "occurred_at")
    try:
        return mapping.build_transaction(
            segment.field(6).text,
            segment.field(2).text,
            segment.field(31).text or None,
            segment.field(7).text,
            segment.field(8).text or segment.field(7).component(2).text,
            _amount(segment),
            at,
        )
    except mapping.Unmappable as error:
        raise _error_at(_location(segment, _FT1_FIELDS.get(error.element, 0)), error) from error


def _amount(segment: Segment) -> str:
    """Return FT1-11, checked against FT1-10 times FT1-12 if present; or that product if FT1-11 is empty."""
    extended, unit = (segment.field(number).component(1).subcomponent(1) for number in (11, 12))
    if not unit.text:
        return extended.text
    try:
        unit_fen = mapping.fen_from_yuan(unit.text)
    except mapping.Unmappable as error:
        raise _error_at(unit.location, error) from error
    quantity = segment.field(10)
    if not mapping.is_quantity(quantity.text or "1"):
        raise Hl7Error(
            quantity.location,
            "102",
            Text(
                zh=f"{quantity.location}须为大于零的数量，最多四位小数",
                en=f"{quantity.location} must be a quantity above zero, with at most four decimal places",
            ),
        )
    product = Decimal(unit_fen) * Decimal(quantity.text or "1") / 100
    if not extended.text:
        return f"{product.normalize():f}"
    amount = mapping.fen_from_yuan(extended.text) if mapping.is_amount(extended.text) else None
    if amount is not None and abs(Decimal(amount)) != abs(product * 100):
        text = Text(
            zh=f"{extended.location}须等于数量乘以单价，精确到分",
            en=f"{extended.location} must equal quantity times unit price, to the fen",
        )
        raise Hl7Error(extended.location, "102", text)
    return extended.text


def _documents(patient: Segment) -> list[IdentityDocument]:
    """Return the identity documents in PID-3 that have a number."""
    return [
        IdentityDocument(one.component(1).text, mapping.DOCUMENT_TYPES[one.component(5).text])
        for one in patient.field(3).repetitions()
        if one.component(5).text in mapping.DOCUMENT_TYPES and one.component(1).text
    ]


def _event_time(
    message: Message, segment: Segment | None, number: int, time_zone: tzinfo, element: mapping.Element
) -> datetime:
    """Return the time of a field, or else of the event (EVN-2), or else of the message (MSH-7)."""
    events = message.all("EVN")
    parts = [segment.field(number)] if segment is not None else []
    parts += [events[0].field(2)] if events else []
    parts.append(message.header.field(7))
    part = next((part for part in parts if part.text), parts[-1])
    try:
        return mapping.normalize_instant(_timestamp(part, time_zone), element)
    except mapping.Unmappable as error:
        raise _error_at(part.location, error) from error


def _timestamp(part: Part, time_zone: tzinfo) -> datetime:
    return parse_timestamp(part.text, part.location, time_zone)


def _location(segment: Segment, number: int) -> Location:
    return Location(segment.name, segment.sequence, number)


def _error_in_visit(visit: Segment, patient: Segment, error: mapping.Unmappable) -> Hl7Error:
    location = (
        _location(patient, 3) if error.element == "patient" else _location(visit, _PV1_FIELDS.get(error.element, 0))
    )
    return _error_at(location, error)


def _error_at(location: Location, error: mapping.Unmappable) -> Hl7Error:
    return Hl7Error(location, _FAULT_CODES[error.fault], error.text)


_PARSERS: dict[tuple[str, str], Callable[[Message, tzinfo], tuple[LocatedCommand, ...]]] = {
    ("ADT", "A01"): _admission,
    ("ADT", "A03"): _discharge,
    ("ADT", "A04"): _admission,
    ("ADT", "A08"): _update,
    ("ADT", "A11"): _cancel_admission,
    ("ADT", "A13"): _cancel_discharge,
    ("BAR", "P01"): _account_added,
    ("BAR", "P05"): _update,
    ("BAR", "P06"): _account_ended,
    ("DFT", "P03"): _transactions,
}
