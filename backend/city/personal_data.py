"""What the city holds on a person: each service declares its records, and how they are exported, kept and erased.

A service declares `Service(personal_data=PersonalData(...))` with one PersonalRecords for each kind of document that
is about a person. A test refuses a kind that names a person and is not declared.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from backend.city.service import City, Find, PersonalData, Subject
from backend.store import Document, Index, Order
from backend.store.paging import find_all
from backend.store.time import from_ms

D = TypeVar("D", bound=Document)

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""Records that are kept until then have no end."""


async def by_retention(_city: City, document: Document, now: datetime) -> datetime | None:
    """Keep a document until its retention ends, and erase it if it has no date."""
    retention = document.retention
    at_ms = getattr(document, retention.ends_at or retention.field or "")
    if at_ms is None:
        return None
    until = from_ms(at_ms)
    return until if retention.ends_at is not None else until + retention.length(now)


async def once_settled(city: City, document: Any, now: datetime) -> datetime | None:  # noqa: ANN401  any of money
    """Keep a document until its retention ends, and for another month if it is not settled by then."""
    until = await by_retention(city, document, now)
    return until if document.is_settled() else max(until or now, now + timedelta(days=30))


async def forever(_city: City, _document: Document, _now: datetime) -> datetime | None:
    """Keep a document for good."""
    return FOREVER


def personal_data_of(city: City) -> dict[str, PersonalData]:
    """Return what each service holds on a person, by the name of the service."""
    return cast("dict[str, PersonalData]", city.personal_data)


def of_person(kind: type[D]) -> Find:
    """Find the document whose id is that of the Person."""

    async def find(city: City, subject: Subject) -> AsyncIterator[D]:
        found = None if subject.person is None else await city.store.get(kind, subject.person)
        if found is not None:
            yield found

    return find


def naming_person(kind: type[D], field: str) -> Find:
    """Find the documents whose indexed field is the id of the Person."""
    ordered = _order_of(kind, field)

    async def find(city: City, subject: Subject) -> AsyncIterator[D]:
        if subject.person is not None:
            async for document in find_all(city.store, kind, {field: subject.person}, ordered):
                yield document

    return find


def naming_account(kind: type[D], field: str) -> Find:
    """Find the documents whose indexed field is the id of the account."""
    ordered = _order_of(kind, field)

    async def find(city: City, subject: Subject) -> AsyncIterator[D]:
        async for document in find_all(city.store, kind, {field: subject.account}, ordered):
            yield document

    return find


def _order_of(kind: type[Document], field: str) -> Order | None:
    index: Index = next(one for one in kind.indexes if one.fields == (field,))
    return None if index.ordered is None else Order(index.ordered)
