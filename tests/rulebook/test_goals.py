"""Coverage counts what cases try of each rule: operands, thresholds and changes of the law."""

from pathlib import Path

from backend.rulebook.modules.cases import load_cases
from backend.rulebook.modules.goals import Coverage, measure
from tests.rulebook.tram import CITY, FARE, REFUND, Delay, Rider, load

HEAD = "module: tram.fare\ncases:\n"
STUDENTS = FARE.replace("facts.age < 14", "facts.student && (facts.age < 14 || facts.income < 10.0)")
PASS = 'passes: [{{kind: day, bought_at: "{}+08:00"}}]'


def case(given: str, at: str = "2021-06-01T12:00:00", name: str = "") -> str:
    name = name or given[:60].replace('"', "")
    return f'  - {{case: "{name}", at: "{at}+08:00", given: {{{given}}}, expect: full}}\n'


def covered(folder: Path, *cases: str, rules: str = FARE) -> Coverage:
    """Return the coverage of the module by these cases."""
    load(folder, rules)
    (folder / "tram" / "fare.cases.yaml").write_text(HEAD + "".join(cases), encoding="utf-8")
    tested = load_cases(folder, [Rider], CITY)
    return measure(tested.rulebook, tested.rulebook.modules["tram.fare"], tested.cases["tram.fare"])


def missing(found: Coverage, kind: str, rule: str = "child") -> list[str]:
    return [f"{goal.text} {goal.side.en}" for goal in found.missing if goal.kind == kind and goal.rule == rule]


def test_a_rule_fires_in_one_case_and_stays_silent_in_another(tmp_path: Path) -> None:
    assert missing(covered(tmp_path, case("age: 13")), "rule") == ["child stays silent"]
    assert missing(covered(tmp_path, case("age: 14")), "rule") == ["child fires"]
    assert missing(covered(tmp_path, case("age: 13"), case("age: 14")), "rule") == []


def test_each_operand_is_once_true_and_once_false(tmp_path: Path) -> None:
    one = covered(tmp_path, case("student: true, age: 13"), rules=STUDENTS)
    assert missing(one, "operand") == [
        "facts.student is false",
        "facts.age < 14 is false",
        "facts.income < 10.0 is true",
        "facts.income < 10.0 is false",
    ]
    cases = case("student: true, age: 13"), case("student: false, age: 13"), case("student: true, age: 14, income: 9.0")
    assert missing(covered(tmp_path, *cases, rules=STUDENTS), "operand") == ["facts.income < 10.0 is false"]


def test_an_operand_that_is_not_evaluated_is_neither_true_nor_false(tmp_path: Path) -> None:
    cases = case("student: false, age: 13"), case("student: false, age: 14")
    found = missing(covered(tmp_path, *cases, rules=STUDENTS), "operand")
    assert "facts.age < 14 is true" in found
    assert "facts.age < 14 is false" in found


def test_a_threshold_is_tried_at_its_bound_and_just_beyond(tmp_path: Path) -> None:
    both = ["facts.age < 14 has equal sides", "facts.age < 14 is just beyond its bound"]
    assert missing(covered(tmp_path, case("age: 12"), case("age: 15")), "threshold") == both
    assert missing(covered(tmp_path, case("age: 13")), "threshold") == both[:1]
    assert missing(covered(tmp_path, case("age: 14")), "threshold") == both[1:]
    assert missing(covered(tmp_path, case("age: 14"), case("age: 13")), "threshold") == []


def test_beyond_a_bound_of_time_is_a_second_away(tmp_path: Path) -> None:
    at_bound = case("age: 30, " + PASS.format("2021-05-31T12:00:00"))
    second = case("age: 30, " + PASS.format("2021-05-31T12:00:01"), name="a second")
    minute = case("age: 30, " + PASS.format("2021-05-31T12:01:00"), name="a minute")
    bound = "now - p.bought_at < lasts is just beyond its bound from 2020-01-01"
    assert bound in missing(covered(tmp_path, at_bound, minute), "threshold", "day-pass")
    assert bound not in missing(covered(tmp_path, at_bound, second), "threshold", "day-pass")


def test_each_value_of_a_parameter_is_a_threshold_of_its_own(tmp_path: Path) -> None:
    at_bound = case("age: 30, " + PASS.format("2021-05-31T12:00:00"))
    second = case("age: 30, " + PASS.format("2021-05-31T12:00:01"), name="a second")
    assert missing(covered(tmp_path, at_bound, second), "threshold", "day-pass") == [
        "now - p.bought_at < lasts has equal sides from 2022-01-01",
        "now - p.bought_at < lasts is just beyond its bound from 2022-01-01",
    ]
    later = [
        case("age: 30, " + PASS.format("2022-05-31T12:00:00"), at="2022-06-02T12:00:00"),
        case("age: 30, " + PASS.format("2022-05-31T12:00:01"), at="2022-06-02T12:00:00", name="a second later"),
    ]
    assert missing(covered(tmp_path, at_bound, second, *later), "threshold", "day-pass") == []


