"""The commands that a hospital sends about a visit; FHIR and HL7 v2 messages are both mapped to them.

A command may arrive more than once. Lines are recognised by their id within the visit, other commands by the id of the
`event` that carried them.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from backend.city.id_number import RESIDENT_CARD, DocumentKind, IdentityDocument
from backend.services.medical_credit.facts import VisitKind

MAX_AMOUNT_FEN = 10_000_000_000
"""A hundred million yuan, the maximum of one line; sums stay far below 64 bits."""

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\s|^~\\&]+$")]
"""A hospital's own identifier of a visit, a line or a payment."""

Title = Annotated[str, Meta(max_length=200)]
Fen = Annotated[int, Meta(ge=1, le=MAX_AMOUNT_FEN)]
SignedFen = Annotated[int, Meta(ge=-MAX_AMOUNT_FEN, le=MAX_AMOUNT_FEN)]


class OpenVisit(Struct, frozen=True, tag="open"):
    """Open a visit. `estimate_fen` is the hospital's estimate of the person's share."""

    id_number: str
    kind: VisitKind
    opened_at: datetime
    estimate_fen: int | None = None
    document_kind: DocumentKind = RESIDENT_CARD

    def document(self) -> IdentityDocument:
        """Return the patient's identity document as the hospital sent it."""
        return IdentityDocument(self.id_number, self.document_kind)


class ChangeVisit(Struct, frozen=True, tag="change"):
    """Correct the data of a visit (A08, P05); None leaves a field unchanged."""

    kind: VisitKind | None = None
    opened_at: datetime | None = None
    id_number: str | None = None
    document_kind: DocumentKind = RESIDENT_CARD

    def document(self) -> IdentityDocument | None:
        """Return the patient's identity document as the hospital sent it."""
        return None if self.id_number is None else IdentityDocument(self.id_number, self.document_kind)


class Charge(Struct, frozen=True, tag="charge"):
    """Add a charge line: a treatment or an item, and its price."""

    line: Name
    code: Name
    title: Title
    amount_fen: Fen
    at: datetime


class Credit(Struct, frozen=True, tag="credit"):
    """Credit the charge `of`, in full or in part."""

    line: Name
    of: Name
    amount_fen: Fen
    at: datetime
    title: Title = ""


class Adjustment(Struct, frozen=True, tag="adjustment"):
    """Adjust the charge `of` by a difference, up or down; a waiver is an adjustment."""

    line: Name
    of: Name
    amount_fen: SignedFen
    at: datetime
    title: Title = ""


class PaidAtCounter(Struct, frozen=True, tag="paid_at_counter"):
    """Record a payment at the hospital's counter for what credit does not cover."""

    payment: Name
    amount_fen: Fen
    at: datetime


class CloseVisit(Struct, frozen=True, tag="close"):
    """Close a visit (A03). With `final`, no more charges are expected (P06) and the bill is issued at once."""

    at: datetime
    final: bool = False


class ReopenVisit(Struct, frozen=True, tag="reopen"):
    """Reopen a closed visit (A13)."""


class CancelVisit(Struct, frozen=True, tag="cancel"):
    """Cancel a visit that did not take place (A11); payments are refunded."""


Command = (
    OpenVisit | ChangeVisit | Charge | Credit | Adjustment | PaidAtCounter | CloseVisit | ReopenVisit | CancelVisit
)
