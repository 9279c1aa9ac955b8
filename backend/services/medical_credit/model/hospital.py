"""A connected hospital, and the records of its messages and of its requests apart from visits."""

import hashlib
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Literal

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.security.field_encryption import FieldEncryption
from backend.services.medical_credit.facts import VisitKind
from backend.store import Document, Index
from backend.store.retention import Period, Retention

MAX_WAIT = timedelta(days=3)
"""How long a message may wait for another one before it fails and an operator must check it."""

INSTITUTION_LENGTH = 12
SettledBy = Literal["city", "hospital"]
"""Who settles visits at the insurance: the city, or the hospital, which reports the result."""

MessageState = Literal["received", "done", "waiting", "failed"]


class Hospital(AuditedDocument, kw_only=True):
    """A connected hospital; its `id` is the code that it sends in MSH-4 and in its client assertions.

    `jwks` are the public keys with which it signs in to FHIR, and `scopes` what it may request there. `encoding`
    applies to messages without MSH-18. `acknowledgement` says whether MSH-15 and MSH-16 of each message determine the
    acknowledgement mode, or one mode applies to all. `certificate` is the subject of its MLLP client certificate.
    `settles` says who settles the visits that it opens, and `institution` is its code at the insurance.
    """

    collection: ClassVar[str] = "hospitals"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="since_ms"), UNLOGGED)
    retention: ClassVar[Retention] = Retention(
        grows_with="each connected hospital",
        ends="never: visits name it",
        names="nobody",
    )

    name: str
    since_ms: int
    jwks: dict[str, Any]
    scopes: tuple[str, ...] = ("system/*.read", "system/*.write")
    encoding: Literal["utf-8", "gb18030"] = "utf-8"
    acknowledgement: Literal["by_message", "original", "enhanced"] = "by_message"
    certificate: str | None = None
    settles: SettledBy = "city"
    institution: str = ""
    enabled: bool = True

    def institution_code(self) -> str:
        """Return the hospital's code at the insurance (fixmedins_code): twelve characters, by default from its own."""
        return self.institution or default_institution(self.id)


class HisMessage(Document, kw_only=True):
    """A message from a hospital; its `id` is derived from the hospital, the sending application and the control id.

    `raw` is encrypted because it holds personal data; `digest` recognises a repeated message. `answer` is the text of
    the application acknowledgement and `answer_code` its code. `reuses` is the id of the first message with the same
    control id, if there was another one. `reason` says why the message waits or failed. `visit`
    is set once the visit that the message refers to is known.
    """

    collection: ClassVar[str] = "his_messages"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("state",), ordered="received_ms"),
        Index(("visit", "state"), ordered="received_ms"),
        Index(("reuses",), ordered="received_ms"),
        Index((), ordered="due_ms"),
        Index((), ordered="expires_ms"),
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each message from a hospital",
        ends="when no hospital repeats the message any more",
        names="a person",
        ends_at="expires_ms",
        periods=(Period(date(2020, 1, 1), 90, "[A] hospitals send a message again within a quarter"),),
    )

    hospital: str
    control_id: str
    kind: str
    raw: str
    digest: str
    received_ms: int
    expires_ms: int
    state: MessageState = "received"
    visit: str | None = None
    answer: str | None = None
    answer_code: str | None = None
    reason: str | None = None
    attempts: int = 0
    due_ms: int | None = None
    reuses: str | None = None


def default_institution(hospital: str) -> str:
    """Return the code at the insurance of a hospital that has none of its own: its code, filled up with zeros."""
    return hospital.rjust(INSTITUTION_LENGTH, "0")[-INSTITUTION_LENGTH:]


def message_id(hospital: str, application: str, control_id: str) -> str:
    """Return the id of a message from its hospital (MSH-4), sending application (MSH-3) and control id (MSH-10)."""
    return hashlib.sha256(f"message\n{hospital}\n{application}\n{control_id}".encode()).hexdigest()[:32]


def reused_message_id(first: str, digest: str) -> str:
    """Return the id of a message with this content that uses the control id of an earlier one again."""
    return hashlib.sha256(f"message\n{first}\n{digest}".encode()).hexdigest()[:32]


class UsedAssertion(Document, kw_only=True):
    """A signed assertion (its `jti`) that was used and cannot be used again; it is deleted after it expires."""

    collection: ClassVar[str] = "used_assertions"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each sign-in of a hospital",
        ends="a few minutes after the assertion expires",
        names="nobody",
        ends_at="expires_ms",
    )

    expires_ms: int


class EligibilityAnswer(AuditedDocument, kw_only=True):
    """A hospital's eligibility request about a person, and the answer; `patient` is the person's id for this hospital.

    The `id` is derived from the hospital and its `number` of the request, so a repeated request is stored once.
    """

    collection: ClassVar[str] = "eligibility_answers"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("hospital",), ordered="created_ms"),
        Index(("patient",)),
        Index((), ordered="expires_ms"),
        UNLOGGED,
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each eligibility request of a hospital",
        ends="when no visit follows the request any more",
        names="a person",
        ends_at="expires_ms",
        periods=(Period(date(2020, 1, 1), 30, "[A] a visit follows within a month"),),
    )

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


def patient_pseudonym(encryption: FieldEncryption, hospital: str, person: str) -> str:
    """Return the identifier of a person for a hospital: stable, and different for every hospital."""
    return encryption.digest("fhir-patient", f"{hospital}\n{person}")
