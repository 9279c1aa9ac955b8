"""Rename `said` of health event receipts to `event`."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "health_event_receipts"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the document with the new name, or None if it has it already."""
    return rename_fields(body, {"said": "event"})
