"""A family consent says when it was requested."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "family_consents"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename `asked_at`."""
    return rename_fields(body, {"asked_at": "requested_at"})