def test_the_nearest_value_of_a_multiple_is_a_multiple_away(tmp_path: Path) -> None:
    rules = FARE.replace("facts.age < 14", "facts.age * 100 < 14 * 100")
    assert missing(covered(tmp_path, case("age: 14"), case("age: 13"), rules=rules), "threshold") == []


def test_a_change_of_the_law_has_a_case_on_both_sides(tmp_path: Path) -> None:
    found = covered(tmp_path, case("age: 13", at="2019-12-31T23:59:59"))
    assert missing(found, "change", "") == [
        "2020-01-01T00:00:00+08:00 the second of the change",
        "2021-12-31T23:59:59+08:00 the last second before the change",
        "2022-01-01T00:00:00+08:00 the second of the change",
    ]
    assert found.count("change") == (1, 4)
    assert found.percent("change") == 25


# ── results ──

LATE = "module: tram.refund\ncases:\n"
WHEN = {2021: "2021-06-01T12:00:00+08:00", 2023: "2023-06-01T12:00:00+08:00"}


def refunded(folder: Path, *cases: str, rules: str = REFUND) -> list[str]:
    """Return the results of the refund that no case expects."""
    load(folder, refund=rules)
    (folder / "tram" / "refund.cases.yaml").write_text(LATE + "".join(cases), encoding="utf-8")
    tested = load_cases(folder, [Rider, Delay], CITY)
    found = measure(tested.rulebook, tested.rulebook.modules["tram.refund"], tested.cases["tram.refund"])
    return [f"{goal.rule}: {goal.text}{goal.side.en}" for goal in found.missing if goal.kind == "result"]


def late(minutes: int, year: int, expect: str) -> str:
    return f'  - {{case: {minutes} in {year}, at: "{WHEN[year]}", given: {{minutes: {minutes}}}, expect: {expect}}}\n'


def test_each_dated_amount_that_a_rule_returns_is_expected_by_a_case(tmp_path: Path) -> None:
    early, later = late(60, 2021, "300 fen"), late(60, 2023, "600 fen")
    both = [
        "long-delay: long_delay_fen (3 yuan from 2020-01-01)",
        "long-delay: long_delay_fen (6 yuan from 2022-01-01)",
    ]
    short = late(20, 2021, "100")
    assert refunded(tmp_path, short) == both
    assert refunded(tmp_path, short, early) == both[1:]
    assert refunded(tmp_path, short, later) == both[:1]
    assert refunded(tmp_path, short, early, later) == []


def test_a_rule_that_fires_but_does_not_decide_gives_no_result(tmp_path: Path) -> None:
    long_alone = late(60, 2021, "300 fen"), late(60, 2023, "600 fen")
    assert refunded(tmp_path, *long_alone) == ["delay: 100"]


def test_a_case_that_expects_another_thing_than_the_result_does_not_try_it(tmp_path: Path) -> None:
    cases = late(60, 2021, "{rule: long-delay}"), late(60, 2023, "600 fen"), late(20, 2021, "{changes_at: never}")
    assert refunded(tmp_path, *cases) == ["long-delay: long_delay_fen (3 yuan from 2020-01-01)", "delay: 100"]


def test_the_bounds_of_a_sum_hide_the_amounts_in_it(tmp_path: Path) -> None:
    added = REFUND.replace("strategy: first", "strategy: sum")
    long_in_2021, long_in_2023 = late(60, 2021, "400 fen"), late(60, 2023, "600 fen")
    assert refunded(tmp_path, long_in_2021, long_in_2023, rules=added) == [
        "long-delay: long_delay_fen (6 yuan from 2022-01-01)"
    ]


def test_each_row_of_a_table_has_a_result_of_its_own(tmp_path: Path) -> None:
    rows = REFUND.split("parameters:\n")[0] + (
        "rules:\n"
        "  - table: [{name: day, least: 600, pays: 500}, {name: hour, least: 60, pays: 300}]\n"
        "    id: a-<name>\n    from: 2020-01-01\n    when: facts.minutes >= <least>\n    then: <pays>\n"
        '    because: {zh: 晚点, en: Late}\n    source: "[S] council"\n'
        "otherwise: {then: 0, because: {zh: 准点, en: On time}}\n"
    )
    assert refunded(tmp_path, late(60, 2021, "300"), rules=rows) == ["a-day: 500"]
