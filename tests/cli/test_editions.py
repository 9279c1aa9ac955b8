"""Authors name an edition of the rules as a folder, a git revision or a release."""

import shutil
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from backend.city.releases import UnknownRelease, only_digest
from backend.cli.rules import rules
from backend.cli.rules.editions import edition, read_edition
from backend.rulebook import InvalidRulebook
from tests.conftest import ROOT

OLD, NEW = "Nothing found", "All is well"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a git checkout whose first commit has the city's rules, and whose folder has one reason changed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "rules", tmp_path / "rules")
    git("init", "-q")
    git("add", "rules")
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "first")
    git("tag", "v1")
    colour = tmp_path / "rules" / "health_code" / "colour.yaml"
    colour.write_text(colour.read_text(encoding="utf-8").replace(OLD, NEW), encoding="utf-8")
    return tmp_path


def git(*arguments: str) -> str:
    return subprocess.run(
        ["/usr/bin/env", "git", *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def reason(name: str) -> str:
    return edition(name).modules["health_code.colour"].otherwise.because.en


@pytest.mark.parametrize("name", ["HEAD", "v1:rules"])
def test_a_revision_is_the_rules_of_its_day(checkout: Path, name: str) -> None:
    assert checkout.is_dir()
    assert OLD in reason(name)
    assert NEW in reason("rules")


def test_a_revision_has_the_digest_of_the_same_folder(checkout: Path) -> None:
    git("checkout", "-q", "rules")
    assert edition("HEAD").digest == edition(str(checkout / "rules")).digest


def test_a_revision_has_its_cases(checkout: Path) -> None:
    assert checkout.is_dir()
    cases = read_edition("HEAD").cases
    assert cases is not None
    assert "cases:" in cases["health_code.colour"].text


def test_a_release_is_named_by_the_beginning_of_its_digest(checkout: Path) -> None:
    published = CliRunner().invoke(rules, ["publish", "rules"], env={"CHENGMA_DEVELOPMENT": "true"})
    assert published.exit_code == 0, published.output
    digest = edition("rules").digest
    shutil.rmtree(checkout / "rules" / "school_lookup")
    assert edition(digest[:8]).digest == digest
    assert edition(digest[:4]).digest == digest
    with pytest.raises(click.ClickException, match=f"nor a git revision; '{digest[:3]}' is too short"):
        edition(digest[:3])
    with pytest.raises(click.ClickException, match="nor a git revision; no release's digest begins with '0123456789'"):
        edition("0123456789")
    assert read_edition(digest).cases is None


@pytest.mark.parametrize("name", ["HEAD~7", "--help", "", "0123456789", "nothing:rules"])
def test_words_that_name_no_edition_are_refused(checkout: Path, name: str) -> None:
    assert checkout.is_dir()
    with pytest.raises(click.ClickException, match="neither a folder, nor a git revision"):
        edition(name)


@pytest.mark.parametrize("name", ["HEAD:rulez", "HEAD:/etc"])
def test_a_revision_without_the_folder_is_refused(checkout: Path, name: str) -> None:
    assert checkout.is_dir()
    with pytest.raises(click.ClickException, match="there is no folder"):
        edition(name)


def test_faults_of_a_revision_are_shown_below_its_name(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    colour = checkout / "rules" / "health_code" / "colour.yaml"
    colour.write_text(colour.read_text(encoding="utf-8").replace("facts.contacts", "facts.kontacts"), encoding="utf-8")
    git("add", "rules")
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "second")
    monkeypatch.setenv("CHENGMA_RULES", "rules")
    with pytest.raises(click.ClickException) as refused:
        edition("HEAD")
    assert isinstance(refused.value.__cause__, InvalidRulebook)
    assert "HEAD/health_code/colour.yaml:" in capsys.readouterr().err


def test_a_beginning_of_two_digests_names_neither() -> None:
    digests = ["abcd1", "abcd2", "ffff3"]
    with pytest.raises(UnknownRelease, match="the digests of 2 releases begin with 'abcd': write more digits"):
        only_digest(digests, "abcd")
    assert only_digest(digests, "abcd2") == "abcd2"
