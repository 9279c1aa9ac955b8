from datetime import date
from pathlib import Path

import pytest

from backend.rulebook import InvalidRulebook, load_rulebook
from tests.rulebook.tram import CITY, FARE, REFUND, Rider, faults, load, with_rule


def test_the_module_of_these_tests_is_sound(tmp_path: Path) -> None:
    assert faults(tmp_path, FARE) == []


def test_a_fault_shows_file_line_column_caret_and_help(tmp_path: Path) -> None:
    with pytest.raises(InvalidRulebook) as caught:
        load(tmp_path, FARE.replace('p.kind == "day"', 'p.kind == "dya"'))
    assert str(caught.value) == (
        f"{tmp_path}/tram/fare.yaml:20:40: R040 'dya' is not a value of this fact\n"
        '  20 |       facts.passes.exists(p, p.kind == "dya"\n'
        "     |                                        ^^^^^\n"
        "     = did you mean 'day'?"
    )


def test_carets_are_aligned_under_wide_chinese_characters(tmp_path: Path) -> None:
    with pytest.raises(InvalidRulebook) as caught:
        load(tmp_path, FARE.replace("title: {zh: 车票, en: Fare}", "title: {zh: 车票, en: Fare, fr: Tarif}"))
    _, excerpt, carets, _ = str(caught.value).splitlines()
    assert excerpt == "  2 | title: {zh: 车票, en: Fare, fr: Tarif}"
    assert carets == "    | " + " " * 28 + "^^"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("  - id: child", "\t- id: child", "the indentation has a tab"),
        (
            "facts: Rider\n",
            "facts: Rider\nfacts: Rider\n",
            "4:1: duplicate key 'facts' (the first one is in line 3)",
        ),
        (
            "    then: half",
            "    then: half\n    then: free",
            "15:5: duplicate key 'then' (the first one is in line 14)",
        ),
        (
            "module: tram.fare",
            "module: tram.fair",
            "1:9: the module is named by its path: 'tram.fare' (write `module: tram.fare`)",
        ),
        (
            "facts: Rider",
            "facts: Ridder",
            (
                "3:8: unknown facts 'Ridder': no service declares this Struct in `Service(rule_modules=...)` "
                "(did you mean 'Rider'?)"
            ),
        ),
        (
            "strategy: most_severe",
            "strategy: most_sever",
            "5:11: unknown strategy 'most_sever' (did you mean 'most_severe'?)",
        ),
        ("[full, half, free]", "[full, half, half]", "4:22: 'half' is listed twice"),
        ("    then: half", "    then: hlaf", "14:11: 'hlaf' is not a result of this module (did you mean 'half'?)"),
        ('    source: "[S] council"\n  - id: day', "  - id: day", "11:5: a rule needs the key 'source'"),
        ("  - id: day-pass", "  - id: child", "17:9: the id 'child' is taken (it is used in line 11)"),
        ("    when: facts.age", "    wenn: facts.age", "13:5: unknown key 'wenn' in a rule (did you mean 'when'?)"),
        (
            "from: 2020-01-01\n    when: facts",
            "from: 2020-02-30\n    when: facts",
            "12:11: '2020-02-30' is not a date such as 2020-02-11",
        ),
        (
            "    when: facts.age",
            "    until: 2019-01-01\n    when: facts.age",
            "13:12: `until` is not after `from` (`until` is the first day without it)",
        ),
        (
            "value: 1d",
            "value: 1 day",
            "8:33: '1 day' is not a value of the rule language (write `1d`)",
        ),
        ("value: 2d", "value: 2", "9:33: this value is of type int, the other values of 'lasts' are of type duration"),
        (
            "{from: 2022-01-01, value: 2d",
            "{from: 2019-01-01, value: 2d",
            "9:7: the values of 'lasts' are not in the order of their dates",
        ),
        ("en: Fare}", "en: ''}", "2:21: 'en' needs a text of 1 to 500 characters"),
        ("otherwise: {then: full, ", "otherwise: {", "25:12: `otherwise` needs the key 'then'"),
        (
            "facts: Rider",
            "facts: &a Rider\nresult2: *a",
            "3:8: YAML aliases are not supported (repeat the text instead)",
        ),
        ("facts: Rider", "facts: !!python/object:os.system Rider", "is not supported"),
    ],
)
def test_each_fault_of_a_file_has_its_location(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in FARE
    found = faults(tmp_path, FARE.replace(old, new, 1))
    assert any(fault in line for line in found), found


@pytest.mark.parametrize(
    ("when", "fault"),
    [
        ("facts.agge < 14", "11:29: unknown field 'agge' of Rider (did you mean 'age'?)"),
        ('facts.age < "14"', "11:23: `<` is not defined for int and string"),
        ("facts.age", "a rule's condition must be true or false, not int"),
        ('has(facts.home) && facts.home == "north"', "'north' is not a value of this fact"),
        ('facts.home == "east"', "facts.home may be absent (write `has(facts.home) && ...` before it)"),
        ("facts.age / facts.age == 1", "the divisor can be zero"),
        ("facts.age * 9223372036854775807 > 0", "its result can leave a 64-bit integer"),
        ("size(facts.passes) > lasts", "int"),
        ('facts.passes[0].kind == "day"', "the index can be outside the list"),
        ('lasst < duration("1h")', "did you mean 'lasts'?"),
        ('facts.name.matches("(")', "not a regular expression of RE2"),
        ('__import__("os").system("id") == 0', "unknown"),
        ("facts.__class__ == facts.__class__", "unknown field '__class__' of Rider"),
        ("timestamp(facts.name) < now", "not every string is a timestamp"),
        ("dyn(facts) == 1", "dyn"),
        ("facts.passes.map(p, p) == facts.passes", "=="),
    ],
)
def test_a_condition_that_could_fail_or_is_not_defined_is_rejected_at_load(
    tmp_path: Path, when: str, fault: str
) -> None:
    (found,) = faults(tmp_path, with_rule(when))
    assert fault in found


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("strategy: first", "strategy: most_severe", "4:9: `strategy: most_severe` returns words (whole numbers need"),
        ("strategy: first", "strategy: collect", "4:9: `strategy: collect` returns words (whole numbers need"),
        ("at_most: 600", "at_most: 599", "26:11: 'long_delay_fen' is 600 from 2022-01-01 (`result` allows"),
        ("at_least: 0", "at_least: 101", "32:11: 100 is not a possible result (`result` allows 101"),
        ("{then: 0", "{then: -1", "35:19: -1 is not a possible result (`result` allows 0 to 600)"),
        ("at_least: 0", "at_least: 601", "4:1: `at_least` is greater than `at_most`"),
        ("at_least: 0, ", "", "4:9: a range of whole numbers needs the key 'at_least'"),
        ("at_most: 600", "at_most: 6h", "4:32: expected a whole number"),
        (
            "then: long_delay_fen",
            "then: long_delay",
            "26:11: 'long_delay' is neither a whole number nor a parameter (did you mean 'long_delay_fen'?)",
        ),
        ("then: 100", "then: 2.5", "32:11: expected a whole number"),
        ("{then: 0", "{then: long_delay_fen", "35:19: expected a whole number"),
    ],
)
def test_a_number_outside_the_results_of_the_module_is_rejected(tmp_path: Path, old: str, new: str, fault: str) -> None:
    found = faults(tmp_path, refund=REFUND.replace(old, new, 1))
    assert any(line.startswith(fault) for line in found), found


