"""Background work of pay later: advance visits, retry messages, apply repairs, and delete expired records."""

from contextlib import suppress
from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import background
from backend.services.medical_credit import saga
from backend.services.medical_credit.model.connection import EligibilityAnswer, UsedAssertion
from backend.services.medical_credit.model.message import HisMessage
from backend.services.medical_credit.model.reconciliation import Reconciliation
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.ports import Inbox
from backend.services.medical_credit.repairs import repair_approved
from backend.store import Conflict, Order
from backend.store.time import to_ms
from backend.web.idempotency import IdempotencyRecord

BATCH_SIZE = 500
DELETION_BATCH_SIZE = 1_000


@background()
async def advance(city: City, visit_id: str) -> None:
    """Do the steps of a visit that are due."""
    await saga.advance(city, visit_id)


@background(every=timedelta(seconds=15))
async def sweep_visits(city: City) -> None:
    """Enqueue the visits that are due, the longest overdue first."""
    page = await city.store.find(Visit, {}, order=_due(city), limit=BATCH_SIZE)
    for visit in page.documents:
        await advance.enqueue(city.jobs, visit.id)


@background()
async def retry_message(city: City, message_id: str) -> None:
    """Process a hospital's message again that waits for another one or was interrupted."""
    await city.port(Inbox).retry(city, message_id)


@background(every=timedelta(seconds=30))
async def sweep_messages(city: City) -> None:
    """Enqueue the messages that are due."""
    page = await city.store.find(HisMessage, {}, order=_due(city), limit=BATCH_SIZE)
    for message in page.documents:
        await retry_message.enqueue(city.jobs, message.id)


@background()
async def apply_repairs(city: City, reconciliation_id: str) -> None:
    """Apply the approved repairs of a hospital's day that are not applied yet."""
    await repair_approved(city, reconciliation_id)


@background(every=timedelta(minutes=1))
async def sweep_reconciliations(city: City) -> None:
    """Enqueue the reconciliations whose approved repairs were interrupted."""
    page = await city.store.find(Reconciliation, {}, order=_due(city), limit=BATCH_SIZE)
    for found in page.documents:
        await apply_repairs.enqueue(city.jobs, found.id)


@background(every=timedelta(minutes=5))
async def delete_expired(city: City) -> None:
    """Delete expired answers, messages and assertions, up to a thousand of each kind, oldest first."""
    expired = Order("expires_ms", below=to_ms(city.now()))
    for kind in (IdempotencyRecord, HisMessage, UsedAssertion, EligibilityAnswer):
        page = await city.store.find(kind, {}, order=expired, limit=DELETION_BATCH_SIZE)
        for document in page.documents:
            with suppress(Conflict):  # another sweep may delete it first
                await city.store.delete(document)


def _due(city: City) -> Order:
    return Order("due_ms", below=to_ms(city.now()) + 1)
