from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backend.rulebook import InvalidRulebook, SourceFile
from backend.rulebook.modules.cases import run_cases
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.yaml_document import read_document
from backend.rulebook.prover.people import block_of
from tests.rulebook.tram import CITY, FARE, REFUND, Delay, Pass, Rider, load


def edge(at: str, expect: str, bought: str, age: int = 30) -> str:
    """Return a case of a rider with a day pass that was bought at noon of a day."""
    passes = f'[{{kind: day, bought_at: "{bought}T12:00:00+08:00"}}]'
    return f"""\
  - case: at {at}
    at: {at}+08:00
    given: {{age: {age}, passes: {passes}}}
    expect: {expect}
"""


BEFORE_2020 = edge("2019-12-31T23:59:59", "full", "2019-12-31")
IN_2020 = edge("2020-01-01T00:00:00", "free", "2019-12-31")
BEFORE_2022 = edge("2021-12-31T23:59:59", "full", "2021-12-30")
IN_2022 = edge("2022-01-01T00:00:00", "free", "2021-12-30")
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
CASES += BEFORE_2020 + IN_2020 + BEFORE_2022 + IN_2022


def run_them(folder: Path, text: str = CASES, rules: str = FARE) -> int:
    """Run the cases and return their number."""
    load(folder, rules)
    (folder / "tram" / "fare.cases.yaml").write_text(text, encoding="utf-8")
    return run_cases(folder, [Rider], CITY)[1]


def faults(folder: Path, text: str = CASES, rules: str = FARE) -> list[str]:
    with pytest.raises(InvalidRulebook) as caught:
        run_them(folder, text, rules)
    return [
        f"{Path(fault.path).name}:{fault.location.line}:{fault.location.column}: {fault.message.en}"
        + (f" ({fault.help.en})" if fault.help.en else "")
        for fault in caught.value.faults
    ]


def test_passing_cases_are_counted(tmp_path: Path) -> None:
    assert run_them(tmp_path) == 7


def test_a_failed_case_shows_the_actual_result_and_the_reason(tmp_path: Path) -> None:
    assert faults(tmp_path, CASES.replace("result: half", "result: free")) == [
        (
            "fare.cases.yaml:6:22: a child of thirteen pays half: result is half, expected free"
            " (child fired; half by 'child', changes at never)"
        )
    ]


def test_a_case_is_right_to_the_second(tmp_path: Path) -> None:
    assert faults(tmp_path, CASES.replace('"2021-06-02T12:00:00+08:00"', '"2021-06-02T12:00:01+08:00"')) == [
        (
            "fare.cases.yaml:13:40: a day pass bought at noon lets ride until noon:"
            " changes_at is 2021-06-02T12:00:00+08:00, expected 2021-06-02T12:00:01+08:00"
            " (day-pass fired; free by 'day-pass', changes at 2021-06-02T12:00:00+08:00)"
        )
    ]


def test_a_rule_that_fires_in_no_case_is_named(tmp_path: Path) -> None:
    expected = "{result: half, rule: child, fired: [child], changes_at: never}"
    (found,) = faults(tmp_path, CASES.replace("age: 13", "age: 14").replace(expected, "full"))
    assert found.startswith("fare.yaml:11:9: 'child' fires in no case (add one to ")


def test_a_rule_that_fires_in_every_case_of_its_period_is_named(tmp_path: Path) -> None:
    later = FARE.replace("  - id: child\n    from: 2020-01-01", "  - id: child\n    from: 2021-06-01")
    first = CASES[: CASES.index("  - case: a day pass")]
    law_of_2022 = CASES[CASES.index("  - case: by the law") : CASES.index(BEFORE_2020)].replace("age: 30", "age: 13")
    edges = [
        BEFORE_2020,
        IN_2020,
        edge("2021-05-31T23:59:59", "full", "2021-05-01"),
        edge("2021-06-01T00:00:00", "half", "2021-05-01", age=13),
        edge("2021-12-31T23:59:59", "half", "2021-12-30", age=13),
        edge("2022-01-01T00:00:00", "free", "2021-12-30", age=13),
    ]
    only = "".join([first, law_of_2022, *edges])
    (found,) = faults(tmp_path, only, later)
    assert found.startswith("fare.yaml:11:9: 'child' fires in every case dated within its period (add to ")


def test_rules_without_cases_are_rejected(tmp_path: Path) -> None:
    load(tmp_path)
    with pytest.raises(InvalidRulebook, match="these rules have no cases"):
        run_cases(tmp_path, [Rider], CITY)


def test_cases_without_rules_are_rejected(tmp_path: Path) -> None:
    load(tmp_path)
    (tmp_path / "tram" / "fair.cases.yaml").write_text(CASES, encoding="utf-8")
    with pytest.raises(InvalidRulebook, match=r"there is no module 'tram\.fair' for these cases"):
        run_cases(tmp_path, [Rider], CITY)


