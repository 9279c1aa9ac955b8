"""Files that `chengma rules` creates have the permissions that the author's editor would give them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.cli.main import chengma
from tests.cli.command import chengma as run_alone
from tests.conftest import ROOT
from tests.rulebook.exchange.test_cel_policy import CONFIG, POLICY


@pytest.fixture(autouse=True)
def private_files() -> Iterator[None]:
    """Keep what this process creates to its owner, as the `chengma` command does."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def run(*arguments: str, umask: int, given: str | None = None) -> str:
    done = CliRunner().invoke(chengma, ["rules", *arguments], input=given, obj=umask)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_gives_authors_files_their_umask_and_the_citys_files_to_their_owner(
    environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("rules", "new", "museum.entry", "--facts", "HealthFacts", "--rules", "rules")
    done = run_alone(*arguments, environment=environment, folder=tmp_path, umask=0o022)
    assert done.returncode == 0, done.stderr
    made = ("rules/museum/entry.yaml", "rules/museum/entry.cases.yaml", "rules/museum")
    assert [mode(tmp_path / path) for path in made] == ["0o644", "0o644", "0o755"]
    run_alone("keys", "make", environment=environment, folder=tmp_path, umask=0o022)
    assert {mode(path) for path in (tmp_path / "var" / "keys").glob("*.json")} == {"0o600"}


def test_a_group_that_shares_a_folder_may_write_the_new_files(tmp_path: Path) -> None:
    run("new", "museum.entry", "--facts", "HealthFacts", "--rules", str(tmp_path), umask=0o002)
    assert mode(tmp_path / "museum" / "entry.yaml") == "0o664"
    assert mode(tmp_path / "museum") == "0o775"


def test_a_case_begins_a_file_with_the_authors_umask_and_leaves_the_mode_of_one_that_exists(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "rules" / "health_code", tmp_path / "health_code")
    cases = tmp_path / "health_code" / "frame.cases.yaml"
    cases.unlink()
    arguments = ("case", "health_code.frame", "--facts", "-", "--at", "2022-05-20T08:00:00+08:00", "--write")
    run(*arguments, "--name", "one", "--rules", str(tmp_path), umask=0o022, given="{}")
    assert mode(cases) == "0o644"
    cases.chmod(0o640)
    run(*arguments, "--name", "two", "--rules", str(tmp_path), umask=0o022, given="{}")
    assert mode(cases) == "0o640"


def test_imported_and_exported_rules_have_the_authors_umask(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    (tmp_path / "config.yaml").write_text(CONFIG, "utf-8")
    rules, exported = tmp_path / "rules", tmp_path / "exported"
    run("import", str(tmp_path / "policy.yaml"), "--to", str(rules), "--from", "2022-01-01", umask=0o022)
    where = ("--rules", str(rules), "--at", "2022-03-01", "--to", str(exported))
    run("export", "cel.late_fares", "--as", "cel-policy", *where, umask=0o022)
    made = [path for folder in (rules, exported) for path in folder.rglob("*.yaml")]
    assert len(made) == 3
    assert {mode(path) for path in made} == {"0o644"}
