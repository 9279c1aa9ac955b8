"""Stored answers to claims and repayments use the names of this edition, so that a repeated request gets them."""

import json
from typing import Any, cast

from backend.store.migrations import rename_fields, replace_values

COLLECTION = "kept_answers"
FIELDS = {"parts": "instalments", "clawback.differing": "differing_facts", "clawback.noticed_at": "notified_at"}
WORDS = {
    "stage": {"given_up": "withdrawn"},
    "instalments.state": {"asked": "requested", "stopped": "cancelled"},
    "clawback.appeal": {"waiting": "pending", "won": "granted", "lost": "rejected"},
}
PROBLEMS = {
    "ClaimedAlready": "AlreadyClaimed",
    "MoneyOwed": "RepaymentOutstanding",
    "RepaymentInFlight": "RepaymentInProgress",
}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields of a stored claim, or a stored Problem of the talent code."""
    answer = _answer(body.get("answer"))
    if answer is not None:
        return body | {"answer": answer}
    return replace_values(body, {"problem.kind": PROBLEMS})


def _answer(text: str | None) -> str | None:
    """Return the changed text of a stored claim, or None for any other answer."""
    if text is None or '"read_by_officers"' not in text:
        return None
    claim = cast("dict[str, Any]", json.loads(text))
    renamed = rename_fields(claim, FIELDS)
    replaced = replace_values(renamed or claim, WORDS) or renamed
    return None if replaced is None else json.dumps(replaced, ensure_ascii=False, separators=(",", ":"))
