"""Sign-in codes hold when they are forgotten, a day after the last was sent, so that a sweep finds them."""

from datetime import datetime
from typing import Any

COLLECTION = "sign_in_challenges"
DAY_MS = 24 * 60 * 60 * 1_000


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Add `expires_ms`."""
    if "expires_ms" in body:
        return None
    sent: list[datetime] = body["sent"]
    return body | {"expires_ms": int(sent[-1].timestamp() * 1_000) + DAY_MS}
