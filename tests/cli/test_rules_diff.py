"""`chengma rules diff`, as authors run it."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.cli.rules import rules
from tests.conftest import ROOT

OLD = ROOT / "rules"


def diff(*arguments: str, language: str = "en") -> Result:
    return CliRunner().invoke(
        rules, ["diff", *arguments], env={"CHENGMA_RULES": str(OLD), "CHENGMA_LANGUAGE": language}
    )


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    """Return a copy of the city's rules in which one benefit is lower and has one more case."""
    folder = tmp_path / "draft"
    shutil.copytree(OLD, folder)
    transport = folder / "talent_code" / "benefits" / "transport.yaml"
    text = transport.read_text(encoding="utf-8")
    assert "value: 50," in text
    transport.write_text(text.replace("value: 50,", "value: 40,"), encoding="utf-8")
    return folder


def test_a_change_is_told_in_the_language_of_the_terminal(draft: Path) -> None:
    english, chinese = diff(str(OLD), str(draft)), diff(str(OLD), str(draft), language="zh")
    assert english.output.splitlines()[:2] == [
        "talent_code.benefits.transport (Public transport discount): results can change",
        "  ! parameter transport_percent from 2019-01-01: 50 → 40",
    ]
    assert chinese.output.splitlines()[:2] == [
        "talent_code.benefits.transport (公共交通优惠): 结果可能改变",
        "  ! 参数 transport_percent，自2019-01-01起：50 → 40",
    ]


def test_machines_get_json(draft: Path) -> None:
    cases = draft / "talent_code" / "benefits" / "transport.cases.yaml"
    cases.write_text(cases.read_text(encoding="utf-8").rpartition("  - case:")[0], encoding="utf-8")
    found = json.loads(diff(str(OLD), str(draft), "--json").stdout)
    assert (found["effect"], len(found["modules"])) == ("result", 1)
    kinds = [change["kind"] for change in found["modules"][0]["changes"]]
    assert kinds[0] == "parameter"
    assert set(kinds[1:]) == {"case_removed"}


def test_one_module_may_be_asked_for(draft: Path) -> None:
    found = diff(str(OLD), str(draft), "--module", "health_code.colour")
    assert found.output.endswith(": no change in meaning\n")
    refused = diff(str(OLD), str(draft), "--module", "health_code.color")
    assert (refused.exit_code, "there is no module 'health_code.color'" in refused.output) == (1, True)


def test_a_draft_whose_cases_are_not_finished_is_compared_all_the_same(draft: Path) -> None:
    (draft / "talent_code" / "benefits" / "transport.cases.yaml").write_text("module: ?\n", encoding="utf-8")
    found = diff(str(OLD), str(draft))
    assert found.exit_code == 0
    assert "its cases are not compared" in found.output
    assert "50 → 40" in found.output
