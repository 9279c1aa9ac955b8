from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.needs import facts_of
from backend.services.health_code.facts import HealthFacts, SymptomKind
from tests.rules.by_hand import colour_in_may_2022

pytestmark = pytest.mark.slow

RULES = Path(__file__).parents[2] / "rules"
CITY = ZoneInfo("Asia/Shanghai")


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook(RULES, facts_of(rule_modules_of(discover_services())), CITY)


def test_there_are_at_least_eighteen_rules_of_the_colour(rulebook: Rulebook) -> None:
    assert len(rulebook.modules["health_code.colour"].rules) >= 18


def test_every_rule_of_the_colour_explains_how_to_turn_green_again(rulebook: Rulebook) -> None:
    for rule in rulebook.modules["health_code.colour"].rules:
        assert rule.remedy is not None, rule.id


# ── Against the same orders, written by hand ────────────────────────────────────────────────────────────────────────

NOW = datetime(2022, 5, 20, 4, 0, tzinfo=UTC)
_before = some.one_of(
    some.integers(0, 30 * 1_440).map(lambda minutes: NOW - timedelta(minutes=minutes)),
    some.sampled_from([0, 1, 7, 14, 21]).flatmap(
        lambda days: some.sampled_from([-1, 0, 1]).map(
            lambda tick: NOW - timedelta(days=days, seconds=max(tick, -days))
        )
    ),
)
_midnights = some.lists(some.integers(0, 30), max_size=20, unique=True).map(
    lambda numbers: [(NOW - timedelta(days=n)).replace(hour=16).isoformat() for n in sorted(numbers)]
)


def _some(**fields: some.SearchStrategy[Any]) -> some.SearchStrategy[list[dict[str, Any]]]:
    return some.lists(some.fixed_dictionaries(fields), max_size=2)


_words = some.sampled_from
_PROFILES = some.fixed_dictionaries(
    {
        "born_at": some.one_of(some.none(), some.integers(1_080, 1_110).map(lambda days: NOW - timedelta(days=days))),
        "cases": _some(
            status=_words(["confirmed", "suspected", "asymptomatic"]),
            since=some.just(NOW - timedelta(days=40)),
            ended_at=some.one_of(some.none(), _before),
        ),
        "contacts": _some(level=_words(["close", "secondary", "nearby"]), at=_before),
        "tests": _some(
            kind=_words(["pcr", "antigen"]), result=_words(["positive", "negative", "awaiting"]), sampled_at=_before
        ),
        "symptoms": _some(kind=_words(get_args(SymptomKind)), at=_before),
        "declarations": _some(at=_before, well=some.booleans()),
        "stays": _some(
            risk=_words(["high", "medium", "low"]),
            entered_at=some.just(NOW - timedelta(days=40)),
            left_at=some.one_of(some.none(), _before),
        ),
        "entries": _some(country=some.just("IT"), entered_at=_before),
        "isolations": _some(
            place=_words(["central", "home", "observation"]),
            began_at=_before,
            released_at=some.one_of(some.none(), some.just(NOW)),
            check_ins=_midnights,
        ),
        "missed_mass_tests": _some(at=_before),
        "false_statements": _some(at=_before),
    }
)


@settings(max_examples=400, deadline=None)
@given(_PROFILES)
def test_the_rules_agree_with_the_orders_for_random_people(rulebook: Rulebook, profile: dict[str, Any]) -> None:
    facts = msgspec.convert(profile, HealthFacts)
    verdict = rulebook.evaluate("health_code.colour", facts, NOW)
    result, rule, fired = colour_in_may_2022(facts, NOW)
    assert (verdict.result, set(verdict.fired)) == (result, set(fired))
    assert verdict.rule == rule
