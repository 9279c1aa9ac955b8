"""Amounts follow the rules of the day of the claim, to the second, and a replay years later gives the same amount."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.needs import facts_of
from backend.services.talent_code.facts import BenefitFacts, TalentClassOrNone
from backend.services.talent_code.model.benefit import offers_of
from backend.services.talent_code.model.claim import Claim
from tests.conftest import ROOT
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.scene import DOCTOR, LEADER, Scene

YUAN = 100
SECOND = timedelta(seconds=1)
RAISED = datetime(2021, 10, 14, 16, tzinfo=UTC)
"""Midnight in the city at the start of 15 October 2021: doctors get 100,000 yuan instead of 50,000."""

NEW_YEAR_OF_2023 = datetime(2022, 12, 31, 16, tzinfo=UTC)
"""Midnight in the city: for a home class D gets a million yuan instead of 800,000, and class E is included."""

NEW_DOCTOR = replace(DOCTOR, awarded_at=datetime(2021, 6, 29, 16, tzinfo=UTC))


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook(ROOT / "rules", facts_of(rule_modules_of(discover_services())), ZoneInfo("Asia/Shanghai"))


def check_replay(rulebook: Rulebook, claim: Claim) -> None:
    """Judge a stored claim again from its stored fields, and check that the result is the same."""
    judged = offers_of(rulebook).judge(claim.benefit, claim.facts, claim.claimed_at)
    assert judged is not None
    verdict = judged.verdict
    assert (judged.amount_fen, verdict.result) == (claim.amount_fen, claim.figure)
    assert (verdict.rule, verdict.because, verdict.rulebook) == (claim.rule, claim.because, claim.rulebook)


def test_a_doctor_gets_half_as_much_a_second_before_15_october_2021(scene: Scene, rulebook: Rulebook) -> None:
    scene.clock.now = RAISED - SECOND
    before, after = (scene.talent(NEW_DOCTOR, f"1380000010{last}") for last in (1, 2))
    claims = [scene.claimed(before, "graduate_allowance")]
    scene.clock.now = RAISED
    claims.append(scene.claimed(after, "graduate_allowance"))
    assert [claim["amount_fen"] for claim in claims] == [50_000 * YUAN, 100_000 * YUAN]
    assert [[instalment["amount_fen"] for instalment in claim["instalments"]] for claim in claims] == [
        [25_000 * YUAN] * 2,
        [50_000 * YUAN] * 2,
    ]
    assert scene.budget("graduate_allowance", 2021) == (150_000, 0, 0, 2)
    scene.clock.now = datetime(2031, 1, 1, tzinfo=UTC)
    for claim in stored(scene.client, Claim):
        check_replay(rulebook, claim)


def test_the_home_purchase_subsidy_rises_with_the_first_second_of_2023(scene: Scene, rulebook: Rulebook) -> None:
    scene.clock.now = NEW_YEAR_OF_2023 - SECOND
    leaders = [scene.talent(LEADER, f"1380000010{last}") for last in (1, 2)]
    doctor = scene.talent(NEW_DOCTOR, "13800000103")
    claims: list[dict[str, Any]] = [scene.claimed(leaders[0], "home_purchase")]
    refusal = problem(scene.claims(doctor, "home_purchase"), 409, "not-entitled")
    assert refusal["because"]["en"] == "Your talent class does not include the home purchase subsidy"
    scene.clock.now = NEW_YEAR_OF_2023
    for person in (leaders[1], doctor):
        scene.earns(person, 0, 0, 2022)
        claims.append(scene.claimed(person, "home_purchase"))
    assert [claim["amount_fen"] // YUAN for claim in claims] == [800_000, 1_000_000, 200_000]
    assert scene.budget("home_purchase", 2022) == (400_000, 400_000, 0, 1)
    assert scene.budget("home_purchase", 2023) == (600_000, 600_000, 0, 2)
    scene.clock.now = datetime(2033, 1, 1, tzinfo=UTC)
    for claim in stored(scene.client, Claim):
        check_replay(rulebook, claim)


@pytest.mark.parametrize(
    ("benefit", "talent_class", "at", "before_yuan", "after_yuan"),
    [
        ("graduate_allowance", "e", RAISED, 50_000, 100_000),
        ("home_purchase", "b", NEW_YEAR_OF_2023, 1_200_000, 2_000_000),
        ("home_purchase", "c", NEW_YEAR_OF_2023, 1_000_000, 1_500_000),
        ("home_purchase", "d", NEW_YEAR_OF_2023, 800_000, 1_000_000),
        ("home_purchase", "e", NEW_YEAR_OF_2023, 0, 200_000),
    ],
)
def test_around_a_change_of_the_rules_the_local_day_of_the_claim_decides_the_amount(
    rulebook: Rulebook, benefit: str, talent_class: TalentClassOrNone, at: datetime, before_yuan: int, after_yuan: int
) -> None:
    facts = BenefitFacts(
        born_at=datetime(1990, 3, 6, 16, tzinfo=UTC),
        talent_class=talent_class,
        class_since=at - timedelta(days=90),
        degree="doctor",
        graduated_at=at - timedelta(days=100),
    )

    @settings(max_examples=100, deadline=None)
    @given(st.integers(-200_000, 200_000) | st.integers(-2, 2))
    def around(seconds: int) -> None:
        judged = offers_of(rulebook).judge(benefit, facts, at + seconds * SECOND)
        assert judged is not None
        assert judged.amount_fen == (before_yuan if seconds < 0 else after_yuan) * YUAN

    around()
