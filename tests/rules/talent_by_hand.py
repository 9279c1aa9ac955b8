"""The catalogue of talents and the amounts of their benefits, written by hand in Python.

They were written from the facts and from the two editions of the catalogue, not from the YAML: each checks the other.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from backend.services.talent_code.facts import BenefitFacts, Degree, Post, TalentFacts

CATALOGUE_BEGINS = datetime(2017, 12, 31, 16, tzinfo=UTC)
REVISED = datetime(2018, 12, 31, 16, tzinfo=UTC)
"""The catalogue of 2019, with which the benefits begin as well."""
GRADUATES_REVISED = datetime(2021, 10, 14, 16, tzinfo=UTC)
HOMES_REVISED = datetime(2022, 12, 31, 16, tzinfo=UTC)

CITY = ZoneInfo("Asia/Shanghai")


def full_years(since: datetime, now: datetime) -> int:
    """Return the birthdays, or other anniversaries, from one day in the city to another."""
    began, day = since.astimezone(CITY).date(), now.astimezone(CITY).date()
    return day.year - began.year - ((day.month, day.day) < (began.month, began.day))


# ── the class ──

PRIZES = {
    "nobel": "a",
    "fields": "a",
    "turing": "a",
    "state_supreme": "a",
    "state_first": "b",
    "state_second": "c",
    "provincial_first": "c",
    "provincial_second": "d",
    "municipal_first": "d",
}
TITLES = {
    "academician": "a",
    "foreign_academician": "a",
    "national_leader": "b",
    "national_young_leader": "c",
    "provincial_leader": "c",
    "provincial_young_leader": "d",
    "municipal_leader": "d",
    "master_of_craft": "d",
    "professor": "d",
    "associate_professor": "e",
    "senior_technician": "e",
    "technician": "e",
}
POSTS = {
    "world_500_chief": "b",
    "national_laboratory_head": "b",
    "listed_company_chief": "c",
    "provincial_laboratory_head": "c",
    "unicorn_founder": "c",
    "key_firm_head": "d",
}
NEW_IN_2019 = {"unicorn_founder", "master_of_craft", "technician"}
PAY_OF_2018 = {"c": 1_000_000, "d": 500_000, "e": 300_000}
PAY_OF_2019 = {"b": 3_000_000, "c": 1_500_000, "d": 800_000, "e": 400_000}
"""The yearly income that each class requires, in yuan."""


def class_by_hand(facts: TalentFacts, now: datetime) -> str:
    """Return the highest class of all evidence, by the catalogue of `now` (2018 or later)."""
    given = _classes_of_merit(facts, now) + _classes_of_pay(facts, now)
    if any(_degree_counts(degree, facts, now) for degree in facts.degrees):
        given.append("e")
    return min(given, default="none")


def _classes_of_merit(facts: TalentFacts, now: datetime) -> list[str]:
    named = [prize.prize for prize in facts.prizes]
    named += [title.title for title in facts.titles if title.title != "technician" or facts.insured_months >= 12]
    named += [post.post for post in facts.posts if _held(post, now)]
    catalogue = {**PRIZES, **TITLES, **POSTS}
    return [catalogue[name] for name in named if now >= REVISED or name not in NEW_IN_2019]


def _held(post: Post, now: datetime) -> bool:
    return post.since <= now and (post.until is None or now < post.until)


def _classes_of_pay(facts: TalentFacts, now: datetime) -> list[str]:
    least, counts = (PAY_OF_2019, timedelta(days=548)) if now >= REVISED else (PAY_OF_2018, timedelta(days=365))
    fresh = [year.income_fen for year in facts.pay if now < year.ended_at + counts]
    return [letter for letter, yuan in least.items() if any(fen >= yuan * 100 for fen in fresh)]


def _degree_counts(degree: Degree, facts: TalentFacts, now: datetime) -> bool:
    if not degree.full_time:
        return False
    match degree.level, degree.school:
        case ("doctor", _) | ("bachelor", "world_100"):
            return True
        case "master", school:
            return now < REVISED or school != "ordinary"
        case "bachelor", "key":
            young = full_years(facts.born_at, now) < 35
            return now >= REVISED and young and facts.insured_months >= 12
        case _:
            return False


# ── The benefits: amounts in yuan, services in their units ──

CLASSES = ("a", "b", "c", "d", "e")
HOME_PURCHASE_OF_2019 = {"b": 1_200_000, "c": 1_000_000, "d": 800_000}
HOME_PURCHASE_OF_2023 = {"b": 2_000_000, "c": 1_500_000, "d": 1_000_000, "e": 200_000}
MONEY_BY_CLASS = {
    "monthly_rent": {"e": 2_500},
    "car_plate": {"b": 30_000, "c": 30_000},
}
ALLOWANCE_BEFORE = {"bachelor": 10_000, "master": 30_000, "doctor": 50_000}
ALLOWANCE_SINCE = {"bachelor": 10_000, "master": 30_000, "doctor": 100_000}
GRADUATES_RENT = 10_000
OTHERS_BY_CLASS = {
    "tax_reward": {"a": 100, "b": 95, "c": 90, "d": 85, "e": 80},
    "provident_fund_wait": dict.fromkeys(CLASSES, 3),
    "provident_fund_cap": dict.fromkeys(CLASSES, 50),
    "home_lottery": {"a": 100, "b": 20, "c": 20, "d": 20, "e": 20},
    "medical_service": {"a": 1, "b": 2, "c": 3},
    "park_entry": dict.fromkeys(CLASSES, 100),
    "transport": dict.fromkeys(CLASSES, 50),
    "school_choice": {"a": 1, "b": 1, "c": 2, "d": 2, "e": 3},
}
BENEFITS = {"home_purchase", "graduate_allowance", "graduate_rent", *MONEY_BY_CLASS, *OTHERS_BY_CLASS}


def figure_by_hand(benefit: str, facts: BenefitFacts, now: datetime) -> int:
    """Return the amount of a benefit if there is no objection: fen, percent, months or a level."""
    if now < REVISED:
        return 0
    if benefit in OTHERS_BY_CLASS:
        return OTHERS_BY_CLASS[benefit].get(facts.talent_class, 0)
    if benefit == "graduate_rent":
        return 0 if facts.degree == "none" else GRADUATES_RENT * 100
    if benefit == "graduate_allowance":
        allowance = ALLOWANCE_SINCE if now >= GRADUATES_REVISED else ALLOWANCE_BEFORE
        return allowance.get(facts.degree, 0) * 100
    if benefit == "home_purchase":
        towards_home = HOME_PURCHASE_OF_2023 if now >= HOMES_REVISED else HOME_PURCHASE_OF_2019
        return towards_home.get(facts.talent_class, 0) * 100
    return MONEY_BY_CLASS[benefit].get(facts.talent_class, 0) * 100


def reasons_against_by_hand(benefit: str, facts: BenefitFacts, now: datetime) -> set[str]:
    """Return the objections to a benefit since 2019."""
    years = {"graduate_allowance": 1, "graduate_rent": 6 if now >= GRADUATES_REVISED else 3}.get(benefit)
    late = years is not None and (facts.graduated_at is None or full_years(facts.graduated_at, now) >= years)
    reasons = {
        "case-by-case": benefit == "home_purchase" and facts.talent_class == "a" and now >= HOMES_REVISED,
        "owns-home": benefit in ("home_purchase", "monthly_rent", "graduate_rent") and facts.homes > 0,
        "nothing-spent": benefit == "car_plate" and facts.spent_fen == 0,
        "income-too-low": benefit == "tax_reward" and facts.income_fen <= 1_000_000_00,
        "tax-too-low": benefit == "tax_reward" and facts.tax_fen * 100 <= facts.income_fen * 15,
        "graduated-long-ago": facts.degree != "none" and late,
    }
    return {reason for reason, holds in reasons.items() if holds}
