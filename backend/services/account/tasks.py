"""Background work of accounts: delete expired sessions and sign-in codes."""

from contextlib import suppress
from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import background
from backend.services.account.model import Session, SignInChallenge
from backend.store import Conflict, Order

BATCH_SIZE = 1_000


@background(every=timedelta(minutes=5))
async def sweep_sessions(city: City) -> None:
    """Delete expired sessions and sign-in codes, up to a thousand of each, oldest first."""
    expired = Order("expires_ms", below=int(city.now().timestamp() * 1_000))
    for kind in (Session, SignInChallenge):
        page = await city.store.find(kind, {}, order=expired, limit=BATCH_SIZE)
        for document in page.documents:
            with suppress(Conflict):  # it was used meanwhile, or another process is sweeping too
                await city.store.delete(document)
