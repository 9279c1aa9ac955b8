"""Documents for the tests of the stores: letters in boxes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import ClassVar, TypeVar

from backend.store import Document, Index, Store
from backend.store.due import SweepLeases
from backend.store.retention import Period, Retention

T = TypeVar("T")
Open = Callable[[], Store]
"""Opens the store of a test; reopened, it still has its documents."""


class Letter(Document):
    """A letter in a box. The stamp is unique, and so is the number among the letters of a sender."""

    collection: ClassVar[str] = "letters"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("box",), ordered="sent_ms"),
        Index(("box", "read")),
        Index((), ordered="sent_ms"),
        Index(("stamp",), unique=True),
        Index(("sender", "number"), unique=True),
    )

    box: str = "a"
    sent_ms: int | None = 0
    read: bool = False
    stamp: str | None = None
    sender: str | None = None
    number: int | None = None
    text: str = ""


class Postcard(Document):
    """A second collection, of documents that expire."""

    collection: ClassVar[str] = "postcards"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    expires_ms: int | None = None


LAWS = (Period(date(2020, 1, 1), 30, "the first law"), Period(date(2022, 1, 1), 10, "the second law"))


class Ticket(Document, kw_only=True):
    """A tram ticket."""

    collection: ClassVar[str] = "tickets"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="at_ms"),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each ride", ends="some days later", names="nobody", field="at_ms", periods=LAWS
    )

    at_ms: int
    fined: bool = False


KINDS = [Letter, Postcard, Ticket, SweepLeases]
NOBODY = "mongodb://127.0.0.1:9/?directConnection=true"
"""An address at which no MongoDB answers."""


class At:
    """The context of a sweep: a store, at an instant."""

    def __init__(self, store: Store, instant: datetime) -> None:
        self.store = store
        self.instant = instant

    def now(self) -> datetime:
        return self.instant


def work_on(opened: Open, work: Callable[[Store], Awaitable[T]]) -> T:
    """Open a store, run `work` in a new event loop, and close the store."""

    async def run_work() -> T:
        store = opened()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run_work())
