"""Change the main phone of an account, undo that, and keep the new owner of a phone out of the old one's account."""

from collections.abc import Sequence

from msgspec.structs import replace

from backend.city.ended_access import end_access
from backend.city.notices import notify
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout, with_timeout
from backend.i18n import Text
from backend.security.identity import IN_PERSON, SIGNED_IN, access_keys
from backend.services.account.accounts import encrypted_phone, find_account, phone_digest_of
from backend.services.account.model.account import Account, phone_proves_owner
from backend.services.account.model.identity import is_verified
from backend.services.account.model.phone import (
    PHONE_CHANGED,
    PHONE_RESTORED,
    is_empty,
    may_undo,
    with_phone,
    without_phone,
)
from backend.services.account.model.session import Session
from backend.services.account.ports import IdentityProofing, Sms
from backend.services.account.sessions import end_session
from backend.store import Order
from backend.store.due import Due
from backend.store.paging import find_all
from backend.store.place import Place
from backend.store.update import update_document

ALL_SESSIONS = ""


async def level_of_sign_in(city: City, account: Account, phone: str, device: str | None) -> int:
    """Return the highest level that a session may have which a code sent to the phone opens.

    A phone that may have another owner, or was stolen, opens nothing of an account until its owner is proved.
    """
    if is_empty(account):
        return IN_PERSON
    if account.is_disputed or not phone_proves_owner(account, device, city.now()):
        return SIGNED_IN
    is_known = device is not None and any(device == known.id for known in account.devices)
    return SIGNED_IN if not is_known and await _was_reassigned(city, account, phone) else IN_PERSON


async def _was_reassigned(city: City, account: Account, phone: str) -> bool:
    """Return whether the carrier has given a phone to somebody else since the account has it."""
    if not is_verified(account):
        return False
    try:
        allocated_on = await with_timeout(city.port(IdentityProofing).allocated_on(phone))
    except (UpstreamTimeout, UpstreamRejected):
        return False  # people sign in while the carrier is away; a long silence is asked about anyway
    return allocated_on is not None and allocated_on > (account.phone_since or account.created).date()


async def move_phone(city: City, account: Account, phone: str, session: str) -> Account:
    """Make a phone the main phone of an account, and tell the old one. Raises Duplicate if another account has it."""
    now, encrypted, digest = city.now(), encrypted_phone(city, account.id, phone), phone_digest_of(city, phone)

    def moved(account: Account) -> Account:
        if account.phone_digest == digest:
            return account
        former = None if account.phone is None else _moved_value(city, account, "phone", "former_phone")
        return with_phone(account, encrypted, digest, former, session, now)

    changed = await update_document(city.store, lambda: city.store.get(Account, account.id), moved, account)
    assert changed is not None, "the caller is signed in to it"
    return await tell_change(city, changed)


async def undo_move(city: City, phone: str) -> Account | None:
    """Make a former phone the main phone again and end all sessions; None if there is nothing to undo.

    An account that was created with the phone since then loses it. Raises Duplicate if that one is somebody's.
    """
    digest, now = phone_digest_of(city, phone), city.now()
    page = await city.store.find(Account, {"former_digest": digest}, limit=1)
    if not page.documents or not may_undo(page.documents[0], digest, now):
        return None
    await release_phone(city, phone)

    def restored(account: Account) -> Account:
        if not may_undo(account, digest, now):
            return account
        own = _moved_value(city, account, "former_phone", "phone")
        undone = with_phone(account, own, digest, None, ALL_SESSIONS, now)
        return replace(undone, is_disputed=True, devices=())

    account = page.documents[0]
    changed = await update_document(city.store, lambda: city.store.get(Account, account.id), restored, account)
    return None if changed is None else await tell_change(city, changed)


async def release_phone(city: City, phone: str) -> None:
    """Take a phone from an account on which nothing hangs, so that another account may have it."""
    holder, digest = await find_account(city, phone), phone_digest_of(city, phone)
    if holder is not None and is_empty(holder):
        await update_document(
            city.store,
            lambda: city.store.get(Account, holder.id),
            lambda account: without_phone(account, digest) if is_empty(account) else account,
            holder,
        )


def _moved_value(city: City, account: Account, source: str, target: str) -> str:
    """Return an encrypted phone of an account, bound to its other field."""
    return city.encryption.encrypt(city.encryption.read(account, source), Place.of(Account, account.id, target))


# ── telling ──


async def tell_change(city: City, account: Account) -> Account:
    """Tell people that their account's phone has changed, and end their other sessions; it may be repeated."""
    if account.untold_ms is None:
        return account
    text = PHONE_CHANGED if account.former_phone is not None else PHONE_RESTORED
    await notify(city, account.citizen_id or account.id, f"phones/{account.id}/{account.untold_ms}", text)
    if account.former_phone is not None:
        await _send(city, city.encryption.read(account, "former_phone"), text)
    await end_sessions(city, account.id, keep=account.kept_session)
    untold_ms = account.untold_ms
    told = await update_document(
        city.store,
        lambda: city.store.get(Account, account.id),
        lambda found: replace(found, untold_ms=None) if found.untold_ms == untold_ms else found,
        account,
    )
    return told or account


UNTOLD_CHANGES = Due(Account, "untold_ms")
"""The accounts with a change of phone that a crash kept from being told."""


async def end_sessions(city: City, account_id: str, keep: str) -> None:
    """End all sessions of an account but one; their tokens are refused at once."""
    of_account = find_all(city.store, Session, {"account_id": account_id}, Order("expires_ms"))
    ended: Sequence[str] = [session.id async for session in of_account if session.id != keep]
    for session_id in ended:
        await end_access(
            city, access_keys(account_id, session_id, None)[0]
        )  # first: only a session that is left is found
        await end_session(city, session_id)


async def _send(city: City, phone: str, text: Text) -> None:
    try:
        await with_timeout(city.port(Sms).send(phone, text.zh))
    except UpstreamTimeout:
        return  # the notice is kept, and a second message would not help
