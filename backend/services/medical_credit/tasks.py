"""What medical credit does behind the scenes: bring visits on, and forget what has run out."""

from contextlib import suppress
from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import background
from backend.services.medical_credit import advancing
from backend.services.medical_credit.model.connection import EligibilityAnswer, UsedAssertion
from backend.services.medical_credit.model.message import HisMessage
from backend.services.medical_credit.model.reconciliation import Reconciliation
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.ports import Inbox
from backend.store import Conflict, Order
from backend.web.idempotency import IdempotencyRecord

AT_ONCE = 500


@background()
async def advance(city: City, visit_id: str) -> None:
    """Do what is to be done for a visit now."""
    await advancing.advance(city, visit_id)


@background(every=timedelta(seconds=15))
async def sweep_visits(city: City) -> None:
    """Have every visit brought on that is due, the longest due first."""
    due = Order("due_ms", below=int(city.now().timestamp() * 1_000) + 1)
    page = await city.store.find(Visit, {}, order=due, limit=AT_ONCE)
    for visit in page.documents:
        await advance.enqueue(city.jobs, visit.id)


@background()
async def retry_message(city: City, message_id: str) -> None:
    """Try a hospital's message again that waits for another, or was cut off before it was answered."""
    await city.port(Inbox).retry(city, message_id)


@background(every=timedelta(seconds=30))
async def sweep_messages(city: City) -> None:
    """Have every message tried again that is due."""
    due = Order("due_ms", below=int(city.now().timestamp() * 1_000) + 1)
    page = await city.store.find(HisMessage, {}, order=due, limit=AT_ONCE)
    for message in page.documents:
        await retry_message.enqueue(city.jobs, message.id)


@background()
async def repair_breaks(city: City, reconciliation_id: str) -> None:
    """Carry out the approved repairs of a hospital's day that are not done yet."""
    from backend.services.medical_credit.reconciling import repair_approved

    await repair_approved(city, reconciliation_id)


@background(every=timedelta(minutes=1))
async def sweep_reconciliations(city: City) -> None:
    """Have approved repairs gone on with that were interrupted."""
    due = Order("due_ms", below=int(city.now().timestamp() * 1_000) + 1)
    page = await city.store.find(Reconciliation, {}, order=due, limit=AT_ONCE)
    for found in page.documents:
        await repair_breaks.enqueue(city.jobs, found.id)


@background(every=timedelta(minutes=5))
async def sweep_what_has_ended(city: City) -> None:
    """Forget answers, messages and uses that nobody can ask for again; a thousand of each at a time, oldest first."""
    ended = Order("expires_ms", below=int(city.now().timestamp() * 1_000))
    for kind in (IdempotencyRecord, HisMessage, UsedAssertion, EligibilityAnswer):
        page = await city.store.find(kind, {}, order=ended, limit=1_000)
        for document in page.documents:
            with suppress(Conflict):  # somebody else sweeps too
                await city.store.delete(document)
