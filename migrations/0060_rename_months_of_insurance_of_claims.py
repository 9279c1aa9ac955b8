"""Instalments of claims are due at a `milestone`, which the `progress` of the claim reaches."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "claims"
FIELDS = {
    "instalments.insured_months": "milestone",
    "insured_months": "progress",
    "insurance_checked_at": "progress_checked_at",
}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields; the facts of the claim keep theirs."""
    return rename_fields(body, FIELDS)
