"""Sessions: the devices on which people are signed in."""

from typing import ClassVar

from backend.i18n import Text
from backend.problems import Problem
from backend.store import Document, Index
from backend.store.retention import Retention


class SessionEnded(Problem):
    """The refresh token was used before, or its session has ended."""

    status, title = 401, "Session ended"


class Session(Document, kw_only=True):
    """A signed-in device. Its refresh token changes at each use; only the hash of the last one is stored."""

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


def session_ended() -> SessionEnded:
    """Return the Problem that asks to sign in again."""
    return SessionEnded(Text(zh="登录已失效，请重新登录。", en="The session has ended; sign in again."))
