"""Records of a hospital's requests apart from its visits: used sign-in assertions and eligibility answers."""

import hashlib
from datetime import datetime, timedelta
from typing import ClassVar

from backend.services.medical_credit.facts import VisitKind
from backend.store import Document, Index

ANSWER_RETENTION = timedelta(days=30)


class UsedAssertion(Document, kw_only=True):
    """A signed assertion (its `jti`) that was used and cannot be used again; it is deleted after it expires."""

    collection: ClassVar[str] = "used_assertions"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    expires_ms: int


class EligibilityAnswer(Document, kw_only=True):
    """A hospital's eligibility request about a person, and the answer; `patient` is the person's id for this hospital.

    The `id` is derived from the hospital and its `number` of the request, so a repeated request is stored once.
    """

    collection: ClassVar[str] = "eligibility_answers"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("hospital",), ordered="created_ms"), Index((), ordered="expires_ms"))

    hospital: str
    number: str | None
    patient: str
    kind: VisitKind
    created_at: datetime
    created_ms: int
    expires_ms: int
    eligible: bool
    available_fen: int


def used_assertion_id(hospital: str, jti: str) -> str:
    """Return the id of the record of an assertion."""
    return hashlib.sha256(f"assertion\n{hospital}\n{jti}".encode()).hexdigest()


def eligibility_id(hospital: str, number: str) -> str:
    """Return the id of the answer to a hospital's request with this number."""
    return hashlib.sha256(f"eligibility\n{hospital}\n{number}".encode()).hexdigest()[:32]
