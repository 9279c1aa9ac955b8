"""Documents of the talent code before and after its migrations."""

import json
from datetime import UTC, datetime
from typing import Any

from backend.benefits.budget import Entry
from backend.benefits.claim import (
    Appeal,
    Audit,
    ClaimInstalment,
    ClaimNotification,
    Clawback,
    Collection,
    PastClaim,
)
from backend.i18n import Text
from backend.jobs.tasks import DeadLetter
from backend.services.talent_code.facts import BenefitFacts, Pay, Title
from backend.services.talent_code.model.claim import Budget, Claim, OfficerView
from backend.services.talent_code.model.evidence import Evidence
from backend.services.talent_code.model.talent import Grant, Talent, TalentNotification
from backend.store import Document
from backend.web.idempotency import IdempotencyRecord

NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
NOON_MS = 1_650_427_200_000

TEXT = {"zh": "房租补贴", "en": "Rent subsidy"}

TALENT: dict[str, Any] = {
    "id": "p",
    "revision": 2,
    "code_id": "c",
    "born_at": NOON,
    "evidence": [
        {
            "id": "e1",
            "said": {"type": "title", "title": "professor", "granted_at": NOON},
            "declared_at": NOON,
            "ask_at": NOON,
            "state": "confirmed",
            "again": True,
        },
        {"id": "e2", "said": {"type": "pay", "year": 2021, "income_fen": 5}, "declared_at": NOON, "ask_at": NOON},
    ],
    "taken": [{"claim": "k", "benefit": "rent", "at": NOON}],
    "notices": [{"kind": "granted", "at": NOON, "talent_class": "d", "told": True}],
}

CLAIM: dict[str, Any] = {
    "id": "k",
    "revision": 9,
    "subject": "p",
    "benefit": "rent",
    "title": TEXT,
    "claimed_at": NOON,
    "claimed_ms": NOON_MS,
    "facts": {"born_at": NOON},
    "stated": ["homes"],
    "rule": "class-e",
    "because": TEXT,
    "figure": 100,
    "amount_fen": 100,
    "rulebook": "r",
    "after_withdrawal": "go_on",
    "parts": [
        {
            "amount_fen": 60,
            "insured_months": 0,
            "state": "asked",
            "payout": "k/payout/1/2",
            "asked_at": NOON,
            "tries": 1,
        },
        {"amount_fen": 30, "insured_months": 6, "state": "stopped", "try_at": NOON},
        {"amount_fen": 10, "insured_months": 9},
    ],
    "state": "given_up",
    "budget": "rent:2022",
    "entry": {"id": "k/0", "kind": "reserve", "amount_fen": 100, "decided_at": NOON, "places": 1},
    "line": "rent",
    "freed": True,
    "insurance_asked_at": NOON,
    "audit": {"at": NOON, "drawn": True, "entitled_fen": 50, "differing": ["homes"]},
    "clawback": {
        "amount_fen": 10,
        "noticed_at": NOON,
        "appeal_until": NOON,
        "collect_at": NOON,
        "appeal": {"text": "I sold it", "at": NOON, "decided_at": NOON, "upheld": True, "reason": TEXT},
        "collections": [{"id": "k/collection/1", "amount_fen": 10, "asked_at": NOON, "by": "city", "state": "asked"}],
    },
    "notices": [
        {"kind": kind, "at": NOON, "amount_fen": 1, "told": kind == "waiting"}
        for kind in (
            "waiting",
            "stopped",
            "to_be_reduced",
            "appeal_upheld",
            "appeal_won",
            "reduction_upheld",
            "reduction_dropped",
            "returned",
        )
    ],
    "readings": [{"at": NOON, "account": "a"}],
}

OLD_ANSWER = {
    "id": "k",
    "benefit": "rent",
    "stage": "given_up",
    "parts": [{"amount_fen": 60, "state": "asked"}, {"amount_fen": 40, "state": "stopped"}],
    "clawback": {"differing": ["homes"], "noticed_at": "2022-04-20T04:00:00Z", "appeal": "won"},
    "read_by_officers": [],
}
ANSWER = {
    "id": "k",
    "benefit": "rent",
    "stage": "withdrawn",
    "instalments": [{"amount_fen": 60, "state": "requested"}, {"amount_fen": 40, "state": "cancelled"}],
    "clawback": {"differing_facts": ["homes"], "notified_at": "2022-04-20T04:00:00Z", "appeal": "granted"},
    "read_by_officers": [],
}


def compact(answer: dict[str, Any]) -> str:
    """Write JSON as answers are stored."""
    return json.dumps(answer, separators=(",", ":"))


