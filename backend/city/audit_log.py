"""The audit log: who did what, in which role, when, to what and why.

An act and its entry are one write: the document that the act changes holds it, as one of its `acts`, until a sweep has
made it an entry of the log. An act that changes no document, such as reading another person's record, becomes an
entry before the answer is given. Entries hold opaque ids and keyed hashes only, so that the log stays valid when a
person is erased. `audit_chain` chains the entries.
"""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import ClassVar, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import asdict, replace

from backend.city.service import City
from backend.jobs.saga import SagaDocument
from backend.security.identity import Caller
from backend.store import Document, Duplicate, Index, Order
from backend.store.due import process_all
from backend.store.paging import find_pages
from backend.store.retention import Retention
from backend.store.time import to_ms
from backend.store.update import update_document

UNLOGGED = Index((), ordered="acts_due_ms")
"""Every audited document declares this index, by which a sweep finds acts that are not entries yet."""

CITY = "city"
"""The account, and the role, of what is done by a command on the city's own machine, or by the city itself."""


class Act(Struct, frozen=True, kw_only=True):
    """An act of an account in a role, or of the city itself (`account` and `role` are then "city").

    `action` is `<service>.<what was done>`, such as `account.roles_granted`. `about` is the opaque id or the keyed hash
    of what was touched, `person` the id of the Person whose record it is, if there is one; the person sees the act.
    `reason` is a word or the keyed hash of a text.
    """

    id: str
    at: datetime
    action: str
    account: str
    role: str
    about: str
    reason: str = ""
    person: str = ""


class AuditedDocument(Document, kw_only=True):
    """A document that holds the acts that changed it, until the audit log has them. It is not deleted before."""

    acts: tuple[Act, ...] = ()
    acts_due_ms: int | None = None

    def deletable(self) -> bool:
        """Return whether the log has all acts."""
        return not self.acts


class AuditedSaga(SagaDocument, kw_only=True):
    """A document of a saga that holds the acts that changed it, like an AuditedDocument."""

    acts: tuple[Act, ...] = ()
    acts_due_ms: int | None = None

    def deletable(self) -> bool:
        """Return whether the log has all acts."""
        return not self.acts


Audited = AuditedDocument | AuditedSaga


class AuditEntry(Document, kw_only=True):
    """An act in the log; its `id` is that of the act. Entries are kept for ever, and never changed once chained.

    `subject` is the person whom the act concerns, or else what it touched. `sort_key` orders entries by time, `day` is
    their day in the city. The entry is in the `block` with that number, and until then waits at `unchained_ms`.
    """

    collection: ClassVar[str] = "audit_entries"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index((), ordered="unchained_ms"),
        Index(("subject",), ordered="sort_key"),
        Index(("account",), ordered="sort_key"),
        Index(("action",), ordered="sort_key"),
        Index(("day",), ordered="sort_key"),
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each act of staff, each change of a record and each read of it by others",
        ends="never: the log proves that nothing was removed; entries hold opaque ids and keyed hashes only",
        names="a person",
    )

    at: datetime
    action: str
    account: str
    role: str
    about: str
    reason: str
    person: str
    subject: str
    sort_key: str
    day: str
    unchained_ms: int | None
    block: int | None = None


A = TypeVar("A", bound=Audited)


def new_act(
    city: City, caller: Caller, role: str, action: str, about: str, reason: str = "", *, person: str = ""
) -> Act:
    """Return an act of the caller, now."""
    return Act(
        id=secrets.token_urlsafe(12),
        at=city.now(),
        action=action,
        account=caller.account_id,
        role=role,
        about=about,
        reason=reason,
        person=person,
    )


def city_act(action: str, about: str, at: datetime, reason: str = "", *, act_id: str = "") -> Act:
    """Return an act of the city itself, or of a person who runs a command on its machine."""
    return Act(
        id=act_id or secrets.token_urlsafe(12),
        at=at,
        action=action,
        account=CITY,
        role=CITY,
        about=about,
        reason=reason,
    )


def with_act(document: A, act: Act) -> A:
    """Return a document with one more act, to be stored in the same write as the change that it records."""
    assert UNLOGGED in document.indexes, f"{type(document).__name__} declares the index UNLOGGED"
    return replace(document, acts=(*document.acts, act), acts_due_ms=document.acts_due_ms or to_ms(act.at))


def with_acts(document: A, acts: Sequence[Act]) -> A:
    """Return a document with several more acts."""
    for act in acts:
        document = with_act(document, act)
    return document


async def record_act(city: City, act: Act) -> None:
    """Store the entry of an act that changes no document, before the answer is given. It may be stored again."""
    await _store_entry(city, act)


async def log_acts(city: City, document: A) -> A:
    """Make the acts of a document entries of the log, each once, and return the document without them.

    Code that deletes an audited document calls this first.
    """
    logged = document.acts
    await asyncio.gather(*(_store_entry(city, act) for act in logged))
    cleared = await update_document(
        city.store,
        lambda: city.store.get(type(document), document.id),
        lambda found: _without(found, logged),
        document,
    )
    return document if cleared is None else cleared


def _without(document: A, logged: Sequence[Act]) -> A:
    left = tuple(act for act in document.acts if act not in logged)
    if len(left) == len(document.acts):
        return document
    return replace(document, acts=left, acts_due_ms=to_ms(left[0].at) if left else None)


async def log_all_acts(city: City) -> None:
    """Make the acts of all documents entries of the log, the oldest first, until none is left."""
    for kind in audited_kinds(city):
        await log_acts_of(city, kind)


async def log_acts_of(city: City, kind: type[Audited]) -> None:
    """Make the acts of all documents of a kind entries of the log; a sweep that deletes them calls this first."""
    async for page in find_pages(city.store, kind, {}, Order("acts_due_ms")):  # no lease may delay an act
        await process_all(page, partial(log_acts, city), max_concurrent=len(page))


def audited_kinds(city: City) -> list[type[Audited]]:
    """Return the kinds of the documents that hold acts."""
    audited = [kind for kind in city.documents if issubclass(kind, Audited)]
    return [kind for kind in audited if UNLOGGED in kind.indexes]


async def _store_entry(city: City, act: Act) -> None:
    with suppress(Duplicate):  # a process stored it, and died before it cleared the document
        await city.store.insert(entry_of(act, ZoneInfo(city.settings.time_zone), city.now()))


def entry_of(act: Act, zone: ZoneInfo, now: datetime) -> AuditEntry:
    """Return the entry of an act, not yet chained."""
    return AuditEntry(
        **asdict(act),
        subject=act.person or act.about,
        sort_key=f"{to_ms(act.at):015}-{act.id}",
        day=act.at.astimezone(zone).date().isoformat(),
        unchained_ms=to_ms(now),
    )


def act_of(entry: AuditEntry) -> Act:
    """Return the act of an entry."""
    return Act(**{name: getattr(entry, name) for name in Act.__struct_fields__})
