"""Background work of accounts: delete expired sessions and sign-in codes."""

from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import background
from backend.services.account.model import Session, SignInChallenge
from backend.store.expiry import delete_expired
from backend.store.time import to_ms


@background(every=timedelta(minutes=5))
async def sweep_sessions(city: City) -> None:
    """Delete all expired sessions and sign-in codes."""
    now_ms = to_ms(city.now())
    for kind in (Session, SignInChallenge):
        await delete_expired(city.store, kind, now_ms)
