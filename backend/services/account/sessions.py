"""Start, renew and end sessions, and issue their tokens.

A refresh token is `<session id>.<secret>`. Each use replaces the secret; the store holds its keyed hash, and the secret
itself only encrypted, for a retry.
"""

import secrets
from datetime import timedelta
from typing import Any, cast

from litestar import Request
from litestar.datastructures import State

from backend.city.ended_access import end_access
from backend.city.service import City
from backend.security.identity import IN_PERSON, SIGNED_IN, Access, access_keys
from backend.services.account.devices import record_use
from backend.services.account.model.account import Account, caller_of, without_device
from backend.services.account.model.session import (
    DeviceKind,
    Session,
    is_retry,
    renewed_session,
    session_ended,
)
from backend.store import Order
from backend.store.paging import find_all
from backend.store.place import Place
from backend.store.time import to_ms
from backend.store.update import retry_on_conflict, update_document


async def start_session(
    city: City,
    account: Account,
    device: str | None = None,
    device_name: str = "",
    device_kind: DeviceKind = "other",
    max_level: int = IN_PERSON,
) -> str:
    """Start a session and return its refresh token."""
    session_id, secret = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
    await city.store.insert(
        Session(
            id=session_id,
            account_id=account.id,
            refresh_digest=_digest(city, secret),
            expires_ms=_expires_ms(city),
            created=city.now(),
            last_used=city.now(),
            device=device,
            device_name=device_name,
            device_kind=device_kind,
            max_level=max_level,
        )
    )
    return f"{session_id}.{secret}"


async def renew_session(
    city: City, refresh_token: str, device: str | None = None, retry_key: str = ""
) -> tuple[Account, str]:
    """Exchange a refresh token for a new one; return it with the session's account. Raises SessionEnded.

    A token that was used before has been copied, so it ends the session. The exception is a retry by the same device
    within a minute, which gets the same new token again (RFC 9700, 4.14).
    """
    session_id, _, secret = refresh_token.partition(".")
    digest, retry_digest = _digest(city, secret), _digest(city, retry_key) if retry_key else ""
    next_secret = secrets.token_urlsafe(24)

    def is_current_or_retry(session: Session) -> bool:
        return session.refresh_digest == digest or is_retry(session, digest, device, retry_digest, city.now())

    def renewed(session: Session) -> Session:
        if session.device not in (None, device) or not is_current_or_retry(session):
            raise session_ended()  # a copy on another device, or a concurrent request used the token
        if session.refresh_digest != digest:
            return session
        successor = city.encryption.encrypt(next_secret, _place(session_id))
        return renewed_session(
            session, _digest(city, next_secret), successor, retry_digest, city.now(), _expires_ms(city)
        )

    session = await _live_session(city, session_id)
    if session is not None and not is_current_or_retry(session):
        await end_session(city, session_id)
        raise session_ended()
    session = await update_document(city.store, lambda: _live_session(city, session_id), renewed, session)
    account = None if session is None else await city.store.get(Account, session.account_id)
    if session is None or account is None:
        raise session_ended()
    if session.max_level > SIGNED_IN:
        account = await record_use(city, account, session.device)
    return account, f"{session_id}.{city.encryption.decrypt(session.successor, _place(session_id))}"


def _place(session_id: str) -> Place:
    return Place.of(Session, session_id, "successor")


async def _live_session(city: City, session_id: str) -> Session | None:
    session = await city.store.get(Session, session_id)
    return None if session is None or session.expires_ms <= to_ms(city.now()) else session


async def end_session(city: City, session_id: str) -> None:
    """Delete a session if it exists, even if it is renewed at the same time."""

    async def delete() -> None:
        session = await city.store.get(Session, session_id)
        if session is not None:
            await city.store.delete(session)

    await retry_on_conflict(delete)


async def live_session(city: City, session_id: str) -> Session:
    """Return a session. Raises SessionEnded."""
    session = await _live_session(city, session_id)
    if session is None:
        raise session_ended()
    return session


async def sessions_of(city: City, account_id: str) -> list[Session]:
    """Return the sessions of an account that have not expired, the one that was used last first."""
    newest = Order("expires_ms", "descending", at_least=to_ms(city.now()) + 1)
    return [session async for session in find_all(city.store, Session, {"account_id": account_id}, newest)]


async def end_session_of_device(city: City, session: Session) -> None:
    """End a session from another device; its access token is refused at once.

    The account forgets the device, unless it has another session there.
    """
    await end_session(city, session.id)
    await end_access(city, access_keys(session.account_id, session.id, None)[0])
    remaining = {other.device for other in await sessions_of(city, session.account_id)}
    if session.device is not None and session.device not in remaining:
        await update_document(
            city.store,
            lambda: city.store.get(Account, session.account_id),
            lambda account: without_device(account, session.device),
        )


def issue_access_token(city: City, request: Request[Any, Any, State], account: Account, session: Session) -> str:
    """Issue an access token with what the account may do now in a session."""
    access = cast("Access", request.app.state.access)
    return access.issue(caller_of(account, session.id, session.max_level), city.now())


def _expires_ms(city: City) -> int:
    return to_ms(city.now() + timedelta(days=city.settings.refresh_token_days))


def _digest(city: City, secret: str) -> str:
    return city.encryption.digest("refresh-token", secret)
