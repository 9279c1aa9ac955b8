from pathlib import Path

import pytest

from backend.rulebook import InvalidRulebook
from backend.rulebook.modules.cases import try_cases
from tests.rulebook.scene import CITY, FARE, REFUND, Delay, Rider, load

CASES = """\
module: tram.fare
cases:
  - case: a child of thirteen pays half
    at: 2021-06-01T12:00:00+08:00
    given: {age: 13}
    expect: {result: half, rule: child, fired: [child], changes_at: never}
  - case: a day pass bought at noon lets ride until noon
    at: 2021-06-01T20:00:00+08:00
    given:
      age: 30
      passes:
        - {kind: day, bought_at: "2021-06-01T12:00:00+08:00"}
    expect: {result: free, changes_at: "2021-06-02T12:00:00+08:00"}
  - case: by the law of 2022 the same pass lasts two days
    at: 2021-06-03T11:59:59+08:00
    on: 2022-01-01
    given: {age: 30, home: null, passes: [{kind: day, bought_at: "2021-06-01T12:00:00+08:00"}]}
    expect: free
"""


def try_them(folder: Path, text: str = CASES, rules: str = FARE) -> int:
    """Try the cases and give how many there are."""
    load(folder, rules)
    (folder / "tram" / "fare.cases.yaml").write_text(text, encoding="utf-8")
    return try_cases(folder, [Rider], CITY)[1]


def faults(folder: Path, text: str = CASES, rules: str = FARE) -> list[str]:
    with pytest.raises(InvalidRulebook) as caught:
        try_them(folder, text, rules)
    return [
        f"{Path(fault.path).name}:{fault.place.line}:{fault.place.column}: {fault.message}"
        + (f" ({fault.help})" if fault.help else "")
        for fault in caught.value.faults
    ]


def test_cases_that_hold_are_counted(tmp_path: Path) -> None:
    assert try_them(tmp_path) == 3


def test_a_case_that_does_not_hold_says_what_came_instead_and_why(tmp_path: Path) -> None:
    assert faults(tmp_path, CASES.replace("result: half", "result: free")) == [
        (
            "fare.cases.yaml:6:22: a child of thirteen pays half: result is half, expected was free"
            " (child fired; half by 'child', changes at never)"
        )
    ]


def test_a_case_is_right_to_the_second(tmp_path: Path) -> None:
    assert faults(tmp_path, CASES.replace('"2021-06-02T12:00:00+08:00"', '"2021-06-02T12:00:01+08:00"')) == [
        (
            "fare.cases.yaml:13:40: a day pass bought at noon lets ride until noon:"
            " changes_at is 2021-06-02T12:00:00+08:00, expected was 2021-06-02T12:00:01+08:00"
            " (day-pass fired; free by 'day-pass', changes at 2021-06-02T12:00:00+08:00)"
        )
    ]


def test_a_rule_that_fires_in_no_case_is_named(tmp_path: Path) -> None:
    expected = "{result: half, rule: child, fired: [child], changes_at: never}"
    (found,) = faults(tmp_path, CASES.replace("age: 13", "age: 14").replace(expected, "full"))
    assert found.startswith("fare.yaml:11:9: 'child' fires in no case (add one to ")


def test_a_rule_that_is_silent_in_no_case_of_its_time_is_named(tmp_path: Path) -> None:
    later = FARE.replace("  - id: child\n    from: 2020-01-01", "  - id: child\n    from: 2021-06-01")
    only = CASES[: CASES.index("  - case: a day pass")] + CASES[CASES.index("  - case: by the law") :].replace(
        "age: 30", "age: 13"
    )
    (found,) = faults(tmp_path, only, later)
    assert found.startswith("fare.yaml:11:9: 'child' is silent in no case of its time (add one to ")


def test_rules_without_cases_are_refused(tmp_path: Path) -> None:
    load(tmp_path)
    with pytest.raises(InvalidRulebook, match="no cases stand beside these rules"):
        try_cases(tmp_path, [Rider], CITY)


def test_cases_without_rules_are_refused(tmp_path: Path) -> None:
    load(tmp_path)
    (tmp_path / "tram" / "fair.cases.yaml").write_text(CASES, encoding="utf-8")
    with pytest.raises(InvalidRulebook, match=r"there is no module 'tram\.fair' beside these cases"):
        try_cases(tmp_path, [Rider], CITY)


def refund_faults(folder: Path, expected: str) -> list[str]:
    """Give what is wrong with the cases of the refund where this is expected of an hour's delay."""
    load(folder, refund=REFUND)
    (folder / "tram" / "fare.cases.yaml").write_text(CASES, encoding="utf-8")
    (folder / "tram" / "refund.cases.yaml").write_text(
        f"""\
module: tram.refund
cases:
  - {{case: an hour late, at: "2021-06-01T12:00:00+08:00", given: {{minutes: 60}}, expect: {expected}}}
  - {{case: a little late, at: "2021-06-01T12:00:00+08:00", given: {{minutes: 20}}, expect: {{result: 100}}}}
  - {{case: on time, at: "2021-06-01T12:00:00+08:00", given: {{minutes: 0}}, expect: 0}}
""",
        encoding="utf-8",
    )
    try:
        try_cases(folder, [Rider, Delay], CITY)
    except InvalidRulebook as error:
        return [f"{fault.place.line}:{fault.place.column}: {fault.message}" for fault in error.faults]
    return []


def test_a_case_may_expect_a_number_and_the_rule_that_said_it(tmp_path: Path) -> None:
    assert refund_faults(tmp_path, "{result: 300, rule: long-delay, fired: [long-delay, delay]}") == []
    assert refund_faults(tmp_path, "100") == ["3:89: an hour late: result is 300, expected was 100"]
    assert refund_faults(tmp_path, "long_delay_fen") == ["3:89: expected a whole number"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("age: 13", "agee: 13", "5:13: unknown field 'agee' of Rider (did you mean 'age'?)"),
        ("{age: 13}", "{}", "5:12: Rider needs the field 'age'"),
        ("{age: 13}", "13", "5:12: expected the fields of Rider, or {} for none"),
        ("age: 13", "age: '13'", "5:18: expected a whole number"),
        ("age: 13", "age: -1", "5:18: expected a whole number from 0 to 150"),
        ("kind: day", "kind: dey", "12:18: 'dey' is none of the words that this field can hold (did you mean 'day'?)"),
        (
            'bought_at: "2021-06-01T12:00:00+08:00"}\n',
            'bought_at: "2021-06-01T12:00:00"}\n',
            "12:34: '2021-06-01T12:00:00' is no instant such as 2020-02-11T00:00:00+08:00",
        ),
        ("rule: child", "rule: chidl", "6:34: 'chidl' is not a rule of this module (did you mean 'child'?)"),
        ("result: half", "result: hafl", "6:22: 'hafl' is not a result of this module (did you mean 'half'?)"),
        ("    expect: free", "    expect: {}", "18:13: a case that expects nothing cannot fail"),
        ("    expect: free", "    expects: free", "14:5: a case needs the key 'expect'"),
        (
            "  - case: by the law of 2022 the same pass lasts two days",
            "  - case: a child of thirteen pays half",
            "14:11: two cases have the same name (the first one stands in line 3)",
        ),
        ("module: tram.fare", "module: tram.fair", "1:9: these cases stand beside the module 'tram.fare'"),
    ],
)
def test_what_is_wrong_with_a_case_is_said_with_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in CASES
    found = faults(tmp_path, CASES.replace(old, new, 1))
    assert any(fault in line for line in found), found
