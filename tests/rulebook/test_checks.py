"""The list of checks and the codes in use are the same, for the checks of files, values, conditions and cases."""

import re
from pathlib import Path

from backend.rulebook.checks.titles import TITLES

RULEBOOK = Path(__file__).parents[2] / "backend" / "rulebook"
USED = {
    code
    for path in sorted(RULEBOOK.rglob("*.py"))
    if path.parent.name != "checks"
    for code in re.findall(r'"(R0(?:[0-4]|7)\d)"', path.read_text(encoding="utf-8"))
}


def test_each_code_in_use_is_listed_and_no_other() -> None:
    assert set(TITLES) == USED
