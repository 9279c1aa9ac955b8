"""A reconciliation before and after its breaks were renamed to differences."""

import hashlib
from typing import Any

from backend.paylater.repairs import Resolution
from backend.services.medical_credit.model.reconciliation import Difference, Reconciliation, Totals
from tests.migrations.medical_credit_visit import NOON, NOON_MS


def difference_id(*contents: object) -> str:
    """Return the id of a difference as a comparison derives it."""
    return hashlib.sha256("\n".join(map(str, contents)).encode()).hexdigest()[:16]


def difference_before(key: str, kind: str, subject: str, repair: str) -> dict[str, Any]:
    return {
        "id": key,
        "kind": kind,
        "visit": "v",
        "number": "V1",
        "subject": subject,
        "ours_fen": None,
        "theirs_fen": 1,
        "repair": repair,
        "line": None,
    }


def resolution_before(state: str, said: str | None = None) -> dict[str, Any]:
    return {
        "state": state,
        "accepted_by": "a",
        "accepted_at": NOON,
        "approved_by": None,
        "approved_at": None,
        "said": said,
    }


RECONCILIATION: dict[str, Any] = {
    "id": "r",
    "revision": 4,
    "hospital": "HZ001",
    "day": "2022-04-20",
    "made_at": NOON,
    "file_digest": "d",
    "totals": {"visits": 1},
    "visits": [],
    "breaks": [
        difference_before("b1", "line_only_there", "L1", "take_charge"),
        difference_before("b2", "payment_only_at_bank", "v/pay/1", "take_banks_word"),
        difference_before("b3", "line_twice_there", "L3", "ask_hospital"),
        difference_before("b4", "insurance_differs", "s", "settle_again"),
    ],
    "handled": {
        "b1": resolution_before("accepted"),
        "b2": resolution_before("approved"),
        "b4": resolution_before("unfit", "refused"),
    },
    "left_out": 5,
    "due_ms": NOON_MS,
}
_IDS = [
    difference_id(kind, "v", "V1", subject, None, 1)
    for kind, subject in (
        ("line_only_at_hospital", "L1"),
        ("line_duplicated_at_hospital", "L3"),
        ("insurance_split_differs", "s"),
    )
]
RECONCILIATION_AFTER = Reconciliation(
    id="r",
    revision=6,
    hospital="HZ001",
    day="2022-04-20",
    created_at=NOON,
    created_ms=NOON_MS,
    file_digest="d",
    totals=Totals(visits=1),
    differences=(
        Difference(_IDS[0], "line_only_at_hospital", "v", "V1", "L1", None, 1, "add_charge"),
        Difference("b2", "payment_only_at_bank", "v", "V1", "v/pay/1", None, 1, "accept_bank_record"),
        Difference(_IDS[1], "line_duplicated_at_hospital", "v", "V1", "L3", None, 1, "contact_hospital"),
        Difference(_IDS[2], "insurance_split_differs", "v", "V1", "s", None, 1, "settle_again"),
    ),
    resolutions={
        _IDS[0]: Resolution("accepted", "a", NOON),
        "b2": Resolution("approved", "a", NOON),
        _IDS[2]: Resolution("failed", "a", NOON, message="refused"),
    },
    omitted=5,
    due_ms=NOON_MS,
)
