"""Accounts with roles or venues are listed by when they got them.

Earlier editions did not record that, so they are listed as if they had joined when this edition was released.
"""

from typing import Any

COLLECTION = "accounts"
RELEASED_MS = 1_796_083_200_000
"""1 December 2026."""


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Add `staff_since_ms`."""
    if body.get("staff_since_ms") is not None or not (body.get("roles") or body.get("venues")):
        return None
    return body | {"staff_since_ms": RELEASED_MS}
