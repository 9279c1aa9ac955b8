"""Errors of HL7 v2 messages: condition code, location (ERL) and text."""

from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from integrations.his.mapping import Fault, Unmappable

Severity = Literal["E", "W", "I"]
ConditionCode = Literal["100", "101", "102", "103", "200", "201", "202", "203", "204", "205", "206", "207"]

CONDITION_CODES: dict[ConditionCode, str] = {
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
"""HL7 table 0357, message error condition codes."""


class Location(Struct, frozen=True):
    """A location in a message, as in the HL7 data type ERL: the `sequence`-th segment of a name, and a part of it.

    All numbers count from 1; 0 means that the location is the whole of the preceding part.
    """

    segment: str
    sequence: int = 1
    field: int = 0
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0

    def __str__(self) -> str:
        """Return the usual notation, such as `FT1[2]-11.1.1`."""
        nth = f"[{self.sequence}]" if self.sequence > 1 else ""
        again = f"[{self.repetition}]" if self.repetition > 1 else ""
        within = "".join(f".{number}" for number in (self.component, self.subcomponent) if number)
        return f"{self.segment}{nth}" + (f"-{self.field}{again}{within}" if self.field else "")

    def to_erl(self, separator: str) -> str:
        """Return the notation of ERR-2, such as `PID^1^3^1^1`."""
        numbers = [self.sequence, self.field, self.repetition, self.component, self.subcomponent]
        while numbers[-1] == 0:
            numbers.pop()
        return separator.join([self.segment, *map(str, numbers)])


class Hl7Error(Exception):
    """An error in a message: its location (None for the whole message), condition code and text."""

    def __init__(self, location: Location | None, code: ConditionCode, text: Text, severity: Severity = "E") -> None:
        super().__init__(f"{location or 'message'}: {text.en}")
        self.location = location
        self.code: ConditionCode = code
        self.text = text
        self.severity: Severity = severity


_FAULT_CODES: dict[Fault, ConditionCode] = {"required": "101", "value": "102", "unknown": "103"}


def error_at(location: Location, error: Unmappable) -> Hl7Error:
    """Return the error for a value at this location that cannot be mapped."""
    return Hl7Error(location, _FAULT_CODES[error.fault], error.text)
