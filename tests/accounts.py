"""Accounts and sessions for tests that issue their own tokens: guards ask the store what an account may do now."""

from datetime import datetime, timedelta
from zlib import crc32

from litestar import Litestar
from msgspec.structs import replace
from stdnum.cn import ric

from backend.city.id_number import IdentityDocument, parse_id_number
from backend.city.person import Person, new_person
from backend.city.service import City
from backend.security.field_encryption import FieldEncryption
from backend.security.identity import IN_PERSON, Caller
from backend.services.account.accounts import find_account
from backend.services.account.model.account import Account
from backend.services.account.model.session import Session
from backend.store import Store
from backend.store.place import Place
from backend.store.time import to_ms
from backend.store.update import create_or_update, insert_or_get


async def keep_account(store: Store, encryption: FieldEncryption, caller: Caller, now: datetime) -> Caller:
    """Store the account and the session of a caller, as signing in does; return the caller as they stand.

    The identity of staff is proved in person. A person who has an account keeps it, and one who is new is invented.
    """
    staff = bool(caller.roles)
    citizen_id = caller.citizen_id or (f"person-of-{caller.account_id}" if staff else None)
    known = [] if citizen_id is None else (await store.find(Account, {"citizen_id": citizen_id}, limit=1)).documents
    account_id = known[0].id if known else caller.account_id
    caller = replace(
        caller,
        account_id=account_id,
        session_id=f"session-of-{account_id}",
        citizen_id=citizen_id,
        level=IN_PERSON if staff else caller.level,
    )
    if citizen_id is not None and await store.get(Person, citizen_id) is None:
        await insert_or_get(store, new_person(encryption, _id_number(citizen_id, now), citizen_id, now))
    account = Account(
        id=account_id,
        phone=encryption.encrypt("+8613800138000", Place.of(Account, account_id, "phone")),
        phone_digest=encryption.digest("phone", account_id),
        created=now,
    )

    def stand(found: Account) -> Account:
        return replace(
            found,
            citizen_id=citizen_id,
            level=max(found.level, caller.level),
            roles=caller.roles,
            venues=caller.venues,
            staff_since_ms=0 if staff else None,
        )

    await create_or_update(store, account, stand)
    expires_ms = to_ms(now + timedelta(days=400))
    session = Session(id=caller.session_id, account_id=account_id, refresh_digest="", expires_ms=0)
    await create_or_update(store, session, lambda found: replace(found, expires_ms=expires_ms))
    return caller


def _id_number(citizen_id: str, now: datetime) -> IdentityDocument:
    """Return an invented ID number of a person."""
    serial = crc32(citizen_id.encode()) % 10_000_000
    body = f"99{serial // 1_000:04}19800302{serial % 1_000:03}"
    return parse_id_number(body + ric.calc_check_digit(body + "0"), now.date())


async def bearer_of(app: Litestar, caller: Caller) -> dict[str, str]:
    """Return the headers of a caller, whose account and session are stored unless it is a system."""
    city: City = app.state.city
    known = caller if caller.scopes else await keep_account(city.store, city.encryption, caller, city.now())
    return {"Authorization": f"Bearer {app.state.access.issue(known, city.now())}"}


async def move_person(city: City, citizen_id: str, phone: str) -> None:
    """Let a person have the account of a phone, as if they had lost their own: their account is left without them."""
    known = (await city.store.find(Account, {"citizen_id": citizen_id}, limit=1)).documents
    for account in known:
        await city.store.replace(replace(account, citizen_id=None))
    account = await find_account(city, f"+86{phone}")
    assert account is not None
    await city.store.replace(replace(account, citizen_id=citizen_id, level=IN_PERSON))
