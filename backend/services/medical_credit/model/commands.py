"""The commands that a hospital sends about a visit; FHIR and HL7 v2 messages are both mapped to them.

A hospital reports a Line or a CounterPayment as the visit stores it. A command may arrive more than once: these two are
recognised by their id within the visit, other commands by the id of the `event` that carried them.
"""

from datetime import datetime

from msgspec import Struct

from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.visit import CounterPayment, Line

MAX_AMOUNT_FEN = 10_000_000_000
"""A hundred million yuan, the maximum of one line; sums stay far below 64 bits."""


class OpenVisit(Struct, frozen=True):
    """Open a visit. `estimate_fen` is the hospital's estimate of the person's share."""

    id_number: str
    kind: VisitKind
    opened_at: datetime
    estimate_fen: int | None = None


class ChangeVisit(Struct, frozen=True):
    """Correct the data of a visit (A08, P05); None leaves a field unchanged."""

    kind: VisitKind | None = None
    opened_at: datetime | None = None
    id_number: str | None = None


class CloseVisit(Struct, frozen=True):
    """Close a visit (A03). With `final`, no more charges are expected (P06) and the bill is issued at once."""

    at: datetime
    final: bool = False


class ReopenVisit(Struct, frozen=True):
    """Reopen a closed visit (A13)."""


class CancelVisit(Struct, frozen=True):
    """Cancel a visit that did not take place (A11); payments are refunded."""


Command = OpenVisit | ChangeVisit | Line | CounterPayment | CloseVisit | ReopenVisit | CancelVisit
