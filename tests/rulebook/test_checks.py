"""The catalogue of checks: it lists every code in use, and its examples have the faults that they are said to have."""

import re

import pytest
from click.testing import CliRunner, Result

from backend.cli.rules import rules
from backend.cli.rules.checked_examples import faults_of
from backend.cli.rules.checks_page import page
from backend.rulebook.checks import Check, all_checks
from tests.conftest import ROOT

USED = {
    code
    for path in sorted((ROOT / "backend").rglob("*.py"))
    if path.parent.name != "checks"
    for code in re.findall(r'"(R\d{3})"', path.read_text(encoding="utf-8"))
}
PAGES = {"en": ROOT / "docs" / "rules" / "checks.md", "zh": ROOT / "docs" / "rules" / "checks.zh.md"}


def run(*arguments: str, language: str) -> Result:
    return CliRunner().invoke(rules, ["checks", *arguments], env={"CHENGMA_LANGUAGE": language})


def test_each_code_in_use_is_listed_and_no_other() -> None:
    assert set(all_checks()) == USED


@pytest.mark.parametrize("check", all_checks().values(), ids=lambda check: check.code)
def test_the_bad_example_has_its_fault_alone_and_the_good_one_none(check: Check) -> None:
    assert [fault.code for fault in faults_of(check, bad=True)] == [check.code]
    assert faults_of(check, bad=False) == []


@pytest.mark.parametrize("check", all_checks().values(), ids=lambda check: check.code)
def test_a_check_is_described_in_both_languages(check: Check) -> None:
    for text in (check.title, check.why):
        assert re.search("[\u4e00-\u9fff]", text.zh)
        assert text.en.isascii()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_is_what_the_command_prints(language: str) -> None:
    """`CHENGMA_LANGUAGE=zh chengma rules checks --page > docs/rules/checks.zh.md` writes it again."""
    assert PAGES[language].read_text("utf-8") == run("--page", language=language).output


def test_the_page_has_an_anchor_for_each_code() -> None:
    assert re.findall(r"^## (R\d{3})$", page("en"), re.MULTILINE) == list(all_checks())


@pytest.mark.parametrize(("language", "words"), [("zh", "比较的结果早已确定"), ("en", "A comparison is always")])
def test_a_code_is_explained_in_the_language_of_its_reader(language: str, words: str) -> None:
    for found in (run(language=language), run("r056", language=language)):
        assert found.exit_code == 0
        assert words in found.output


def test_an_unknown_code_is_refused_with_one_like_it() -> None:
    found = run("R0566", language="en")
    assert found.exit_code == 1
    assert "did you mean 'R056'?" in found.output
