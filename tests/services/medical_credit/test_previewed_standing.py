"""A draft of the standing is previewed for everybody who is enrolled, as if each opened an outpatient visit."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.city.person import Person
from backend.city.preview import stored_facts_of
from backend.city.service import discover_services
from backend.paylater.account import RecordedBreach
from backend.paylater.credit_line import CreditLine
from backend.rulebook import Rulebook
from backend.rulebook.preview.report import ModulePreview
from backend.services.medical_credit.facts import CreditFacts
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.rule_modules import STANDING
from backend.store import Store
from tests.city.previews import matrix, only_module, report_of
from tests.rulebook.test_agreement import RULEBOOK
from tests.services.drafts import draft_of
from tests.store.opener import opener

NOW = datetime(2026, 11, 29, 4, tzinfo=UTC)
STORED = stored_facts_of(discover_services())
EIGHTEEN, SENIOR = datetime(2008, 5, 1, tzinfo=UTC), datetime(2055, 5, 1, tzinfo=UTC)

Open = Callable[[], Store]


@pytest.fixture(params=["sqlite", "mongodb-motor"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return opener(request, tmp_path, [Person, Enrolment, Visit])


def enrolled(number: int, arrears_yuan: int = 0, adult_at: datetime = EIGHTEEN) -> Enrolment:
    """Return a person's account, with arrears to public bodies."""
    facts = CreditFacts(
        adult_at=adult_at,
        senior_at=SENIOR,
        real_name="bank",
        city_score=800,
        insurance_years=10,
        arrears_fen=arrears_yuan * 100,
    )
    return Enrolment(
        id=f"person-{number:03}",
        revision=1,
        agreement="2026-01",
        consented_at=NOW,
        automatic_debit=True,
        facts=facts,
        facts_at=NOW,
    )


def preview(opened: Open, new: Rulebook, accounts: list[Enrolment]) -> ModulePreview:
    return only_module(report_of(opened, accounts, STORED, (RULEBOOK, new), NOW, [STANDING]))


def test_lower_arrears_suspend_those_between_the_old_limit_and_the_new_one(opened: Open) -> None:
    stricter = draft_of(STANDING, "value: 10_000 yuan", "value: 8_000 yuan")
    accounts = [enrolled(number, arrears_yuan) for number, arrears_yuan in enumerate([0, 8_000, 9_000, 12_000])]
    module = preview(opened, stricter, [*accounts, enrolled(9, adult_at=NOW + timedelta(days=300))])
    assert matrix(module) == {
        ("good", "good"): 2,
        ("good", "suspended"): 1,
        ("suspended", "suspended"): 1,
        ("ineligible", "ineligible"): 1,
    }
    assert (module.worse, module.better) == (1, 0)


def test_a_longer_suspension_keeps_those_with_three_breaches(opened: Open) -> None:
    longer = draft_of(STANDING, "value: 180d", "value: 365d")
    breaches = tuple(RecordedBreach(NOW - timedelta(days=200 + day), f"bill-{day}") for day in (2, 1, 0))
    accounts = [replace(enrolled(1), breaches=breaches), replace(enrolled(2), breaches=breaches[:2])]
    assert matrix(preview(opened, longer, accounts)) == {("good", "suspended"): 1, ("good", "good"): 1}


def test_credit_that_is_used_up_decides_and_closed_accounts_do_not_count(opened: Open) -> None:
    least = draft_of(STANDING, "value: 500 yuan", "value: 10_000 yuan")
    accounts = [enrolled(1), replace(enrolled(2), closed_at=NOW), replace(enrolled(3), credit={"outpatient": LINE})]
    assert matrix(preview(opened, least, accounts)) == {("good", "exhausted"): 2}


LINE = CreditLine(limit_fen=0)
"""A line of credit whose limit is that of an earlier day: the limit in force counts."""
