"""Benefits that a person can claim, has claimed and narrowly misses, and how their amounts are computed."""

from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from backend.benefits.offers import amount_in_fen, split_into_instalments
from backend.benefits.terms import Base, Deduction
from backend.services.talent_code.facts import BenefitFacts, BenefitTerms, Instalment
from tests.conftest import Clock
from tests.services.talent_code.scene import BACHELOR, DOCTOR, LEADER, PROVINCIAL_LEADER, Citizen, Scene

YUAN = 100
BORN = datetime(1990, 3, 6, 16, tzinfo=UTC)


def offered(scene: Scene, person: Citizen) -> dict[str, dict[str, Any]]:
    return {one["benefit"]: one for one in scene.benefits(person)["available"]}


def missed(scene: Scene, person: Citizen) -> dict[str, dict[str, Any]]:
    return {one["benefit"]: one for one in scene.benefits(person)["near_misses"]}


# ── available benefits ──


def test_a_doctor_is_offered_the_benefits_of_her_degree_and_her_class_with_reasons(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    offers = offered(scene, doctor)
    assert {name: one["amount_fen"] // YUAN for name, one in offers.items()} == {
        "graduate_allowance": 100_000,
        "graduate_rent": 10_000,
        "home_purchase": 200_000,
        "monthly_rent": 2_500,
    }
    assert offers["graduate_allowance"]["instalments"] == [
        {"amount_fen": 50_000 * YUAN, "insured_months": 6},
        {"amount_fen": 50_000 * YUAN, "insured_months": 12},
    ]
    assert offers["home_purchase"]["instalments"] == [
        {"amount_fen": 100_000 * YUAN, "insured_months": 0},
        {"amount_fen": 100_000 * YUAN, "insured_months": 12},
    ]
    assert offers["monthly_rent"]["rule"] == "class-e"
    assert offers["monthly_rent"]["because"]["en"] == "You are in class E"
    assert offers["monthly_rent"]["title"]["en"] == "Rent subsidy"


def test_a_person_without_a_class_is_offered_the_benefits_of_a_degree(scene: Scene) -> None:
    graduate = scene.citizen()
    scene.has(graduate, BACHELOR)
    scene.declares(graduate, BACHELOR)
    assert scene.shown(graduate)["talent_class"] == "none"
    offers = offered(scene, graduate)
    assert {name: one["amount_fen"] // YUAN for name, one in offers.items()} == {
        "graduate_allowance": 10_000,
        "graduate_rent": 10_000,
    }


def test_a_person_without_qualifications_is_offered_nothing_and_shown_the_benefits_of_the_lowest_class(
    scene: Scene,
) -> None:
    nobody = scene.citizen()
    shown = scene.benefits(nobody)
    assert (shown["available"], shown["services"], shown["claimed"]) == ([], [], [])
    assert {one["kind"] for one in shown["near_misses"]} == {"next_class"}


def test_a_benefit_for_expenses_is_offered_with_its_maximum(scene: Scene) -> None:
    offer = offered(scene, scene.talent(PROVINCIAL_LEADER))["car_plate"]
    assert (offer["amount_fen"], offer["max_amount_fen"], offer["instalments"]) == (None, 30_000 * YUAN, [])


def test_services_are_shown_with_their_figure_and_the_uses_left_this_year(scene: Scene) -> None:
    services = {one["benefit"]: one for one in scene.benefits(scene.talent(PROVINCIAL_LEADER))["services"]}
    assert {name: (one["figure"], one["unit"], one["remaining"]) for name, one in services.items()} == {
        "home_lottery": (20, "percent", 1),
        "medical_service": (3, "level", None),
        "park_entry": (100, "percent", 24),
        "provident_fund_cap": (50, "percent", None),
        "provident_fund_wait": (3, "months", None),
        "school_choice": (2, "level", 1),
        "transport": (50, "percent", 730),
    }


def test_claims_are_listed_newest_first_and_claimed_benefits_are_not_offered_again(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.claimed(doctor, "graduate_allowance")
    scene.clock.now = scene.clock.now.replace(hour=5)
    home = scene.claimed(doctor, "home_purchase")
    shown = scene.benefits(doctor)
    assert [(one["benefit"], one["stage"]) for one in shown["claimed"]] == [
        ("home_purchase", "partly_paid"),
        ("graduate_allowance", "granted"),
    ]
    assert shown["claimed"][0] == home
    assert {one["benefit"] for one in shown["available"]} == {"graduate_rent"}
    assert "home_purchase" not in {one["benefit"] for one in shown["near_misses"]}  # a home is paid once


def test_nobody_else_sees_a_persons_claims(scene: Scene) -> None:
    scene.claimed(scene.talent(DOCTOR), "monthly_rent")
    assert scene.benefits(scene.talent(DOCTOR, "13800000102"))["claimed"] == []


# ── near misses ──


def test_a_near_miss_names_the_only_condition_that_is_not_met(scene: Scene) -> None:
    """The allowance is granted within a year of the degree, so only a later degree would help."""
    doctor = scene.talent(DOCTOR)
    scene.clock.now = datetime(2026, 7, 1, 4, tzinfo=UTC)
    miss = missed(scene, doctor)["graduate_allowance"]
    assert (miss["kind"], miss["from_at"]) == ("one_condition", None)
    assert miss["because"]["en"] == "You graduated 1 year ago or earlier"
    assert miss["remedy"]["en"] == "You may claim it within a year of earning a higher degree"


def test_a_benefit_with_two_unmet_conditions_is_not_a_near_miss(scene: Scene) -> None:
    """Both the income and the tax are below the thresholds of the reward."""
    assert "tax_reward" not in missed(scene, scene.talent(LEADER))


def test_the_reward_is_a_near_miss_if_only_the_tax_is_below_fifteen_percent(scene: Scene) -> None:
    leader = scene.talent(LEADER)
    scene.earns(leader, 1_500_000 * YUAN, 225_000 * YUAN)
    scene.time_passes(days=31)  # the bureau's answer is valid for 30 days
    miss = missed(scene, leader)["tax_reward"]
    assert miss["kind"] == "one_condition"
    assert miss["because"]["en"] == "Your income tax last year did not exceed 15 percent of your income"


def test_a_benefit_of_the_next_class_is_a_near_miss(scene: Scene) -> None:
    misses = missed(scene, scene.talent(LEADER))
    assert {name: one["kind"] for name, one in misses.items()} == {
        "car_plate": "next_class",
        "medical_service": "next_class",
    }
    assert misses["car_plate"]["because"]["en"] == "This benefit is available from class C"
    assert "car_plate" not in missed(scene, scene.talent(DOCTOR, "13800000102"))  # two classes below


@pytest.fixture
def last_days_of_2022(scene: Scene, clock: Clock) -> Scene:
    clock.now = datetime(2022, 12, 30, 4, tzinfo=UTC)
    return scene


def test_a_benefit_that_next_years_rules_grant_is_a_near_miss_with_its_date(last_days_of_2022: Scene) -> None:
    scene = last_days_of_2022
    doctor = scene.citizen()
    degree = replace(DOCTOR, awarded_at=datetime(2020, 6, 29, 16, tzinfo=UTC))
    scene.earns(doctor, 0, 0, 2021)
    scene.has(doctor, degree)
    scene.declares(doctor, degree)
    miss = missed(scene, doctor)["home_purchase"]
    assert (miss["kind"], miss["from_at"]) == ("later", "2022-12-31T16:00:00Z")
    assert miss["because"]["en"] == "Your talent class does not include the home purchase subsidy"
    scene.clock.now = datetime(2022, 12, 31, 16, tzinfo=UTC)
    assert offered(scene, doctor)["home_purchase"]["amount_fen"] == 200_000 * YUAN


def test_a_claim_excludes_others_until_its_period_ends(scene: Scene) -> None:
    """Rent and home exclude each other for 30 days, graduate rent and monthly rent for a year."""
    doctor = scene.talent(DOCTOR)
    scene.claimed(doctor, "monthly_rent")
    misses = missed(scene, doctor)
    assert {name: (one["kind"], one["from_at"]) for name, one in misses.items()} == {
        "monthly_rent": ("own_claims", "2026-04-01T04:00:00Z"),
        "home_purchase": ("own_claims", "2026-04-01T04:00:00Z"),
        "graduate_rent": ("own_claims", "2027-03-02T04:00:00Z"),
    }
    assert (
        misses["monthly_rent"]["because"]["en"]
        == "You claimed this too recently; you can claim it again from 1 April 2026 at 12:00."
    )
    assert misses["home_purchase"]["because"]["en"] == "You have claimed “Rent subsidy”, which excludes this benefit."
    scene.clock.now = datetime(2026, 4, 1, 3, 59, 59, tzinfo=UTC)
    assert "monthly_rent" not in offered(scene, doctor)
    scene.clock.now = datetime(2026, 4, 1, 4, tzinfo=UTC)
    assert {"monthly_rent", "home_purchase"} <= offered(scene, doctor).keys()


# ── amounts ──


@pytest.mark.parametrize(
    ("amount_fen", "percents", "parts_fen"),
    [
        (100_00, [50, 50], [50_00, 50_00]),
        (101_01, [50, 50], [50_50, 50_51]),
        (100_00, [33, 33, 34], [33_00, 33_00, 34_00]),
        (99_99, [33, 33, 34], [32_99, 32_99, 34_01]),
        (1, [50, 50], [0, 1]),
        (7, [], [7]),
    ],
)
def test_an_amount_is_divided_to_the_fen_and_the_last_instalment_is_the_remainder(
    amount_fen: int, percents: list[int], parts_fen: list[int]
) -> None:
    instalments = [Instalment(percent, 6 * place) for place, percent in enumerate(percents)]
    parts = split_into_instalments(amount_fen, instalments)
    assert [fen for _, fen in parts] == parts_fen
    assert sum(parts_fen) == amount_fen
    assert [one.milestone for one, _ in parts] == ([6 * place for place in range(len(percents))] or [0])


def money(figure: int, amount: Literal["fixed", "share", "up_to"], base: Base | None, **facts: int) -> int:
    terms = BenefitTerms(subject="person", gives="money", budget_fen=1, amount=amount, base=base)
    return amount_in_fen(terms, figure, BenefitFacts(born_at=BORN, **facts))


def test_a_fixed_amount_is_the_figure_of_the_rules() -> None:
    assert money(2_500_00, "fixed", None) == 2_500_00


@pytest.mark.parametrize(
    ("tax_fen", "reward_fen"),
    [(400_000_00, 140_000_00), (225_000_00, 0), (225_000_01, 0), (225_000_02, 1), (100_000_00, 0)],
)
def test_a_share_applies_to_the_amount_above_the_deduction_and_is_rounded_down_to_the_fen(
    tax_fen: int, reward_fen: int
) -> None:
    over_15_percent = Base("tax_fen", Deduction(15, "income_fen"))
    assert money(80, "share", over_15_percent, income_fen=1_500_000_00, tax_fen=tax_fen) == reward_fen


@pytest.mark.parametrize(("spent_fen", "paid_fen"), [(0, 0), (12_345_67, 12_345_67), (30_000_01, 30_000_00)])
def test_expenses_are_paid_up_to_the_maximum(spent_fen: int, paid_fen: int) -> None:
    assert money(30_000_00, "up_to", Base("spent_fen"), spent_fen=spent_fen) == paid_fen


def test_the_tax_reward_of_class_e_is_eighty_percent_of_the_tax_above_fifteen_percent(scene: Scene) -> None:
    """15 percent of 1,500,000 yuan is 225,000; 80 percent of the remaining 175,000 is 140,000."""
    doctor = scene.citizen()
    scene.earns(doctor, 1_500_000 * YUAN, 400_000 * YUAN)
    scene.has(doctor, DOCTOR)
    scene.declares(doctor, DOCTOR)
    scene.registers_account(doctor)
    assert offered(scene, doctor)["tax_reward"]["amount_fen"] == 140_000 * YUAN
    claim = scene.claimed(doctor, "tax_reward")
    assert (claim["stage"], claim["paid_fen"]) == ("paid", 140_000 * YUAN)


@pytest.mark.parametrize(("spent", "paid"), [(18_500, 18_500), (30_000, 30_000), (47_900, 30_000)])
def test_a_car_plate_is_paid_up_to_thirty_thousand_yuan(scene: Scene, spent: int, paid: int) -> None:
    claim = scene.claimed(scene.talent(PROVINCIAL_LEADER), "car_plate", spent_fen=spent * YUAN)
    assert (claim["amount_fen"], claim["paid_fen"]) == (paid * YUAN, paid * YUAN)
