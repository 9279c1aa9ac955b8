"""Background work of the talent code: reviews of talents, steps of claims, waiting lists, and deletion of old uses."""

from datetime import timedelta

from backend.benefits import waitlist
from backend.city.audit_log import log_acts_of
from backend.city.service import City
from backend.jobs.saga import saga_tasks
from backend.jobs.tasks import MAX_SWEEP_SECONDS, background
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.redemption import Usage
from backend.services.talent_code.saga import claims, reviews
from backend.store.due import ended
from backend.store.expiry import delete_expired

review_talent, sweep_talents = saga_tasks(reviews, "sweep_talents", every=timedelta(seconds=15))
advance_claim, sweep_claims = saga_tasks(claims, "sweep_claims", every=timedelta(seconds=15))


@background()
async def serve_waitlist(city: City, benefit: str) -> None:
    """Pay the waiting claims to a benefit that its budget covers."""
    await waitlist.serve_waitlist(claims, city, benefit)


@background(every=timedelta(seconds=15), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_waitlists(city: City) -> None:
    """Pay the waiting claims to all benefits: budgets grow with new rules, a new year, and money that comes back."""
    await waitlist.serve_all_waitlists(claims, city)


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS, due=(ended(Usage),))
async def sweep_usages(city: City) -> None:
    """Delete all uses of benefits, and settled claims, whose retention has ended, the oldest first."""
    for audited in (Usage, Claim):
        await log_acts_of(city, audited)
    await delete_expired(city, Usage)
    await delete_expired(city, Claim, Claim.is_settled)
