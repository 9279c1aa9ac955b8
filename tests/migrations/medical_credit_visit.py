"""A visit before and after its fields were renamed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from backend.paylater.bill import Bill, Notice, Payment, Refund
from backend.services.medical_credit.model.visit import CounterPayment, Line, Settlement, SettlementAttempt, Visit
from backend.services.medical_credit.ports import Split

NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
NOON_MS = 1_650_427_200_000
LATER = NOON + timedelta(days=30)

SPLIT = {
    "settlement_id": "s",
    "medfee_fen": 100,
    "fund_fen": 60,
    "hospital_part_fen": 0,
    "account_fen": 10,
    "family_account_fen": 0,
    "cash_fen": 30,
}

VISIT: dict[str, Any] = {
    "id": "v",
    "revision": 7,
    "hospital": "HZ001",
    "number": "V1",
    "person": "p",
    "kind": "emergency",
    "opened_at": NOON,
    "opened_ms": NOON_MS,
    "made_at": NOON,
    "changed_ms": NOON_MS,
    "wanted_hold_fen": 50_000,
    "expires_at": LATER,
    "exceptional": False,
    "automatic": True,
    "holding": True,
    "held_fen": 50_000,
    "lines": [
        {"id": "L1", "kind": "charge", "code": "A1", "title": "诊查费", "amount_fen": 100, "at": NOON, "of": None}
    ],
    "counter": [{"id": "P1", "amount_fen": 5, "at": NOON}],
    "uncovered": False,
    "attempts": 2,
    "attempt": {"number": 2, "message_id": "v/2", "lines": 1, "asked_at": NOON, "reversing": True},
    "settlement": {
        "number": 1,
        "message_id": "v/1",
        "lines": 1,
        "split": SPLIT,
        "at": NOON,
        "cancelling": False,
    },
    "settled_ms": NOON_MS,
    "moved_ms": NOON_MS,
    "billings": 1,
    "bill": None,
    "payments": [
        {
            "id": "v/debit/1",
            "amount_fen": 30,
            "payer": "p",
            "means": "automatic",
            "asked_at": NOON,
            "state": "asked",
            "answered_at": None,
            "receipt": None,
            "reason": None,
            "credited": False,
        }
    ],
    "refunds": [
        {
            "id": "v/refund/1",
            "payment": "v/debit/1",
            "amount_fen": 3,
            "asked_at": NOON,
            "state": "asked",
            "answered_at": None,
            "receipt": None,
            "credited": False,
        }
    ],
    "notices": [{"kind": "bill", "at": NOON, "amount_fen": 30, "told": True}],
    "breach_noted": True,
    "events": ["e"],
    "owing": True,
}
VISIT_AFTER = Visit(
    id="v",
    revision=8,
    hospital="HZ001",
    number="V1",
    person="p",
    kind="emergency",
    opened_at=NOON,
    opened_ms=NOON_MS,
    created_at=NOON,
    changed_ms=NOON_MS,
    requested_hold_fen=50_000,
    expires_at=LATER,
    automatic_debit=True,
    hold_placed=True,
    held_fen=50_000,
    lines=(Line("L1", "charge", "A1", "诊查费", 100, NOON),),
    counter_payments=(CounterPayment("P1", 5, NOON),),
    attempts=2,
    attempt=SettlementAttempt(2, "v/2", 1, NOON, reversing=True),
    settlement=Settlement(1, "v/1", 1, Split("s", 100, 60, 0, 10, 0, 30), NOON),
    settled_ms=NOON_MS,
    bank_answered_ms=NOON_MS,
    bill_count=1,
    payments=(Payment("v/debit/1", 30, "p", "automatic", NOON),),
    refunds=(Refund("v/refund/1", "v/debit/1", 3, NOON),),
    notices=(Notice("bill", NOON, 30, sent=True),),
    breach_recorded=True,
    events=("e",),
    owing=True,
)

BILLED_VISIT_AFTER = replace(VISIT_AFTER, attempt=None, owing=False, bill=Bill(2, 30, 30, 0, 0, NOON, (), 5))
"""A bill that was decided with the payment at the counter."""

BILLED_VISIT: dict[str, Any] = msgspec.to_builtins(
    replace(BILLED_VISIT_AFTER, revision=7, bill=Bill(1, 30, 30, 0, 0, NOON, ())), builtin_types=(datetime,)
)
