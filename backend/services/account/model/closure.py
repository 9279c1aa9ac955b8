"""Closing an account: a document, and the decisions on it."""

from datetime import datetime, timedelta
from typing import ClassVar, Literal

from msgspec.structs import replace

from backend.jobs.saga import DUE, SagaDocument, backoff
from backend.problems import Problem
from backend.store import Index
from backend.store.retention import Retention
from backend.store.time import to_ms

INTERRUPTED = timedelta(seconds=30)
"""A closing whose access is not ended by then was interrupted, and is due for the sweep."""

TOKEN_MARGIN = timedelta(minutes=1)
"""Data are erased this long after the last access token has expired, so that no request finds them half erased."""


class MattersOpen(Problem):
    """The account cannot be closed yet; `open` lists what must be settled first, by service."""

    status, title, title_zh = 409, "Matters open", "尚有未了事项"


class Closure(SagaDocument, kw_only=True):
    """The closing of an account; its `id` is that of the account, and `person` the id of its Person.

    First the `access` ends. Data are erased at `erase_ms`, when no token is valid any more, and again whenever the
    period of a kept record ends. The document is deleted when nothing is left.
    """

    collection: ClassVar[str] = "account_closures"
    indexes: ClassVar[tuple[Index, ...]] = (DUE,)
    retention: ClassVar[Retention] = Retention(
        grows_with="each account that is closed",
        ends="when the last kept record of the person is erased",
        names="a person",
    )

    person: str | None
    requested_at: datetime
    erase_ms: int
    access: Literal["open", "ended"] = "open"


ClosureStep = Literal["end_access", "erase"]


def next_step(closure: Closure, now: datetime, _terms: None) -> ClosureStep | None:
    """Return the step of a closing that is due."""
    if closure.access == "open":
        return "end_access"
    return "erase" if closure.erase_ms <= to_ms(now) else None


def schedule(closure: Closure, now: datetime, _terms: None) -> Closure:
    """Set when a sweep resumes a closing."""
    due_ms = closure.erase_ms if closure.access == "ended" else to_ms(closure.requested_at + INTERRUPTED)
    if closure.failures > 0:
        due_ms = to_ms(now + backoff(closure.failures))
    return closure if closure.due_ms == due_ms else replace(closure, due_ms=due_ms)
