"""Background work of the talent code: reviews of talents, steps of claims, waiting lists, and deletion of old uses."""

from contextlib import suppress
from datetime import timedelta

from backend.benefits import waitlist
from backend.benefits.problems import AlreadyClaimed
from backend.city.service import City
from backend.jobs.tasks import MAX_SWEEP_SECONDS, background
from backend.services.talent_code.model.redemption import Usage
from backend.services.talent_code.saga import claims, reviews
from backend.store.expiry import delete_expired


@background()
async def review_talent(city: City, person: str) -> None:
    """Check due evidence of a talent, update their class, and send their notifications."""
    await reviews.resume(city, person)


@background(every=timedelta(seconds=15), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_talents(city: City) -> None:
    """Review all talents that are due."""
    await reviews.sweep(city)


@background()
async def advance_claim(city: City, claim_id: str) -> None:
    """Carry out the due steps of a claim."""
    with suppress(AlreadyClaimed):  # it was interrupted before it was registered, and another one was registered
        await claims.resume(city, claim_id)


@background(every=timedelta(seconds=15), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_claims(city: City) -> None:
    """Carry out the due steps of all claims."""
    await claims.sweep(city)


@background()
async def serve_waitlist(city: City, benefit: str) -> None:
    """Pay the waiting claims to a benefit that its budget covers."""
    await waitlist.serve_waitlist(claims, city, benefit)


@background(every=timedelta(seconds=15), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_waitlists(city: City) -> None:
    """Pay the waiting claims to all benefits: budgets grow with new rules, a new year, and money that comes back."""
    await waitlist.serve_all_waitlists(claims, city)


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_usages(city: City) -> None:
    """Delete all uses of benefits of past years whose retention is over, the oldest first."""
    await delete_expired(city.store, Usage, city.now())
