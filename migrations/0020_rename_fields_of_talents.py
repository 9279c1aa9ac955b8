"""Talents: evidence holds a `qualification`, claims made before are `past_claims`, notices are `notifications`."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "talents"
FIELDS = {
    "evidence.said": "qualification",
    "evidence.ask_at": "check_at",
    "evidence.again": "recheck",
    "taken": "past_claims",
    "notices": "notifications",
    "notices.told": "sent",
}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields."""
    return rename_fields(body, FIELDS)
