"""A reconciliation holds differences and their resolutions, with kinds and repairs in standard terms.

The id of a difference is derived from its kind. It is derived again, so that a later comparison finds the resolution
of the same difference, unless the repair is approved or done: then its id is part of the ids of the repair.
"""

import hashlib
from typing import Any

from backend.store.migrations import rename_fields, replace_values

COLLECTION = "reconciliations"
FIELDS = {"made_at": "created_at", "breaks": "differences", "handled": "resolutions", "left_out": "omitted"}
WORDS = {
    "differences.kind": {
        "visit_only_there": "visit_only_at_hospital",
        "visit_only_here": "visit_missing_at_hospital",
        "line_only_there": "line_only_at_hospital",
        "line_only_here": "line_missing_at_hospital",
        "line_twice_there": "line_duplicated_at_hospital",
        "insurance_only_there": "settlement_only_at_insurance",
        "insurance_only_here": "settlement_missing_at_insurance",
        "insurance_differs": "insurance_split_differs",
        "payment_only_here": "payment_missing_at_bank",
        "refund_only_here": "refund_missing_at_bank",
    },
    "differences.repair": {
        "take_charge": "add_charge",
        "take_credit": "add_credit",
        "take_banks_word": "accept_bank_record",
        "ask_bank_again": "query_bank",
        "ask_hospital": "contact_hospital",
    },
}
CONTENTS = ("kind", "visit", "number", "subject", "ours_fen", "theirs_fen")


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename fields and words, and derive the ids of differences again whose repair has not begun."""
    renamed = rename_fields(body, FIELDS)
    if renamed is None:
        return None
    body = replace_values(renamed, WORDS) or renamed
    resolutions: dict[str, dict[str, Any]] = {key: _resolution(old) for key, old in body["resolutions"].items()}
    differences: list[dict[str, Any]] = []
    for difference in body["differences"]:
        resolution = resolutions.pop(difference["id"], None)
        begun = resolution is not None and resolution["state"] in ("approved", "repaired")
        new = difference if begun else difference | {"id": _id(difference)}
        differences.append(new)
        if resolution is not None:
            resolutions[new["id"]] = resolution
    return body | {"differences": differences, "resolutions": resolutions}


def _resolution(old: dict[str, Any]) -> dict[str, Any]:
    renamed = rename_fields(old, {"said": "message"}) or old
    return replace_values(renamed, {"state": {"unfit": "failed"}}) or renamed


def _id(difference: dict[str, Any]) -> str:
    contents = "\n".join(str(difference[name]) for name in CONTENTS)
    return hashlib.sha256(contents.encode()).hexdigest()[:16]
