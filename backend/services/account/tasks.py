"""Background work of accounts: push notices to phones, and delete expired sessions and sign-in codes."""

from datetime import timedelta
from functools import partial

from backend.city.ended_access import EndedAccess
from backend.city.notices import Notice, pushes
from backend.city.service import City
from backend.jobs.saga import saga_tasks
from backend.jobs.tasks import MAX_SWEEP_SECONDS, DeadLetter, background
from backend.services.account.closures import closures
from backend.services.account.identity_cases import APPROVED_CASES, settle_case
from backend.services.account.model.account import Account
from backend.services.account.model.identity_case import IdentityCase
from backend.services.account.model.session import Session
from backend.services.account.model.sign_in import SignInChallenge
from backend.services.account.model.staff import without_expired
from backend.services.account.phones import UNTOLD_CHANGES, tell_change
from backend.store.due import Due, drain, ended
from backend.store.expiry import delete_expired
from backend.store.update import update_document

resume_closure, sweep_closures = saga_tasks(closures, "sweep_closures", every=timedelta(minutes=1))
push_notice, sweep_notices = saga_tasks(pushes, "sweep_notices", every=timedelta(seconds=15))


@background(every=timedelta(minutes=1), max_seconds=MAX_SWEEP_SECONDS, due=(APPROVED_CASES, UNTOLD_CHANGES))
async def sweep_identity_cases(city: City) -> None:
    """Put approved identity cases into effect that were interrupted, and tell changes of phones."""
    await drain(city, APPROVED_CASES, partial(settle_case, city))
    await drain(city, UNTOLD_CHANGES, partial(tell_change, city))


ENDING = (Session, SignInChallenge, EndedAccess, Notice, IdentityCase, DeadLetter)


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS, due=[ended(kind) for kind in ENDING])
async def sweep_sessions(city: City) -> None:
    """Delete all documents of accounts whose retention has ended."""
    for kind in ENDING:
        await delete_expired(city, kind)


EXPIRED_PROPOSALS = Due(Account, "proposal_expires_ms")


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS, due=(EXPIRED_PROPOSALS,))
async def sweep_proposals(city: City) -> None:
    """Remove the proposals of roles that nobody approved in time."""

    async def remove(account: Account) -> None:
        load = partial(city.store.get, Account, account.id)
        await update_document(city.store, load, partial(without_expired, now=city.now()), account)

    await drain(city, EXPIRED_PROPOSALS, remove)
