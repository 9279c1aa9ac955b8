"""Start, renew and end sessions, and issue their tokens.

A refresh token is `<session id>.<secret>`. Each use replaces the secret; the store holds only its keyed hash.
"""

import secrets
from datetime import timedelta
from typing import Any, cast

from litestar import Request
from litestar.datastructures import State
from msgspec.structs import replace

from backend.city.service import City
from backend.security.identity import Access
from backend.services.account.model.account import Account, caller_of
from backend.services.account.model.session import Session, session_ended
from backend.store.time import to_ms
from backend.store.update import retry_on_conflict, update_document


async def start_session(city: City, account: Account) -> str:
    """Start a session and return its refresh token."""
    session_id, secret = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
    await city.store.insert(
        Session(
            id=session_id,
            account_id=account.id,
            refresh_digest=_digest(city, secret),
            expires_ms=_expires_ms(city),
        )
    )
    return f"{session_id}.{secret}"


async def renew_session(city: City, refresh_token: str) -> tuple[Account, str]:
    """Exchange a refresh token for a new one; return it with the session's account. Raises SessionEnded.

    A token that was used before has been copied, so it ends the session.
    """
    session_id, _, secret = refresh_token.partition(".")
    digest = _digest(city, secret)
    session = await city.store.get(Session, session_id)
    if session is None or session.expires_ms <= to_ms(city.now()):
        raise session_ended()
    if session.refresh_digest != digest:
        await end_session(city, session_id)
        raise session_ended()
    account = await city.store.get(Account, session.account_id)
    if account is None:
        raise session_ended()
    next_secret = secrets.token_urlsafe(24)

    def renewed(session: Session) -> Session:
        if session.refresh_digest != digest:
            raise session_ended()  # a concurrent request used the same token, which is valid once
        return replace(session, refresh_digest=_digest(city, next_secret), expires_ms=_expires_ms(city))

    if await update_document(city.store, lambda: city.store.get(Session, session_id), renewed) is None:
        raise session_ended()
    return account, f"{session_id}.{next_secret}"


async def end_session(city: City, session_id: str) -> None:
    """Delete a session if it exists, even if it is renewed at the same time."""

    async def delete() -> None:
        session = await city.store.get(Session, session_id)
        if session is not None:
            await city.store.delete(session)

    await retry_on_conflict(delete)


def issue_access_token(city: City, request: Request[Any, Any, State], account: Account, session_id: str) -> str:
    """Issue an access token with the account's current roles."""
    access = cast("Access", request.app.state.access)
    return access.issue(caller_of(account, session_id), city.now())


def _expires_ms(city: City) -> int:
    return to_ms(city.now() + timedelta(days=city.settings.refresh_token_days))


def _digest(city: City, secret: str) -> str:
    return city.encryption.digest("refresh-token", secret)
