"""What is kept of a hospital's requests beside its visits: that it has signed in, and what it was told of a person."""

import hashlib
from datetime import datetime, timedelta
from typing import ClassVar

from backend.services.medical_credit.facts import VisitKind
from backend.store import Document, Index

ANSWERS_KEPT_FOR = timedelta(days=30)


class UsedAssertion(Document, kw_only=True):
    """That a signed assertion (its `jti`) was used, which counts once; it is forgotten after it has expired."""

    collection: ClassVar[str] = "used_assertions"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    expires_ms: int


class EligibilityAnswer(Document, kw_only=True):
    """What a hospital asked about a person, and the answer; `patient` is what the person is called to this hospital.

    Its `id` follows from the hospital and its own `number` for the request, so that a repeated request is one.
    """

    collection: ClassVar[str] = "eligibility_answers"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("hospital",), ordered="made_ms"),
        Index((), ordered="expires_ms"),
    )

    hospital: str
    number: str | None
    patient: str
    kind: VisitKind
    made_at: datetime
    made_ms: int
    expires_ms: int
    may: bool
    free_fen: int


def used_assertion_id(hospital: str, jti: str) -> str:
    """Give the id under which the use of an assertion is kept."""
    return hashlib.sha256(f"assertion\n{hospital}\n{jti}".encode()).hexdigest()


def eligibility_id(hospital: str, number: str) -> str:
    """Give the id of the answer to a hospital's request of this number."""
    return hashlib.sha256(f"eligibility\n{hospital}\n{number}".encode()).hexdigest()[:32]
