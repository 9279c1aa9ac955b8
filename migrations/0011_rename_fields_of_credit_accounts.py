"""Holds of credit accounts use standard terms, and the id of an additional hold over the limit says so."""

from typing import Any

from backend.store.migrations import rename_fields

COLLECTION = "credit_accounts"
FIELDS = {
    "holds.wanted_fen": "requested_fen",
    "holds.made_at": "created_at",
    "holds.beyond": "over_limit",
    "holds.edition": "version",
}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields of holds, and end the ids of holds over the limit in `/over_limit`."""
    renamed = rename_fields(body, FIELDS)
    if renamed is None:
        return None
    holds = [hold | {"id": _new_id(hold["id"])} for hold in renamed["holds"]]
    return renamed | {"holds": holds}


def _new_id(hold_id: str) -> str:
    return f"{hold_id.removesuffix('/beyond')}/over_limit" if hold_id.endswith("/beyond") else hold_id
