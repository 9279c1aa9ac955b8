"""What a hospital tells of a visit, whichever way it comes in: FHIR and HL7 v2 are both mapped to these.

Each command may come twice: a line is known by its id within the visit, all others by the `event` that brought them.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from backend.services.medical_credit.facts import VisitKind

MAX_AMOUNT_FEN = 10_000_000_000
"""A hundred million yuan: no line of a bill is more, and sums stay far from 64 bits."""

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\s|^~\\&]+$")]
"""How a hospital names a visit, a line or a payment of its own."""

Title = Annotated[str, Meta(max_length=200)]
Fen = Annotated[int, Meta(ge=1, le=MAX_AMOUNT_FEN)]
SignedFen = Annotated[int, Meta(ge=-MAX_AMOUNT_FEN, le=MAX_AMOUNT_FEN)]


class OpenVisit(Struct, frozen=True, tag="open"):
    """A person comes to the hospital. `estimate_fen` is what the hospital expects the person's own share to be."""

    id_number: str
    kind: VisitKind
    opened_at: datetime
    estimate_fen: int | None = None


class ChangeVisit(Struct, frozen=True, tag="change"):
    """The hospital corrects what it said of the visit (A08, P05); None leaves a thing as it is."""

    kind: VisitKind | None = None
    opened_at: datetime | None = None
    id_number: str | None = None


class Charge(Struct, frozen=True, tag="charge"):
    """Something that was done for the patient, or given to them, and its price."""

    line: Name
    code: Name
    title: Title
    amount_fen: Fen
    at: datetime


class Credit(Struct, frozen=True, tag="credit"):
    """A part of the charge `of`, or all of it, taken back."""

    line: Name
    of: Name
    amount_fen: Fen
    at: datetime
    title: Title = ""


class Adjustment(Struct, frozen=True, tag="adjustment"):
    """A correction of the charge `of` by a difference, up or down; a waiver is one of them."""

    line: Name
    of: Name
    amount_fen: SignedFen
    at: datetime
    title: Title = ""


class PaidAtCounter(Struct, frozen=True, tag="paid_at_counter"):
    """The patient paid at the hospital what credit does not cover."""

    payment: Name
    amount_fen: Fen
    at: datetime


class CloseVisit(Struct, frozen=True, tag="close"):
    """The patient leaves (A03). With `final` no further charge is expected (P06), and the bill is made at once."""

    at: datetime
    final: bool = False


class ReopenVisit(Struct, frozen=True, tag="reopen"):
    """The patient stays after all (A13)."""


class CancelVisit(Struct, frozen=True, tag="cancel"):
    """The visit did not take place (A11); whatever was paid is returned."""


Command = (
    OpenVisit | ChangeVisit | Charge | Credit | Adjustment | PaidAtCounter | CloseVisit | ReopenVisit | CancelVisit
)
