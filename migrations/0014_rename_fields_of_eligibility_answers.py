"""An eligibility answer says whether the person is eligible and how much credit is available."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "eligibility_answers"
FIELDS = {"made_at": "created_at", "made_ms": "created_ms", "may": "eligible", "free_fen": "available_fen"}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields."""
    return rename_fields(body, FIELDS)
