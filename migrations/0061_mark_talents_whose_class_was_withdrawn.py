"""Talents whose class was withdrawn have `withdrawn_at` until their claims are cancelled.

Whether that was interrupted is unknown, so all of them with claims are reviewed at once.
"""

from typing import Any

COLLECTION = "talents"
AT_ONCE_MS = 0


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Set when the class was last withdrawn."""
    withdrawn = [grant["ended_at"] for grant in body.get("grants") or () if grant.get("end") == "withdrawn"]
    if not withdrawn or not body.get("past_claims") or body.get("withdrawn_at") is not None:
        return None
    return body | {"withdrawn_at": withdrawn[-1], "due_ms": AT_ONCE_MS}
