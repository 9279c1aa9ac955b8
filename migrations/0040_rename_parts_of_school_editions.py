"""Editions of school plans say catchment, city districts and synthetic; an edition keeps its id."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "school_editions"

RENAMES = {
    "zone_parts": "catchment_parts",
    "heading.counted_districts": "city_districts",
    "heading.invented": "synthetic",
}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields."""
    return rename_fields(body, RENAMES)
