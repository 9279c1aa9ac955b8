"""What is wrong with a message, and where, in the words of HL7 v2."""

from typing import Literal

from msgspec import Struct

from backend.i18n import Text

Severity = Literal["E", "W", "I"]
Code = Literal["100", "101", "102", "103", "200", "201", "202", "203", "204", "205", "206", "207"]

CODES: dict[Code, str] = {
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


class Place(Struct, frozen=True):
    """Where something stands: the `sequence`-th segment of a name, and what in it; a 0 says no more than what precedes.

    All count from 1, as HL7 does.
    """

    segment: str
    sequence: int = 1
    field: int = 0
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0

    def __str__(self) -> str:
        """Write it as people do, such as `FT1[2]-11.1.1`."""
        nth = f"[{self.sequence}]" if self.sequence > 1 else ""
        again = f"[{self.repetition}]" if self.repetition > 1 else ""
        within = "".join(f".{number}" for number in (self.component, self.subcomponent) if number)
        return f"{self.segment}{nth}" + (f"-{self.field}{again}{within}" if self.field else "")

    def location(self, separator: str) -> str:
        """Write it as ERR-2 does (ERL), such as `PID^1^3^1^1`."""
        numbers = [self.sequence, self.field, self.repetition, self.component, self.subcomponent]
        while numbers[-1] == 0:
            numbers.pop()
        return separator.join([self.segment, *map(str, numbers)])


class Hl7Error(Exception):
    """Something in a message is not as it must be: where (None for nowhere in particular), its code, and words."""

    def __init__(self, place: Place | None, code: Code, text: Text, severity: Severity = "E") -> None:
        super().__init__(f"{place or 'message'}: {text.en}")
        self.place = place
        self.code: Code = code
        self.text = text
        self.severity: Severity = severity
