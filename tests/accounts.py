"""Accounts and sessions for tests that issue their own tokens: guards ask the store what an account may do now."""

from datetime import timedelta

from litestar import Litestar
from msgspec.structs import replace

from backend.city.service import City
from backend.security.identity import IN_PERSON, Caller
from backend.services.account.accounts import encrypted_phone
from backend.services.account.model.account import Account
from backend.services.account.model.session import Session
from backend.store.time import to_ms
from backend.store.update import create_or_update


async def keep_account(city: City, caller: Caller) -> Caller:
    """Store the account and the session of a caller, as signing in does; return the caller as they stand.

    The identity of staff is proved in person.
    """
    citizen_id = caller.citizen_id or (f"person-of-{caller.account_id}" if caller.roles else None)
    level = IN_PERSON if caller.roles else caller.level
    account = Account(
        id=caller.account_id,
        phone=encrypted_phone(city, caller.account_id, "+8613800138000"),
        phone_digest=city.encryption.digest("phone", caller.account_id),
        created=city.now(),
    )

    def stand(found: Account) -> Account:
        roles, venues = caller.roles, caller.venues
        return replace(
            found, citizen_id=citizen_id, level=level, roles=roles, venues=venues, staff_since_ms=0 if roles else None
        )

    await create_or_update(city.store, account, stand)
    expires_ms = to_ms(city.now() + timedelta(days=30))
    session = Session(id=caller.session_id, account_id=caller.account_id, refresh_digest="", expires_ms=0)
    await create_or_update(city.store, session, lambda found: replace(found, expires_ms=expires_ms))
    return replace(caller, citizen_id=citizen_id, level=level)


async def bearer_of(app: Litestar, caller: Caller) -> dict[str, str]:
    """Return the headers of a caller whose account and session are stored."""
    city: City = app.state.city
    token = app.state.access.issue(await keep_account(city, caller), city.now())
    return {"Authorization": f"Bearer {token}"}
