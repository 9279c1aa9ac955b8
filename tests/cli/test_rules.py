"""`chengma rules`, as authors of rules run it."""

import re
import shutil
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from backend.city.service import discover_services, rule_modules_of
from backend.cli.rules import rules
from backend.rulebook import load_rulebook
from backend.rulebook.needs import facts_of
from tests.conftest import ROOT

CONTACT = '{"contacts": [{"level": "close", "at": "2022-05-15T12:00:00+08:00"}]}'


RENT = """\
module: talent_code.rent
title: {zh: 租房补贴, en: Rent allowance}
facts: BenefitFacts
result: {at_least: 0, at_most: 1000000}
strategy: first
terms:
  - from: 2019-01-01
    subject: person
    gives: money
    budget_fen: 1000000000
    instalments:
      - {percent: 50, insured_months: 6}
      - {percent: 50, insured_months: 12}
    source: "council"
parameters:
  rent_fen: [{from: 2019-01-01, value: 1000000, source: "council"}]
rules:
  - id: graduate
    from: 2019-01-01
    when: facts.degree != "none"
    then: rent_fen
    because: {zh: 您有学位, en: You have a degree}
    source: "council"
otherwise: {then: 0, because: {zh: 您没有学位, en: You have no degree}}
"""


DEEP = "[" * 50_000
DEVELOPMENT = {"CHENGMA_DEVELOPMENT": "true"}


def run(*arguments: str, given: str | None = None, folder: Path = ROOT / "rules") -> Result:
    return CliRunner().invoke(rules, arguments, input=given, env=DEVELOPMENT | {"CHENGMA_RULES": str(folder)})


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """Return a folder of rules in which the rule of `frame` misspells a field."""
    folder = tmp_path / "health_code"
    folder.mkdir()
    text = (ROOT / "rules" / "health_code" / "frame.yaml").read_text(encoding="utf-8")
    (folder / "frame.yaml").write_text(text.replace("facts.doses", "facts.dozes"), encoding="utf-8")
    return tmp_path


@pytest.fixture
def rent(tmp_path: Path) -> Path:
    """Return the file of a benefit, the only one in its folder of rules."""
    path = tmp_path / "talent_code" / "rent.yaml"
    path.parent.mkdir()
    path.write_text(RENT, encoding="utf-8")
    return path


def counted() -> str:
    """Return how many rules and modules the folder has, as the commands print it."""
    facts = facts_of(rule_modules_of(discover_services()))
    modules = load_rulebook(ROOT / "rules", facts, ZoneInfo("Asia/Shanghai")).modules.values()
    return f"{sum(len(module.rules) for module in modules)} rules in {len(modules)} modules"


def test_check_counts_valid_rules() -> None:
    found = run("check")
    assert found.exit_code == 0
    assert f"{counted()} are valid" in found.output


def test_check_shows_each_fault_and_exits_with_one(wrong: Path) -> None:
    for found in (run("check", str(wrong)), run("check", folder=wrong)):
        assert found.exit_code == 1
        assert "frame.yaml:18:22: R036 unknown field 'dozes' of HealthFacts" in found.output
        assert "= did you mean 'doses'?" in found.output
        assert "Error: 1 fault in the rules; see docs/rules/checks.md#r036" in found.output


def test_check_reports_a_missing_folder(tmp_path: Path) -> None:
    found = run("check", str(tmp_path / "rulez"))
    assert found.exit_code == 1
    assert "this folder of rules does not exist" in found.output
    assert "set CHENGMA_RULES" in found.output


def test_check_reports_contradictory_terms(rent: Path) -> None:
    rent.write_text(RENT.replace("{percent: 50, insured_months: 12}", "{percent: 60, insured_months: 12}"))
    found = run("check", str(rent.parents[1]))
    assert found.exit_code == 1
    assert (
        f"{rent}:7:5: R028 the instalments add up to 110 percent, not to 100\n  7 |   - from: 2019-01-01\n"
        in found.output
    )


