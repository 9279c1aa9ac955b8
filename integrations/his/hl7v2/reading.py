"""What an HL7 v2 message tells of a visit, as the Commands that FHIR is read into as well. Pure.

| message | means |
| --- | --- |
| ADT^A01, ADT^A04 | a visit opens: PV1-19 its number, PV1-2 its class, PID-3 the patient, PV1-44 when |
| ADT^A08, BAR^P05 | what was said of it is corrected |
| ADT^A03 | the patient leaves (PV1-45); late charges may follow |
| ADT^A11, ADT^A13 | the visit did not take place; the patient stays after all |
| BAR^P01 | an account was opened for the visit: noted |
| BAR^P06 | the account ends: no more charges, the bill is made |
| DFT^P03 | charges (FT1-6 CG), credits (CD), adjustments (AJ) and payments at the counter (PY) |

A line is named by FT1-2, the charge that a CD or AJ is of by FT1-31. FT1-11 is the amount; where FT1-10 and FT1-12
stand too, quantity times unit must be the same to the fen. The resident ID number is the repetition of PID-3 whose type
(CX-5) is NI, NN or NNCHN.
"""

from collections.abc import Callable
from datetime import datetime, tzinfo
from decimal import Decimal

from msgspec import Struct

from backend.i18n import Text
from backend.services.medical_credit.model.commands import (
    CancelVisit,
    ChangeVisit,
    CloseVisit,
    Command,
    ReopenVisit,
)
from integrations.his import mapping
from integrations.his.hl7v2.error import Code, Hl7Error, Place
from integrations.his.hl7v2.message import Message, Part, Segment
from integrations.his.hl7v2.time import read_time

VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8")
ID_NUMBER_TYPES = ("NI", "NN", "NNCHN")
_FAULTS: dict[mapping.Fault, Code] = {"required": "101", "value": "102", "unknown": "103"}
_FT1: dict[mapping.Where, int] = {
    "line": 2,
    "payment": 2,
    "at": 4,
    "transaction": 6,
    "code": 7,
    "title": 8,
    "amount": 11,
    "of": 31,
}
_PV1: dict[mapping.Where, int] = {"class": 2, "visit": 19, "opened_at": 44, "closed_at": 45}


class Told(Struct, frozen=True):
    """A command, and the segment that told it."""

    command: Command
    place: Place


class Reading(Struct, frozen=True):
    """What a message tells of the visit that the hospital calls `number`."""

    number: str
    told: tuple[Told, ...]


def check_header(message: Message, *, development: bool) -> None:
    """Refuse what is not for us: Hl7Error 101, 200, 201, 202 or 203 at its field of MSH."""
    header = message.header
    header.field(10).required()
    version = header.field(12)
    if version.text not in VERSIONS:
        raise _unsupported(version, "203", "版本", "version")
    processing = header.field(11)
    if processing.text not in (("P", "T", "D") if development else ("P",)):
        raise _unsupported(processing, "202", "处理标识", "processing id")
    kind = header.field(9)
    known = [trigger for of, trigger in _READERS if of == kind.component(1).text]
    if not known:
        raise _unsupported(kind.component(1), "200", "消息类型", "message type")
    if kind.component(2).text not in known:
        raise _unsupported(kind.component(2), "201", "触发事件", "trigger event")


def _unsupported(part: Part, code: Code, zh: str, en: str) -> Hl7Error:
    return Hl7Error(part.place, code, Text(zh=f"不支持的{zh}", en=f"{part.place}: this {en} is not supported"))


def read_visit_number(message: Message) -> str:
    """Give the hospital's number of the visit: PV1-19, or PID-18 where there is no PV1. Raises Hl7Error."""
    visits = message.all("PV1")
    part = visits[0].field(19) if visits else message.segment("PID").field(18)
    try:
        return mapping.name_of(part.text, "visit")
    except mapping.Unmappable as error:
        raise _at(part.place, error) from error


def read_told(message: Message, zone: tzinfo) -> Reading:
    """Give what a message tells, all of it or nothing. Raises Hl7Error at the segment and field that is wrong."""
    kind = message.header.field(9)
    reader = _READERS[kind.component(1).text, kind.component(2).text]
    return Reading(read_visit_number(message), reader(message, zone))


def _opens(message: Message, zone: tzinfo) -> tuple[Told, ...]:
    visit, patient = message.segment("PV1"), message.segment("PID")
    opened_at = _time(message, visit, 44, zone, "opened_at")
    try:
        command = mapping.open_visit(_id_number(patient), visit.field(2).text, opened_at)
    except mapping.Unmappable as error:
        raise _in_visit(visit, patient, error) from error
    return (Told(command, _place(patient, 3)),)


def _changes(message: Message, zone: tzinfo) -> tuple[Told, ...]:
    visit, patient = message.segment("PV1"), message.segment("PID")
    class_ = visit.field(2).text
    opened = visit.field(44)
    try:
        kind = mapping.kind_of(class_) if class_ else None
        opened_at = _time(message, visit, 44, zone, "opened_at") if opened.text else None
        number = _id_number(patient)
    except mapping.Unmappable as error:
        raise _in_visit(visit, patient, error) from error
    return (Told(ChangeVisit(kind, opened_at, number or None), _place(visit, 19)),)


