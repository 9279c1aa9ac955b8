"""Translate a hospital's own codes to those of HL7: classes of visits (PV1-2) and types of identifiers (CX-5). Pure.

The hospital's own assigning authorities are left out of its numbers (CX-4), because a number without one is its own.

Everything after this reads the codes of `mapping` only. Locations stay those of the message as it was sent.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from backend.city.id_number import DocumentKind
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.hospital import Hospital, IdentifierKind
from backend.services.medical_credit.model.visit import own_system
from integrations.his.hl7v2.identifiers import AUTHORITY, TYPE, system_of
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
_NUMBERS: dict[tuple[str, int], IdentifierKind] = {
    ("PV1", 19): "visit",
    ("PID", 18): "visit",
    ("MRG", 3): "visit",
    ("MRG", 5): "visit",
    ("FT1", 2): "charge",
    ("FT1", 31): "charge",
}
"""The fields with numbers that a hospital gives to visits, accounts and lines."""


def with_standard_codes(message: Message, hospital: Hospital) -> Message:
    """Return a message with the hospital's own codes translated; a code that it has not mapped stays as it is."""
    segments = tuple(_without_own_systems(segment, hospital) for segment in message.segments)
    if not hospital.visit_classes and not hospital.identifier_types:
        return Message(message.syntax, segments)
    classes = {code: CLASSES[kind] for code, kind in hospital.visit_classes.items()}
    types = {code: IDENTIFIER_TYPES[kind] for code, kind in hospital.identifier_types.items()}
    return Message(message.syntax, tuple(_translated(segment, classes, types) for segment in segments))


def _without_own_systems(segment: Segment, hospital: Hospital) -> Segment:
    """Return a segment whose numbers have an assigning authority only if it is not the hospital itself."""
    for (name, number), kind in _NUMBERS.items():
        if segment.name == name and (system := system_of(segment.field(number))):
            own = (hospital.id, own_system(hospital.id, kind), *hospital.own_systems)
            if system in own:
                segment = _with_field(segment, number, _without_authority(segment.syntax))
    return segment


def _without_authority(syntax: Syntax) -> Callable[[str], str]:
    return lambda raw: syntax.component.join(raw.split(syntax.component)[: AUTHORITY - 1])


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
        if len(components) >= TYPE:
            components[TYPE - 1] = types.get(components[TYPE - 1], components[TYPE - 1])
        repetitions.append(syntax.component.join(components))
    return syntax.repetition.join(repetitions)
