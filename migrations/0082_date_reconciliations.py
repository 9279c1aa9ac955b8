"""Reconciliations hold when they were made as a number of milliseconds, so that a sweep finds the old ones."""

from typing import Any

COLLECTION = "reconciliations"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Add `created_ms`."""
    if body.get("created_ms") is not None:
        return None
    return body | {"created_ms": int(body["created_at"].timestamp() * 1_000)}
