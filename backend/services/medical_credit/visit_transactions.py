"""Store several visits, all or none: the saga of a transaction, which a sweep resumes after a crash."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from backend.city.service import City
from backend.jobs.saga import Saga
from backend.jobs.tasks import TaskReference
from backend.services.medical_credit.hospital_commands import save_visit
from backend.services.medical_credit.model.problems import TransactionTooLarge
from backend.services.medical_credit.model.visit import MAX_EVENTS, Visit
from backend.services.medical_credit.model.visit_transaction import (
    MAX_LINES_TOGETHER,
    VisitChange,
    VisitTransaction,
)
from backend.store import Conflict, Duplicate
from backend.store.time import to_ms

RESUMED_AFTER = timedelta(seconds=5)
"""A transaction that is still there by then was interrupted."""

_log = logging.getLogger("chengma.medical_credit")


async def save_visits(city: City, changes: Sequence[tuple[Visit | None, Visit]]) -> dict[str, Visit]:
    """Store the changed visits, all or none, and return all visits by id.

    Raises Conflict or Duplicate if another writer changed one of them since it was read, and TransactionTooLarge.
    """
    changed = [(before, after) for before, after in changes if after is not before]
    if len(changed) <= 1:
        saved = [await save_visit(city, before, after) for before, after in changes]
        return {visit.id: visit for visit in saved}
    together = await _save_together(city, changed)
    return {after.id: together.get(after.id, after) for _, after in changes}


async def _save_together(city: City, changed: Sequence[tuple[Visit | None, Visit]]) -> dict[str, Visit]:
    if sum(len(visit.lines) for change in changed for visit in change if visit is not None) > MAX_LINES_TOGETHER:
        raise TransactionTooLarge(
            zh="该事务涉及的费用明细过多，请按就诊拆分后提交。",
            en="The visits of this transaction have too many lines together; send a transaction for each visit.",
        )
    now, key = city.now(), f"transaction-{secrets.token_hex(8)}"
    accepted = VisitTransaction(
        id=key,
        due_ms=to_ms(now + RESUMED_AFTER),
        changes=tuple(
            VisitChange(before, replace(after, changed_ms=to_ms(now), events=(*after.events, key)[-MAX_EVENTS:]))
            for before, after in changed
        ),
    )
    await transaction_saga.run(city, await transaction_saga.start(city, accepted))
    stored = await city.store.get_many(Visit, [after.id for _, after in changed])
    for before, after in changed:
        if after.id not in stored or key not in stored[after.id].events:
            raise Conflict(Visit.collection, after.id, 0 if before is None else before.revision)
    return stored


def _next_step(transaction: VisitTransaction, _now: datetime, _terms: None) -> Literal["store", "undo"]:
    return "undo" if transaction.undoing else "store"


async def _store(city: City, transaction: VisitTransaction, _now: datetime) -> VisitTransaction | None:
    """Store the visits that are not stored yet; if one cannot be, undo the transaction."""
    if not all(await _for_each(transaction, lambda one: _store_visit(city, transaction.id, one))):
        return replace(transaction, undoing=True)
    await city.store.delete(transaction)
    return None


async def _store_visit(city: City, key: str, change: VisitChange) -> bool:
    """Store a visit once, and return whether it is stored. Raises Conflict or Duplicate."""
    current = await city.store.get(Visit, change.after.id)
    if current is not None and key in current.events:
        return True
    if (None if current is None else current.revision) != (None if change.before is None else change.before.revision):
        return False
    await (city.store.insert(change.after) if current is None else city.store.replace(change.after))
    return True


async def _undo(city: City, transaction: VisitTransaction, _now: datetime) -> None:
    """Restore the visits that were stored, as they were before."""
    await _for_each(transaction, lambda one: _undo_visit(city, transaction.id, one))
    await city.store.delete(transaction)


async def _undo_visit(city: City, key: str, change: VisitChange) -> bool:
    """Restore a visit that was stored, and return whether it is as before. Raises Conflict."""
    current, before = await city.store.get(Visit, change.after.id), change.before
    if current is None or key not in current.events:
        return True
    if replace(current, revision=change.after.revision) != change.after:
        _log.error("visit %s keeps a change of %s, because others have changed it since", current.id, key)
        return False
    if before is None:
        await city.store.delete(current)
    else:
        await city.store.replace(replace(before, revision=current.revision))
    return True


async def _for_each(
    transaction: VisitTransaction, work: Callable[[VisitChange], Coroutine[None, None, bool]]
) -> list[bool]:
    """Do the work for all visits at once. Raises the first error once none of it is running any more."""
    outcomes = await asyncio.gather(*map(work, transaction.changes), return_exceptions=True)
    done = [one for one in outcomes if isinstance(one, bool)]
    for failure in outcomes:
        if isinstance(failure, BaseException):
            raise failure
    return done


transaction_saga = Saga(
    kind=VisitTransaction,
    next_step=_next_step,
    schedule=lambda transaction, _now, _terms: transaction,
    terms=lambda _city, _now: None,
    steps={"store": _store, "undo": _undo},
    task=TaskReference("medical_credit.resume_transaction"),
    retried=(Duplicate,),
)
"""Stores the visits of a transaction, or undoes it."""
