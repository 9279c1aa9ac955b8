from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.his.hl7v2.errors import Hl7Error, Location
from integrations.his.hl7v2.timestamps import parse_timestamp

CITY = ZoneInfo("Asia/Shanghai")
HERE = Location("FT1", 2, 11, 1, 1, 1)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("20260131", datetime(2026, 1, 31, tzinfo=CITY)),
        ("2026013109", datetime(2026, 1, 31, 9, tzinfo=CITY)),
        ("202601310930", datetime(2026, 1, 31, 9, 30, tzinfo=CITY)),
        ("20260131093005", datetime(2026, 1, 31, 1, 30, 5, tzinfo=UTC)),
        ("20260131093005.25", datetime(2026, 1, 31, 1, 30, 5, 250_000, tzinfo=UTC)),
        ("20260131093005+0000", datetime(2026, 1, 31, 9, 30, 5, tzinfo=UTC)),
        ("202601310930-0530", datetime(2026, 1, 31, 9, 30, tzinfo=timezone(timedelta(hours=-5, minutes=-30)))),
        ("20260131+0900", datetime(2026, 1, 30, 15, tzinfo=UTC)),
    ],
)
def test_a_timestamp_has_its_own_offset_or_the_time_zone_of_the_city(text: str, at: datetime) -> None:
    assert parse_timestamp(text, HERE, CITY) == at


@pytest.mark.parametrize(
    "text",
    ["2026", "202602", "20260230", "20261301", "2026013124", "20260131093060", "2026-01-31", "20260131+2400", "x"],
)
def test_an_invalid_timestamp_is_an_error(text: str) -> None:
    with pytest.raises(Hl7Error) as caught:
        parse_timestamp(text, HERE, CITY)
    assert caught.value.code == "102"


@given(st.dates(date(1, 1, 2), date(9999, 12, 30)))
def test_every_date_is_midnight_in_the_city(day: date) -> None:
    assert parse_timestamp(f"{day:%Y%m%d}".rjust(8, "0"), HERE, CITY) == datetime(
        day.year, day.month, day.day, tzinfo=CITY
    )
