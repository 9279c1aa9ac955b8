"""What accounts do behind the scenes: forgetting sessions and sign-in codes that have ended."""

from contextlib import suppress
from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import background
from backend.services.account.model import Session, SignInChallenge
from backend.store import Conflict, Order

AT_ONCE = 1_000


@background(every=timedelta(minutes=5))
async def sweep_sessions(city: City) -> None:
    """Forget the sessions and sign-in codes that have ended; a thousand at a time, oldest first."""
    ended = Order("expires_ms", below=int(city.now().timestamp() * 1_000))
    for kind in (Session, SignInChallenge):
        page = await city.store.find(kind, {}, order=ended, limit=AT_ONCE)
        for document in page.documents:
            with suppress(Conflict):  # it was used, or somebody else sweeps too
                await city.store.delete(document)
