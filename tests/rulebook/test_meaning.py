"""What `chengma rules check` finds in valid modules: parts without effect, gaps, and copies."""

from pathlib import Path

import pytest

from backend.rulebook import InvalidRulebook, load_rulebook
from tests.rulebook.tram import CITY, FARE, REFUND, Delay, Rider, load


def faults(folder: Path, text: str = FARE, **others: str) -> list[str]:
    """Return the faults that authors see, as `line:column: code message`."""
    load(folder, text, **others)
    try:
        load_rulebook(folder, [Rider, Delay], CITY, strict=True)
    except InvalidRulebook as error:
        return [f"{f.location.line}:{f.location.column}: {f.code} {f.message.en}" for f in error.faults]
    return []


def changed(*replacements: tuple[str, str], text: str = FARE) -> str:
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def when(condition: str) -> str:
    return changed(("facts.age < 14", f"'{condition}'"))


def test_sound_modules_are_not_reported(tmp_path: Path) -> None:
    assert faults(tmp_path, refund=REFUND) == []


def test_each_fault_is_in_both_languages(tmp_path: Path) -> None:
    load(tmp_path, when("facts.age < 0"))
    with pytest.raises(InvalidRulebook) as caught:
        load_rulebook(tmp_path, [Rider, Delay], CITY, strict=True)
    (fault,) = caught.value.faults
    assert fault.in_language("zh").split("\n")[0].endswith(":13:12: R056 “facts.age < 0”总为假")
    assert "= 该值在0至150之间；请更正界限，或删去这一部分" in fault.in_language("zh")


# ── rules ──


def test_a_rule_without_its_first_day_is_reported(tmp_path: Path) -> None:
    without = changed(("    from: 2020-01-01\n    when: facts.age", "    when: facts.age"))
    assert faults(tmp_path, without) == ["11:9: R055 'child' has no first day"]


@pytest.mark.parametrize(
    ("condition", "fault"),
    [
        pytest.param("facts.age < 0", "`facts.age < 0` is never true", id="below"),
        pytest.param("facts.age > 150", "`facts.age > 150` is never true", id="above"),
        pytest.param("facts.student && facts.age >= 0", "`facts.age >= 0` is always true", id="at-least"),
        pytest.param("facts.student && facts.age <= 150", "`facts.age <= 150` is always true", id="at-most"),
        pytest.param("facts.student && facts.age != 151", "`facts.age != 151` is always true", id="not-equal"),
        pytest.param("facts.age == 200", "`facts.age == 200` is never true", id="equal"),
        pytest.param("200 < facts.age", "`200 < facts.age` is never true", id="turned-round"),
        pytest.param("size(facts.passes) < 0", "`size(facts.passes) < 0` is never true", id="size"),
    ],
)
def test_a_bound_outside_those_of_the_fact_is_reported(tmp_path: Path, condition: str, fault: str) -> None:
    assert [line.split("R056 ")[-1] for line in faults(tmp_path, when(condition)) if "R056" in line] == [fault]


@pytest.mark.parametrize("condition", ["facts.age > 0", "facts.age < 150", "facts.age == 150", "facts.age >= 150"])
def test_a_bound_at_the_end_of_a_facts_range_is_sound(tmp_path: Path, condition: str) -> None:
    assert faults(tmp_path, when(condition)) == []


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        pytest.param("facts.age < 14 && facts.age < 20", "facts.age < 20", id="wider-bound"),
        pytest.param("facts.age < 20 && facts.age < 14", "facts.age < 20", id="wider-bound-first"),
        pytest.param("facts.student && facts.age < 14 && facts.student", "facts.student", id="twice"),
        pytest.param("facts.age < 14 || facts.age < 10", "facts.age < 10", id="narrower-alternative"),
        pytest.param(
            'facts.passes.exists(p, p.kind == "day" && p.kind != "year")', 'p.kind != "year"', id="other-word"
        ),
    ],
)
def test_a_part_that_changes_nothing_is_reported(tmp_path: Path, condition: str, part: str) -> None:
    (found,) = faults(tmp_path, when(condition))
    assert f"R057 `{part}` changes nothing" in found


