"""Close accounts: end the access at once, then erase what no law or open matter keeps, in every service."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from backend.city.ended_access import end_access
from backend.city.person import Person
from backend.city.personal_data import FOREVER, personal_data_of
from backend.city.service import City, PersonalData, PersonalRecords, Subject
from backend.i18n import Text
from backend.jobs.saga import Saga
from backend.jobs.tasks import TaskReference
from backend.security.identity import access_keys
from backend.services.account.model.account import Account
from backend.services.account.model.closure import (
    TOKEN_MARGIN,
    Closure,
    ClosureStep,
    MattersOpen,
    next_step,
    schedule,
)
from backend.services.account.model.session import Session
from backend.store import Document, Duplicate, Order
from backend.store.paging import find_all
from backend.store.time import to_ms
from backend.store.update import delete_unless_changed, replace_unless_changed, retry_on_conflict

MIN_PAUSE, MAX_PAUSE = timedelta(hours=1), timedelta(days=30)
"""Kept records are examined again when the first of their periods ends, within these bounds."""


class ActsUnlogged(Exception):
    """The account holds acts that the audit log takes over within seconds; the next sweep deletes it."""


class OpenMatterOf(Struct, frozen=True):
    """What must be settled with a service before an account is closed; `amount_fen` is the money that is open."""

    service: str
    text: Text
    amount_fen: int | None


class KeptRecords(Struct, frozen=True):
    """Records of one kind that stay once an account is closed, why, and until when; None means for good."""

    service: str
    title: Text
    reason: Text
    until: datetime | None


async def open_matters(city: City, subject: Subject) -> list[OpenMatterOf]:
    """Return what must be settled before an account is closed."""
    return [
        OpenMatterOf(service, matter.text, matter.amount_fen)
        for service, data in _personal_data(city)
        for matter in await data.open_matters(city, subject)
    ]


async def _end_services(city: City, subject: Subject) -> list[OpenMatterOf]:
    """End what a person has with the services; return what began meanwhile and prevents it."""
    return [
        OpenMatterOf(service, matter.text, matter.amount_fen)
        for service, data in _personal_data(city)
        for matter in await data.end(city, subject)
    ]


async def kept_records(city: City, subject: Subject) -> list[KeptRecords]:
    """Return what stays once an account is closed now."""
    now, kept = city.now(), list[KeptRecords]()
    for service, records in _records(city):
        ends = [await records.keep_until(city, one, now) async for one in records.find(city, subject)]
        until = max((end for end in ends if end is not None and end > now), default=None)
        if until is not None:
            kept.append(_kept(service, records, until))
    ends = [one.until for one in kept if one.until is not None]
    if subject.person is not None and ends:
        identity = next((service, records) for service, records in _all_records(city) if records.kind is Person)
        kept.append(_kept(*identity, max(ends)))
    return kept


def _kept(service: str, records: PersonalRecords, until: datetime) -> KeptRecords:
    return KeptRecords(service, records.title, records.reason, None if until == FOREVER else until)


async def close_account(city: City, subject: Subject) -> Closure:
    """Close an account; repeating it changes nothing. Raises MattersOpen."""
    known = await city.store.get(Closure, subject.account)
    if known is None:
        matters = await open_matters(city, subject) or await _end_services(city, subject)
        if matters:
            raise MattersOpen(
                zh="账户暂时不能注销，请先办结以下事项。",
                en="The account cannot be closed yet; settle these matters first.",
                open=matters,
            )
        now = city.now()
        tokens_end = now + timedelta(seconds=city.settings.access_token_seconds) + TOKEN_MARGIN
        known = await closures.start(
            city, Closure(id=subject.account, person=subject.person, requested_at=now, erase_ms=to_ms(tokens_end))
        )
    return await closures.run(city, known) or known


# ── steps ──


async def _end_access(city: City, closure: Closure, _now: datetime) -> Closure:
    """End the sessions of the account, and delete it: nobody can sign in to it again."""
    sessions = find_all(city.store, Session, {"account_id": closure.id}, Order("expires_ms"))
    for session in [session async for session in sessions]:
        await _delete(city, Session, session.id)
        await end_access(city, access_keys(closure.id, session.id, None)[0])
    await _delete(city, Account, closure.id)
    return replace(closure, access="ended", failures=0)


async def _delete(city: City, kind: type[Document], document_id: str) -> None:
    """Delete a document if it exists, even if it is changed at the same time."""

    async def delete() -> None:
        document = await city.store.get(kind, document_id)
        if document is not None and not document.deletable():
            raise ActsUnlogged(f"{kind.collection}/{document_id} holds acts that the audit log does not have yet")
        if document is not None:
            await city.store.delete(document)

    await retry_on_conflict(delete)


async def _erase(city: City, closure: Closure, now: datetime) -> Closure | None:
    """Erase all that is not kept. Returns None once nothing is left."""
    person = closure.person
    if person is not None and await _holder_of(city, person) is not None:
        person = None  # the same person came back with another account, which their records belong to now
    subject, ends = Subject(closure.id, person), list[datetime]()
    for _, records in _records(city):
        async for document in records.find(city, subject):
            until = await records.keep_until(city, document, now)
            if until is None or until <= now:
                until = None if await delete_unless_changed(city.store, document) else now
            elif (reduced := records.reduced(document)) is not document:
                until = until if await replace_unless_changed(city.store, reduced) else now
            if until is not None and until != FOREVER:
                ends.append(until)
    if ends:
        again = min(max(min(ends), now + MIN_PAUSE), now + MAX_PAUSE)
        return replace(closure, erase_ms=to_ms(again), failures=0)
    if person is not None:
        await _erase_person(city, person)
    await city.store.delete(closure)
    return None


async def _erase_person(city: City, person_id: str) -> None:
    """Delete a Person of whom nothing is kept, and restore it if they verify their identity again meanwhile."""
    person = await city.store.get(Person, person_id)
    if person is None:
        return
    await delete_unless_changed(city.store, person)
    if await _holder_of(city, person_id) is not None:
        try:
            await city.store.insert(replace(person, revision=0))
        except Duplicate:
            return  # it was changed meanwhile, and not deleted


async def _holder_of(city: City, person: str) -> Account | None:
    page = await city.store.find(Account, {"citizen_id": person}, limit=1)
    return page.documents[0] if page.documents else None


def _personal_data(city: City) -> list[tuple[str, PersonalData]]:
    """Return what each service holds on a person, in the order of closing: the account goes last."""
    return sorted(
        personal_data_of(city).items(), key=lambda named: any(records.kind is Account for records in named[1].records)
    )


def _all_records(city: City) -> Iterator[tuple[str, PersonalRecords]]:
    return ((service, records) for service, data in _personal_data(city) for records in data.records)


def _records(city: City) -> Iterator[tuple[str, PersonalRecords]]:
    """Yield the records of all services that are erased one by one: the Person and the Closure go last."""
    return ((service, records) for service, records in _all_records(city) if records.kind not in (Person, Closure))


def _no_terms(_city: City, _now: datetime) -> None:
    return None


closures: Saga[City, Closure, None, ClosureStep] = Saga(
    kind=Closure,
    next_step=next_step,
    schedule=schedule,
    terms=_no_terms,
    steps={"end_access": _end_access, "erase": _erase},
    task=TaskReference("account.resume_closure"),
    unavailable=(ActsUnlogged,),
)
"""Close accounts."""