def refund_faults(folder: Path, expected: str) -> list[str]:
    """Return the faults of the refund's cases if this is expected of an hour's delay."""
    load(folder, refund=REFUND)
    (folder / "tram" / "fare.cases.yaml").write_text(CASES, encoding="utf-8")
    (folder / "tram" / "refund.cases.yaml").write_text(
        f"""\
module: tram.refund
cases:
  - {{case: an hour late, at: "2021-06-01T12:00:00+08:00", given: {{minutes: 60}}, expect: {expected}}}
  - {{case: a little late, at: "2021-06-01T12:00:00+08:00", given: {{minutes: 20}}, expect: {{result: 100}}}}
  - {{case: on time, at: "2021-06-01T12:00:00+08:00", given: {{minutes: 0}}, expect: 0}}
  - {{case: before 2020, at: "2019-12-31T23:59:59+08:00", given: {{minutes: 60}}, expect: 0}}
  - {{case: in 2020, at: "2020-01-01T00:00:00+08:00", given: {{minutes: 60}}, expect: 300}}
  - {{case: before 2022, at: "2021-12-31T23:59:59+08:00", given: {{minutes: 60}}, expect: 300}}
  - {{case: in 2022, at: "2022-01-01T00:00:00+08:00", given: {{minutes: 60}}, expect: 600}}
""",
        encoding="utf-8",
    )
    try:
        run_cases(folder, [Rider, Delay], CITY)
    except InvalidRulebook as error:
        return [f"{fault.location.line}:{fault.location.column}: {fault.message.en}" for fault in error.faults]
    return []


def test_a_case_may_expect_a_number_and_the_rule_that_decided(tmp_path: Path) -> None:
    assert refund_faults(tmp_path, "{result: 300, rule: long-delay, fired: [long-delay, delay]}") == []
    assert refund_faults(tmp_path, "100") == ["3:89: an hour late: result is 300, expected 100"]
    assert refund_faults(tmp_path, "long_delay_fen") == ["3:89: expected a whole number"]


def test_a_case_may_expect_some_of_the_terms_in_force(tmp_path: Path) -> None:
    parts = "[{percent: 40}, {percent: 60, after: 30d}]"
    assert refund_faults(tmp_path, f"{{terms: {{budget_fen: 500000, parts: {parts}}}}}") == []
    assert refund_faults(tmp_path, "{terms: {paid: card}}") == [
        "3:97: an hour late: terms is paid: cash, expected paid: card"
    ]
    assert refund_faults(tmp_path, "{terms: {payed: card}}") == ["3:98: unknown field 'payed' of RefundTerms"]


def test_a_case_of_a_module_without_terms_expects_none(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, CASES.replace("{result: half, rule: child", "{terms: {}, rule: child"))
    assert found == "fare.cases.yaml:6:21: a module on Rider has no `terms` (remove `terms`)"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("age: 13", "agee: 13", "5:13: unknown field 'agee' of Rider (did you mean 'age'?)"),
        ("{age: 13}", "{}", "5:12: Rider needs the field 'age'"),
        ("{age: 13}", "13", "5:12: expected the fields of Rider, or {} for none"),
        ("age: 13", "age: '13'", "5:18: expected a whole number"),
        ("age: 13", "age: -1", "5:18: expected a whole number from 0 to 150"),
        ("kind: day", "kind: dey", "12:18: 'dey' is not a value of this field (did you mean 'day'?)"),
        (
            'bought_at: "2021-06-01T12:00:00+08:00"}\n',
            'bought_at: "2021-06-01T12:00:00"}\n',
            "12:34: '2021-06-01T12:00:00' is not an instant such as 2020-02-11T00:00:00+08:00",
        ),
        ("rule: child", "rule: chidl", "6:34: 'chidl' is not a rule of this module (did you mean 'child'?)"),
        ("result: half", "result: hafl", "6:22: 'hafl' is not a result of this module (did you mean 'half'?)"),
        ("    expect: free", "    expect: {}", "18:13: a case without an expectation cannot fail"),
        ("    expect: free", "    expects: free", "18:5: unknown key 'expects' in a case (did you mean 'expect'?)"),
        (
            "  - case: by the law of 2022 the same pass lasts two days",
            "  - case: a child of thirteen pays half",
            "14:11: two cases have the same name (the first one is in line 3)",
        ),
        ("module: tram.fare", "module: tram.fair", "1:9: these cases are next to the module 'tram.fare'"),
    ],
)
def test_each_fault_of_a_case_has_its_location(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in CASES
    found = faults(tmp_path, CASES.replace(old, new, 1))
    assert any(fault in line for line in found), found


@given(
    waits=some.timedeltas(timedelta(days=-36_525), timedelta(days=36_525)),
    income=some.floats(1e-12, 1e20) | some.floats(-1e20, -1e-12) | some.just(0.0),
    since=some.timedeltas(timedelta(), timedelta(days=91_000)),
)
def test_facts_that_are_written_for_an_author_are_read_back_to_the_last_digit(
    waits: timedelta, income: float, since: timedelta
) -> None:
    bought = Pass(kind="day", bought_at=datetime(1900, 1, 2, tzinfo=UTC) + since)
    rider = Rider(age=30, waits=waits, income=income, passes=(bought,))
    file = SourceFile("facts.yaml", block_of(rider, CITY), [])
    root = read_document(file)
    assert root is not None
    assert StructReader(file).struct(root, Rider) == rider, file.faults
