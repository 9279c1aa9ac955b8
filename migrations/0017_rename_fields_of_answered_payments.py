"""Stored answers to payment requests use the names of this edition, so that a repeated request gets them."""

import json
from typing import Any, cast

from backend.store.migrations import rename_fields, replace_values

COLLECTION = "kept_answers"
FIELDS = {"shares.who": "payer", "transfers.means": "method"}
WORDS = {"transfers.state": {"asked": "requested"}}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields of a stored visit, and the Problem of a payment in progress."""
    answer = _answer(body.get("answer"))
    if answer is not None:
        return body | {"answer": answer}
    return replace_values(body, {"problem.kind": {"PaymentInFlight": "PaymentInProgress"}})


def _answer(text: str | None) -> str | None:
    """Return the changed text of a stored visit, or None for any other answer."""
    if text is None or '"medical_fee_fen"' not in text:
        return None
    visit = cast("dict[str, Any]", json.loads(text))
    renamed = rename_fields(visit, FIELDS)
    replaced = replace_values(renamed or visit, WORDS) or renamed
    return None if replaced is None else json.dumps(replaced, ensure_ascii=False, separators=(",", ":"))
