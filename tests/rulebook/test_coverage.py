"""Each midnight at which the law changes needs a case on both sides."""

from pathlib import Path

from tests.rulebook.test_cases import BEFORE_2020, BEFORE_2022, CASES, IN_2022, faults, run_them
from tests.rulebook.tram import FARE


def test_a_midnight_at_which_a_rule_begins_needs_a_case_on_both_sides(tmp_path: Path) -> None:
    before, begin = faults(tmp_path, CASES[: CASES.index(BEFORE_2020)] + BEFORE_2022 + IN_2022)
    assert before.startswith(
        "fare.yaml:11:9: no case is dated 2019-12-31T23:59:59+08:00, the last second before the law changes (add one "
    )
    assert begin.startswith(
        "fare.yaml:11:9: no case is dated 2020-01-01T00:00:00+08:00, when the law changes (add one "
    )


def test_a_midnight_at_which_a_parameter_changes_needs_a_case_on_both_sides(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, CASES.replace(BEFORE_2022, ""))
    assert found.startswith("fare.yaml:9:7: no case is dated 2021-12-31T23:59:59+08:00, the last second before")
    (found,) = faults(tmp_path, CASES.replace(IN_2022, ""))
    assert found.startswith("fare.yaml:9:7: no case is dated 2022-01-01T00:00:00+08:00, when the law changes")


def test_a_midnight_at_which_a_rule_ends_needs_a_case_on_both_sides(tmp_path: Path) -> None:
    ending = FARE.replace("    when: facts.age", "    until: 2021-07-01\n    when: facts.age")
    found = faults(tmp_path, CASES.replace(", changes_at: never", ""), ending)
    assert [line.split(", ")[0] for line in found] == [
        "fare.yaml:11:9: no case is dated 2021-06-30T23:59:59+08:00",
        "fare.yaml:11:9: no case is dated 2021-07-01T00:00:00+08:00",
    ]


def test_a_case_that_uses_the_law_of_another_day_covers_no_midnight(tmp_path: Path) -> None:
    other_law = IN_2022.replace("    given:", "    on: 2022-01-01\n    given:")
    (found,) = faults(tmp_path, CASES.replace(IN_2022, other_law))
    assert "no case is dated 2022-01-01T00:00:00+08:00" in found


def test_a_new_value_that_changes_nothing_needs_no_case(tmp_path: Path) -> None:
    confirmed = '    - {from: 2023-01-01, value: 2d, source: "[S] council of 2022"}\nrules:'
    assert run_them(tmp_path, rules=FARE.replace("rules:", confirmed)) == 7
