"""Budgets count `quota_used`, and their entries change it by `quota_delta`."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "budgets"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields."""
    return rename_fields(body, {"places": "quota_used", "entries.places": "quota_delta"})
