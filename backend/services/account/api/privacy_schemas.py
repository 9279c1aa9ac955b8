"""Requests and responses about notices, sessions and a person's own data."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from backend.i18n import Text


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
