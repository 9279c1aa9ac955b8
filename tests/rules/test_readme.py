"""The examples of rules/README.md are true."""

import re
from pathlib import Path

from backend.rulebook import load_rulebook, read_file
from backend.rulebook.cases import read_cases
from tests.rulebook.scene import CITY, Rider

README = (Path(__file__).parents[2] / "rules" / "README.md").read_text(encoding="utf-8")
MODULE, CASES = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def test_the_module_of_the_readme_loads_and_its_cases_hold(tmp_path: Path) -> None:
    (tmp_path / "tram").mkdir()
    (tmp_path / "tram" / "fare.yaml").write_text(MODULE, encoding="utf-8")
    (tmp_path / "tram" / "fare.cases.yaml").write_text(CASES, encoding="utf-8")
    rulebook = load_rulebook(tmp_path, [Rider], CITY)
    file = read_file(tmp_path / "tram" / "fare.cases.yaml")
    cases = read_cases(file, rulebook.modules["tram.fare"])
    assert (len(cases), file.faults) == (2, [])
    for case in cases:
        verdict = rulebook.evaluate("tram.fare", case.given, case.at, on=case.on)
        for key, expected in case.expected.items():
            assert getattr(verdict, key) == expected.value
