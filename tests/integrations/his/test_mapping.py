"""What both doors read in the same way: money, instants, names and kinds of visits."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.his.mapping import Unmappable, fen_of, instant_of, kind_of, name_of, yuan_of

CITY = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [("12.50", 1250), ("0.3", 30), ("7", 700), ("-0.01", -1), ("+1.10", 110), ("100000000.00", 10_000_000_000)],
)
def test_yuan_become_fen_exactly(yuan: str, fen: int) -> None:
    assert fen_of(yuan) == fen


@pytest.mark.parametrize(
    "yuan",
    ["1.005", "1.000", "1e3", "NaN", "Infinity", "1,000.00", "¥1", "１２", " 1", "1.", ".5", "9" * 11, "1" * 10**6],
)
def test_what_is_no_amount_in_yuan_is_an_error_and_never_rounded(yuan: str) -> None:
    with pytest.raises(Unmappable) as caught:
        fen_of(yuan)
    assert (caught.value.where, caught.value.fault) == ("amount", "value")
    assert yuan[:20] not in str(caught.value)


def test_more_than_a_hundred_million_yuan_is_an_error() -> None:
    with pytest.raises(Unmappable):
        fen_of("100000000.01")


@pytest.mark.parametrize("nothing", ["", None])
def test_a_missing_amount_is_missing_and_not_zero(nothing: str | None) -> None:
    with pytest.raises(Unmappable) as caught:
        fen_of(nothing)
    assert caught.value.fault == "required"


@given(st.integers(-(10**10), 10**10))
def test_every_amount_survives_being_written_in_yuan(fen: int) -> None:
    assert fen_of(yuan_of(fen)) == fen


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31", datetime(2026, 1, 30, 16, tzinfo=UTC)),
        ("2026-01-31T09:30", datetime(2026, 1, 31, 1, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:05", datetime(2026, 1, 31, 1, 30, 5, tzinfo=UTC)),
        ("2026-01-31T09:30:05Z", datetime(2026, 1, 31, 9, 30, 5, tzinfo=UTC)),
        ("2026-01-31T09:30:05-05:30", datetime(2026, 1, 31, 15, 0, 5, tzinfo=UTC)),
        ("2026-01-31T09:30:05.1Z", datetime(2026, 1, 31, 9, 30, 5, 100_000, tzinfo=UTC)),
        ("2026-01-31T09:30:05.123999999+00:00", datetime(2026, 1, 31, 9, 30, 5, 123_000, tzinfo=UTC)),
    ],
)
def test_an_instant_is_in_its_own_offset_or_in_the_citys_zone_and_cut_to_the_millisecond(
    text: str, at: datetime
) -> None:
    assert instant_of(text, CITY, "at") == at


@pytest.mark.parametrize(
    "text",
    [
        "2026",
        "20260131",
        "2026-W05-6",
        "2026-02-30",
        "2026-01-31 09:30",
        "2026-01-31T24:00",
        "2026-01-31T09:30:60Z",
        "2026-01-31T09:30Z+",
        "2026-01-31T09:30:05.1234567890Z",
        "2026-01-31T09:30:05+24:00",
        "２０２６-01-31",
        "1999-12-31",
        "2101-01-01",
    ],
)
def test_what_is_no_instant_of_these_times_is_an_error(text: str) -> None:
    with pytest.raises(Unmappable) as caught:
        instant_of(text, CITY, "at")
    assert (caught.value.where, caught.value.fault) == ("at", "value")


@pytest.mark.parametrize("name", ["V 9", "V|9", "V^9", "V~9", "V&9", "V\\9", "x" * 65, "V\x079"])
def test_a_name_holds_no_spaces_no_delimiters_and_at_most_64_characters(name: str) -> None:
    with pytest.raises(Unmappable) as caught:
        name_of(name, "visit")
    assert caught.value.fault == "value"
    assert name_of("x" * 64, "visit") == "x" * 64


def test_the_kind_of_a_visit_is_told_by_either_table_and_one_that_is_only_planned_is_none() -> None:
    assert (kind_of("AMB"), kind_of("O"), kind_of("EMER"), kind_of("E"), kind_of("IMP"), kind_of("I")) == (
        *("outpatient",) * 2,
        *("emergency",) * 2,
        *("inpatient",) * 2,
    )
    with pytest.raises(Unmappable):
        kind_of("P")
