"""Notices to people: each is kept for its reader, once per event, and pushed to phones where a provider is connected.

A service calls `notify` before it marks its own event as done, and repeats the call after a crash. The kept notice is
the delivery. Pushing it to a phone is a saga of its own, so no service waits for a provider or fails with it.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import ClassVar, Literal

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import Notifications, UpstreamRejected, UpstreamTimeout, with_timeout
from backend.i18n import Text
from backend.jobs.saga import DUE, Decision, Saga, SagaDocument, backoff
from backend.jobs.tasks import TaskReference
from backend.store import Duplicate, Index, Order, Page
from backend.store.paging import find_pages
from backend.store.query import Cursors
from backend.store.retention import Period, Retention
from backend.store.time import to_ms
from backend.store.update import update_document

PUSH_TIMEOUT = timedelta(seconds=30)
"""A notice that is not pushed by then was interrupted, and is due for the sweep."""

MAX_PUSH_AGE = timedelta(days=1)
"""A push that comes later than this would surprise more than it helps; the kept notice remains."""

NEWEST = Order("at_ms", "descending")

PUSH = TaskReference("account.push_notice")


class Notice(SagaDocument, kw_only=True):
    """A notice to a `recipient`, the id of a Person or of an Account; its `id` is derived from the event.

    `push` is `waiting` until a provider has accepted or refused it; without a provider it waits and is never due.
    """

    collection: ClassVar[str] = "notices"
    indexes: ClassVar[tuple[Index, ...]] = (
        DUE,
        Index(("recipient",), ordered="at_ms"),
        Index(("recipient", "read"), ordered="at_ms"),
        Index((), ordered="at_ms"),
    )

    retention: ClassVar[Retention] = Retention(
        grows_with="each notice",
        ends="half a year after it was sent, or when the account is closed",
        names="a person",
        field="at_ms",
        periods=(Period(date(2016, 1, 1), 180, "[A] long enough for any appeal, which ends within 60 days"),),
    )

    recipient: str
    text: Text
    at_ms: int
    read: bool = False
    push: Literal["waiting", "done", "abandoned"] = "waiting"


async def notify(city: City, recipient: str, event: str, text: Text) -> None:
    """Keep a notice of an event for a recipient, once, and have it pushed to their phone.

    `recipient` is the id of a Person, or of an Account without one. `event` names the event in the whole city, such as
    `visits/<id>/bill/0`; repeating it changes nothing.
    """
    now = city.now()
    notice = Notice(id=_notice_id(recipient, event), recipient=recipient, text=text, at_ms=to_ms(now))
    try:
        notice = await city.store.insert(_schedule(notice, now, _is_pushed(city, now)))
    except Duplicate:
        return
    if notice.due_ms is not None:
        await PUSH.enqueue(city.jobs, notice.id)


async def notices_of(city: City, recipients: Sequence[str], cursor: str | None, limit: int) -> Page[Notice]:
    """Return the notices of a person and their account, newest first. Raises InvalidCursor."""
    cursors = Cursors(Notice, {"recipient": " ".join(recipients)}, NEWEST)
    after = None if cursor is None else cursors.read(cursor)
    pages = [
        await city.store.find(
            Notice,
            {"recipient": recipient},
            order=NEWEST,
            cursor=after and Cursors(Notice, {"recipient": recipient}, NEWEST).write(*after),
            limit=limit,
        )
        for recipient in recipients
    ]
    found = sorted((one for page in pages for one in page.documents), key=lambda one: (one.at_ms, one.id), reverse=True)
    shown, more = found[:limit], len(found) > limit or any(page.cursor is not None for page in pages)
    return Page(shown, cursors.write(shown[-1].at_ms, shown[-1].id) if more else None)


async def count_unread(city: City, recipients: Sequence[str]) -> int:
    """Return how many notices these recipients have not read."""
    return sum([await city.store.count(Notice, {"recipient": one, "read": False}) for one in recipients])


async def mark_read(city: City, notice_id: str) -> None:
    """Mark a notice as read, if it still exists."""
    await update_document(
        city.store,
        lambda: city.store.get(Notice, notice_id),
        lambda notice: notice if notice.read else replace(notice, read=True),
    )


async def mark_read_up_to(city: City, recipients: Sequence[str], newest: Notice) -> None:
    """Mark a notice and all older ones of these recipients as read."""
    older = Order("at_ms", below=newest.at_ms + 1)
    for recipient in recipients:
        async for unread in find_pages(city.store, Notice, {"recipient": recipient, "read": False}, older):
            await asyncio.gather(*(mark_read(city, notice.id) for notice in unread))


def _notice_id(recipient: str, event: str) -> str:
    return hashlib.sha256(f"{recipient}\n{event}".encode()).hexdigest()[:32]


def _is_pushed(city: City, _now: datetime) -> bool:
    """Return whether a provider is connected that pushes notices to phones."""
    return city.ports.get(Notifications) is not None


def _next_step(notice: Notice, now: datetime, is_pushed: bool) -> Literal["push", "abandon"] | None:
    if notice.push != "waiting" or not is_pushed:
        return None
    if to_ms(now - MAX_PUSH_AGE) > notice.at_ms:
        return "abandon"
    is_due = notice.failures == 0 or (notice.due_ms is not None and notice.due_ms <= to_ms(now))
    return "push" if is_due else None


def _schedule(notice: Notice, now: datetime, is_pushed: bool) -> Notice:
    due_ms = notice.at_ms + PUSH_TIMEOUT // timedelta(milliseconds=1)
    if notice.failures > 0:
        due_ms = to_ms(now + backoff(notice.failures))
    scheduled = due_ms if is_pushed and notice.push == "waiting" else None
    return notice if notice.due_ms == scheduled else replace(notice, due_ms=scheduled)


async def _push(city: City, notice: Notice, _now: datetime) -> Notice:
    """Push a notice to the recipient's phone; an interrupted push is repeated with the same id."""
    try:
        await with_timeout(city.port(Notifications).notify(notice.id, notice.recipient, notice.text))
    except UpstreamRejected:
        return replace(notice, push="abandoned")
    return replace(notice, push="done")


def _abandon(notice: Notice, _now: datetime, _is_pushed: bool) -> Notice:
    return replace(notice, push="abandoned")


pushes: Saga[City, Notice, bool, Literal["push", "abandon"]] = Saga(
    kind=Notice,
    next_step=_next_step,
    schedule=_schedule,
    terms=_is_pushed,
    steps={"push": _push, "abandon": Decision(_abandon)},
    task=PUSH,
    unavailable=(UpstreamTimeout,),
)
"""Push notices to phones, until the provider accepts them."""
