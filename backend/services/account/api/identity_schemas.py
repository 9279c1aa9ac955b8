"""Requests and responses of identity cases."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from backend.city.id_number import RESIDENT_CARD, DocumentKind, TypedIdNumber
from backend.services.account.model.identity_case import CaseKind, CaseState

Reason = Annotated[str, Meta(min_length=2, max_length=500, description="kept encrypted; the audit log has its hash")]


class CorrectionRequest(Struct, forbid_unknown_fields=True):
    """The person whose identity is wrong, by their present document, and the right name or the right number."""

    id_number: TypedIdNumber
    reason: Reason
    document_kind: DocumentKind = RESIDENT_CARD
    name: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    new_id_number: TypedIdNumber | None = None
    new_document_kind: DocumentKind = RESIDENT_CARD


class CaseDecision(Struct, forbid_unknown_fields=True):
    """Whether an officer approves, and why."""

    approves: bool
    reason: Reason


class CaseParty(Struct, frozen=True):
    """An account that a case is about."""

    account_id: str
    phone: str | None
    level: int
    created: datetime


class CaseVote(Struct, frozen=True):
    """What an officer decided."""

    approves: bool
    reason: str
    at: datetime


class IdentityCaseDetails(Struct, frozen=True):
    """A case: the number of a person, masked, goes to `claimant` from `holder`, or the person gets `name`."""

    id: str
    kind: CaseKind
    state: CaseState
    opened_at: datetime
    id_number: str
    present_name: str | None
    name: str | None
    claimant: CaseParty | None
    holder: CaseParty | None
    votes: list[CaseVote]


class IdentityCaseSummary(Struct, frozen=True):
    """A case in a list."""

    id: str
    kind: CaseKind
    state: CaseState
    opened_at: datetime
    votes: int


class IdentityCaseList(Struct, frozen=True):
    """Cases, the oldest first, and the cursor of the next page; None after the last page."""

    cases: list[IdentityCaseSummary]
    cursor: str | None
