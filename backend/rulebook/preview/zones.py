"""The offsets of time zones as tables of numbers, and the parts of instants and durations in kernels."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from backend.rulebook.language.types import INSTANT_RANGE, MAX_FACT_DURATION, MICROSECOND, Type, microseconds

PARTS = {
    "getFullYear": "full_year",
    "getMonth": "month",
    "getDate": "date",
    "getDayOfMonth": "day_of_month",
    "getDayOfWeek": "day_of_week",
    "getDayOfYear": "day_of_year",
    "getHours": "hours",
    "getMinutes": "minutes",
    "getSeconds": "seconds",
    "getMilliseconds": "milliseconds",
}
"""The function of `arithmetic` for each part of an instant."""

SPAN_PARTS = {
    "getHours": "arithmetic.quotient({}, arithmetic.HOUR)",
    "getMinutes": "arithmetic.quotient({}, arithmetic.MINUTE)",
    "getSeconds": "arithmetic.quotient({}, arithmetic.SECOND)",
    "getMilliseconds": "arithmetic.remainder(arithmetic.quotient({}, arithmetic.MILLISECOND), 1000)",
}
"""The source of each part of a duration."""

_BEGIN, _END = INSTANT_RANGE[0] - MAX_FACT_DURATION, INSTANT_RANGE[1] + MAX_FACT_DURATION

_STEP = timedelta(days=7)
"""No zone changes its offset and changes it back within a week, as far as rules of law are concerned."""


def zone_periods(name: str, instants: Type) -> list[int] | None:
    """Return a zone as in `arithmetic.local`: how many periods it has, their beginnings and offsets in microseconds.

    None if instants of this type may lie beyond the table, in years in which the zone still changes its offset. Before
    it, no zone changes: each had its own mean time.
    """
    zone = _zone(name)
    beginnings, offsets = _periods(zone)
    if instants.high > microseconds(_END) and len(offsets) > 1:
        return None
    return [len(beginnings), *beginnings, *offsets]


def _zone(name: str) -> tzinfo:
    sign, rest = name[:1], name.lstrip("+-")
    hours, colon, minutes = rest.partition(":")
    if not colon:
        return ZoneInfo(name)
    span = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-span if sign == "-" else span)


@cache
def _periods(zone: tzinfo) -> tuple[list[int], list[int]]:
    at, end = _BEGIN, _END
    offset = _offset(zone, at)
    beginnings, offsets = [microseconds(datetime.min.replace(tzinfo=UTC))], [offset // MICROSECOND]
    while at < end:
        later = at + _STEP
        found = _offset(zone, later)
        if found != offset:
            beginnings.append(microseconds(_change(zone, at, later)))
            offsets.append(found // MICROSECOND)
            offset = found
        at = later
    return beginnings, offsets


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """Return the first instant with the later offset."""
    offset = _offset(zone, after)
    while after - before > MICROSECOND:
        middle = before + (after - before) // 2
        if _offset(zone, middle) == offset:
            after = middle
        else:
            before = middle
    return after


def _offset(zone: tzinfo, at: datetime) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset
