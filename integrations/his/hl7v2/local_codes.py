"""Translate a hospital's own codes to those of HL7: classes of visits (PV1-2) and types of identifiers (CX-5). Pure.

Everything after this reads the codes of `mapping` only. Locations stay those of the message as it was sent.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from backend.city.id_number import DocumentKind
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.hospital import Hospital
from integrations.his.hl7v2.message import Message, Segment, Syntax

CLASSES: dict[VisitKind, str] = {"outpatient": "O", "emergency": "E", "inpatient": "I"}
"""The class of each kind of visit in HL7 table 0004."""

IDENTIFIER_TYPES: dict[DocumentKind, str] = {
    "resident_identity_card": "NI",
    "permanent_residence_card": "PRC",
    "passport": "PPN",
    "hong_kong_macao_travel_permit": "06",
    "taiwan_travel_permit": "07",
}
"""The type of each kind of identity document, as `mapping.DOCUMENT_TYPES` reads it."""

_IDENTIFIERS = (("PID", 3), ("MRG", 1))
_CX_TYPE = 5


def with_standard_codes(message: Message, hospital: Hospital) -> Message:
    """Return a message with the hospital's own codes translated; a code that it has not mapped stays as it is."""
    if not hospital.visit_classes and not hospital.identifier_types:
        return message
    classes = {code: CLASSES[kind] for code, kind in hospital.visit_classes.items()}
    types = {code: IDENTIFIER_TYPES[kind] for code, kind in hospital.identifier_types.items()}
    return Message(message.syntax, tuple(_translated(segment, classes, types) for segment in message.segments))


def _translated(segment: Segment, classes: Mapping[str, str], types: Mapping[str, str]) -> Segment:
    if segment.name == "PV1" and (code := classes.get(segment.field(2).text)) is not None:
        return _with_field(segment, 2, lambda _raw: code)
    for name, number in _IDENTIFIERS:
        if segment.name == name:
            return _with_field(segment, number, lambda raw: _with_types(raw, segment.syntax, types))
    return segment


def _with_field(segment: Segment, number: int, change: Callable[[str], str]) -> Segment:
    if number >= len(segment.fields):
        return segment
    fields = list(segment.fields)
    fields[number] = change(fields[number])
    return replace(segment, fields=tuple(fields))


def _with_types(raw: str, syntax: Syntax, types: Mapping[str, str]) -> str:
    """Return a field of identifiers (CX) with their types translated."""
    repetitions: list[str] = []
    for repetition in raw.split(syntax.repetition):
        components = repetition.split(syntax.component)
        if len(components) >= _CX_TYPE:
            components[_CX_TYPE - 1] = types.get(components[_CX_TYPE - 1], components[_CX_TYPE - 1])
        repetitions.append(syntax.component.join(components))
    return syntax.repetition.join(repetitions)
