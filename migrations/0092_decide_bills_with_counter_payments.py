"""Each payment at the counter is a decision on the bill.

Earlier editions recorded these payments and left the bill as it was. A bill that is still owed is decided again if more
was paid at the counter than the part that is collected there, so that nobody is asked for it twice. Other bills are as
if they had been decided with the payments.
"""

from typing import Any

COLLECTION = "medical_visits"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Number the bill as its decision is numbered now, or let a sweep decide it again."""
    payments, settlement, bill = body.get("counter_payments"), body.get("settlement"), body.get("bill")
    if not payments or settlement is None or bill is None or bill["number"] != settlement["number"]:
        return None
    paid_fen = sum(one["amount_fen"] for one in payments)
    if body.get("owing") and paid_fen > bill["counter_fen"]:
        return body | {"due_ms": 0} if body.get("due_ms") != 0 else None
    number = settlement["number"] + len(payments)
    return body | {"bill": bill | {"number": number, "paid_at_counter_fen": paid_fen}}