def test_a_sum_may_add_numbers_that_lie_outside_its_bounds(tmp_path: Path) -> None:
    assert faults(tmp_path, refund=REFUND.replace("first", "sum").replace("at_most: 600", "at_most: 99")) == []


def test_a_duration_is_not_a_numeric_result(tmp_path: Path) -> None:
    text = REFUND.replace("value: 300 fen", "value: 3h").replace("value: 600 fen", "value: 6h")
    assert faults(tmp_path, refund=text) == [
        (
            "26:11: the module returns whole numbers, but 'long_delay_fen' is a duration"
            " (write a parameter that is a whole number)"
        )
    ]


@pytest.mark.parametrize("text", ["[" * 50_000, "- " * 50_000, "{a: " * 50_000, "? " * 50_000])
def test_a_file_that_is_nested_deeply_is_a_fault_on_one_short_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRulebook, match="nested deeper than 40 levels") as refused:
        load(tmp_path, text)
    assert max(map(len, str(refused.value).splitlines())) < 300


def test_deeply_nested_macros_are_rejected(tmp_path: Path) -> None:
    when = "true"
    for depth in range(60):
        when = f"facts.passes.exists(p{depth}, {when})"
    (found,) = faults(tmp_path, with_rule(when))
    assert "macros" in found


