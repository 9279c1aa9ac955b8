"""Each payment at the counter is a decision on the bill.

Earlier editions recorded these payments and left the bill as it was. Bills that are still owed are decided again, so
that nobody is asked for what they have paid at the counter. Others are as if they had been decided with the payments.
"""

from typing import Any

COLLECTION = "medical_visits"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Number the bill as its decision is numbered now, or let a sweep decide it again."""
    payments, settlement, bill = body.get("counter_payments"), body.get("settlement"), body.get("bill")
    if not payments or settlement is None or bill is None or bill["number"] != settlement["number"]:
        return None
    if body.get("owing"):
        return body | {"due_ms": 0} if body.get("due_ms") != 0 else None
    return body | {"bill": bill | {"number": settlement["number"] + len(payments)}}
