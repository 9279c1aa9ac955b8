"""What the talent code does behind the scenes: looking after talents, and bringing claims and lines on."""

from contextlib import suppress
from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import background
from backend.services.talent_code import advancing, lines, looking_after
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.problems import ClaimedAlready
from backend.services.talent_code.model.redeeming import Usage
from backend.services.talent_code.model.talent import Talent
from backend.store import Conflict, Order

AT_ONCE = 500


@background()
async def look_after(city: City, person: str) -> None:
    """Do what is to be done for a talent now."""
    await looking_after.look_after(city, person)


@background(every=timedelta(seconds=15))
async def sweep_talents(city: City) -> None:
    """Have every talent looked after who is due, the longest due first."""
    due = Order("due_ms", below=int(city.now().timestamp() * 1_000) + 1)
    page = await city.store.find(Talent, {}, order=due, limit=AT_ONCE)
    for talent in page.documents:
        await look_after.enqueue(city.jobs, talent.id)


@background()
async def advance(city: City, claim_id: str) -> None:
    """Do what is to be done for a claim now."""
    try:
        await advancing.advance(city, claim_id)
    except ClaimedAlready:
        return  # it was cut off before it was taken, and another was taken meanwhile


@background(every=timedelta(seconds=15))
async def sweep_claims(city: City) -> None:
    """Have every claim brought on that is due, the longest due first."""
    due = Order("due_ms", below=int(city.now().timestamp() * 1_000) + 1)
    page = await city.store.find(Claim, {}, order=due, limit=AT_ONCE)
    for claim in page.documents:
        await advance.enqueue(city.jobs, claim.id)


@background()
async def serve_benefit(city: City, benefit: str) -> None:
    """Pay those who wait for a benefit, as far as its budget suffices."""
    await lines.serve_line(city, benefit)


@background(every=timedelta(seconds=15))
async def sweep_lines(city: City) -> None:
    """Pay those who wait for any benefit: budgets grow by new rules, by a new year, and by what comes back."""
    await lines.serve_all_lines(city)


@background(every=timedelta(minutes=5))
async def sweep_usages(city: City) -> None:
    """Forget where and when benefits were used in years that are over; a thousand at a time, the oldest first."""
    ended = Order("expires_ms", below=int(city.now().timestamp() * 1_000))
    page = await city.store.find(Usage, {}, order=ended, limit=1_000)
    for usage in page.documents:
        with suppress(Conflict):  # somebody else sweeps too
            await city.store.delete(usage)
