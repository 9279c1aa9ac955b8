"""`chengma rules test --watch` and `coverage --watch`, as an author leaves them running beside an editor."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "rules", tmp_path / "rules")
    return tmp_path / "rules"


@contextmanager
def watching(*arguments: str) -> Generator[subprocess.Popen[str]]:
    environment = {**os.environ, "CHENGMA_LANGUAGE": "en", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "backend", "rules", *arguments, "--watch"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def judgement(process: subprocess.Popen[str]) -> str:
    """Return what is printed up to the next line with a time."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not re.match(r"\d\d:\d\d:\d\d  ", lines[-1]):
        lines.append(process.stdout.readline())
    return "".join(lines)


def test_a_changed_file_is_judged_again_at_once(folder: Path) -> None:
    frame, cases = folder / "health_code" / "frame.yaml", folder / "health_code" / "frame.cases.yaml"
    text = frame.read_text("utf-8")
    with watching("test", str(folder)) as process:
        assert "cases pass" in judgement(process)
        frame.write_text(text.replace("facts.doses", "facts.dosis"), "utf-8")
        found = judgement(process)
        assert f"{frame}:" in found
        assert "did you mean 'doses'?" in found
        frame.write_text(text, "utf-8")
        assert "cases pass" in judgement(process)
        cases.write_text(cases.read_text("utf-8").replace("expect: gold", "expect: none", 1), "utf-8")
        assert "1 fault" in judgement(process)


def test_what_the_cases_of_a_changed_module_leave_out_is_shown_at_once(folder: Path) -> None:
    frame, limit = "health_code.frame", "medical_credit.limit"
    rule = folder / "health_code" / "frame.yaml"
    with watching("coverage", "--rules", str(folder)) as process:
        found = judgement(process)
        assert (frame in found, limit in found) == (True, True)
        text = rule.read_text("utf-8")
        rule.write_text(text.replace(">= doses_due", ">= doses_due && size(facts.symptoms) < 9"), "utf-8")
        found = judgement(process)
        assert (frame in found, limit in found) == (True, False)
        assert "`size(facts.symptoms) < 9` is false in no case" in found
