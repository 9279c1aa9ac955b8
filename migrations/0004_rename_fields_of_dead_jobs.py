"""Dead letters: `tries` becomes `attempts`."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "dead_jobs"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the field."""
    return rename_fields(body, {"tries": "attempts"})
