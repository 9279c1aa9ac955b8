"""Visits use standard terms: a payment is requested, its method is named, and a notification is sent."""

from typing import Any

from backend.store.migrations import rename_fields, replace_values

COLLECTION = "medical_visits"
FIELDS = {
    "made_at": "created_at",
    "wanted_hold_fen": "requested_hold_fen",
    "automatic": "automatic_debit",
    "holding": "hold_placed",
    "counter": "counter_payments",
    "uncovered": "credit_released",
    "moved_ms": "bank_answered_ms",
    "billings": "bill_count",
    "breach_noted": "breach_recorded",
    "attempt.lines": "line_count",
    "attempt.asked_at": "requested_at",
    "settlement.lines": "line_count",
    "payments.means": "method",
    "payments.asked_at": "requested_at",
    "payments.credited": "applied",
    "refunds.asked_at": "requested_at",
    "refunds.credited": "applied",
    "notices.told": "sent",
}
WORDS = {"payments.state": {"asked": "requested"}, "refunds.state": {"asked": "requested"}}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields and the state of a transfer that the bank has not decided."""
    renamed = rename_fields(body, FIELDS)
    replaced = replace_values(renamed or body, WORDS)
    return replaced or renamed