def test_all_faults_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    wrong = FARE.replace("facts.age < 14", "facts.agge < 14").replace("then: free", "then: fre")
    assert [line.split(":")[0] for line in faults(tmp_path, wrong)] == ["13", "22"]


def test_the_faults_of_several_files_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "tram").mkdir()
    (tmp_path / "tram" / "empty.yaml").write_text("")
    (tmp_path / "tram" / "latin.yaml").write_bytes("module: tram.latin # \xe9".encode("latin-1"))
    (tmp_path / "tram" / "short.yml").write_text("module: tram.short")
    assert [line.split(": ", 1)[1] for line in faults(tmp_path, "# nothing\n")] == [
        "the file is empty (a rule module begins with `module: folder.file`)",
        "the file is empty (a rule module begins with `module: folder.file`)",
        "not UTF-8 text: byte 21 is invalid (save the file as UTF-8)",
        "the file ends in '.yml' (rename it to end in .yaml)",
    ]


def test_a_folder_without_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRulebook, match="contains no rule module"):
        load_rulebook(tmp_path, [Rider], CITY)
    with pytest.raises(InvalidRulebook, match="this folder of rules does not exist"):
        load_rulebook(tmp_path / "nowhere", [Rider], CITY)


def test_a_rule_in_force_before_its_parameter_is_refused(tmp_path: Path) -> None:
    wrong = FARE.replace("  - id: day-pass\n    from: 2020-01-01\n", "  - id: day-pass\n    from: 2019-12-31\n")
    assert faults(tmp_path, wrong) == [
        (
            "19:11: 'lasts' has no value on 2019-12-31, when the rule is in force"
            " (give the rule a `from`, or the parameter an earlier value)"
        )
    ]


def test_a_rule_in_force_in_a_gap_of_its_parameter_is_refused(tmp_path: Path) -> None:
    wrong = FARE.replace("{from: 2020-01-01, value: 1d", "{from: 2020-01-01, until: 2021-06-01, value: 1d")
    (found,) = faults(tmp_path, wrong)
    assert "'lasts' has no value on 2021-06-01, when the rule is in force" in found


def test_two_values_of_a_parameter_on_one_day_are_refused(tmp_path: Path) -> None:
    wrong = FARE.replace("{from: 2020-01-01, value: 1d", "{from: 2020-01-01, until: 2022-06-01, value: 1d")
    assert "9:7: two values of 'lasts' are in force on 2022-01-01" in faults(tmp_path, wrong)[0]


def test_the_digest_changes_with_every_character_and_with_nothing_else(tmp_path: Path) -> None:
    digest = load(tmp_path).digest
    assert load(tmp_path).digest == digest
    assert load(tmp_path, FARE + "# a remark\n").digest != digest


def test_faults_leave_the_rulebook_in_force_as_it_was(tmp_path: Path) -> None:
    rulebook = load(tmp_path)
    with pytest.raises(InvalidRulebook):
        load(tmp_path, FARE.replace("facts.age", "facts.agge"))
    assert [rule.id for rule in rulebook.modules["tram.fare"].rules] == ["child", "day-pass"]


def test_a_value_of_the_law_holds_until_the_next_one(tmp_path: Path) -> None:
    lasts = load(tmp_path).modules["tram.fare"].parameters["lasts"]
    assert lasts.on(date(2019, 12, 31)) is None
    for day, days in [(date(2020, 1, 1), 1), (date(2021, 12, 31), 1), (date(2022, 1, 1), 2), (date(2099, 1, 1), 2)]:
        found = lasts.on(day)
        assert found is not None
        assert found.value.days == days


def test_an_invalid_parameter_is_reported_once_and_not_for_each_rule_that_uses_it(tmp_path: Path) -> None:
    assert len(faults(tmp_path, FARE.replace("value: 1d", "value: 1 day"))) == 1
    assert len(faults(tmp_path, refund=REFUND.replace("value: 300 fen", "value: three"))) == 1