EXAMPLES: list[tuple[str, dict[str, Any], Document]] = [
    (
        "0020_rename_fields_of_talents",
        TALENT,
        Talent(
            id="p",
            revision=3,
            code_id="c",
            born_at=NOON,
            evidence=(
                Evidence("e1", Title("professor", NOON), NOON, NOON, "confirmed", recheck=True),
                Evidence("e2", Pay(2021, 5), NOON, NOON),
            ),
            past_claims=(PastClaim("k", "rent", NOON),),
            notifications=(TalentNotification("granted", NOON, "d", sent=True),),
        ),
    ),
    (
        "0021_rename_fields_of_claims",
        CLAIM,
        Claim(
            id="k",
            revision=11,
            subject="p",
            benefit="rent",
            title=Text(**TEXT),
            claimed_at=NOON,
            claimed_ms=NOON_MS,
            facts=BenefitFacts(born_at=NOON),
            stated=("homes",),
            rule="class-e",
            because=Text(**TEXT),
            figure=100,
            amount_fen=100,
            rulebook="r",
            after_withdrawal="go_on",
            instalments=(
                ClaimInstalment(60, 0, "requested", "k/payout/1/2", requested_at=NOON, attempts=1),
                ClaimInstalment(30, 6, "cancelled", retry_at=NOON),
                ClaimInstalment(10, 9),
            ),
            state="withdrawn",
            budget="rent:2022",
            entry=Entry("k/0", "reserve", 100, NOON, 1),
            waitlist="rent",
            unblocked=True,
            progress_checked_at=NOON,
            audit=Audit(NOON, drawn=True, entitled_fen=50, differing_facts=("homes",)),
            clawback=Clawback(
                10,
                NOON,
                NOON,
                NOON,
                Appeal("I sold it", NOON, NOON, decision_upheld=True, reason=Text(**TEXT)),
                collections=(Collection("k/collection/1", 10, NOON, "city"),),
            ),
            notifications=(
                ClaimNotification("waiting", NOON, 1, sent=True),
                ClaimNotification("cancelled", NOON, 1),
                ClaimNotification("reduction_announced", NOON, 1),
                ClaimNotification("appeal_rejected", NOON, 1),
                ClaimNotification("appeal_granted", NOON, 1),
                ClaimNotification("reduction_confirmed", NOON, 1),
                ClaimNotification("reduction_cancelled", NOON, 1),
                ClaimNotification("repayment_received", NOON, 1),
            ),
            officer_views=(OfficerView(NOON, "a"),),
        ),
    ),
    (
        "0022_rename_places_of_budgets",
        {
            "id": "rent:2022",
            "revision": 4,
            "limit_fen": 1_000,
            "reserved_fen": 100,
            "places": 1,
            "entries": [{"id": "k/0", "kind": "reserve", "amount_fen": 100, "decided_at": NOON, "places": 1}],
        },
        Budget(
            id="rent:2022",
            revision=5,
            limit_fen=1_000,
            reserved_fen=100,
            quota_used=1,
            entries=(Entry("k/0", "reserve", 100, NOON, 1),),
        ),
    ),
    (
        "0023_rename_fields_of_answered_claims",
        {
            "id": "i",
            "revision": 2,
            "payload": "d",
            "started_at": NOON,
            "expires_ms": NOON_MS,
            "answer": compact(OLD_ANSWER),
        },
        IdempotencyRecord(id="i", revision=3, payload="d", started_at=NOON, expires_ms=NOON_MS, answer=compact(ANSWER)),
    ),
    (
        "0024_rename_talent_tasks_of_dead_jobs",
        {"id": "j", "revision": 1, "task": "talent_code.advance", "arguments": ["k"], "at_ms": NOON_MS, "dead": True},
        DeadLetter(id="j", revision=2, task="talent_code.advance_claim", arguments=("k",), at_ms=NOON_MS, dead=True),
    ),
]

LATER_CLAIM: dict[str, Any] = {
    "id": "k",
    "revision": 4,
    "subject": "p",
    "benefit": "rent",
    "title": TEXT,
    "claimed_at": NOON,
    "claimed_ms": NOON_MS,
    "facts": {"born_at": NOON, "insured_months": 7},
    "stated": [],
    "rule": "class-e",
    "because": TEXT,
    "figure": 100,
    "amount_fen": 100,
    "rulebook": "r",
    "after_withdrawal": "stop",
    "instalments": [{"amount_fen": 60, "insured_months": 0, "state": "paid"}, {"amount_fen": 40, "insured_months": 9}],
    "state": "granted",
    "insured_months": 8,
    "insurance_checked_at": NOON,
}

GRANTS: list[dict[str, Any]] = [
    {
        "talent_class": "d",
        "rule": "title",
        "because": TEXT,
        "granted_at": NOON,
        "until": NOON,
        "rulebook": "r",
        "ended_at": NOON,
        "end": "withdrawn",
    }
]

EXAMPLES_OF_ENGINE: list[tuple[str, dict[str, Any], Document]] = [
    (
        "0060_rename_months_of_insurance_of_claims",
        LATER_CLAIM,
        Claim(
            id="k",
            revision=5,
            subject="p",
            benefit="rent",
            title=Text(**TEXT),
            claimed_at=NOON,
            claimed_ms=NOON_MS,
            facts=BenefitFacts(born_at=NOON, insured_months=7),
            stated=(),
            rule="class-e",
            because=Text(**TEXT),
            figure=100,
            amount_fen=100,
            rulebook="r",
            after_withdrawal="stop",
            instalments=(ClaimInstalment(60, 0, "paid"), ClaimInstalment(40, 9)),
            state="granted",
            progress=8,
            progress_checked_at=NOON,
        ),
    ),
    (
        "0061_mark_talents_whose_class_was_withdrawn",
        {
            "id": "p",
            "revision": 2,
            "code_id": "c",
            "born_at": NOON,
            "grants": GRANTS,
            "past_claims": [{"claim": "k", "benefit": "rent", "at": NOON}],
        },
        Talent(
            id="p",
            revision=3,
            code_id="c",
            born_at=NOON,
            grants=(Grant("d", "title", Text(**TEXT), NOON, NOON, "r", NOON, "withdrawn"),),
            past_claims=(PastClaim("k", "rent", NOON),),
            withdrawn_at=NOON,
            due_ms=0,
        ),
    ),
]
