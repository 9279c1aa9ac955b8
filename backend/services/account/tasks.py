"""Background work of accounts: delete expired sessions and sign-in codes."""

from datetime import timedelta

from backend.city.service import City
from backend.jobs.tasks import MAX_SWEEP_SECONDS, background
from backend.services.account.model.session import Session
from backend.services.account.model.sign_in import SignInChallenge
from backend.store.expiry import delete_expired


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_sessions(city: City) -> None:
    """Delete all expired sessions and sign-in codes."""
    for kind in (Session, SignInChallenge):
        await delete_expired(city.store, kind, city.now())
