import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from backend.rulebook import Rulebook, load_rulebook, read_file
from backend.rulebook.cases import read_cases, try_cases
from backend.rulebook.module import Module, read_module
from backend.services.health_code import service
from backend.services.health_code.facts import HealthFacts, SymptomKind
from tests.rules.by_hand import colour_in_may_2022

RULES = Path(__file__).parents[2] / "rules"
CITY = ZoneInfo("Asia/Shanghai")
MODULES = ("colour", "frame")


def module_of(name: str) -> Module:
    file = read_file(RULES / "health_code" / f"{name}.yaml")
    module = read_module(file, f"health_code.{name}", {"HealthFacts": HealthFacts})
    assert module is not None, "\n".join(map(str, file.faults))
    return module


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook(RULES, service.facts, CITY)


RULES_OF = {name: module_of(name).rules for name in MODULES}
ALL_RULES = [rule for rules in RULES_OF.values() for rule in rules]


def test_every_case_holds_and_every_rule_is_tried() -> None:
    _, cases = try_cases(RULES, service.facts, CITY)
    assert cases > 200


def days_of_change(module: Module) -> Iterator[date]:
    for rule in module.rules:
        yield from (day for day in (rule.since, rule.until) if day is not None)


@pytest.mark.parametrize("name", MODULES)
def test_every_day_on_which_the_law_changes_has_cases_on_both_sides_of_its_midnight(name: str) -> None:
    module = module_of(name)
    instants = {case.at for case in read_cases(read_file(RULES / "health_code" / f"{name}.cases.yaml"), module)}
    for day in sorted(set(days_of_change(module))):
        midnight = datetime.combine(day, time(), CITY).astimezone(UTC)
        assert midnight in instants, f"no case begins with the law of {day}"
        assert midnight - timedelta(seconds=1) in instants, f"no case stands on the last second before {day}"


def test_there_are_at_least_eighteen_rules_of_the_colour() -> None:
    assert len(RULES_OF["colour"]) >= 18


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.id)
def test_every_rule_says_where_it_comes_from_and_speaks_both_languages(rule: Any) -> None:  # noqa: ANN401  a Rule
    assert re.search(r"\[[VSWA]\]", rule.source)
    assert ("[A]" in rule.source) == ("assumption" in rule.source)
    for text in (rule.because, rule.remedy):
        if text is not None:
            assert re.search(r"[\u4e00-\u9fff]", text.zh)
            assert text.en.isascii()


@pytest.mark.parametrize("rule", RULES_OF["colour"], ids=lambda rule: rule.id)
def test_every_rule_of_the_colour_says_what_turns_it_green_again(rule: Any) -> None:  # noqa: ANN401  a Rule
    assert rule.remedy is not None


@pytest.mark.parametrize("name", MODULES)
def test_every_figure_says_where_it_comes_from(name: str) -> None:
    for parameter in module_of(name).parameters.values():
        for value in parameter.values:
            assert re.search(r"\[[VSWA]\]", value.source), parameter.name
            assert ("[A]" in value.source) == ("assumption" in value.source), parameter.name


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
def test_the_rules_say_what_the_orders_say_of_anybody(rulebook: Rulebook, profile: dict[str, Any]) -> None:
    facts = msgspec.convert(profile, HealthFacts)
    verdict = rulebook.evaluate("health_code.colour", facts, NOW)
    result, rule, fired = colour_in_may_2022(facts, NOW)
    assert (verdict.result, set(verdict.fired)) == (result, set(fired))
    assert verdict.rule == rule
