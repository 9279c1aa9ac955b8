"""The parts of a school plan hold catchments, the usual word for them."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "school_zones"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Put `catchments` in the place of `zones`."""
    return rename_fields(body, {"zones": "catchments"})
