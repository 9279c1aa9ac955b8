"""A connected hospital, and the records of its messages and of its requests apart from visits."""

import hashlib
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Literal

from msgspec import field

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.city.id_number import DocumentKind
from backend.security.field_encryption import FieldEncryption
from backend.services.medical_credit.facts import SettledBy, VisitKind
from backend.services.medical_credit.model.visit import own_system, qualified
from backend.store import Document, Index
from backend.store.retention import Period, Retention

MAX_WAIT = timedelta(days=3)
"""How long a message may wait for another one before it fails and an operator must check it."""

INSTITUTION_LENGTH = 12

Handling = Literal["ignore", "refuse"]
MessageState = Literal["received", "done", "waiting", "failed", "ignored"]
IdentifierKind = Literal["visit", "charge", "payment", "settlement", "eligibility", "day"]
"""The kinds of objects to which hospitals give identifiers."""

RefusalPolicy = Literal["by_cause", "reversed", "AE", "AR"]
"""Which code (MSA-1) a refused message gets. `by_cause`: AR if it can never succeed, AE if it may succeed later.
`reversed`: AE if it can never succeed, AR if it may succeed later. AE or AR: always that code."""


ACCOUNT_PREFIX = "hospital:"
"""The account of a hospital's system is this and the code of the hospital."""

DAYS_READ, DAYS_WRITE = "hospital/days.read", "hospital/days.write"
"""The scopes of an access token that reads the hospital's reconciled days, and that uploads its files."""


class Hospital(AuditedDocument, kw_only=True):
    """A connected hospital; its `id` is the code that it sends in MSH-4 and in its client assertions.

    `jwks` are the public keys with which it signs in to FHIR, unless it publishes them at `jwks_url`, and `scopes` what
    it may request there. `encoding` applies to messages without MSH-18. `acknowledgement` says whether MSH-15 and
    MSH-16 of each message determine the acknowledgement mode, or one mode applies to all. `refuse_with` is the code of
    refused messages. `certificate` is the subject of its MLLP client certificate, without which a listener with TLS
    refuses its messages. HL7 v2 messages about people who may not pay later (`people_without_credit`) and about events
    without an effect on visits (`unused_events`) are accepted and ignored, or refused. `visit_classes` and
    `identifier_types` map its own codes in PV1-2 and CX-5.
    Identifiers in one of its `own_systems` are the same as identifiers without a system.
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
    jwks_url: str | None = None
    scopes: tuple[str, ...] = ("system/*.read", "system/*.write")
    encoding: Literal["utf-8", "gb18030"] = "utf-8"
    acknowledgement: Literal["by_message", "original", "enhanced"] = "by_message"
    refuse_with: RefusalPolicy = "by_cause"
    certificate: str | None = None
    own_systems: tuple[str, ...] = ()
    settles: SettledBy = "city"
    institution: str | None = None
    enabled: bool = True
    people_without_credit: Handling = "refuse"
    unused_events: Handling = "ignore"
    visit_classes: dict[str, VisitKind] = field(default_factory=dict[str, VisitKind])
    identifier_types: dict[str, DocumentKind] = field(default_factory=dict[str, DocumentKind])

    def identifier(self, kind: IdentifierKind, value: str, system: str = "") -> str:
        """Return an identifier as records have it: `system|value`, or the value alone in the hospital's own systems."""
        is_own = system in ("", own_system(self.id, kind), *self.own_systems)
        return value if is_own else qualified(value, system)

    def institution_code(self) -> str:
        """Return the hospital's code at the insurance (fixmedins_code): twelve characters, by default from its own."""
        return self.institution or default_institution(self.id)


class HisMessage(Document, kw_only=True):
    """A message from a hospital; its `id` is derived from the hospital, the sending application and the control id.

    `raw` is encrypted because it holds personal data; `digest` recognises a repeated message. `answer` is the text of
    the application acknowledgement and `answer_code` its code. `reuses` is the id of the first message with the same
    control id, if there was another one. `reason` says why the message waits, failed or was ignored. `visit` is set
    once the visit that the message refers to is known. An ignored message about a person without credit has the keyed
    hash of their ID number in `patient`: it is processed if they enrol while the visit is open.
    """

    collection: ClassVar[str] = "his_messages"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("state",), ordered="received_ms"),
        Index(("visit", "state"), ordered="received_ms"),
        Index(("patient", "state"), ordered="received_ms"),
        Index(("hospital",), ordered="received_ms"),
        Index(("hospital", "state"), ordered="received_ms"),
        Index(("hospital", "control_id"), ordered="received_ms"),
        Index(("hospital", "control_id", "state"), ordered="received_ms"),
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
    patient: str | None = None
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

    The `id` is derived from the hospital and its `number` of the request, so a repeated request is stored once. As in
    a visit, `plain_number` is the number without its system, if it has one.
    `desk_token` is the id of the desk token by which alone the request named the person.
    """

    collection: ClassVar[str] = "eligibility_answers"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("hospital",), ordered="created_ms"),
        Index(("hospital", "plain_number")),
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
    plain_number: str | None = None
    patient: str
    kind: VisitKind
    created_at: datetime
    created_ms: int
    expires_ms: int
    eligible: bool
    available_fen: int
    desk_token: str | None = None


def used_assertion_id(hospital: str, jti: str) -> str:
    """Return the id of the record of an assertion."""
    return hashlib.sha256(f"assertion\n{hospital}\n{jti}".encode()).hexdigest()


def eligibility_id(hospital: str, number: str) -> str:
    """Return the id of the answer to a hospital's request with this number."""
    return hashlib.sha256(f"eligibility\n{hospital}\n{number}".encode()).hexdigest()[:32]


def patient_pseudonym(encryption: FieldEncryption, hospital: str, person: str) -> str:
    """Return the identifier of a person for a hospital: stable, and different for every hospital.

    `person` is the id of the Person, or `id number` and their identity document where the city may not know them.
    """
    return encryption.digest("fhir-patient", f"{hospital}\n{person}")
