"""A rule module is edited in headless Neovim, with the editor's own client and our language server."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, lacking

FRAME = "health_code/frame.yaml"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the editor showed."""
    if shutil.which("nvim") is None:
        lacking("nvim")
    folder = tmp_path_factory.mktemp("rules")
    shutil.copytree(ROOT / "rules" / "health_code", folder / "health_code")
    result = folder.with_name("seen.json")
    environment = {**os.environ, "RULES": str(folder), "PYTHON": sys.executable, "RESULT": str(result)}
    command = ["nvim", "--clean", "--headless", "-n", "-u", "NONE", "-S", str(Path(__file__).with_name("neovim.lua"))]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=150, capture_output=True)
    found = json.loads(result.read_text("utf-8"))
    assert "problem" not in found, found["problem"]
    return found


def line_of(part: str) -> int:
    lines = (ROOT / "rules" / FRAME).read_text("utf-8").split("\n")
    return next(number for number, line in enumerate(lines) if part in line)


def test_a_misspelt_fact_is_marked_at_its_place_in_chinese(seen: dict[str, Any]) -> None:
    (fault,) = seen["faults"]
    line = (ROOT / "rules" / FRAME).read_text("utf-8").split("\n")[line_of("facts.doses")]
    column = line.index("doses)")
    assert (fault["line"], fault["from"], fault["to"]) == (line_of("facts.doses"), column, column + len("dosis"))
    assert "dosis" in fault["message"]


def test_the_quick_fix_writes_the_fact(seen: dict[str, Any]) -> None:
    assert "facts.doses" in seen["corrected"]


def test_facts_are_completed(seen: dict[str, Any]) -> None:
    assert {"doses", "contacts", "tests"} <= set(seen["completion"])


def test_a_parameter_shows_its_values(seen: dict[str, Any]) -> None:
    assert "2021-05-01" in seen["hover"]


def test_the_definition_of_a_parameter_is_found(seen: dict[str, Any]) -> None:
    assert seen["definition"] == line_of("doses_due:")


def test_the_cases_of_a_rule_are_counted_above_it(seen: dict[str, Any]) -> None:
    assert seen["lens"] == "▶ 3 个案例，全部通过"


def test_a_parameter_is_renamed_everywhere(seen: dict[str, Any]) -> None:
    assert ">= full_course" in seen["renamed"]
    assert seen["faults_after_renaming"] == []
