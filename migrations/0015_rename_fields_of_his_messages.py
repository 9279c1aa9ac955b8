"""A hospital's message counts attempts."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "his_messages"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename `tries`."""
    return rename_fields(body, {"tries": "attempts"})
