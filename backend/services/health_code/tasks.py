"""What the health code does behind the scenes: finishing reported events that a crash has interrupted."""

from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import background
from backend.services.health_code import events
from backend.services.health_code.model import HealthEventReceipt
from backend.store import Order

AT_ONCE = 500


@background()
async def finish_event(city: City, receipt_id: str) -> None:
    """Finish taking an event whose receipt stands and whose record may not say it yet."""
    receipt = await city.store.get(HealthEventReceipt, receipt_id)
    if receipt is not None and not receipt.applied:
        await events.finish_event(city, receipt, city.now())


@background(every=timedelta(seconds=15))
async def sweep_events(city: City) -> None:
    """Have every event finished that should be by now."""
    due = Order("due_ms", below=int(city.now().timestamp() * 1_000))
    page = await city.store.find(HealthEventReceipt, {}, order=due, limit=AT_ONCE)
    for receipt in page.documents:
        await finish_event.enqueue(city.jobs, receipt.id)
