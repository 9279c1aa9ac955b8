"""An enrolment has the person's lines of credit, which were documents of their own, and its breaches name bills."""

from typing import Any

from backend.store.migrations import ReadBodies, rename_fields

COLLECTION = "medical_credit_enrolments"
PURPOSES = ("inpatient", "outpatient")
FIELDS = ("limit_fen", "holds", "archived_until")


async def change(body: dict[str, Any], read: ReadBodies) -> dict[str, Any] | None:
    """Add the lines of credit that `credit_accounts` has of this person."""
    if "credit" in body:
        return None
    ids = {f"{body['id']}:{purpose}": purpose for purpose in PURPOSES}
    accounts = await read("credit_accounts", f"{body['id']}:", len(ids))  # their ids are next to one another
    credit = {
        ids[account["id"]]: {name: account.get(name) for name in FIELDS} for account in accounts if account["id"] in ids
    }
    renamed = rename_fields(body, {"breaches.visit": "bill"}) or body
    return renamed | {"credit": credit}
