"""A constant that cannot be read is refused at its place, and the fault says what to write."""

import re
from datetime import datetime

import pytest
from msgspec import Struct

from backend.rulebook.editor.fixes import fix_of
from backend.rulebook.language.checker import check
from backend.rulebook.language.syntax import InvalidExpression
from backend.rulebook.language.types import TIMESTAMP, Type
from backend.rulebook.source import Fault, Location


class Stay(Struct, frozen=True):
    """A time in the city."""

    since: datetime


class Pensioner(Struct, frozen=True):
    """A person with a birthday."""

    born_at: datetime
    age: int
    disabled: bool = False
    stays: tuple[Stay, ...] = ()


NAMES = {"facts": Type("facts", struct=Pensioner), "now": TIMESTAMP}


def fault(condition: str) -> tuple[str, InvalidExpression]:
    """Return what the fault marks, and the fault."""
    with pytest.raises(InvalidExpression) as found:
        check(condition, NAMES)
    return condition[found.value.start : found.value.end], found.value


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("7d", "168h"),
        ("1 d", "24h"),
        ("1w", "168h"),
        ("P7D", "168h"),
        ("PT1H30M", "1h30m"),
        ("7天", "168h"),
        ("2 小时", "2h"),
        ("12H", "12h"),
        ("１２h", "12h"),
        ("1h 30m", "1h30m"),
        ("1,5h", "1h30m"),
        ("1d12h", "36h"),
        ("-7d", "-168h"),
        ("90 seconds", "1m30s"),
    ],
)
def test_a_duration_in_another_form_is_named_in_the_right_one(written: str, right: str) -> None:
    marked, found = fault(f'facts.stays.exists(s, now - s.since >= duration("{written}"))')
    assert marked == f'"{written}"'
    for advice in (found.help.zh, found.help.en):
        assert f'`"{right}"`' in advice
    check(f'facts.stays.exists(s, now - s.since >= duration("{right}"))', NAMES)


@pytest.mark.parametrize("written", ["", "-", "h", "7", "1h30", "半天", "soon"])
def test_a_text_that_is_no_duration_at_all_gets_examples_that_are(written: str) -> None:
    _, found = fault(f'facts.stays.exists(s, now - s.since >= duration("{written}"))')
    for advice in (found.help.zh, found.help.en):
        examples = re.findall(r"`(.*?)`", advice)
        assert len(examples) == 4
        for example in examples:
            check(f"facts.stays.exists(s, now - s.since >= {example})", NAMES)


@pytest.mark.parametrize("written", ["70y", "70 years", "70岁", "70周岁", "P70Y"])
def test_years_as_a_duration_are_an_age_by_the_calendar(written: str) -> None:
    marked, found = fault(f'now - facts.born_at >= duration("{written}")')
    assert marked == f'"{written}"'
    for advice in (found.help.zh, found.help.en):
        (form,) = re.findall(r"`(.*?)`", advice)
        assert form == "age(facts.born_at, now) >= 70"
        check(form, NAMES)


@pytest.mark.parametrize("written", ["6mo", "6个月", "P6M", "1y6mo"])
def test_months_as_a_duration_are_days_of_a_parameter(written: str) -> None:
    _, found = fault(f'now - facts.born_at >= duration("{written}")')
    assert "90d" in found.help.zh
    assert "90d" in found.help.en


def test_a_duration_beyond_292_years_gets_the_longest() -> None:
    _, found = fault('now - facts.born_at >= duration("200000d")')
    (longest,) = re.findall(r"\d+h", found.help.en)
    check(f'now - facts.born_at < duration("{longest}")', NAMES)


def test_a_duration_finer_than_a_microsecond_names_its_digits() -> None:
    _, found = fault('now - facts.born_at >= duration("0.0000001s")')
    assert found.help.en == "write at most six decimals of a second"


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ('now < timestamp("2026/1/1")', '`"2026-01-01T00:00:00+08:00"`'),
        ('now < timestamp("2026年1月1日")', '`"2026-01-01T00:00:00+08:00"`'),
        ('now < timestamp("tomorrow")', 'timestamp("2026-01-01T00:00:00+08:00")'),
        ('facts.age >= int("1,000")', "1000"),
        ('facts.age >= int("７０")', "70"),
        ('facts.disabled == bool("yes")', "true"),
    ],
)
def test_any_other_constant_in_a_wrong_form_is_named_in_the_right_one(written: str, right: str) -> None:
    _, found = fault(written)
    assert right in found.help.zh
    assert right in found.help.en


@pytest.mark.parametrize(
    "condition",
    [
        'facts.stays.exists(s, now - s.since >= duration("7d"))',
        'facts.stays.exists(s, now - s.since >= duration("12H"))',
        'now < timestamp("2026/1/1")',
        'facts.age >= int("1,000")',
    ],
)
def test_an_editor_can_put_the_right_form_in_place_of_the_wrong_one(condition: str) -> None:
    marked, found = fault(condition)
    column = condition.index(marked) + 1
    fix = fix_of(Fault("", Location(1, column, len(marked)), found.message, found.help, condition, found.code))
    assert fix is not None
    check(condition.replace(marked, fix.replacement), NAMES)


def test_an_example_is_not_put_in_place_of_a_text_that_means_something_else() -> None:
    for condition in ('now < timestamp("tomorrow")', 'now - facts.born_at > duration("soon")'):
        marked, found = fault(condition)
        column = condition.index(marked) + 1
        assert fix_of(Fault("", Location(1, column, len(marked)), found.message, found.help, condition, "R034")) is None


def test_a_day_that_does_not_exist_is_named_as_such() -> None:
    _, found = fault('now < timestamp("2026/2/30")')
    assert found.help.en == "there is no such day"