@pytest.mark.parametrize(
    "condition",
    [
        'has(facts.home) && facts.home == "east"',
        "facts.age >= 3 && facts.age < 14",
        "facts.age < 3 || facts.age > 70",
        "facts.student && (facts.age < 14 || facts.age < 20 && facts.income < 10.0)",
        "facts.passes.exists(p, now - p.bought_at >= lasts && now - p.bought_at < lasts + lasts)",
    ],
)
def test_parts_that_each_matter_are_sound(tmp_path: Path, condition: str) -> None:
    assert faults(tmp_path, when(condition)) == []


def test_under_sum_a_rule_copied_with_its_result_is_reported(tmp_path: Path) -> None:
    summed = changed(
        ("strategy: first", "strategy: sum"), ("facts.minutes >= 20", "facts.minutes >= 60"), text=REFUND
    ).replace("then: 100", "then: long_delay_fen")
    assert faults(tmp_path, refund=summed) == [
        "29:9: R058 'delay' has the condition and the result of 'long-delay' in line 23"
    ]


CHILD_OF_2021 = """\
  - id: child-2021
    from: 2021-03-01
    when: facts.age < 15
    then: half
    because: {zh: 您未满十五岁, en: You are under fifteen}
    source: "[S] council"
"""


def editions(until: str) -> str:
    return changed(
        ("    when: facts.age", f"    until: {until}\n    when: facts.age"),
        ("  - id: day-pass", f"{CHILD_OF_2021}  - id: day-pass"),
    )


def test_a_day_between_two_editions_of_a_rule_is_reported(tmp_path: Path) -> None:
    assert faults(tmp_path, editions("2021-02-28")) == [
        "11:9: R059 neither 'child' nor 'child-2021' is in force from 2021-02-28 to 2021-02-28"
    ]
    assert faults(tmp_path, editions("2021-03-01")) == []


def test_a_long_time_without_a_rule_is_meant(tmp_path: Path) -> None:
    assert faults(tmp_path, editions("2020-12-31")) == []


def test_rules_that_shadow_another_only_together_are_reported(tmp_path: Path) -> None:
    rules = changed(
        ("facts.age < 14", "facts.age >= 30 && facts.age < 40"),
        (
            "otherwise:",
            "".join(
                f"  - {{id: {name}, when: {condition}, then: free, from: 2020-01-01, source: '[S] x',"
                f" because: {{zh: 甲, en: A}}}}\n"
                for name, condition in (("young", "facts.age < 35"), ("old", "facts.age >= 35"))
            )
            + "otherwise:",
        ),
    )
    assert faults(tmp_path, rules) == [
        "11:9: R064 'child' never decides: whenever it fires, one of several other rules does"
    ]
    later = rules.replace(
        "{id: old, when: facts.age >= 35, then: free, from: 2020",
        "{id: old, when: facts.age >= 35, then: free, from: 2021",
    )
    assert later != rules
    assert faults(tmp_path, later) == []


# ── parameters and results ──


def test_a_parameter_that_nothing_reads_is_reported(tmp_path: Path) -> None:
    unused = '  unused:\n    - {from: 2020-01-01, value: 3, source: "[S] council"}\nrules:'
    assert faults(tmp_path, FARE.replace("rules:", unused)) == ["11:7: R060 nothing reads 'unused'"]


def test_a_value_in_force_when_no_rule_reads_it_is_reported(tmp_path: Path) -> None:
    earlier = '    - {from: 2010-01-01, value: 3d, source: "[S] council"}\n    - {from: 2020-01-01, value: 1d'
    assert faults(tmp_path, FARE.replace("    - {from: 2020-01-01, value: 1d", earlier)) == [
        "8:7: R061 the value of 'lasts' from 2010-01-01 is never used: no rule reads it in this time"
    ]


def test_a_value_copied_with_its_source_is_reported(tmp_path: Path) -> None:
    assert faults(tmp_path, FARE.replace("value: 2d", "value: 1d")) == [
        "9:7: R062 the value of 'lasts' from 2022-01-01, and its source, are those before it"
    ]


def test_a_value_that_another_source_confirms_is_sound(tmp_path: Path) -> None:
    confirmed = changed(('value: 2d, source: "[S] council"', 'value: 1d, source: "[S] council of 2021"'))
    assert faults(tmp_path, confirmed) == []


def test_a_result_that_no_rule_gives_is_reported(tmp_path: Path) -> None:
    assert faults(tmp_path, changed(("[full, half, free]", "[full, half, third, free]"))) == [
        "4:22: R063 no rule has the result 'third'"
    ]
