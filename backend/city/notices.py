"""Notices to people: each is kept for its reader, once per event, and pushed to phones where a provider is connected.

A service calls `notify` before it marks its own event as done, and repeats the call after a crash. The kept notice is
the delivery. Pushing it to a phone is a saga of its own, so no service waits for a provider or fails with it.
"""

import hashlib
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import Notifications, UpstreamRejected, UpstreamTimeout, with_timeout
from backend.i18n import Text
from backend.jobs.saga import DUE, Decision, Saga, SagaDocument, backoff
from backend.jobs.tasks import TaskReference
from backend.store import Duplicate, Index
from backend.store.time import to_ms

PUSH_TIMEOUT = timedelta(seconds=30)
"""A notice that is not pushed by then was interrupted, and is due for the sweep."""

MAX_PUSH_AGE = timedelta(days=1)
"""A push that comes later than this would surprise more than it helps; the kept notice remains."""

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
