"""Releases of rules hold when they were published as a number of milliseconds, by which they are listed."""

from typing import Any

COLLECTION = "rulebook_releases"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Add `published_ms`."""
    if body.get("published_ms") is not None:
        return None
    return body | {"published_ms": int(body["published"].timestamp() * 1_000)}