def test_test_counts_the_cases_that_pass() -> None:
    found = run("test")
    assert found.exit_code == 0
    assert re.search(rf"^\d+ cases pass and cover {counted()}\. ", found.output)
    assert re.search(r"^\d+ claims hold; proved in \d+ s\.$", found.output, re.MULTILINE)
    assert "Proved: every rule can fire and decide." in found.output


def test_test_fails_if_a_case_fails(tmp_path: Path) -> None:
    folder = tmp_path / "health_code"
    folder.mkdir()
    for name in ("frame.yaml", "frame.cases.yaml"):
        text = (ROOT / "rules" / "health_code" / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("expect: gold", "expect: none"), encoding="utf-8")
    found = run("test", str(tmp_path))
    assert found.exit_code == 1
    assert "result is gold, expected none" in found.output


@pytest.mark.parametrize(
    ("name", "old", "new", "fault", "commands"),
    [
        ("frame.yaml", "[V]", "", "the source has no mark of its reliability", ("check", "test", "publish")),
        ("frame.yaml", "en: You", "en: 您", "the English text contains '您'", ("check", "test", "publish")),
        ("frame.cases.yaml", "T00:00:00", "T00:00:01", "when the law changes", ("test", "publish")),
    ],
)
def test_commands_refuse_rules_that_do_not_follow_the_conventions(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    old: str,
    new: str,
    fault: str,
    commands: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", folder)
    file = folder / "health_code" / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    for command in ("check", "test", "publish"):
        found = run(command, str(folder))
        assert (fault in found.output) == (command in commands), found.output
        assert found.exit_code == (1 if command in commands else 0)
    assert list(tmp_path.iterdir()) == [tmp_path / "rules"], "nothing was published"


def test_explain_shows_the_verdict_and_each_step_of_the_rule_that_fired() -> None:
    found = run("explain", "health_code.colour", "--facts", "-", "--at", "2022-05-20T12:00:00+08:00", given=CONTACT)
    assert found.exit_code == 0
    assert found.output.startswith("health_code.colour at 2022-05-20T12:00:00+08:00: red by close-contact\n")
    assert "  changes with the same facts: 2022-05-29T12:00:00+08:00\n" in found.output
    assert "        now - c.at < isolation  =  true\n          now - c.at  =  5d\n" in found.output
    assert "          isolation  =  14d  [V] Hangzhou, 11 February 2020" in found.output
    assert "· fever → yellow\n" in found.output


def test_explain_shows_why_a_rule_did_not_fire(tmp_path: Path) -> None:
    facts = tmp_path / "facts.yaml"
    facts.write_text("contacts:\n  - {level: close, at: '2022-05-01T12:00:00+08:00'}\n", encoding="utf-8")
    arguments = ("--facts", str(facts), "--at", "2022-05-20T12:00:00+08:00", "--rule", "close-contact")
    found = run("explain", "health_code.colour", *arguments)
    assert found.exit_code == 0
    assert found.output.startswith("· close-contact → red\n")
    assert "now - c.at < isolation  =  false\n" in found.output
    assert "now - c.at  =  19d\n" in found.output


def test_explain_can_use_the_rules_of_another_day() -> None:
    arguments = ("health_code.colour", "--facts", "-", "--at", "2022-05-20T12:00:00+08:00", "--on", "2023-06-01")
    assert ": green by otherwise\n" in run("explain", *arguments, given=CONTACT).output


def test_explain_shows_the_number_that_a_module_returns(rent: Path) -> None:
    master = '{born_at: "2000-01-01T00:00:00+08:00", degree: master}'
    arguments = ("--facts", "-", "--at", "2022-05-20T12:00:00+08:00")
    found = run("explain", "talent_code.rent", *arguments, given=master, folder=rent.parents[1])
    assert found.output.startswith("talent_code.rent at 2022-05-20T12:00:00+08:00: 10,000 yuan by graduate\n")
    assert "✓ graduate → rent_fen\n" in found.output


@pytest.fixture
def city_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the city's rules, next to a city with an empty store."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "draft"
    shutil.copytree(ROOT / "rules", folder)
    return folder


def rename_a_reason(folder: Path, reason: str) -> None:
    colour = folder / "health_code" / "colour.yaml"
    text = colour.read_text(encoding="utf-8")
    assert "Nothing found" in text
    colour.write_text(text.replace("Nothing found", reason), encoding="utf-8")


def test_explain_uses_the_law_in_force_unless_a_folder_is_named(city_rules: Path) -> None:
    rename_a_reason(city_rules, "All is well")
    explain = ("explain", "health_code.colour", "--facts", "-", "--at", "2022-05-20T12:00:00+08:00")
    assert "All is well" not in run(*explain, given="{}").output
    assert "All is well" in run(*explain, "--rules", str(city_rules), given="{}").output
    assert run("publish", str(city_rules)).exit_code == 0
    assert "All is well" in run(*explain, given="{}").output


@pytest.mark.parametrize("command", ["check", "test", "publish"])
def test_a_part_of_the_rules_is_refused(city_rules: Path, command: str) -> None:
    for path in (city_rules / "health_code").glob("frame.*"):
        path.unlink()
    found = run(command, str(city_rules))
    assert found.exit_code == 1
    assert "frame.yaml:1:1: R048 the module 'health_code.frame' is missing, which the city evaluates" in found.output
    assert not (city_rules.parent / "var").exists(), "nothing was published"


def test_publishing_in_one_step_is_for_development_alone(city_rules: Path) -> None:
    found = CliRunner().invoke(rules, ["publish", str(city_rules)], env={"LC_ALL": "C"})
    assert found.exit_code == 1
    assert "In a city, use:\n  chengma rules release" in found.output
    assert not (city_rules.parent / "var").exists(), "nothing was published"


def test_a_module_whose_file_name_has_a_hyphen_is_refused_with_a_name_that_works(city_rules: Path) -> None:
    benefits = city_rules / "talent_code" / "benefits"
    for path in benefits.glob("transport.*"):
        text = path.read_text(encoding="utf-8").replace("benefits.transport", "benefits.public-transport")
        path.rename(benefits / path.name.replace("transport", "public-transport")).write_text(text, encoding="utf-8")
    found = run("check", str(city_rules))
    assert found.exit_code == 1
    assert "the path gives the module the name 'talent_code.benefits.public-transport'" in found.output
    assert "rename the file or folder: up to 64 lower-case letters, digits and _" in found.output


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (("health_code.color",), "{}", "there is no module 'health_code.color'; use one of: "),
        (("health_code.colour",), '{"contcts": []}', "<stdin>:1:2: R036 unknown field 'contcts' of HealthFacts"),
        (("health_code.colour",), "", "the file is empty"),
        (("health_code.colour", "--at", "2022-05"), "{}", "'2022-05' is not an instant such as"),
        (("health_code.colour", "--at", "0001-01-01T00:00:00Z"), "{}", "is outside the years 1900 to 2149"),
        (
            ("health_code.colour", "--rule", "fewer"),
            "{}",
            "no rule 'fewer' of health_code.colour is in force at that time",
        ),
    ],
)
def test_explain_reports_invalid_arguments(arguments: tuple[str, ...], given: str, message: str) -> None:
    found = run("explain", *arguments, "--facts", "-", given=given)
    assert found.exit_code in (1, 2)
    assert message in found.output


def test_an_invalid_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHENGMA_TIME_ZONE", "Asia/Hangzhou")
    found = run("check")
    assert found.exit_code == 2
    assert "CHENGMA_TIME_ZONE='Asia/Hangzhou': not an IANA time zone" in found.output


def test_deeply_nested_facts_are_a_fault_of_their_file(tmp_path: Path) -> None:
    file = tmp_path / "facts.yaml"
    file.write_text(DEEP)
    found = run("explain", "health_code.colour", "--facts", str(file))
    assert found.exit_code == 1
    assert f"{file}:1:41: R004 nested deeper than 40 levels" in found.output


def test_deeply_nested_cases_are_a_fault_of_their_file(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "rules" / "health_code", tmp_path / "health_code")
    (tmp_path / "health_code" / "colour.cases.yaml").write_text(DEEP)
    found = run("test", str(tmp_path))
    assert found.exit_code == 1
    assert "colour.cases.yaml:1:41: R004 nested deeper than 40 levels" in found.output
