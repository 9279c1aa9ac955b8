"""A misspelt key is one fault, at its place, with the key that it is meant to be, in every kind of an author's file."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backend.cli.rules.loading import needed_modules
from backend.rulebook import InvalidRulebook, load_rulebook, read_file
from backend.rulebook.modules.cases import load_cases
from backend.rulebook.needs import facts_of
from backend.rulebook.prover.claim_reader import read_claims
from backend.rulebook.source import Fault
from tests.conftest import ROOT
from tests.rulebook.tram import CITY as TRAM_CITY
from tests.rulebook.tram import FARE, REFUND, Delay, Rider
from tests.services.talent_code.old_age import MODULE as OLD_AGE

CITY = ZoneInfo("Asia/Shanghai")


def misspelt(path: Path, right: str, wrong: str) -> int:
    """Misspell the first `right` in a file, and return its line."""
    text = path.read_text("utf-8")
    place = text.index(right)
    path.write_text(text[:place] + wrong + text[place + len(right) :], "utf-8")
    return text.count("\n", 0, place) + 1


def check_one_fault(faults: Iterable[Fault], line: int, key: str) -> None:
    (found,) = faults
    assert (found.code, found.location.line) == ("R010", line)
    assert found.help.en == f"did you mean {key!r}?"
    assert found.help.zh == f"是否应为“{key}”？"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("title:", "titel:"),
        ("parameters:", "parametres:"),
        ("articles:", "artikles:"),
        ("not_encoded:", "not_incoded:"),
        ("otherwise:", "Otherwise:"),
        ("table:", "tabel:"),
        ("value:", "vaule:"),
        ("label:", "lable:"),
        ("source:", "sourse:"),
        ("because:", "becuase:"),
        ("- id:", "- ID:"),
        ("zh:", "zn:"),
    ],
)
def test_a_misspelt_key_of_a_module(tmp_path: Path, right: str, wrong: str) -> None:
    folder = tmp_path / "talent_code"
    folder.mkdir()
    shutil.copy(ROOT / "rules" / "talent_code" / "class.yaml", folder)
    line = misspelt(folder / "class.yaml", right, wrong)
    with pytest.raises(InvalidRulebook) as refused:
        load_rulebook(tmp_path, facts_of(needed_modules()), CITY, strict=True)
    check_one_fault(refused.value.faults, line, right.strip("- :"))


def test_a_misspelt_list_of_sources(tmp_path: Path) -> None:
    folder = tmp_path / "health_code"
    folder.mkdir()
    shutil.copy(ROOT / "rules" / "health_code" / "colour.yaml", folder)
    line = misspelt(folder / "colour.yaml", "sources:", "soruces:")
    with pytest.raises(InvalidRulebook) as refused:
        load_rulebook(tmp_path, facts_of(needed_modules()), CITY, strict=True)
    check_one_fault(refused.value.faults, line, "sources")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("extends:", "extend:"),
        ("type:", "tpye:"),
        ("words:", "wrods:"),
        ("from:", "form:"),
        ("meaning:", "meening:"),
        ("optional:", "optionel:"),
    ],
)
def test_a_misspelt_key_of_declared_facts(tmp_path: Path, right: str, wrong: str) -> None:
    folder = tmp_path / "talent_code" / "benefits"
    folder.mkdir(parents=True)
    (folder / "old_age.yaml").write_text(OLD_AGE, "utf-8")
    line = misspelt(folder / "old_age.yaml", right, wrong)
    with pytest.raises(InvalidRulebook) as refused:
        load_rulebook(tmp_path, facts_of(needed_modules()), CITY, strict=True)
    check_one_fault(refused.value.faults, line, right.strip(":"))


@pytest.mark.parametrize(("right", "wrong"), [("budget_fen:", "buget_fen:"), ("percent:", "precent:")])
def test_a_misspelt_key_of_terms(tmp_path: Path, right: str, wrong: str) -> None:
    (tmp_path / "tram").mkdir()
    path = tmp_path / "tram" / "refund.yaml"
    path.write_text(REFUND, "utf-8")
    (tmp_path / "tram" / "fare.yaml").write_text(FARE, "utf-8")
    line = misspelt(path, right, wrong)
    with pytest.raises(InvalidRulebook) as refused:
        load_rulebook(tmp_path, [Rider, Delay], TRAM_CITY)
    assert {(found.location.line, found.help.en) for found in refused.value.faults} == {
        (line, f"did you mean {right.strip(':')!r}?")
    }


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("cases:", "casse:"), ("case:", "csae:"), ("given:", "givn:"), ("expect:", "expekt:"), ("at:", "AT:")],
)
def test_a_misspelt_key_of_cases(tmp_path: Path, right: str, wrong: str) -> None:
    rules = Path(shutil.copytree(ROOT / "rules" / "health_code", tmp_path / "health_code")).parent
    line = misspelt(rules / "health_code" / "frame.cases.yaml", right, wrong)
    with pytest.raises(InvalidRulebook) as refused:
        load_cases(rules, facts_of(needed_modules()), CITY)
    check_one_fault(refused.value.faults, line, right.strip(":"))


@pytest.mark.parametrize(("right", "wrong"), [("persona:", "persone:"), ("facts:", "fcats:"), ("given:", "givn:")])
def test_a_misspelt_key_of_shared_personas(tmp_path: Path, right: str, wrong: str) -> None:
    rules = Path(shutil.copytree(ROOT / "rules" / "school_lookup", tmp_path / "school_lookup")).parent
    line = misspelt(rules / "school_lookup" / "personas.yaml", right, wrong)
    with pytest.raises(InvalidRulebook) as refused:
        load_cases(rules, facts_of(needed_modules()), CITY)
    check_one_fault(refused.value.faults, line, right.strip(":"))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("best:", "bset:"), ("claims:", "claim:"), ("name:", "nmae:"), ("adding:", "ading:"), ("never:", "nver:")],
)
def test_a_misspelt_key_of_claims(tmp_path: Path, right: str, wrong: str) -> None:
    rulebook = load_rulebook(ROOT / "rules", facts_of(needed_modules()), CITY)
    path = Path(shutil.copy(ROOT / "rules" / "health_code" / "frame.claims.yaml", tmp_path))
    line = misspelt(path, right, wrong)
    file = read_file(path)
    assert read_claims(file, rulebook.modules["health_code.frame"], CITY) is None
    check_one_fault(file.faults, line, right.strip(":"))


def test_a_key_unlike_all_others_lists_those_that_exist(tmp_path: Path) -> None:
    rulebook = load_rulebook(ROOT / "rules", facts_of(needed_modules()), CITY)
    path = Path(shutil.copy(ROOT / "rules" / "health_code" / "frame.claims.yaml", tmp_path))
    line = misspelt(path, "    never:", "    older: 3\n    never:")
    file = read_file(path)
    read_claims(file, rulebook.modules["health_code.frame"], CITY)
    (found,) = file.faults
    assert (found.code, found.location.line) == ("R010", line)
    assert found.help.en.startswith("one of: adding, against, always")
