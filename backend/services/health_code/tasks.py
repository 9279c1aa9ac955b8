"""Background work of the health code: complete interrupted reports, close old proposals, and delete what has ended."""

from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import MAX_SWEEP_SECONDS, background
from backend.services.health_code.model import HealthEventReceipt, ScanReservation, VenueVisit
from backend.services.health_code.saga import apply_receipt, expire_proposal
from backend.services.health_code.sources import ReportCount
from backend.store import Order
from backend.store.expiry import delete_expired
from backend.store.paging import find_all
from backend.store.time import to_ms


@background()
async def finish_event(city: City, receipt_id: str) -> None:
    """Apply an event that has a receipt but may not be in the person's record yet; close a proposal that expired."""
    receipt = await city.store.get(HealthEventReceipt, receipt_id)
    if receipt is None or receipt.applied:
        return
    if receipt.state == "proposed":
        await expire_proposal(city, receipt, city.now())
    else:
        await apply_receipt(city, receipt, city.now())


@background(every=timedelta(seconds=15), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_events(city: City) -> None:
    """Enqueue all events that are overdue, the longest overdue first."""
    due = Order("due_ms", below=to_ms(city.now()))
    async for receipt in find_all(city.store, HealthEventReceipt, {}, due):
        await finish_event.enqueue(city.jobs, receipt.id)


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_scans(city: City) -> None:
    """Delete all scans, receipts of events and counts of days whose retention has ended, the oldest first."""
    for kind in (VenueVisit, ScanReservation, HealthEventReceipt, ReportCount):
        await delete_expired(city.store, kind, city.now())
