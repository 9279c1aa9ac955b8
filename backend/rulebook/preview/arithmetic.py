"""CEL's arithmetic on the 64-bit numbers of columns, as functions that kernels call."""

import numpy as np
from numpy.typing import NDArray

from backend.rulebook.preview.jit import compiled

Integers = NDArray[np.int64]

DAY = 86_400_000_000
HOUR = 3_600_000_000
MINUTE = 60_000_000
SECOND = 1_000_000
MILLISECOND = 1_000


@compiled
def quotient(left: int, right: int) -> int:
    """Divide towards zero, as in CEL."""
    whole = left // right
    if whole * right != left and (left < 0) != (right < 0):
        return whole + 1
    return whole


@compiled
def remainder(left: int, right: int) -> int:
    """Return the remainder with the sign of the dividend, as in CEL."""
    return left - right * quotient(left, right)


@compiled
def local(at: int, zones: Integers, zone: int) -> int:
    """Return an instant as the clock of a zone shows it.

    At `zone`, `zones` holds the number of the zone's periods, then the beginning of each, then the offset of each.
    """
    number = int(zones[zone])
    low, high = zone + 1, zone + 1 + number
    while high - low > 1:
        middle = (low + high) // 2
        if zones[middle] <= at:
            low = middle
        else:
            high = middle
    return at + int(zones[low + number])


@compiled
def civil(at: int) -> tuple[int, int, int]:
    """Return the year, month and day of the month that a clock shows.

    http://howardhinnant.github.io/date_algorithms.html, "civil_from_days".
    """
    days = at // DAY + 719_468
    era = days // 146_097
    of_era = days - era * 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9  # noqa: PLR2004  January and February end a year here
    return year_of_era + era * 400 + (1 if month <= 2 else 0), month, day  # noqa: PLR2004  likewise


@compiled
def full_year(at: int) -> int:
    """Return the year."""
    return civil(at)[0]


@compiled
def full_years(since: int, at: int) -> int:
    """Return the full years between two clocks, by their days; of 29 February a year without it is full on 1 March."""
    year, month, day = civil(since)
    at_year, at_month, at_day = civil(at)
    years = at_year - year
    if at_month < month or (at_month == month and at_day < day):
        years -= 1
    return max(years, 0)


@compiled
def month(at: int) -> int:
    """Return the month, from 0."""
    return civil(at)[1] - 1


@compiled
def date(at: int) -> int:
    """Return the day of the month, from 1."""
    return civil(at)[2]


@compiled
def day_of_month(at: int) -> int:
    """Return the day of the month, from 0."""
    return civil(at)[2] - 1


@compiled
def day_of_week(at: int) -> int:
    """Return the day of the week, from Sunday, which is 0."""
    return (at // DAY + 4) % 7


@compiled
def day_of_year(at: int) -> int:
    """Return the day of the year, from 0."""
    year, month, day = civil(at)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    before = (367 * month - 362) // 12
    if month > 2:  # noqa: PLR2004  after February
        before -= 1 if leap else 2
    return before + day - 1


@compiled
def hours(at: int) -> int:
    """Return the hour of the day."""
    return at % DAY // HOUR


@compiled
def minutes(at: int) -> int:
    """Return the minute of the hour."""
    return at % HOUR // MINUTE


@compiled
def seconds(at: int) -> int:
    """Return the second of the minute."""
    return at % MINUTE // SECOND


@compiled
def milliseconds(at: int) -> int:
    """Return the millisecond of the second."""
    return at % SECOND // MILLISECOND
