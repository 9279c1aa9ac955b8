"""`chengma rules prove`, as authors run it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.cli.language import AuthorError
from backend.cli.rules import rules
from backend.cli.rules.loading import load
from backend.cli.rules.standing import prove_standing_claims
from backend.settings import read_settings
from tests.conftest import ROOT

OLD = ROOT / "rules"
MODULE = "talent_code.benefits.transport"


def run(command: str, *arguments: str, language: str = "en") -> Result:
    return CliRunner().invoke(
        rules, [command, *arguments], env={"CHENGMA_RULES": str(OLD), "CHENGMA_LANGUAGE": language}
    )


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    """Return a copy of the city's rules in which one benefit is lower."""
    folder = tmp_path / "draft"
    shutil.copytree(OLD, folder)
    transport = folder / "talent_code" / "benefits" / "transport.yaml"
    transport.write_text(transport.read_text(encoding="utf-8").replace("value: 50,", "value: 40,"), encoding="utf-8")
    return folder


def test_the_smallest_person_who_loses_is_printed_as_facts_and_as_a_case(draft: Path) -> None:
    found = run("prove", str(OLD), str(draft), "--module", MODULE)
    assert found.exit_code == 1
    lines = [line for line in found.output.splitlines() if "holds" not in line]
    assert lines[1:10] == [
        "  nobody gets less than before",
        "  counterexample at 2019-01-01T00:00:00+08:00:",
        '      born_at: "2000-01-01T08:00:00+08:00"',
        "      talent_class: e",
        "  the result changes from 50 (every-class) to 40 (every-class)",
        "  as a case:",
        '    - case: "counterexample: nobody gets less than before (the result changes from 50 to 40)"',
        "      at: 2019-01-01T00:00:00+08:00",
        '      given: {born_at: "2000-01-01T08:00:00+08:00", talent_class: e}',
    ]


def test_the_answer_is_in_the_language_of_the_terminal(draft: Path) -> None:
    found = run("prove", str(draft), str(OLD), "--module", MODULE, "--claim", "nobody-is-worse-off", language="zh")
    assert found.exit_code == 0
    assert f"{MODULE} nobody-is-worse-off: 成立" in found.output
    assert "对所有事实和时刻均已证明" in found.output


def test_machines_get_json(draft: Path) -> None:
    found = run("prove", str(OLD), str(draft), "--module", MODULE, "--json")
    (first, *others) = json.loads(found.output)["results"]
    assert (first["answer"], first["counterexample"]["after"]["result"]) == ("counterexample", "40")
    assert {result["answer"] for result in others} == {"holds"}


def test_a_claim_about_the_last_edition_of_a_new_module_says_that_there_is_none(draft: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    shutil.copytree(OLD, earlier)
    for path in (earlier / "talent_code" / "benefits").glob("transport.*"):
        path.unlink()
    with (draft / "talent_code" / "benefits" / "transport.claims.yaml").open("a", encoding="utf-8") as claims:
        claims.write(
            "  - id: no-less\n    name: {zh: 没有人得到的更少, en: Nobody gets less}\n"
            '    against: last\n    never: worse\n    source: "[S] council"\n'
        )
    found = run("prove", str(earlier), str(draft), "--module", MODULE, "--claim", "no-less")
    assert found.exit_code == 0
    assert f"{MODULE} no-less: not proved, because there is no last edition of this module" in found.output


def test_an_unknown_answer_is_no_proof() -> None:
    found = run("prove", str(OLD), "--module", "health_code.colour", "--seconds", "0.1")
    assert found.exit_code == 3
    assert "the time was over before" in found.output


def test_a_claim_that_does_not_exist_is_refused_with_those_that_do() -> None:
    found = run("prove", str(OLD), "--claim", "nobel")
    assert found.exit_code == 2
    assert "nobel-is-a" in found.output


def test_lists_that_are_too_short_are_refused() -> None:
    found = run("prove", str(OLD), "--module", "health_code.frame", "--lists", "1")
    assert found.exit_code == 2
    assert "facts.doses needs 4 elements" in found.output


def test_two_days_of_the_same_rules_are_compared() -> None:
    days = ("--old-on", "2025-12-31", "--on", "2026-01-01", "--claim", "nobody-is-worse-off")
    found = run("prove", str(OLD), *days, "--module", "medical_credit.limit")
    assert found.exit_code == 0
    assert "medical_credit.limit nobody-is-worse-off: holds" in found.output


def test_without_the_solver_the_author_learns_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("backend.rulebook.prover.find_spec", lambda _name: None)
    found = run("prove", str(OLD))
    assert found.exit_code == 1
    assert "make authors" in found.output
    assert run("test").output.splitlines()[1].startswith("The claims were not proved")


def test_without_the_solver_continuous_integration_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.rulebook.prover.find_spec", lambda _name: None)
    monkeypatch.setenv("CI", "true")
    settings = read_settings({})
    with pytest.raises(AuthorError, match="make authors"):
        prove_standing_claims(settings, OLD, load(settings, OLD, strict=False))


def test_the_commands_start_without_the_solver() -> None:
    code = (
        "import sys, backend.__main__, backend.rulebook.prover, backend.cli.rules.check; sys.exit('z3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
