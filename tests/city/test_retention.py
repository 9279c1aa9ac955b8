"""Everything that grows with use has an end: each kind of document says when, and a sweep deletes what has ended."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from backend.app import documents_of, open_city
from backend.city.ended_access import EndedAccess
from backend.city.notices import Notice
from backend.city.service import discover_integrations, discover_services
from backend.i18n import Text
from backend.jobs.tasks import DeadLetter, discover_tasks
from backend.services.account.model.identity_case import CaseKind, IdentityCase
from backend.services.account.model.session import Session
from backend.services.account.model.sign_in import SignInChallenge
from backend.services.health_code.model import HealthEventReceipt, ScanReservation, VenueVisit
from backend.services.health_code.sources import ReportCount
from backend.services.medical_credit.model.desk_token import DeskToken, DeskTokenGuesses
from backend.services.medical_credit.model.emergency_access import EmergencyAccess
from backend.services.medical_credit.model.hospital import EligibilityAnswer, HisMessage, UsedAssertion
from backend.services.medical_credit.model.reconciliation import Reconciliation, Totals
from backend.services.medical_credit.model.visit import Visit
from backend.services.rules.model import RulebookReview
from backend.services.talent_code.facts import BenefitFacts
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.redemption import Usage
from backend.settings import Settings
from backend.store import Document
from backend.store.retention import AT_EXPIRY
from backend.store.time import to_ms
from backend.web.idempotency import IdempotencyRecord
from tests.conftest import Clock

NOW = datetime(2026, 12, 31, 12, tzinfo=UTC)
TEXT = Text(zh="", en="")
KINDS = documents_of(discover_services())


def visit(name: str, at_ms: int) -> Visit:
    return Visit(
        id=name,
        hospital="h",
        number=name,
        person="p",
        kind="outpatient",
        opened_at=NOW,
        opened_ms=at_ms,
        changed_ms=at_ms,
        created_at=NOW,
        requested_hold_fen=0,
        expires_at=NOW,
        cancelled_at=NOW,
        credit_released=True,
    )


def claim(name: str, at_ms: int) -> Claim:
    return Claim(
        id=name,
        subject="p",
        benefit="b",
        title=TEXT,
        claimed_at=NOW,
        claimed_ms=at_ms,
        facts=BenefitFacts(born_at=NOW),
        stated=(),
        rule="r",
        because=TEXT,
        figure=1,
        amount_fen=1,
        rulebook="",
        after_withdrawal="stop",
        instalments=(),
        state="failed",
    )


EXAMPLES: dict[type[Document], Callable[[str, int], Document]] = {
    DeadLetter: lambda name, at_ms: DeadLetter(id=name, task="t", arguments=(), at_ms=at_ms, dead=True),
    IdempotencyRecord: lambda name, at_ms: IdempotencyRecord(id=name, payload="", started_at=NOW, expires_ms=at_ms),
    EndedAccess: lambda name, at_ms: EndedAccess(id=name, expires_ms=at_ms),
    IdentityCase: lambda name, at_ms: IdentityCase(
        id=name, kind=CaseKind.NAME, account="a", person="p", opened_ms=at_ms
    ),
    Notice: lambda name, at_ms: Notice(id=name, recipient="p", text=TEXT, at_ms=at_ms),
    SignInChallenge: lambda name, at_ms: SignInChallenge(id=name, code_digest="", expires_ms=at_ms),
    Session: lambda name, at_ms: Session(id=name, account_id="a", refresh_digest="", expires_ms=at_ms),
    HealthEventReceipt: lambda name, at_ms: HealthEventReceipt(id=name, payload="", person="p", received_ms=at_ms),
    ReportCount: lambda name, at_ms: ReportCount(id=name, expires_ms=at_ms),
    VenueVisit: lambda name, at_ms: VenueVisit(
        id=name, venue="v", scan_id=name, person="p", at_ms=at_ms, outcome="valid", colour="green", gate="g"
    ),
    ScanReservation: lambda name, at_ms: ScanReservation(id=name, visit="v", at_ms=at_ms),
    HisMessage: lambda name, at_ms: HisMessage(
        id=name, hospital="h", control_id="", kind="", raw="", digest="", received_ms=0, expires_ms=at_ms
    ),
    UsedAssertion: lambda name, at_ms: UsedAssertion(id=name, expires_ms=at_ms),
    EligibilityAnswer: lambda name, at_ms: EligibilityAnswer(
        id=name,
        hospital="h",
        number=None,
        patient="p",
        kind="outpatient",
        created_at=NOW,
        created_ms=0,
        expires_ms=at_ms,
        eligible=True,
        available_fen=0,
    ),
    DeskToken: lambda name, at_ms: DeskToken(id=name, person="p", expires_ms=at_ms),
    DeskTokenGuesses: lambda name, at_ms: DeskTokenGuesses(id=name, expires_ms=at_ms, limit=1),
    EmergencyAccess: lambda name, at_ms: EmergencyAccess(
        id=name, hospital="h", person="p", purpose="visit", about="v", at_ms=at_ms
    ),
    Visit: visit,
    Reconciliation: lambda name, at_ms: Reconciliation(
        id=name, hospital="h", day="d", created_at=NOW, created_ms=at_ms, file_digest="", totals=Totals()
    ),
    Claim: claim,
    Usage: lambda name, at_ms: Usage(id=name, expires_ms=at_ms),
    RulebookReview: lambda name, at_ms: RulebookReview(
        id=name, release="r", compared_with="o", requested=NOW, expires_ms=at_ms
    ),
}
"""A document of each kind that ends, with its date in milliseconds."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.collection)
def test_each_kind_of_document_says_what_it_grows_with_and_when_it_ends(kind: type[Document]) -> None:
    retention = kind.retention
    assert retention is not AT_EXPIRY, f"declare {kind.__name__}.retention"
    assert retention.grows_with
    assert retention.ends
    if retention.field is not None:
        assert retention.periods, "a period says how long after its date a document ends"
    dates = [period.since for period in retention.periods]
    assert dates == sorted(set(dates))
    assert all(period.days > 0 and len(period.source) > len("[A] ") for period in retention.periods)
    field = retention.ends_at or retention.field
    assert field is None or any((index.fields, index.ordered) == ((), field) for index in kind.indexes)


