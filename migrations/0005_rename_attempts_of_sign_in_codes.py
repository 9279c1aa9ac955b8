"""Rename `tries` of sign-in codes to `attempts`."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "sign_in_challenges"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the document with the new name, or None if it has it already."""
    return rename_fields(body, {"tries": "attempts"})
