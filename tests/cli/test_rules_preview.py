"""`chengma rules preview`, as authors of rules run it."""

import asyncio
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.city.person import Person
from backend.cli.rules import preview as command
from backend.cli.rules import rules
from backend.i18n import Text
from backend.services.health_code.facts import Contact, HealthFacts
from backend.services.health_code.model import ColourChange, HealthRecord
from backend.store.sqlite.store import SqliteStore
from tests.conftest import ROOT

DAY = datetime(2026, 12, 1, 4, tzinfo=UTC)
AT = DAY.isoformat()
PEOPLE = 40


def record(number: int) -> HealthRecord:
    """Return the record of a person with a close contact `number` half days before the day of the tests."""
    history = [ColourChange(DAY - timedelta(90), "red", "x", Text(zh="因", en="why"), "0" * 64)] * (number % 2)
    return HealthRecord(
        id=f"person-{number:02}-random",
        revision=1,
        code_id=f"code-{number:07}",
        facts=HealthFacts(contacts=(Contact("close", DAY - timedelta(days=number / 2)),)),
        history=tuple(history),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("city") / "city.db"

    async def fill() -> None:
        store = SqliteStore.open(path, [HealthRecord, Person])
        await store.restore([record(number) for number in range(PEOPLE)])
        await store.close()

    asyncio.run(fill())
    return path


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    """Return a folder in which isolation lasts ten days instead of seven."""
    folder = tmp_path / "draft"
    shutil.copytree(ROOT / "rules", folder)
    file = folder / "health_code" / "colour.yaml"
    text = file.read_text(encoding="utf-8")
    begin = text.index("  isolation:")
    end = text.index("  check_ins_due:")
    longer = text[begin:end].replace("2025-09-01, value: 7d", "2025-09-01, value: 10d")
    file.write_text(text[:begin] + longer + text[end:], encoding="utf-8")
    return folder


def run(store: Path, *arguments: str, language: str = "en") -> Result:
    environment = {
        "CHENGMA_RULES": str(ROOT / "rules"),
        "CHENGMA_STORE": f"sqlite:///{store}",
        "CHENGMA_LANGUAGE": language,
    }
    return CliRunner().invoke(rules, ["preview", *arguments], env=environment)


@pytest.mark.slow
def test_a_preview_shows_who_changes_by_rule_and_age_and_why(store: Path, draft: Path) -> None:
    result = run(store, str(draft), "--at", AT)
    assert result.exit_code == 0, result.output
    assert f"of {PEOPLE} people, 6 would have another result: 6 worse, 0 better" in result.output
    assert "3 of them were as badly off before" in result.output
    assert "otherwise (green)" in result.output
    assert "plan-close-contact (red)" in result.output
    assert "person-15-random" in result.output
    assert "You are a close contact of a case" in result.output


@pytest.mark.slow
def test_a_preview_is_in_the_language_of_the_author(store: Path, draft: Path) -> None:
    result = run(store, str(draft), "--at", AT, language="zh")
    assert f"共{PEOPLE}人，6人的结果会变：6人变差，0人变好" in result.output
    assert "您是病例的密切接触者" in result.output
    assert "worse" not in result.output


@pytest.mark.slow
def test_a_preview_as_json_has_what_the_page_of_approvers_needs(store: Path, draft: Path) -> None:
    result = run(store, str(draft), "--at", AT, "--json")
    report = json.loads(result.output)
    (module,) = report["modules"]
    assert (module["people"], module["changed"], module["again"]) == (PEOPLE, 6, 3)
    assert len(module["days"]) == 15
    assert sorted(report) == ["as_of", "at", "modules", "new", "not_previewed", "old", "seconds"]


@pytest.mark.slow
def test_several_processes_count_what_one_counts(store: Path, draft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = json.loads(run(store, str(draft), "--at", AT, "--json").output)["modules"]
    monkeypatch.setattr(command, "PEOPLE_PER_PROCESS", PEOPLE // 2)
    several = json.loads(run(store, str(draft), "--at", AT, "--json").output)["modules"]
    assert several == one


@pytest.mark.slow
def test_without_numba_the_same_is_counted_person_by_person_and_said(store: Path, draft: Path) -> None:
    program = "import sys; sys.modules['numba'] = None; from backend.__main__ import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program, "rules", "preview", str(draft), "--at", AT, "--json"],
        env={"PYTHONPATH": str(ROOT), "CHENGMA_RULES": str(ROOT / "rules"), "CHENGMA_STORE": f"sqlite:///{store}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "make authors" in result.stderr
    (module,) = json.loads(result.stdout)["modules"]
    assert (module["by"], module["changed"], module["again"]) == ("objects", 6, 3)


def test_the_rules_in_force_change_nothing(store: Path) -> None:
    result = run(store, str(ROOT / "rules"))
    assert result.exit_code == 0
    assert "nothing changes" in result.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--at", "2026年12月1日"], "2026-12-01"),
        (["--at", "1800-01-01T00:00:00Z"], "2026-12-01"),
        (["--module", "health_code.color"], "health_code.colour"),
    ],
    ids=["day", "century", "module"],
)
def test_a_wrong_option_is_answered_with_a_right_one(
    store: Path, draft: Path, arguments: list[str], named: str
) -> None:
    result = run(store, str(draft), *arguments)
    assert result.exit_code == 1
    assert named in result.output
