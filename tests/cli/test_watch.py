"""`chengma rules check --watch` and `test --watch`, as an author leaves them running beside an editor."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "rules", tmp_path / "rules")
    return tmp_path / "rules"


@pytest.fixture
def watching(folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "CHENGMA_LANGUAGE": "en", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "backend", "rules", "test", "--watch", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def judgement(process: subprocess.Popen[str]) -> str:
    """Return what is printed up to the next line with a time."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not re.match(r"\d\d:\d\d:\d\d  ", lines[-1]):
        lines.append(process.stdout.readline())
    return "".join(lines)


def test_a_changed_file_is_judged_again_at_once(folder: Path, watching: subprocess.Popen[str]) -> None:
    assert "cases pass" in judgement(watching)
    frame = folder / "health_code" / "frame.yaml"
    text = frame.read_text("utf-8")
    frame.write_text(text.replace("facts.doses", "facts.dosis"), "utf-8")
    found = judgement(watching)
    assert f"{frame}:" in found
    assert "did you mean 'doses'?" in found
    frame.write_text(text, "utf-8")
    assert "cases pass" in judgement(watching)
    cases = folder / "health_code" / "frame.cases.yaml"
    cases.write_text(cases.read_text("utf-8").replace("expect: gold", "expect: none", 1), "utf-8")
    assert "1 fault" in judgement(watching)
