"""An enrolment says when a bill was last paid on time."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "medical_credit_enrolments"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename `kept_at`."""
    return rename_fields(body, {"kept_at": "paid_on_time_at"})
