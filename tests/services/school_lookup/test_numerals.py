"""Chinese numerals as they are written on doors."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.school_lookup.numerals import in_plain_numerals, numeral, numeral_value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("一百八十六", 186),
        ("一八六", 186),
        ("十二", 12),
        ("廿一", 21),
        ("卅", 30),
        ("卌一", 41),
        ("一百廿一", 121),
        ("两百零一", 201),
        ("二百〇一", 201),
        ("二百○一", 201),
        ("一千零五", 1_005),
        ("一千二百", 1_200),
        ("壹佰贰拾叁", 123),
        ("壹贰叁", 123),
        ("百八十", 180),
        ("一百十二", 112),
    ],
)
def test_a_numeral_has_one_value_in_every_form(written: str, value: int) -> None:
    assert numeral_value(written) == value


@pytest.mark.parametrize("written", ["一百二", "一千二", "二三十", "十十", "一百零", "一二三四五六"])
def test_a_numeral_with_two_readings_or_none_has_no_value(written: str) -> None:
    assert numeral_value(written) is None


DIGITS = "零一二三四五六七八九"


def written(number: int) -> str:
    """Return the numeral of a number from 1 to 9,999 as it is taught: 1,005 is 一千零五, 110 is 一百一十."""
    parts = [(int(digit), unit) for digit, unit in zip(f"{number:04}", ("千", "百", "十", ""), strict=True)]
    text = "".join(DIGITS[digit] + (unit if digit else "") for digit, unit in parts)
    return re.sub("零+", "零", text).strip("零")


@given(st.integers(1, 9_999))
def test_every_number_is_read_as_it_is_written(number: int) -> None:
    assert numeral_value(written(number)) == number
    assert (
        numeral_value(written(number).translate(str.maketrans("一二三四五六七八九十百千", "壹贰叁肆伍陆柒捌玖拾佰仟")))
        == number
    )
    assert numeral_value("".join(DIGITS[int(digit)] for digit in str(number))) == number


@given(st.integers(0, 99))
def test_a_number_below_a_hundred_is_read_back(number: int) -> None:
    assert numeral_value(numeral(number)) == number


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("朝晖6区", "朝晖六区"),
        ("21号大街", "二十一号大街"),
        ("廿四间", "二十四间"),
        ("五一路", "五一路"),
        ("106路", "106路"),
    ],
)
def test_names_are_compared_with_their_numerals_in_one_form(name: str, plain: str) -> None:
    assert in_plain_numerals(name) == plain
