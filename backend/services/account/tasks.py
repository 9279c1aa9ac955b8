"""Background work of accounts: delete expired sessions and sign-in codes."""

from contextlib import suppress
from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import background
from backend.services.account.model import Session, SignInChallenge
from backend.store import Conflict, Order
from backend.store.time import to_ms

BATCH_SIZE = 1_000


@background(every=timedelta(minutes=5))
async def sweep_sessions(city: City) -> None:
    """Delete expired sessions and sign-in codes, up to a thousand of each, oldest first."""
    expired = Order("expires_ms", below=to_ms(city.now()))
    for kind in (Session, SignInChallenge):
        page = await city.store.find(kind, {}, order=expired, limit=BATCH_SIZE)
        for document in page.documents:
            with suppress(Conflict):  # it was used meanwhile, or another process is sweeping too
                await city.store.delete(document)
