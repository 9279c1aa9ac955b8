import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.language.temporal import midnight
from backend.rulebook.needs import facts_of
from backend.services.medical_credit.facts import CreditFacts, StandingFacts, Term, TermAsked
from tests.draws import draws
from tests.rulebook.random_facts import instants_near, random_facts
from tests.rules.credit_by_hand import REVISED, SCORECARD_BEGINS, limit_by_hand, standing_by_hand

pytestmark = pytest.mark.slow

RULES = Path(__file__).parents[2] / "rules"
CITY = ZoneInfo("Asia/Shanghai")
LIMIT, STANDING = "medical_credit.limit", "medical_credit.standing"
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
NOON = datetime(2026, 6, 1, 4, tzinfo=UTC)
EDITIONS = [SCORECARD_BEGINS, REVISED - SECOND, REVISED, NOON]
OF_ALL_TIMES = [datetime(2016, 1, 1, tzinfo=CITY), SCORECARD_BEGINS - SECOND, *EDITIONS]


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook(RULES, facts_of(rule_modules_of(discover_services())), CITY)


@some.composite
def people_with_credit(draw: some.DrawFn) -> tuple[CreditFacts, datetime]:
    """Draw a person, mostly at the bounds of the bins, and an instant in one of the two editions of the scorecard."""
    at = draw(some.sampled_from(EDITIONS))
    bounds = [1, 3, 5, 10, 500, 550, 600, 700, 750, 1_000, 1_000_00]
    facts = draw(random_facts(CreditFacts, instants_near(at, []), bounds))
    return facts, at


@some.composite
def people_at_a_hospital(draw: some.DrawFn, times: list[datetime]) -> tuple[StandingFacts, datetime]:
    """Draw a person, mostly at the bounds of the rules, and one of these instants."""
    at = draw(some.sampled_from(times))
    spans = [DAY, 180 * DAY, 365 * DAY]
    bounds = [0, 500, 500_00, 5_000_00, 10_000_00]
    return draw(random_facts(StandingFacts, instants_near(at, spans), bounds)), at


# ── the limit ──


@settings(max_examples=draws(300, soak=10_000), deadline=None)
@given(people_with_credit())
def test_the_scorecard_agrees_with_the_table_written_by_hand(
    rulebook: Rulebook, drawn: tuple[CreditFacts, datetime]
) -> None:
    facts, at = drawn
    verdict = rulebook.evaluate(LIMIT, facts, at)
    fen, added = limit_by_hand(facts, at)
    assert verdict.fired == tuple(added)
    assert verdict.result == fen


@settings(max_examples=draws(200, soak=5_000), deadline=None)
@given(people_with_credit())
def test_a_limit_is_between_500_and_5000_yuan_for_all_facts(
    rulebook: Rulebook, drawn: tuple[CreditFacts, datetime]
) -> None:
    facts, at = drawn
    assert 500_00 <= rulebook.evaluate(LIMIT, facts, at).result <= 5_000_00


@pytest.mark.parametrize(
    ("fact", "bounds"),
    [
        ("city_score", [0, 549, 550, 599, 600, 699, 700, 750, 751, 1_000]),
        ("insurance_years", [0, 1, 4, 5, 9, 10, 80]),
        ("income", ["none", "low", "middle", "high", "top"]),
        ("real_name", ["number", "face", "bank"]),
        ("arrears_fen", [10**13, 1_000_00, 999_99, 1, 0]),
        ("breaches", [1_000, 4, 3, 2, 1, 0]),
    ],
)
def test_a_better_value_of_a_fact_never_lowers_the_limit(rulebook: Rulebook, fact: str, bounds: list[Any]) -> None:
    @settings(max_examples=200, deadline=None)
    @given(people_with_credit())
    def of_any_person(drawn: tuple[CreditFacts, datetime]) -> None:
        facts, at = drawn
        worse_to_better = [msgspec.structs.replace(facts, **{fact: value}) for value in bounds]
        limits = [rulebook.evaluate(LIMIT, person, at).result for person in worse_to_better]
        assert limits == sorted(limits)

    of_any_person()


@settings(max_examples=300, deadline=None)
@given(people_with_credit(), some.integers(0, 1_000), some.integers(0, 80), some.integers(0, 10**9))
def test_a_person_with_better_facts_never_has_a_lower_limit(
    rulebook: Rulebook, drawn: tuple[CreditFacts, datetime], points: int, years: int, arrears_fen: int
) -> None:
    facts, at = drawn
    better = msgspec.structs.replace(
        facts,
        city_score=None if facts.city_score is None else max(facts.city_score, points),
        insurance_years=max(facts.insurance_years, years),
        arrears_fen=min(facts.arrears_fen, arrears_fen),
        breaches=facts.breaches // 2,
    )
    assert rulebook.evaluate(LIMIT, better, at).result >= rulebook.evaluate(LIMIT, facts, at).result


