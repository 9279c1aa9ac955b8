"""Records of answered requests: `begun_at` becomes `started_at`, and Problems have their present names."""

from typing import Any

from backend.store.migrations import rename_fields, replace_values

COLLECTION = "kept_answers"
RENAMED_PROBLEMS = {
    "ChangedMeanwhile": "EditConflict",
    "DrawingBusy": "ImageWorkerBusy",
    "KeyReused": "IdempotencyKeyReused",
    "OtherSideAway": "UpstreamUnavailable",
    "RegisterAway": "UpstreamUnavailable",
    "RegistryAway": "UpstreamUnavailable",
    "RequestInFlight": "RequestInProgress",
}
"""Class names of Problems: the former one, and the one that replaces it."""


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the field and the stored Problem."""
    renamed = rename_fields(body, {"begun_at": "started_at"})
    return replace_values(renamed or body, {"problem.kind": RENAMED_PROBLEMS}) or renamed
