"""Background work of the talent code: reviews of talents, steps of claims, waiting lists, and deletion of old uses.

Modules below this one enqueue these tasks by name, with a TaskReference.
"""

from contextlib import suppress
from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import background
from backend.services.talent_code import review, saga, waitlist
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.problems import AlreadyClaimed
from backend.services.talent_code.model.redemption import Usage
from backend.services.talent_code.model.talent import Talent
from backend.store import Conflict, Order
from backend.store.time import to_ms

BATCH_SIZE = 500


@background()
async def review_talent(city: City, person: str) -> None:
    """Check due evidence of a talent, update their class, and send their notifications."""
    await review.review_talent(city, person)


@background(every=timedelta(seconds=15))
async def sweep_talents(city: City) -> None:
    """Enqueue a review of every due talent, the longest overdue first."""
    due = Order("due_ms", below=to_ms(city.now()) + 1)
    page = await city.store.find(Talent, {}, order=due, limit=BATCH_SIZE)
    for talent in page.documents:
        await review_talent.enqueue(city.jobs, talent.id)


@background()
async def advance_claim(city: City, claim_id: str) -> None:
    """Carry out the due steps of a claim."""
    try:
        await saga.advance_claim(city, claim_id)
    except AlreadyClaimed:
        return  # it was interrupted before it was registered, and another claim was registered meanwhile


@background(every=timedelta(seconds=15))
async def sweep_claims(city: City) -> None:
    """Enqueue the next steps of every due claim, the longest overdue first."""
    due = Order("due_ms", below=to_ms(city.now()) + 1)
    page = await city.store.find(Claim, {}, order=due, limit=BATCH_SIZE)
    for claim in page.documents:
        await advance_claim.enqueue(city.jobs, claim.id)


@background()
async def serve_waitlist(city: City, benefit: str) -> None:
    """Pay the waiting claims to a benefit that its budget covers."""
    await waitlist.serve_waitlist(city, benefit)


@background(every=timedelta(seconds=15))
async def sweep_waitlists(city: City) -> None:
    """Pay the waiting claims to all benefits: budgets grow with new rules, a new year, and money that comes back."""
    await waitlist.serve_all_waitlists(city)


@background(every=timedelta(minutes=5))
async def sweep_usages(city: City) -> None:
    """Delete the uses of benefits of past years once their retention is over, a thousand at a time, oldest first."""
    ended = Order("expires_ms", below=to_ms(city.now()))
    page = await city.store.find(Usage, {}, order=ended, limit=1_000)
    for usage in page.documents:
        with suppress(Conflict):  # another process sweeps as well
            await city.store.delete(usage)
