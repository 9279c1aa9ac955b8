"""Background work of the health code: complete interrupted reports, close old proposals, and delete what has ended."""

from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import MAX_SWEEP_SECONDS, background
from backend.services.health_code.model import HealthEventReceipt, ScanReservation, VenueVisit
from backend.services.health_code.saga import apply_receipt, expire_proposal
from backend.services.health_code.sources import ReportCount
from backend.store.due import Due, drain, ended
from backend.store.expiry import delete_expired


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


EVENTS = Due(HealthEventReceipt, "due_ms")


@background(every=timedelta(seconds=15), max_seconds=MAX_SWEEP_SECONDS, due=(EVENTS,))
async def sweep_events(city: City) -> None:
    """Complete all events that are overdue, the longest overdue first."""

    async def finish(receipt: HealthEventReceipt) -> None:
        await finish_event(city, receipt.id)

    async def leave(receipt: HealthEventReceipt) -> None:
        await finish_event.enqueue_once(city.jobs, receipt.id)

    await drain(city, EVENTS, finish, leave)


ENDING = (VenueVisit, ScanReservation, HealthEventReceipt, ReportCount)


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS, due=[ended(kind) for kind in ENDING])
async def sweep_scans(city: City) -> None:
    """Delete all scans, receipts of events and counts of days whose retention has ended, the oldest first."""
    for kind in ENDING:
        await delete_expired(city, kind)
