"""Dead letters of the talent code name its tasks as this edition does, so that they can be retried."""

from typing import Any

from backend.store.migrations import replace_values

COLLECTION = "dead_jobs"
TASKS = {
    "talent_code.look_after": "talent_code.review_talent",
    "talent_code.advance": "talent_code.advance_claim",
    "talent_code.serve_benefit": "talent_code.serve_waitlist",
    "talent_code.sweep_lines": "talent_code.sweep_waitlists",
}


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Replace the name of the task."""
    return replace_values(body, {"task": TASKS})
