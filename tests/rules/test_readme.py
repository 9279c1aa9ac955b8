"""The examples of rules/README.md are true."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from backend.rulebook import Rulebook, load_rulebook, read_file
from backend.rulebook.cases import read_cases
from tests.rulebook.scene import CITY, Delay, Part, RefundTerms, Rider, faults

README = (Path(__file__).parents[2] / "rules" / "README.md").read_text(encoding="utf-8")
MODULE, REFUND, CASES = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
NOON = datetime(2021, 6, 1, 4, 0, tzinfo=UTC)


def load(folder: Path) -> Rulebook:
    (folder / "tram").mkdir()
    for name, text in {"fare": MODULE, "refund": REFUND, "fare.cases": CASES}.items():
        (folder / "tram" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_rulebook(folder, [Rider, Delay], CITY)


def test_the_module_of_the_readme_loads_and_its_cases_hold(tmp_path: Path) -> None:
    rulebook = load(tmp_path)
    file = read_file(tmp_path / "tram" / "fare.cases.yaml")
    cases = read_cases(file, rulebook.modules["tram.fare"])
    assert (len(cases), file.faults) == (2, [])
    for case in cases:
        verdict = rulebook.evaluate("tram.fare", case.given, case.at, on=case.on)
        for key, expected in case.expected.items():
            assert getattr(verdict, key) == expected.value


def test_the_module_with_terms_of_the_readme_answers_a_number_and_says_how_it_is_paid(tmp_path: Path) -> None:
    rulebook = load(tmp_path)
    assert rulebook.evaluate("tram.refund", Delay(60), NOON).result == 300
    parts = Part(40), Part(60, timedelta(days=30))
    assert rulebook.terms("tram.refund", NOON) == RefundTerms("cash", parts, beside=("tram.fare",))
    assert rulebook.terms("tram.refund", NOON, on=date(2022, 1, 1)) == RefundTerms("card")


def test_the_fault_of_the_readmes_terms_is_told_as_it_says(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, refund=REFUND.replace("percent: 60", "percent: 70"))
    assert f"rules/tram/refund.yaml:{found}\n" in README
