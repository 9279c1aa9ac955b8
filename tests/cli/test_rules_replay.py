"""`chengma rules replay`, as authors run it in a city with people."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.cli.main import chengma
from tests.conftest import ROOT


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill a city with a few people, whose colours and classes were decided."""
    for name, value in {
        "STORE": f"sqlite:///{tmp_path}/city.db",
        "KEYS": str(tmp_path / "keys"),
        "SANDBOX": str(tmp_path / "sandbox.db"),
        "RULES": str(ROOT / "rules"),
    }.items():
        monkeypatch.setenv(f"CHENGMA_{name}", value)
    assert run("seed", "--citizens", "100").exit_code == 0


def run(*arguments: str, language: str = "en") -> Result:
    return CliRunner().invoke(chengma, arguments, env={"CHENGMA_LANGUAGE": language})


@pytest.mark.usefixtures("people")
def test_the_decisions_of_a_city_are_made_again(tmp_path: Path) -> None:
    since = ("--since", "2020-01-01")
    before = (tmp_path / "city.db").read_bytes()
    english = run("rules", "replay", str(ROOT / "rules"), *since)
    assert "health_code.colour: " in english.output, english.output
    assert "decisions replayed, 0 with another result" in english.output
    assert "Modules whose decisions are not stored: " in english.output
    assert "since 2020-01-01T00:00:00+08:00" in english.output
    assert "结果不同" in run("rules", "replay", str(ROOT / "rules"), *since, language="zh").output
    report = json.loads(run("rules", "replay", str(ROOT / "rules"), *since, "--json").stdout)
    assert {one["changed"] for one in report["modules"]} == {0}
    assert (tmp_path / "city.db").read_bytes() == before, "nothing is written"


def test_a_replay_needs_a_city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHENGMA_STORE", f"sqlite:///{tmp_path}/none.db")
    found = run("rules", "replay", str(ROOT / "rules"), "--since", "2020-01-01")
    assert (found.exit_code, "There is no city here" in found.output) == (1, True)
