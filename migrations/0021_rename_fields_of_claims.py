"""Claims have `instalments` and `notifications`, wait on a `waitlist`, and can be withdrawn."""

from typing import Any

from backend.store.migrations import rename_fields, replace_values

COLLECTION = "claims"
FIELDS = {
    "parts": "instalments",
    "parts.asked_at": "requested_at",
    "parts.tries": "attempts",
    "parts.try_at": "retry_at",
    "entry.places": "quota_delta",
    "line": "waitlist",
    "freed": "unblocked",
    "insurance_asked_at": "insurance_checked_at",
    "audit.differing": "differing_facts",
    "clawback.noticed_at": "notified_at",
    "clawback.appeal.upheld": "decision_upheld",
    "clawback.collections.asked_at": "requested_at",
    "notices": "notifications",
    "notices.told": "sent",
    "readings": "officer_views",
}
WORDS = {
    "state": {"given_up": "withdrawn"},
    "instalments.state": {"asked": "requested", "stopped": "cancelled"},
    "clawback.collections.state": {"asked": "requested"},
    "notifications.kind": {
        "stopped": "cancelled",
        "to_be_reduced": "reduction_announced",
        "appeal_upheld": "appeal_rejected",
        "appeal_won": "appeal_granted",
        "reduction_upheld": "reduction_confirmed",
        "reduction_dropped": "reduction_cancelled",
        "returned": "repayment_received",
    },
}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the fields, and replace the words of closed sets."""
    renamed = rename_fields(body, FIELDS)
    return replace_values(renamed or body, WORDS) or renamed