def _closes(message: Message, zone: tzinfo) -> tuple[Told, ...]:
    visit = message.segment("PV1")
    return (Told(CloseVisit(_time(message, visit, 45, zone, "closed_at")), _place(visit, 19)),)


def _cancels(message: Message, _zone: tzinfo) -> tuple[Told, ...]:
    return (Told(CancelVisit(), _place(message.segment("PV1"), 19)),)


def _reopens(message: Message, _zone: tzinfo) -> tuple[Told, ...]:
    return (Told(ReopenVisit(), _place(message.segment("PV1"), 19)),)


def _opens_account(message: Message, _zone: tzinfo) -> tuple[Told, ...]:
    return (Told(ChangeVisit(), _place(message.segment("PID"), 18)),)


def _ends_account(message: Message, zone: tzinfo) -> tuple[Told, ...]:
    visits = message.all("PV1")
    at = _time(message, visits[0] if visits else None, 45, zone, "closed_at")
    return (Told(CloseVisit(at, final=True), _place(message.segment("PID"), 18)),)


def _charges(message: Message, zone: tzinfo) -> tuple[Told, ...]:
    transactions = message.all("FT1")
    if not transactions:
        message.segment("FT1")
    return tuple(Told(_transaction(one, zone), Place("FT1", one.sequence, 2)) for one in transactions)


def _transaction(segment: Segment, zone: tzinfo) -> Command:
    at = mapping.settled_instant(_first_time(segment.field(4), zone), "at")
    try:
        return mapping.transaction(
            segment.field(6).text,
            segment.field(2).text,
            segment.field(31).text or None,
            segment.field(7).text,
            segment.field(8).text or segment.field(7).component(2).text,
            _amount(segment),
            at,
        )
    except mapping.Unmappable as error:
        raise _at(_place(segment, _FT1.get(error.where, 0)), error) from error


def _amount(segment: Segment) -> str:
    """Give FT1-11, which must be FT1-10 times FT1-12 where those stand too; or that product where it stands alone."""
    extended, unit = (segment.field(number).component(1).subcomponent(1) for number in (11, 12))
    if not unit.text:
        return extended.text
    try:
        unit_fen = mapping.fen_of(unit.text)
    except mapping.Unmappable as error:
        raise _at(unit.place, error) from error
    quantity = segment.field(10)
    if not mapping.is_quantity(quantity.text or "1"):
        raise Hl7Error(quantity.place, "102", Text(zh="数量无效", en=f"{quantity.place} is no quantity"))
    product = Decimal(unit_fen) * Decimal(quantity.text or "1") / 100
    if not extended.text:
        return f"{product.normalize():f}"
    amount = mapping.fen_of(extended.text) if mapping.is_amount(extended.text) else None
    if amount is not None and abs(Decimal(amount)) != abs(product * 100):
        said = Text(zh="数量乘以单价不等于金额", en=f"{extended.place} is not quantity times unit price, to the fen")
        raise Hl7Error(extended.place, "102", said)
    return extended.text


def _id_number(patient: Segment) -> str | None:
    for one in patient.field(3).repetitions():
        if one.component(5).text in ID_NUMBER_TYPES:
            return one.component(1).text
    return None


def _time(message: Message, segment: Segment | None, number: int, zone: tzinfo, where: mapping.Where) -> datetime:
    """Give the time of a field, or else of the event (EVN-2), or else of the message (MSH-7)."""
    events = message.all("EVN")
    parts = [segment.field(number)] if segment is not None else []
    parts += [events[0].field(2)] if events else []
    parts.append(message.header.field(7))
    part = next((part for part in parts if part.text), parts[-1])
    try:
        return mapping.settled_instant(_first_time(part, zone), where)
    except mapping.Unmappable as error:
        raise _at(part.place, error) from error


def _first_time(part: Part, zone: tzinfo) -> datetime:
    return read_time(part.text, part.place, zone)


def _place(segment: Segment, number: int) -> Place:
    return Place(segment.name, segment.sequence, number)


def _in_visit(visit: Segment, patient: Segment, error: mapping.Unmappable) -> Hl7Error:
    place = _place(patient, 3) if error.where == "patient" else _place(visit, _PV1.get(error.where, 0))
    return _at(place, error)


def _at(place: Place, error: mapping.Unmappable) -> Hl7Error:
    return Hl7Error(place, _FAULTS[error.fault], error.text)


_READERS: dict[tuple[str, str], Callable[[Message, tzinfo], tuple[Told, ...]]] = {
    ("ADT", "A01"): _opens,
    ("ADT", "A03"): _closes,
    ("ADT", "A04"): _opens,
    ("ADT", "A08"): _changes,
    ("ADT", "A11"): _cancels,
    ("ADT", "A13"): _reopens,
    ("BAR", "P01"): _opens_account,
    ("BAR", "P05"): _changes,
    ("BAR", "P06"): _ends_account,
    ("DFT", "P03"): _charges,
}
