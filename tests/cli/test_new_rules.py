"""`chengma rules new` and `chengma rules facts`, as authors run them."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.cli.rules import rules
from backend.rulebook.editor.functions import FUNCTIONS
from backend.rulebook.language.operations import function_names
from tests.conftest import ROOT


def run(*arguments: str, folder: Path = ROOT / "rules", language: str = "en") -> Result:
    return CliRunner().invoke(rules, arguments, env={"CHENGMA_RULES": str(folder), "CHENGMA_LANGUAGE": language})


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the city's rules with a new module for each kind of facts."""
    folder = tmp_path_factory.mktemp("rules")
    shutil.copytree(ROOT / "rules", folder, dirs_exist_ok=True)
    (folder / "health_code" / "frame.yaml").unlink()
    (folder / "health_code" / "frame.cases.yaml").unlink()
    for module, facts in {
        "health_code.frame": None,
        "medical_credit.deposit_limit": None,
        "medical_credit.deposit_standing": "StandingFacts",
        "medical_credit.deposit_terms": "TermAsked",
        "school_lookup.second_batch": None,
        "school_lookup.entry_age": "AgeFacts",
        "school_lookup.parents": "ParentFacts",
        "school_lookup.guests": "MigrantFacts",
        "school_lookup.seats": "SeatFacts",
        "talent_code.benefits.museum": None,
        "talent_code.honours": "TalentFacts",
        "talent_code.second_audit": "AuditFacts",
        "talent_code.figures": "TalentTermAsked",
        "museum.entry": "HealthFacts",
    }.items():
        result = run("new", module, *(["--facts", facts] if facts else []), folder=folder)
        assert result.exit_code == 0, result.output
    return folder


def test_a_new_module_on_any_facts_passes_check(created: Path) -> None:
    result = run("check", str(created))
    assert result.exit_code == 0, result.output


def test_the_cases_of_a_new_module_pass_and_cover_it(created: Path) -> None:
    result = run("test", str(created))
    assert result.exit_code == 0, result.output


def test_a_new_module_replaces_no_existing_file(created: Path) -> None:
    before = (created / "museum" / "entry.yaml").read_text("utf-8")
    result = run("new", "museum.entry", "--facts", "HealthFacts", folder=created)
    assert result.exit_code == 1
    assert "exists already" in result.output
    assert (created / "museum" / "entry.yaml").read_text("utf-8") == before


def test_cases_without_a_module_are_not_replaced_either(tmp_path: Path) -> None:
    cases = tmp_path / "museum" / "entry.cases.yaml"
    cases.parent.mkdir()
    cases.write_text("mine", "utf-8")
    result = run("new", "museum.entry", "--facts", "HealthFacts", folder=tmp_path)
    assert result.exit_code == 1
    assert not cases.with_name("entry.yaml").exists()


@pytest.mark.parametrize("name", ["entry", "museum.Entry", "../etc.passwd", "museum..entry", "博物馆.门票"], ids=ascii)
def test_a_module_needs_a_folder_and_a_plain_name(name: str, tmp_path: Path) -> None:
    result = run("new", name, "--facts", "HealthFacts", folder=tmp_path)
    assert result.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_a_new_benefit_begins_with_plain_terms_of_money_whose_source_its_author_writes(created: Path) -> None:
    text = (created / "talent_code" / "benefits" / "museum.yaml").read_text("utf-8")
    terms = text[text.index("\nterms:\n") : text.index("\nrules:\n")]
    assert "gives: money" in terms
    assert "[A] assumption: name the order and its article" in terms
    assert "base:" not in terms, "an amount of the person's own spending is not where most benefits begin"


def test_unknown_facts_are_refused_with_those_that_exist(tmp_path: Path) -> None:
    result = run("new", "museum.entry", "--facts", "Helth", folder=tmp_path)
    assert result.exit_code == 1
    assert "HealthFacts" in result.output


@pytest.mark.parametrize(("language", "meaning", "other"), [("zh", "接触程度", "Level of"), ("en", "Level of", "接触")])
def test_facts_are_listed_with_their_meaning_in_the_language_of_the_author(
    language: str, meaning: str, other: str
) -> None:
    for result in (run("facts", language=language), run("facts", "health_code.colour", language=language)):
        assert result.exit_code == 0
        assert "facts.contacts[].level" in result.output
        assert meaning in result.output
        assert other not in result.output


@pytest.mark.parametrize(
    ("language", "comment", "case"),
    [("zh", "# 条件为真时", "规则自第一天起成立"), ("en", "# This rule fires", "the rule fires from")],
)
def test_a_new_module_is_in_the_language_of_the_author(language: str, comment: str, case: str, tmp_path: Path) -> None:
    result = run("new", "museum.entry", "--facts", "HealthFacts", folder=tmp_path, language=language)
    assert result.exit_code == 0, result.output
    assert comment in (tmp_path / "museum" / "entry.yaml").read_text("utf-8")
    assert f"- case: {case}" in (tmp_path / "museum" / "entry.cases.yaml").read_text("utf-8")


def test_the_facts_that_a_draft_declares_are_listed_with_its_folder(created: Path) -> None:
    file = created / "talent_code" / "benefits" / "museum.yaml"
    text, declared = (
        file.read_text("utf-8"),
        "  visits: {type: number, at_least: 0, at_most: 9, meaning: {zh: 次数, en: Visits}}",
    )
    file.write_text(text.replace("facts: BenefitFacts", f"facts:\n  extends: BenefitFacts\n{declared}"), "utf-8")
    found = run("facts", "talent_code.benefits.museum", "--rules", str(created))
    file.write_text(text, "utf-8")
    assert "  facts.visits\n" in found.output, found.output


def test_the_facts_of_a_module_have_words_bounds_and_units() -> None:
    found = json.loads(run("facts", "medical_credit.limit", "--json").output)
    facts = {fact["path"]: fact for fact in found["facts"]["CreditFacts"]}
    assert facts["facts.real_name"]["words"] == ["number", "face", "bank"]
    assert (facts["facts.city_score"]["low"], facts["facts.city_score"]["high"]) == (0, 1000)
    assert facts["facts.city_score"]["optional"] is True
    assert facts["facts.arrears_fen"]["unit"] == "fen"


def test_the_parameters_of_a_module_are_listed_by_date() -> None:
    result = run("facts", "health_code.frame")
    assert "2021-05-01 – 2025-09-01: 2  [V]" in result.output


def test_an_unknown_module_is_refused_with_those_that_exist() -> None:
    result = run("facts", "health_code.color")
    assert result.exit_code == 1
    assert "health_code.colour" in result.output


def test_every_function_of_the_language_has_a_meaning() -> None:
    assert set(FUNCTIONS) == {*function_names(), "has", "all", "exists", "exists_one", "filter", "map"}
