"""Documents of pay later before and after its migrations."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from msgspec.structs import replace

from backend.paylater.account import RecordedBreach
from backend.paylater.bill import Notice, Payment, Refund
from backend.paylater.credit_line import Hold, Transfer
from backend.paylater.repairs import Resolution
from backend.services.medical_credit.facts import CreditFacts
from backend.services.medical_credit.model.enrolment import Enrolment, FamilyPayer
from backend.services.medical_credit.model.hospital import EligibilityAnswer, HisMessage
from backend.services.medical_credit.model.reconciliation import Difference, Reconciliation, Totals
from backend.services.medical_credit.model.visit import CounterPayment, Line, Settlement, SettlementAttempt, Visit
from backend.services.medical_credit.ports import Split
from backend.store import Document
from backend.web.idempotency import IdempotencyRecord

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

ACCOUNT: dict[str, Any] = {
    "id": "p:outpatient",
    "revision": 2,
    "limit_fen": 100_000,
    "holds": [
        {
            "id": "v/1/beyond",
            "wanted_fen": 500,
            "amount_fen": 500,
            "made_at": NOON,
            "expires_at": LATER,
            "beyond": True,
            "edition": 3,
            "state": "posted",
            "posted_fen": 500,
            "transfers": [{"id": "t", "kind": "repay", "amount_fen": 200, "at": NOON}],
        }
    ],
    "archived_until": None,
}


class CreditAccount(Document, kw_only=True):
    """The account of an earlier edition; enrolments have the lines of credit now."""

    collection: ClassVar[str] = "credit_accounts"

    limit_fen: int
    holds: tuple[Hold, ...] = ()
    archived_until: datetime | None = None


ACCOUNT_AFTER = CreditAccount(
    id="p:outpatient",
    revision=3,
    limit_fen=100_000,
    holds=(
        Hold(
            "v/1/over_limit",
            500,
            500,
            NOON,
            LATER,
            over_limit=True,
            version=3,
            state="posted",
            posted_fen=500,
            transfers=(Transfer("t", "repay", 200, NOON),),
        ),
    ),
)

FACTS = CreditFacts(adult_at=NOON, senior_at=LATER, real_name="face")
ENROLMENT: dict[str, Any] = {
    "id": "p",
    "revision": 1,
    "agreement": "2026-01",
    "consented_at": NOON,
    "automatic_debit": True,
    "facts": {"adult_at": NOON, "senior_at": LATER, "real_name": "face"},
    "facts_at": NOON,
    "closed_at": None,
    "breaches": [{"visit": "v", "at": NOON}],
    "kept_at": LATER,
}
ENROLMENT_AFTER = Enrolment(
    id="p",
    revision=3,
    agreement="2026-01",
    consented_at=NOON,
    automatic_debit=True,
    facts=FACTS,
    facts_at=NOON,
    breaches=(RecordedBreach(NOON, "v"),),
    paid_on_time_at=LATER,
)


def difference_id(*contents: object) -> str:
    """Return the id of a difference as a comparison derives it."""
    return hashlib.sha256("\n".join(map(str, contents)).encode()).hexdigest()[:16]


def a_break(key: str, kind: str, subject: str, repair: str) -> dict[str, Any]:
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


def a_handling(state: str, said: str | None = None) -> dict[str, Any]:
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
        a_break("b1", "line_only_there", "L1", "take_charge"),
        a_break("b2", "payment_only_at_bank", "v/pay/1", "take_banks_word"),
        a_break("b3", "line_twice_there", "L3", "ask_hospital"),
        a_break("b4", "insurance_differs", "s", "settle_again"),
    ],
    "handled": {
        "b1": a_handling("accepted"),
        "b2": a_handling("approved"),
        "b4": a_handling("unfit", "refused"),
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
    revision=5,
    hospital="HZ001",
    day="2022-04-20",
    created_at=NOON,
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

_SHOWN: dict[str, Any] = {
    "id": "v",
    "medical_fee_fen": 100,
    "shares": [{"who": "cash", "amount_fen": 30, "because": {"zh": "现金", "en": "Cash"}}],
    "transfers": [{"id": "t", "means": "citizen", "state": "asked"}],
}
_DETAILS: dict[str, Any] = {
    "id": "v",
    "medical_fee_fen": 100,
    "shares": [{"payer": "cash", "amount_fen": 30, "because": {"zh": "现金", "en": "Cash"}}],
    "transfers": [{"id": "t", "method": "citizen", "state": "requested"}],
}


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


ENROLMENT_OF_0050 = {name: value for name, value in ENROLMENT.items() if name != "kept_at"} | {"paid_on_time_at": LATER}

EXAMPLES: list[tuple[str, dict[str, Any], Document]] = [
    ("0010_rename_fields_of_visits", VISIT, VISIT_AFTER),
    ("0011_rename_fields_of_credit_accounts", ACCOUNT, ACCOUNT_AFTER),
    ("0012_rename_fields_of_enrolments", ENROLMENT, ENROLMENT_AFTER),
    (
        "0013_rename_fields_of_family_consents",
        {
            "id": "f",
            "revision": 1,
            "patient": "p",
            "payer": "q",
            "relation": "child",
            "asked_at": NOON,
            "agreed_at": None,
            "live": True,
        },
        FamilyPayer(id="f", revision=2, patient="p", payer="q", relation="child", requested_at=NOON),
    ),
    (
        "0014_rename_fields_of_eligibility_answers",
        {
            "id": "e",
            "revision": 1,
            "hospital": "HZ001",
            "number": "E1",
            "patient": "x",
            "kind": "outpatient",
            "made_at": NOON,
            "made_ms": NOON_MS,
            "expires_ms": NOON_MS,
            "may": True,
            "free_fen": 7,
        },
        EligibilityAnswer(
            id="e",
            revision=2,
            hospital="HZ001",
            number="E1",
            patient="x",
            kind="outpatient",
            created_at=NOON,
            created_ms=NOON_MS,
            expires_ms=NOON_MS,
            eligible=True,
            available_fen=7,
        ),
    ),
    (
        "0015_rename_fields_of_his_messages",
        {
            "id": "m",
            "revision": 1,
            "hospital": "HZ001",
            "control_id": "1",
            "kind": "ADT^A04",
            "raw": "r",
            "digest": "d",
            "received_ms": NOON_MS,
            "expires_ms": NOON_MS,
            "state": "waiting",
            "visit": "v",
            "answer": None,
            "answer_code": None,
            "reason": None,
            "tries": 3,
            "due_ms": NOON_MS,
        },
        HisMessage(
            id="m",
            revision=2,
            hospital="HZ001",
            control_id="1",
            kind="ADT^A04",
            raw="r",
            digest="d",
            received_ms=NOON_MS,
            expires_ms=NOON_MS,
            state="waiting",
            visit="v",
            attempts=3,
            due_ms=NOON_MS,
        ),
    ),
    ("0016_rename_breaks_to_differences", RECONCILIATION, RECONCILIATION_AFTER),
    (
        "0017_rename_fields_of_answered_payments",
        {
            "id": "k",
            "revision": 2,
            "payload": "d",
            "started_at": NOON,
            "expires_ms": NOON_MS,
            "answer": _json(_SHOWN),
            "problem": None,
        },
        IdempotencyRecord(id="k", revision=3, payload="d", started_at=NOON, expires_ms=NOON_MS, answer=_json(_DETAILS)),
    ),
    ("0050_move_credit_into_enrolments", ENROLMENT_OF_0050, replace(ENROLMENT_AFTER, revision=2)),
]
