"""`chengma rules preview --watch`, as an author leaves it running beside an editor."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_rules_preview import AT, PEOPLE, draft, run, store
from tests.conftest import ROOT

__all__ = ["draft", "store"]


@pytest.fixture
def watching(store: Path, draft: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "CHENGMA_RULES": str(ROOT / "rules"),
        "CHENGMA_STORE": f"sqlite:///{store}",
        "CHENGMA_LANGUAGE": "en",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "backend", "rules", "preview", str(draft), "--at", AT, "--json", "--watch"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.kill()


def printed(process: subprocess.Popen[str], last: str) -> str:
    """Return what is printed up to a line that ends so."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].rstrip().endswith(last):
        line = process.stdout.readline()
        assert line, "".join(lines)
        lines.append(line)
    return "".join(lines)


def next_report(process: subprocess.Popen[str]) -> tuple[str, dict[str, Any]]:
    notes = printed(process, "{")
    report: dict[str, Any] = {}
    text = "{"
    assert process.stdout is not None
    while not report:
        text += process.stdout.readline()
        try:
            report = json.loads(text)
        except json.JSONDecodeError:
            continue
    return notes, report


@pytest.mark.slow
def test_each_change_of_a_draft_is_previewed_from_memory(draft: Path, watching: subprocess.Popen[str]) -> None:
    notes, report = next_report(watching)
    assert "reading everybody's facts" in notes
    assert f"{PEOPLE} people in " in notes
    (module,) = report["modules"]
    assert (module["people"], module["changed"], module["again"]) == (PEOPLE, 6, 3)

    file = draft / "health_code" / "colour.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("2025-09-01, value: 10d", "2025-09-01, value: 8d"), encoding="utf-8")
    notes, changed = next_report(watching)
    assert "reading" not in notes
    (module,) = changed["modules"]
    assert (module["people"], module["changed"]) == (PEOPLE, 2)
    assert changed["as_of"] == report["as_of"]

    file.write_text(text.replace("facts.contacts", "facts.contcats", 1), encoding="utf-8")
    assert "did you mean 'contacts'?" in printed(watching, "'contacts'?")


def test_only_a_folder_can_be_watched(store: Path) -> None:
    result = run(store, "HEAD", "--watch")
    assert result.exit_code == 1
    assert "a folder of rules" in result.output