NEXT_BIN = {
    "score-none": "score-good",
    "score-poor": "score-fair",
    "score-fair": "score-good",
    "score-good": "score-excellent",
    "score-excellent": "score-top",
    "insured-briefly": "insured-some",
    "insured-some": "insured-many",
    "insured-many": "insured-most",
    "income-none": "income-low",
    "income-low": "income-middle",
    "income-middle": "income-high",
    "income-high": "income-top",
    "name-number": "name-face",
    "name-face": "name-bank",
}
"""The next bin of each bin, which its remedy names; the remedy must state its amount, in both editions."""


@pytest.mark.parametrize("day", [date(2020, 7, 1), date(2026, 1, 1)])
@pytest.mark.parametrize("bin_", NEXT_BIN)
def test_a_remedy_promises_what_the_next_bin_adds(rulebook: Rulebook, bin_: str, day: date) -> None:
    module = rulebook.modules[LIMIT]
    rules = {rule.id: rule for rule in rulebook.in_force(LIMIT, midnight(day, rulebook.time_zone))}
    remedy = rules[bin_].remedy
    assert remedy is not None

    def yuan_of(name: str) -> int:
        value = module.parameters[str(rules[name].then)].on(day)
        assert value is not None
        return value.value // 100

    promised = re.search(r"adds? ([\d,]+) yuan(?: instead of ([\d,]+))?", remedy.en)
    assert promised is not None
    to, instead_of = (None if text is None else int(text.replace(",", "")) for text in promised.groups())
    assert to == yuan_of(NEXT_BIN[bin_])
    assert instead_of in (None, yuan_of(bin_))
    assert f"{to:,}元" in remedy.zh


def test_each_item_that_a_person_can_improve_explains_how(rulebook: Rulebook) -> None:
    without_remedy = {rule.id for rule in rulebook.modules[LIMIT].rules if rule.remedy is None}
    assert without_remedy == {"first-scheme", "adult", "senior", "score-top", "insured-most", "income-top", "name-bank"}


# ── the standing ──


@settings(max_examples=draws(300, soak=10_000), deadline=None)
@given(people_at_a_hospital(EDITIONS))
def test_the_standing_agrees_with_the_rules_written_by_hand(
    rulebook: Rulebook, drawn: tuple[StandingFacts, datetime]
) -> None:
    facts, at = drawn
    assert rulebook.evaluate(STANDING, facts, at).result == standing_by_hand(facts, at)


@settings(max_examples=draws(200, soak=5_000), deadline=None)
@given(people_at_a_hospital(OF_ALL_TIMES))
def test_an_emergency_is_never_refused(rulebook: Rulebook, drawn: tuple[StandingFacts, datetime]) -> None:
    facts, at = drawn
    emergency = msgspec.structs.replace(facts, visit="emergency")
    verdict = rulebook.evaluate(STANDING, emergency, at)
    assert verdict.result in ("good", "exception")
    assert verdict.rule.startswith("emergency-") == (verdict.result == "exception")


@settings(max_examples=draws(200, soak=5_000), deadline=None)
@given(people_at_a_hospital(OF_ALL_TIMES))
def test_an_emergency_is_an_exception_only_if_a_visit_would_be_refused(
    rulebook: Rulebook, drawn: tuple[StandingFacts, datetime]
) -> None:
    facts, at = drawn
    emergency, visit = (msgspec.structs.replace(facts, visit=kind) for kind in ("emergency", "outpatient"))
    refused = rulebook.evaluate(STANDING, visit, at).result != "good"
    assert (rulebook.evaluate(STANDING, emergency, at).result == "exception") == refused


def test_every_reason_against_pay_later_explains_what_restores_it(rulebook: Rulebook) -> None:
    for rule in rulebook.modules[STANDING].rules:
        assert rule.remedy is not None, rule.id


# ── the terms ──


@pytest.mark.parametrize("term", get_args(Term))
def test_every_term_is_set_by_exactly_one_rule_in_every_edition(rulebook: Rulebook, term: Term) -> None:
    for at in OF_ALL_TIMES:
        verdict = rulebook.evaluate("medical_credit.terms", TermAsked(term), at)
        assert verdict.fired == (term.replace("_", "-"),)
        assert verdict.result > 0


@pytest.mark.parametrize("at", OF_ALL_TIMES, ids=str)
@pytest.mark.parametrize("visit", ["outpatient", "emergency", "inpatient"])
def test_available_credit_of_exactly_the_opening_hold_suffices_for_a_visit(
    rulebook: Rulebook, visit: str, at: datetime
) -> None:
    term = TermAsked(msgspec.convert(f"opening_hold_{visit}_fen", Term))
    hold_fen = rulebook.evaluate("medical_credit.terms", term, at).result
    person: dict[str, Any] = {"adult_at": datetime(2008, 3, 1, tzinfo=CITY), "city_score": 600, "visit": visit}
    enough, too_little = (
        msgspec.convert({**person, "free_fen": free_fen}, StandingFacts) for free_fen in (hold_fen, hold_fen - 1)
    )
    assert rulebook.evaluate(STANDING, enough, at).result == "good"
    assert rulebook.evaluate(STANDING, too_little, at).result != "good"
