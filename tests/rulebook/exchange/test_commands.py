"""`chengma rules import` and `export`, as authors run them."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.cli.rules import rules
from tests.conftest import ROOT
from tests.rulebook.exchange.rules import COURSE, RECENT_DOSE, VALUE_SETS, rule_text
from tests.rulebook.exchange.test_cel_policy import CONFIG, POLICY


@pytest.fixture
def files(tmp_path: Path) -> Path:
    texts = {
        "recent.json": rule_text(RECENT_DOSE),
        "course.json": rule_text(COURSE, Identifier="VR-ZZ-0002"),
        "valueSets.json": json.dumps(VALUE_SETS),
        "policy.yaml": POLICY,
        "config.yaml": CONFIG,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(*arguments: str | Path, language: str = "en") -> Result:
    return CliRunner().invoke(rules, list(map(str, arguments)), env={"CHENGMA_LANGUAGE": language})


def test_imported_rules_pass_the_check_beside_those_of_the_city(files: Path) -> None:
    shutil.copytree(ROOT / "rules", files / "rules")
    to = ("--to", files / "rules", "--value-sets", files / "valueSets.json", "--from", "2022-01-01")
    made = run("import", files / "recent.json", files / "course.json", files / "policy.yaml", *to)
    assert made.exit_code == 0, made.output
    assert [Path(line).stem for line in made.output.splitlines()] == ["vr_zz_0001", "vr_zz_0002", "late_fares"]
    checked = run("check", files / "rules")
    assert checked.exit_code == 0, checked.output


def test_the_example_of_the_guide_is_imported_as_it_shows(files: Path) -> None:
    guide = (ROOT / "docs" / "rules" / "exchange.md").read_text("utf-8")
    example, shown = (
        re.findall(f"^```{kind}\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)[0] for kind in ("json", "yaml")
    )
    (files / "example.json").write_text(example, encoding="utf-8")
    assert run("import", files / "example.json", "--to", files / "out").exit_code == 0
    made = (files / "out" / "certlogic" / "vr_zz_0001.yaml").read_text("utf-8")
    for line in shown.splitlines():
        assert line.partition(" ...")[0] in made


def test_one_refusal_writes_nothing_and_a_file_is_not_overwritten(files: Path) -> None:
    refused = run("import", files / "recent.json", files / "course.json", "--to", files / "out")
    assert refused.exit_code == 1
    assert "course.json:" in refused.output
    assert "R123" in refused.output
    assert not (files / "out").exists()
    assert run("import", files / "recent.json", "--to", files / "out").exit_code == 0
    again = run("import", files / "recent.json", "--to", files / "out")
    assert (again.exit_code, "exists already" in again.output) == (1, True)


def test_a_rule_that_nobody_can_pass_is_no_module(files: Path) -> None:
    never = {"and": [{"var": "payload.v.0"}, {"!": [{"var": "payload.v.0"}]}]}
    (files / "never.json").write_text(rule_text(never), encoding="utf-8")
    refused = run("import", files / "never.json", "--to", files / "out")
    assert "Nothing was written" in refused.output
    assert "R070 'passes' can never fire" in refused.output
    assert not (files / "out").exists()


def test_files_as_notepad_saves_them_are_read_or_refused(files: Path) -> None:
    text = rule_text(RECENT_DOSE).replace("\n", "\r\n").replace("dose\\u2019s day", "最后一剂")
    (files / "bom.json").write_text(text, encoding="utf-8-sig")
    assert run("import", files / "bom.json", "--to", files / "out").exit_code == 0
    (files / "gbk.json").write_text(text, encoding="gbk")
    assert "GBK" in run("import", files / "gbk.json", "--to", files / "gbk", language="zh").output


def test_a_refusal_is_in_the_language_of_the_author(files: Path) -> None:
    refused = run("import", files / "course.json", "--to", files / "out", language="zh")
    assert "未提供值集 vaccines" in refused.output


@pytest.mark.parametrize(("language", "names"), [("cel-policy", 2), ("certlogic", 4)])
def test_an_imported_module_can_be_exported(files: Path, language: str, names: int) -> None:
    assert run("import", files / "policy.yaml", "--to", files / "out", "--from", "2022-01-01").exit_code == 0
    where = ("--rules", files / "out", "--at", "2022-03-01", "--to", files / "exported")
    exported = run("export", "cel.late_fares", "--as", language, *where)
    assert exported.exit_code == 0, exported.output
    assert len(list((files / "exported").iterdir())) == names


def test_what_cannot_be_exported_is_refused_with_its_place() -> None:
    refused = run("export", "health_code.colour", "--as", "cel-policy", "--rules", ROOT / "rules")
    assert refused.exit_code == 1
    assert "health_code/colour.yaml:" in refused.output
    assert run("export", "no.module", "--as", "certlogic", "--rules", ROOT / "rules").exit_code == 1
