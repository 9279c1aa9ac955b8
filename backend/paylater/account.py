"""A person's agreement to pay later, and what they owe: one Document per person."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import ClassVar, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from backend.city.service import City
from backend.i18n import Text
from backend.paylater.credit_line import CreditLine
from backend.paylater.problems import NotEnrolled, OutstandingBalance
from backend.store import Document
from backend.store.update import create_or_update

MAX_BREACHES = 50


class RecordedBreach(Struct, frozen=True, gc=False):
    """A breach: at `at`, the bill of this Billable was still unpaid after the agreed number of debits.

    It has a default because migrations of an earlier format pass the validator before `bill` is filled.
    """

    at: datetime
    bill: str = ""


class Account(Document, kw_only=True):
    """A person's account for paying later; its `id` is that of the Person.

    `agreement` is the version they consented to at `consented_at`. `paid_on_time_at` is when a bill was last paid on
    time after a breach. `credit` has a line for each purpose that was used. A service names the collection.
    """

    not_enrolled: ClassVar[Text]
    outstanding: ClassVar[Text]

    agreement: str
    consented_at: datetime
    automatic_debit: bool
    closed_at: datetime | None = None
    breaches: tuple[RecordedBreach, ...] = ()
    paid_on_time_at: datetime | None = None
    credit: dict[str, CreditLine] = field(default_factory=dict[str, CreditLine])

    def has_debt(self) -> bool:
        """Return whether any bill may be unpaid."""
        return any(hold.owed_fen() > 0 for line in self.credit.values() for hold in line.holds)

    def consecutive_breaches(self) -> list[RecordedBreach]:
        """Return the breaches since the last bill that was paid on time, oldest first."""
        since = self.paid_on_time_at
        return [one for one in self.breaches if since is None or one.at > since]


A = TypeVar("A", bound=Account)


def with_breach(account: A, breach: RecordedBreach) -> A:
    """Record a breach once."""
    if breach in account.breaches:
        return account
    return replace(account, breaches=(*account.breaches, breach)[-MAX_BREACHES:])


def with_payment_on_time(account: A, now: datetime) -> A:
    """Record that a bill was paid on time, so that earlier breaches are no longer consecutive."""
    return replace(account, paid_on_time_at=now) if account.consecutive_breaches() else account


async def open_account(city: City, kind: type[A], person: str) -> A:
    """Return a person's account. Raises NotEnrolled if there is none or it is closed."""
    account = await city.store.get(kind, person)
    if account is None or account.closed_at is not None:
        raise NotEnrolled(kind.not_enrolled)
    return account


async def close_account(city: City, kind: type[A], person: str, is_in_progress: Callable[[], Awaitable[bool]]) -> None:
    """Close a person's account; it can be opened again. Raises NotEnrolled or OutstandingBalance."""
    now, account = city.now(), await open_account(city, kind, person)
    closed = await create_or_update(city.store, account, lambda known: replace(known, closed_at=now))
    # Close first and check then, so that nothing that begins meanwhile is missed.
    lines = closed.credit.values()
    owed_fen = sum(line.used_fen() + line.held_fen(now) + line.over_limit_fen(now) for line in lines)
    if owed_fen or await is_in_progress():
        await create_or_update(city.store, closed, lambda account: replace(account, closed_at=None))
        raise OutstandingBalance(kind.outstanding, owed_fen=owed_fen)
