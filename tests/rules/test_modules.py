"""What holds of every rule module of the city."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backend.app import facts_of
from backend.city.service import discover_services
from backend.rulebook import load_rulebook, read_file
from backend.rulebook.modules.cases import read_cases, try_cases
from backend.rulebook.modules.module import Module, Rule

RULES = Path(__file__).parents[2] / "rules"
CITY = ZoneInfo("Asia/Shanghai")
FACTS = facts_of(discover_services())
MODULES = load_rulebook(RULES, FACTS, CITY).modules
ALL_RULES = [(f"{name}.{rule.id}", rule) for name, module in MODULES.items() for rule in module.rules]

every_module = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)


def test_every_case_holds_and_every_rule_is_tried() -> None:
    _, cases = try_cases(RULES, FACTS, CITY)
    assert cases > 300


def days_of_change(module: Module) -> Iterator[date]:
    for rule in module.rules:
        yield from (day for day in (rule.since, rule.until) if day is not None)


@every_module
def test_every_day_on_which_the_law_changes_has_cases_on_both_sides_of_its_midnight(module: Module) -> None:
    beside = RULES.joinpath(*module.name.split(".")).with_suffix(".cases.yaml")
    instants = {case.at for case in read_cases(read_file(beside), module)}
    for day in sorted(set(days_of_change(module))):
        midnight = datetime.combine(day, time(), CITY).astimezone(UTC)
        assert midnight in instants, f"no case begins with the law of {day}"
        assert midnight - timedelta(seconds=1) in instants, f"no case stands on the last second before {day}"


@pytest.mark.parametrize("rule", [rule for _, rule in ALL_RULES], ids=[name for name, _ in ALL_RULES])
def test_every_rule_says_where_it_comes_from_and_speaks_both_languages(rule: Rule) -> None:
    assert re.search(r"\[[VSWA]\]", rule.source)
    assert ("[A]" in rule.source) == ("assumption" in rule.source)
    for text in (rule.because, rule.remedy):
        if text is not None:
            assert re.search(r"[\u4e00-\u9fff]", text.zh)
            assert text.en.isascii()


@every_module
def test_every_figure_and_all_terms_say_where_they_come_from(module: Module) -> None:
    figures = [(name, value) for name, parameter in module.parameters.items() for value in parameter.values]
    for name, dated in [*figures, *(("terms", terms) for terms in module.terms)]:
        assert re.search(r"\[[VSWA]\]", dated.source), name
        assert ("[A]" in dated.source) == ("assumption" in dated.source), name
