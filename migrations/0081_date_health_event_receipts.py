"""Receipts of health events have a date, by which a sweep deletes them.

Earlier editions did not date them, so they are kept as if the events were reported when this edition was released.
"""

from typing import Any

COLLECTION = "health_event_receipts"
RELEASED_MS = 1_796_083_200_000
"""1 December 2026."""


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Add `received_ms`."""
    return None if body.get("received_ms") is not None else body | {"received_ms": RELEASED_MS}
