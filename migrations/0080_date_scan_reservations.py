"""Reservations of scan ids have a date, by which a sweep deletes them.

Earlier editions did not date them, so they are kept as if they were made when this edition was released.
"""

from typing import Any

COLLECTION = "scan_claims"
RELEASED_MS = 1_796_083_200_000
"""1 December 2026."""


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Add `at_ms`."""
    return None if body.get("at_ms") is not None else body | {"at_ms": RELEASED_MS}
