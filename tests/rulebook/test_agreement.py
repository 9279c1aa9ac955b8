"""The fused function, the explainer and Google's CEL agree on every rule, for random people."""

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some
from msgspec import Struct

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import load_rulebook
from backend.rulebook.modules.module import Module
from backend.rulebook.modules.periods import in_force
from backend.rulebook.needs import facts_of
from tests.draws import draws
from tests.rulebook.cel_oracle import evaluate_with_cel
from tests.rulebook.random_facts import first_days, instants_near, random_facts

pytestmark = pytest.mark.slow

RULES = Path(__file__).parents[2] / "rules"
CITY = ZoneInfo("Asia/Shanghai")
RULEBOOK = load_rulebook(RULES, facts_of(rule_modules_of(discover_services())), CITY)
PROFILES_PER_LAW, PROFILES_PER_MODULE = draws(50, soak=1_000), draws(250, soak=8_000)
ROUNDS = (1, 3, 9)
"""Factors of the number of draws: the later ones are for laws with a rule that has not fired yet."""


YEAR, MAX_AGE = timedelta(days=365), 100


def figures_of(module: Module, day: date) -> dict[str, Any]:
    dated = {name: parameter.on(day) for name, parameter in module.parameters.items()}
    return {name: value.value for name, value in dated.items() if value is not None}


def random_case(module: Module, day: date) -> some.SearchStrategy[tuple[Any, datetime]]:
    """Draw a person and an instant of that day, with what happened to them at the boundaries of that day's figures."""
    figures = figures_of(module, day).values()
    spans = [figure for figure in figures if isinstance(figure, timedelta)]
    written = [int(number) for rule in module.rules for number in re.findall(r"\b\d{1,9}\b", rule.text)]
    numbers = [*written, *(figure for figure in figures if type(figure) is int)]
    if any("age(" in rule.text for rule in module.rules):
        spans += [
            YEAR * years + YEAR // 365 * (years // 4)
            for number in numbers
            for years in (number, number + 1)
            if 0 < years < MAX_AGE
        ]
    at = datetime.combine(day, time(12, 30), CITY).astimezone(UTC)
    return some.tuples(random_facts(module.facts, instants_near(at, spans), numbers), some.just(at))


@pytest.mark.parametrize("name", sorted(RULEBOOK.modules))
def test_fused_function_explainer_and_cel_agree_on_every_rule_of_every_law(name: str) -> None:
    module = RULEBOOK.modules[name]
    every = {rule.id for rule in module.rules}
    fired_in_all: set[str] = set()
    laws = first_days(module)
    for times in ROUNDS:
        lacking = [rule for rule in module.rules if rule.id not in fired_in_all]
        days = [day for day in laws if times == 1 or any(in_force(rule.since, rule.until, day) for rule in lacking)]
        for day in days:
            fired_in_all |= agree(module, day, times * max(PROFILES_PER_LAW, PROFILES_PER_MODULE // len(laws)))
    assert fired_in_all == every


def agree(module: Module, day: date, profiles: int) -> set[str]:
    """Compare all three on many people under one law; return the rules that fired."""
    figures = figures_of(module, day)
    fired_in_all: set[str] = set()

    @settings(
        max_examples=profiles,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(random_case(module, day))
    def everyone(drawn: tuple[Struct, datetime]) -> None:
        facts, at = drawn
        explained = RULEBOOK.explain(module.name, facts, at)
        fused = RULEBOOK.evaluate(module.name, facts, at).fired
        fired_in_all.update(fused)
        assert [step.value for _, step in explained] == [rule.id in fused for rule, _ in explained]
        assert [step.value for _, step in explained] == evaluate_with_cel(
            [rule.text for rule, _ in explained], figures, facts, at
        )

    everyone()
    return fired_in_all


def test_there_are_at_least_two_thousand_profiles() -> None:
    laws = sum(len(first_days(module)) for module in RULEBOOK.modules.values())
    assert PROFILES_PER_LAW * laws >= 2_000
