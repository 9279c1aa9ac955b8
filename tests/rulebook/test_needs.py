"""A rulebook is used only if it has every module that the code evaluates, with facts and results that it knows."""

import re
import shutil
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import InvalidRulebook, Rulebook, load_rulebook
from backend.rulebook.needs import RuleModule, check_needs, facts_of
from tests.conftest import ROOT

CITY = ZoneInfo("Asia/Shanghai")
NEEDED = rule_modules_of(discover_services())
SINGLE = [module.name for module in NEEDED if "*" not in module.name]


def rules_in(folder: Path) -> Path:
    shutil.copytree(ROOT / "rules", folder)
    return folder


def loaded(folder: Path) -> Rulebook:
    return load_rulebook(folder, facts_of(NEEDED), CITY)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def faults(folder: Path) -> str:
    with pytest.raises(InvalidRulebook) as refused:
        check_needs(loaded(folder), NEEDED, str(folder))
    return str(refused.value)


def test_the_citys_own_rules_have_all_that_is_needed() -> None:
    check_needs(loaded(ROOT / "rules"), NEEDED)


@pytest.mark.parametrize("name", SINGLE)
def test_each_module_that_a_service_evaluates_must_be_there(name: str, tmp_path: Path) -> None:
    folder = rules_in(tmp_path / "rules")
    (folder / Path(*name.split("."))).with_suffix(".yaml").unlink()
    found = faults(folder)
    assert f"the module {name!r} is missing, which the city evaluates" in found
    assert str(folder / Path(*name.split("."))) in found, "the place is named"


def test_a_benefit_may_be_dropped(tmp_path: Path) -> None:
    folder = rules_in(tmp_path / "rules")
    (folder / "talent_code" / "benefits" / "transport.yaml").unlink()
    check_needs(loaded(folder), NEEDED)


def test_a_fourth_colour_is_refused_where_it_is_written(tmp_path: Path) -> None:
    folder = rules_in(tmp_path / "rules")
    edit(folder / "health_code" / "colour.yaml", "[green, yellow, red]", "[green, yellow, orange, red]")
    found = faults(folder)
    assert re.search(r"colour\.yaml:9:1: R048 the city knows only these results .*: green, yellow, red", found)
    assert "9 | result: [green, yellow, orange, red]" in found


def test_colours_in_another_order_are_refused(tmp_path: Path) -> None:
    folder = rules_in(tmp_path / "rules")
    edit(folder / "health_code" / "colour.yaml", "[green, yellow, red]", "[red, yellow, green]")
    assert "in this order: green, yellow, red" in faults(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("medical_credit/limit.yaml", "at_least: 500 yuan", "at_least: -500 yuan", "whole numbers from 0 to"),
        ("health_code/frame.yaml", "strategy: first", "strategy: collect", "must return one result"),
    ],
)
def test_results_that_the_code_cannot_handle_are_refused(
    file: str, old: str, new: str, fault: str, tmp_path: Path
) -> None:
    folder = rules_in(tmp_path / "rules")
    edit(folder / file, old, new)
    assert fault in faults(folder)


def test_a_module_on_facts_that_the_code_does_not_offer_is_refused(tmp_path: Path) -> None:
    folder = rules_in(tmp_path / "rules")
    needed = [RuleModule("health_code.frame", facts_of(NEEDED)[1])]
    with pytest.raises(InvalidRulebook, match=r"'health_code\.frame' is evaluated on"):
        check_needs(loaded(folder), needed)


def test_words_are_refused_where_numbers_are_needed_and_the_other_way_round(tmp_path: Path) -> None:
    rulebook = loaded(rules_in(tmp_path / "rules"))
    facts = {module.name: module.facts for module in rulebook.modules.values()}
    for name, results, fault in (
        ("health_code.frame", (0, 1), "must return whole numbers from 0 to 1"),
        ("medical_credit.limit", ("low", "high"), "the city knows only these results"),
        ("medical_credit.limit", None, "must return words"),
    ):
        with pytest.raises(InvalidRulebook, match=fault):
            check_needs(rulebook, [RuleModule(name, facts[name], results)])
    with pytest.raises(InvalidRulebook, match="must return several results"):
        check_needs(rulebook, [RuleModule("health_code.frame", facts["health_code.frame"], collects=True)])
