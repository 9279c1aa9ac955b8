"""Requests and responses about notices, sessions and a person's own data."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from backend.i18n import Text
from backend.services.account.closures import KeptRecords, OpenMatterOf
from backend.services.account.model.session import DeviceKind


class NoticeDetails(Struct, frozen=True):
    """A notice to the caller, in both languages; it is deleted at `kept_until`."""

    id: str
    text: Text
    at: datetime
    read: bool
    kept_until: datetime


class NoticeList(Struct, frozen=True):
    """Notices, newest first, how many are unread in all, and the cursor of the next page; None after the last page."""

    notices: list[NoticeDetails]
    unread: int
    cursor: str | None


class ReadUpTo(Struct, forbid_unknown_fields=True):
    """The id of the newest notice that the caller has seen: it and all older ones become read."""

    up_to: Annotated[str, Meta(min_length=1, max_length=64)]


class UnreadNotices(Struct, frozen=True):
    """How many notices the caller has not read."""

    unread: int


class SessionDetails(Struct, frozen=True):
    """A device that is signed in; `current` marks the one that sends this request.

    Its app has named the device. Sessions of earlier editions do not know when they began.
    """

    id: str
    current: bool
    device_name: str
    device_kind: DeviceKind
    created: datetime | None
    last_used: datetime | None
    expires_at: datetime


class SessionList(Struct, frozen=True):
    """The devices on which the caller is signed in, the one that was used last first."""

    sessions: list[SessionDetails]


class ExportedRecords(Struct, frozen=True):
    """The records of one kind, with its title, how to have them corrected, and how long they are `kept`."""

    service: str
    kind: str
    title: Text
    correct: Text
    kept: Text
    records: list[dict[str, Any]]


class PersonalExport(Struct, frozen=True):
    """All that the city holds on the caller, in every service."""

    exported_at: datetime
    account: str
    person: str | None
    parts: list[ExportedRecords]


class ClosurePreview(Struct, frozen=True):
    """What must be settled before the caller can close their account, and what would be kept afterwards, and why."""

    open: list[OpenMatterOf]
    kept: list[KeptRecords]


class AccountClosed(Struct, frozen=True):
    """The account is closed. Data are erased at `erased_at`, except for what is kept, with the reason and the end."""

    closed_at: datetime
    erased_at: datetime
    kept: list[KeptRecords]
