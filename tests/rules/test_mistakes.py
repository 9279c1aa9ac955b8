"""What officials get wrong in a text editor: each planted mistake is named at its place, with a fix, in two languages.

mistakes/NAME.yaml is a module with one mistake, NAME.cases.yaml are cases with one, and NAME.txt is what its author
reads. CHENGMA_UPDATE_GOLDEN=1 writes these texts again.
"""

import os
import shutil
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backend.rulebook import InvalidRulebook, load_rulebook
from backend.rulebook.checks.example import Resident
from backend.rulebook.modules.cases import run_cases
from backend.rulebook.source import Fault

CITY = ZoneInfo("Asia/Shanghai")
FOLDER = Path(__file__).parent / "mistakes"
RIGHT = "without-a-mistake"
MISTAKES = sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.startswith(RIGHT))


def faults(name: str, folder: Path) -> list[Fault]:
    """Return the faults of a module with a mistake, or of the right module with cases that have one."""
    place = folder / "subsidy"
    place.mkdir()
    stem = name.removesuffix(".cases")
    module = RIGHT if stem != name else name
    shutil.copy(FOLDER / f"{module}.yaml", place / "old_age.yaml")
    try:
        if stem == name:
            load_rulebook(folder, [Resident], CITY, strict=True)
        else:
            shutil.copy(FOLDER / f"{name}.yaml", place / "old_age.cases.yaml")
            run_cases(folder, [Resident], CITY)
    except InvalidRulebook as error:
        return [fault for fault in error.faults if fault.code not in ("R076", "R077")]  # what the cases leave out
    return []


def test_the_module_without_a_mistake_is_accepted(tmp_path: Path) -> None:
    assert faults(RIGHT, tmp_path) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_at_its_place_with_a_fix(name: str, tmp_path: Path) -> None:
    found = faults(name, tmp_path)
    assert found, "the mistake is accepted"
    text = "\n\n".join(
        "\n".join(fault.in_language(language).replace(f"{tmp_path}/subsidy/", "") for fault in found)
        for language in ("zh", "en")
    )
    golden = FOLDER / f"{name.removesuffix('.cases')}.txt"
    if os.environ.get("CHENGMA_UPDATE_GOLDEN"):
        golden.write_text(f"{text}\n", encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == f"{text}\n"
    assert all(fault.help.zh and fault.help.en for fault in found), "a fault without a fix"


def test_sixty_mistakes_are_planted() -> None:
    assert len(MISTAKES) >= 60
