"""Find and create accounts, and what they may do now."""

import asyncio
import secrets

from backend.city.service import City
from backend.security.identity import SIGNED_IN, VERIFIED, CitizenRequest, step_up_required
from backend.security.standing import Standing
from backend.services.account.model.account import Account, standing_of
from backend.services.account.model.session import Session, session_ended
from backend.store import Duplicate
from backend.store.place import Place
from backend.store.time import to_ms


async def own_account(city: City, request: CitizenRequest) -> Account:
    """Return the caller's account. Raises SessionEnded if it no longer exists."""
    account = await city.store.get(Account, request.user.account_id)
    if account is None:
        raise session_ended()
    return account


async def proved_account(city: City, request: CitizenRequest) -> Account:
    """Return the caller's account unless its phone may have another owner. Raises SessionEnded and StepUpRequired.

    For what opens or ends an account without a verified identity; see `level_of_sign_in`.
    """
    session = await city.store.get(Session, request.user.session_id)
    if session is None:
        raise session_ended()
    if session.max_level == SIGNED_IN:
        raise step_up_required(VERIFIED, SIGNED_IN)
    return await own_account(city, request)


async def find_account(city: City, phone: str) -> Account | None:
    """Return the account whose main phone this is, or None."""
    page = await city.store.find(Account, {"phone_digest": phone_digest_of(city, phone)}, limit=1)
    return page.documents[0] if page.documents else None


async def find_or_create_account(city: City, phone: str) -> Account:
    """Return the account of a phone, after creating it if there is none."""
    while True:
        existing = await find_account(city, phone)
        if existing is not None:
            return existing
        account_id = secrets.token_urlsafe(12)
        account = Account(
            id=account_id,
            phone=encrypted_phone(city, account_id, phone),
            phone_digest=phone_digest_of(city, phone),
            created=city.now(),
        )
        try:
            return await city.store.insert(account)
        except Duplicate:
            continue  # the same person signed in on two devices at the same time


async def find_standing(city: City, account_id: str, session_id: str) -> Standing | None:
    """Return what an account may do now in a session; None if the session has ended."""
    session, account = await asyncio.gather(city.store.get(Session, session_id), city.store.get(Account, account_id))
    if session is None or account is None:
        return None
    if session.account_id != account.id or session.expires_ms <= to_ms(city.now()):
        return None
    return standing_of(account, session.max_level)


def encrypted_phone(city: City, account_id: str, phone: str) -> str:
    """Return the encrypted phone of an account."""
    return city.encryption.encrypt(phone, Place.of(Account, account_id, "phone"))


def phone_digest_of(city: City, phone: str) -> str:
    """Return the keyed hash that finds a phone."""
    return city.encryption.digest("phone", phone)