def test_each_kind_that_ends_has_an_example_here() -> None:
    ending = {kind for kind in KINDS if kind.retention.ends_at or kind.retention.field}
    assert set(EXAMPLES) == ending


def test_the_sweeps_delete_what_has_ended_and_keep_the_rest(address: str, settings: Settings) -> None:
    city = open_city(
        replace(settings, store=address), discover_services(), discover_integrations("integrations"), clock=Clock(NOW)
    )

    async def work() -> dict[str, list[str]]:
        for kind, example in EXAMPLES.items():
            ends_after = kind.retention.length(NOW) if kind.retention.field else timedelta(0)
            for name, minutes in (("ended", -1), ("ends soon", 1)):
                await city.store.insert(example(name, to_ms(NOW - ends_after + timedelta(minutes=minutes))))
        for sweep in discover_tasks().values():
            if sweep.every is not None:
                await sweep(city)
        found = {kind.collection: [one.id async for one in city.store.scan(kind)] for kind in EXAMPLES}
        await city.store.close()
        return found

    assert asyncio.run(work()) == {kind.collection: ["ends soon"] for kind in EXAMPLES}


def test_unpaid_bills_and_claims_stay_however_old() -> None:
    assert not replace(visit("v", 0), cancelled_at=None).is_settled()
    assert replace(claim("c", 0)).is_settled()
    assert not replace(claim("c", 0), waitlist="b").is_settled()
    assert not replace(claim("c", 0), appealed_ms=1).is_settled()
