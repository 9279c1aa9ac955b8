"""Sessions: the devices on which people are signed in."""

import hmac
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import Problem
from backend.security.identity import IN_PERSON
from backend.store import Document, Index
from backend.store.retention import Retention

RETRY_INTERVAL = timedelta(seconds=60)
"""A device whose connection broke before the response may repeat a refresh for this long."""

DeviceKind = Literal["phone", "tablet", "computer", "gate", "other"]


class SessionEnded(Problem):
    """The refresh token was used before, or its session has ended."""

    status, title = 401, "Session ended"


class Session(Document, kw_only=True):
    """A signed-in device. It opens no more than `max_level` allows, whatever its account has proved.

    `proved_at` is when a person last proved in this session, in person, who they are.

    Its refresh token changes at each use; only the hash of the last one is stored.
    `device` is the thumbprint of the device's key, if it has one. After a refresh, `previous_digest` is the hash of the
    token that was used, `retry_digest` that of the Idempotency-Key of the request, and `successor` the new token,
    encrypted: with them the same device may repeat the request. The index finds the sessions of an account.
    """

    collection: ClassVar[str] = "sessions"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index((), ordered="expires_ms"),
        Index(("account_id",), ordered="expires_ms"),
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each device that signs in",
        ends="when it ends, or `refresh_token_days` of the settings after its last use",
        names="a person",
        ends_at="expires_ms",
    )

    account_id: str
    refresh_digest: str
    expires_ms: int
    max_level: int = IN_PERSON
    proved_at: datetime | None = None
    created: datetime | None = None
    last_used: datetime | None = None
    device: str | None = None
    device_name: str = ""
    device_kind: DeviceKind = "other"
    previous_digest: str = ""
    retry_digest: str = ""
    successor: str = ""


def renewed_session(
    session: Session, digest: str, successor: str, retry_digest: str, now: datetime, expires_ms: int
) -> Session:
    """Return a session whose refresh token was exchanged: `digest` is the hash of the new one, `successor`."""
    return replace(
        session,
        previous_digest=session.refresh_digest,
        refresh_digest=digest,
        successor=successor,
        retry_digest=retry_digest,
        last_used=now,
        expires_ms=expires_ms,
    )


def is_retry(session: Session, digest: str, device: str | None, retry_digest: str, now: datetime) -> bool:
    """Return whether a used refresh token repeats the last refresh, by the same device and within a minute.

    The same device is known by its key. Without one, it is known by the Idempotency-Key of the request, which a thief
    of the token alone does not have.
    """
    if not session.previous_digest or not hmac.compare_digest(session.previous_digest, digest):
        return False
    if session.last_used is None or now - session.last_used >= RETRY_INTERVAL:
        return False
    if session.device is not None:
        return session.device == device
    return bool(session.retry_digest) and hmac.compare_digest(session.retry_digest, retry_digest)


def session_ended() -> SessionEnded:
    """Return the Problem that asks to sign in again."""
    return SessionEnded(Text(zh="登录已失效，请重新登录。", en="The session has ended; sign in again."))
