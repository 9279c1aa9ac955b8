"""Sessions hold their end as a number of milliseconds, so that a sweep finds those that have ended."""

from datetime import datetime
from typing import Any

COLLECTION = "sessions"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Put `expires_ms` in the place of `expires`."""
    if "expires_ms" in body:
        return None
    expires: datetime = body["expires"]
    return {name: value for name, value in body.items() if name != "expires"} | {
        "expires_ms": int(expires.timestamp() * 1_000)
    }
