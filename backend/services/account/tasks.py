"""Background work of accounts: push notices to phones, and delete expired sessions and sign-in codes."""

from datetime import timedelta
from functools import partial

from backend.city.ended_access import EndedAccess
from backend.city.notices import Notice, pushes
from backend.city.service import City
from backend.jobs.saga import saga_tasks
from backend.jobs.tasks import MAX_SWEEP_SECONDS, DeadLetter, background
from backend.services.account.closures import closures
from backend.services.account.identity_cases import sweep_cases
from backend.services.account.model.account import Account
from backend.services.account.model.identity_case import IdentityCase
from backend.services.account.model.session import Session
from backend.services.account.model.sign_in import SignInChallenge
from backend.services.account.model.staff import without_expired
from backend.services.account.phones import sweep_untold_changes
from backend.store import Order
from backend.store.expiry import delete_expired
from backend.store.paging import find_all
from backend.store.time import to_ms
from backend.store.update import update_document

resume_closure, sweep_closures = saga_tasks(closures, "sweep_closures", every=timedelta(minutes=1))
push_notice, sweep_notices = saga_tasks(pushes, "sweep_notices", every=timedelta(seconds=15))


@background(every=timedelta(minutes=1), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_identity_cases(city: City) -> None:
    """Put approved identity cases into effect that were interrupted, and tell changes of phones."""
    await sweep_cases(city)
    await sweep_untold_changes(city)


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_sessions(city: City) -> None:
    """Delete all documents of accounts whose retention has ended."""
    for kind in (Session, SignInChallenge, EndedAccess, Notice, IdentityCase, DeadLetter):
        await delete_expired(city.store, kind, city.now())


@background(every=timedelta(hours=1), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_proposals(city: City) -> None:
    """Remove the proposals of roles that nobody approved in time."""
    now = city.now()
    expired = Order("proposal_expires_ms", below=to_ms(now))
    async for account in find_all(city.store, Account, {}, expired):
        load = partial(city.store.get, Account, account.id)
        await update_document(city.store, load, partial(without_expired, now=now), account)
