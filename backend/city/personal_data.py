"""What the city holds on a person: each service declares its records, and how they are exported, kept and erased.

A service declares `Service(personal_data=PersonalData(...))` with one PersonalRecords for each kind of document that
is about a person. A test refuses a kind that names a person and is not declared.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from msgspec import Struct

from backend.i18n import Text
from backend.store import Document, Index, Order
from backend.store.paging import find_all

if TYPE_CHECKING:
    from backend.city.service import City

D = TypeVar("D", bound=Document)

INTERNAL = frozenset({"revision", "due_ms", "failures", "acts", "acts_due_ms"})
"""Fields that describe the storage of a document, and not a person."""

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""Records that are kept until then have no end."""

NOT_CORRECTED = Text(zh="记录已发生的事实，不作更正。", en="It records what happened, and is not corrected.")


class Subject(Struct, frozen=True):
    """A person who uses the city: the id of their account, and that of their Person once their identity is verified."""

    account: str
    person: str | None


class OpenMatter(Struct, frozen=True):
    """What must be settled before an account is closed; `amount_fen` is the money that is open, if known."""

    text: Text
    amount_fen: int | None = None


Find = Callable[["City", Subject], AsyncIterator[D]]
KeepUntil = Callable[["City", D, datetime], Awaitable[datetime | None]]


async def _erase(_city: "City", _document: Any, _now: datetime) -> datetime | None:  # noqa: ANN401  any document
    return None


async def by_retention(_city: "City", document: Document, now: datetime) -> datetime | None:
    """Keep a document until its retention ends, and erase it if it has no date."""
    retention = document.retention
    at_ms = getattr(document, retention.ends_at or retention.field or "")
    if at_ms is None:
        return None
    until = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return until if retention.ends_at is not None else until + retention.length(now)


async def once_settled(city: "City", document: Any, now: datetime) -> datetime | None:  # noqa: ANN401  any of money
    """Keep a document until its retention ends, and for another month if it is not settled by then."""
    until = await by_retention(city, document, now)
    return until if document.is_settled() else max(until or now, now + timedelta(days=30))


async def forever(_city: "City", _document: Document, _now: datetime) -> datetime | None:
    """Keep a document for good."""
    return FOREVER


class PersonalRecords(Struct, frozen=True, kw_only=True):
    """The documents of one kind about a person.

    `find(city, subject)` yields them. In an export, fields of `hidden` are left out and those of `encrypted` decrypted.
    `correct` says how a person has them corrected. Once the account is closed, a document stays until the instant that
    `keep_until(city, document, now)` returns, for the `reason`; if there is none, it is erased. `reduced(document)`
    returns what must stay of it, the same object if all of it.
    """

    kind: type[Document]
    title: Text
    find: "Find[Any]"
    correct: Text = NOT_CORRECTED
    hidden: Sequence[str] = ()
    encrypted: Sequence[str] = ()
    keep_until: "KeepUntil[Any]" = _erase
    reason: Text = Text(zh="", en="")
    reduced: Callable[[Any], Document] = lambda document: document

    def shown(self, city: "City", document: Document) -> dict[str, Any]:
        """Return a document as it is exported."""
        values: dict[str, Any] = msgspec.to_builtins(document)
        shown = {name: value for name, value in values.items() if name not in INTERNAL and name not in self.hidden}
        for name in self.encrypted:
            if shown.get(name) is not None:
                shown[name] = city.encryption.read(document, name)
        return shown


async def _nothing_open(_city: "City", _subject: Subject) -> list[OpenMatter]:
    return []


class PersonalData(Struct, frozen=True, kw_only=True):
    """What a service holds on a person.

    `open_matters(city, subject)` returns what keeps an account from being closed. `end(city, subject)` ends what the
    person has with the service before the account is closed, and returns what prevents it. Then `records` are erased
    in their order.
    """

    records: Sequence[PersonalRecords]
    open_matters: "Callable[[City, Subject], Awaitable[list[OpenMatter]]]" = _nothing_open
    end: "Callable[[City, Subject], Awaitable[list[OpenMatter]]]" = _nothing_open


def personal_data_of(city: "City") -> dict[str, PersonalData]:
    """Return what each service holds on a person, by the name of the service."""
    return cast("dict[str, PersonalData]", city.personal_data)


def of_person(kind: type[D]) -> "Find[D]":
    """Find the document whose id is that of the Person."""

    async def find(city: "City", subject: Subject) -> AsyncIterator[D]:
        found = None if subject.person is None else await city.store.get(kind, subject.person)
        if found is not None:
            yield found

    return find


def naming_person(kind: type[D], field: str) -> "Find[D]":
    """Find the documents whose indexed field is the id of the Person."""
    ordered = _order_of(kind, field)

    async def find(city: "City", subject: Subject) -> AsyncIterator[D]:
        if subject.person is not None:
            async for document in find_all(city.store, kind, {field: subject.person}, ordered):
                yield document

    return find


def naming_account(kind: type[D], field: str) -> "Find[D]":
    """Find the documents whose indexed field is the id of the account."""
    ordered = _order_of(kind, field)

    async def find(city: "City", subject: Subject) -> AsyncIterator[D]:
        async for document in find_all(city.store, kind, {field: subject.account}, ordered):
            yield document

    return find


def _order_of(kind: type[Document], field: str) -> Order | None:
    index: Index = next(one for one in kind.indexes if one.fields == (field,))
    return None if index.ordered is None else Order(index.ordered)
