"""Documents of pay later before and after its migrations."""

import json
from datetime import datetime
from typing import Any, ClassVar

from msgspec.structs import replace

from backend.paylater.account import RecordedBreach
from backend.paylater.credit_line import Hold, Transfer
from backend.services.medical_credit.facts import CreditFacts
from backend.services.medical_credit.model.enrolment import Enrolment, FamilyPayer
from backend.services.medical_credit.model.hospital import EligibilityAnswer, HisMessage
from backend.store import Document
from backend.web.idempotency import IdempotencyRecord
from tests.migrations.medical_credit_reconciliation import RECONCILIATION, RECONCILIATION_AFTER
from tests.migrations.medical_credit_visit import (
    BILLED_VISIT,
    BILLED_VISIT_AFTER,
    LATER,
    NOON,
    NOON_MS,
    VISIT,
    VISIT_AFTER,
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
    ("0092_decide_bills_with_counter_payments", BILLED_VISIT, BILLED_VISIT_AFTER),
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
