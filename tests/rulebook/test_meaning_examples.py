"""The examples of the catalogue, of meaning and of articles: each bad one has its fault alone, each good one none."""

from pathlib import Path

import pytest

from backend.rulebook import InvalidRulebook, load_rulebook
from backend.rulebook.checks import Check, law, meaning
from backend.rulebook.checks.example import EXAMPLE
from backend.rulebook.modules.cases import run_cases
from tests.rulebook.resident import CITY, Resident


def written_out(example: str) -> str:
    """Return the whole file of an example: itself, or the example's module with one line replaced."""
    if example.startswith("module:"):
        return example
    key = example.split(":", maxsplit=1)[0]
    line = next(line for line in EXAMPLE.splitlines() if line.strip().startswith(f"{key}:"))
    margin = line[: len(line) - len(line.lstrip())]
    return EXAMPLE.replace(line, margin + example, 1)


def codes(folder: Path, check: Check, example: str) -> list[str]:
    """Return the codes of the faults of an example."""
    (folder / "subsidy").mkdir(exist_ok=True)
    module, cases = (EXAMPLE, example) if check.file == "cases" else (written_out(example), "")
    (folder / "subsidy" / "old_age.yaml").write_text(module, "utf-8")
    (folder / "subsidy" / "old_age.cases.yaml").write_text(cases, "utf-8")
    try:
        if check.file == "cases":
            run_cases(folder, [Resident], CITY)
        else:
            load_rulebook(folder, [Resident], CITY, strict=True)
    except InvalidRulebook as error:
        return [fault.code for fault in error.faults]
    return []


@pytest.mark.parametrize("check", [*meaning.CHECKS, *law.CHECKS], ids=lambda check: check.code)
def test_the_bad_example_has_its_fault_alone_and_the_good_one_none(tmp_path: Path, check: Check) -> None:
    found = codes(tmp_path, check, check.bad)
    assert found == [check.code]
    assert codes(tmp_path, check, check.good) == []
