"""Requests and responses about the roles of staff."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from backend.i18n import Text
from backend.problems import FieldError
from backend.security.identity import Role
from backend.services.account.api.schemas import Phone, Venue

MAX_ROWS = 500
Reason = Annotated[str, Meta(min_length=2, max_length=500)]
Roles = Annotated[list[Role], Meta(max_length=8)]
Venues = Annotated[list[Venue], Meta(max_length=50)]


class GrantProposal(Struct, forbid_unknown_fields=True):
    """Roles and venues for the account of a phone. Somebody who has not signed in yet is entered by their phone."""

    phone: Phone
    reason: Reason
    roles: Roles = []
    venues: Venues = []


class GrantProposals(Struct, forbid_unknown_fields=True):
    """Up to 500 proposals; each is stored or refused on its own."""

    grants: Annotated[list[GrantProposal], Meta(min_length=1, max_length=MAX_ROWS)]


class GrantApprovals(Struct, forbid_unknown_fields=True):
    """The ids of up to 500 proposals; each is approved or refused on its own."""

    grants: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=MAX_ROWS)]


class GrantDetails(Struct, frozen=True):
    """A proposal that waits for another operator until `expires_at`."""

    id: str
    account: str
    phone: str | None
    roles: tuple[Role, ...]
    venues: tuple[str, ...]
    reason: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime


class GrantList(Struct, frozen=True):
    """Proposals, the first to expire first; `cursor` is that of the next page."""

    grants: list[GrantDetails]
    cursor: str | None


class GrantRefusal(Struct, frozen=True):
    """Why a row was refused: the Problem that it would be as a request of its own."""

    type: str
    title: str
    detail: Text
    errors: tuple[FieldError, ...] = ()


class GrantResult(Struct, frozen=True):
    """What became of a row, in the order of the request; `id` is that of the proposal."""

    outcome: Literal["proposed", "approved", "refused"]
    id: str | None = None
    refusal: GrantRefusal | None = None


class GrantResults(Struct, frozen=True):
    """What became of each row."""

    results: list[GrantResult]


class Withdrawal(Struct, forbid_unknown_fields=True):
    """Roles and venues to take from an account, at once, and why."""

    reason: Reason
    roles: Roles = []
    venues: Venues = []


class StaffMember(Struct, frozen=True):
    """An account with roles or venues. They are in force while its identity is proved in person (`in_force`)."""

    account: str
    phone: str | None
    roles: tuple[Role, ...]
    venues: tuple[str, ...]
    in_force: bool
    since: datetime | None


class StaffList(Struct, frozen=True):
    """Members of staff, in the order in which they joined. A page may be short; `cursor` is that of the next one."""

    staff: list[StaffMember]
    cursor: str | None
