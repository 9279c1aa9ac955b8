"""Parts of an instant, such as its year or hour in a time zone, as whole numbers for the solver.

Exact for every instant of the years 1900 to 2149: each part is a variable, defined by linear constraints.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from backend.rulebook.language.temporal import time_zone
from backend.rulebook.language.types import EPOCH, INSTANT_RANGE, MICROSECOND, microseconds
from backend.rulebook.prover.smt import Term, choose, conj, disj, integer, neg

HOUR = 3_600_000_000
DAY = 24 * HOUR
_MONTH_STARTS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)


@dataclass(frozen=True)
class Civil:
    """The local date and time of an instant: days since 1970, the date, and the microseconds since midnight."""

    days: Term
    year: Term
    month: Term
    day_of_month: Term
    day_of_year: Term
    since_midnight: Term


@dataclass
class Calendar:
    """Converts instants; `constraints` define the variables that it made."""

    constraints: list[Term]
    _known: dict[tuple[str, str], Civil] = field(default_factory=dict[tuple[str, str], Civil])

    def civil(self, instant: Term, zone: str) -> Civil:
        """Return the local date and time of an instant, given in microseconds since 1970."""
        key = (str(instant), zone)
        if key not in self._known:
            found = self._define(instant + _offset(instant, zone), f"civil{len(self._known)}")
            for other in self._known.values():
                self.constraints += _order(found, other)
            self._known[key] = found
        return self._known[key]

    def _define(self, local: Term, name: str) -> Civil:
        days, year, fourth, month = (integer(f"{name}.{part}") for part in ("days", "year", "fourth", "month"))
        # The number of leap years since 1970 is that of fourth years, but for 1900 and 2100.
        leaps = fourth + choose(year <= 1900, 1, 0) - choose(year > 2100, 1, 0)  # noqa: PLR2004  no leap years
        leap = conj([year - 1969 == 4 * fourth + 3, neg(year == 1900), neg(year == 2100)])  # noqa: PLR2004
        day_of_year = days - (365 * (year - 1970) + leaps)
        self.constraints += [
            days * DAY <= local,
            local < (days + 1) * DAY,
            4 * fourth <= year - 1969,
            year - 1969 <= 4 * fourth + 3,
            day_of_year >= 0,
            day_of_year < choose(leap, 366, 365),
            month >= 0,
            month <= 11,  # noqa: PLR2004  December
            disj(
                conj([month == number, day_of_year >= _begin(number, leap), day_of_year < _begin(number + 1, leap)])
                for number in range(12)
            ),
        ]
        begin: Term = 0
        for number in range(1, 12):
            begin = choose(month >= number, _begin(number, leap), begin)
        return Civil(days, year, month, day_of_year - begin, day_of_year, local - days * DAY)


def _order(one: Civil, other: Civil) -> list[Term]:
    """Return that later days are not in earlier months: it follows from the rest, but the solver is slow to find it."""
    months = [12 * civil.year + civil.month for civil in (one, other)]
    return [
        disj([one.days > other.days, months[0] <= months[1]]),
        disj([other.days > one.days, months[1] <= months[0]]),
    ]


def _begin(month: int, leap: Term) -> Term:
    """Return the day of the year on which a month begins."""
    start = _MONTH_STARTS[month]
    return start if month < 2 else choose(leap, start + 1, start)  # noqa: PLR2004  after February


def _offset(instant: Term, zone: str) -> Term:
    """Return the offset of a time zone from UTC at an instant, in microseconds."""
    steps = offsets(zone)
    found: Term = steps[0][1]
    for begin, offset in steps[1:]:
        found = choose(instant >= begin, offset, found)
    return found


@cache
def offsets(zone: str) -> tuple[tuple[int, int], ...]:
    """Return the offsets of a time zone in the years 1900 to 2149, each with the instant from which it applies."""
    place = time_zone(zone)

    def offset(at: datetime) -> int:
        return microseconds(at.astimezone(place).utcoffset() or timedelta())

    at, end = INSTANT_RANGE
    steps = [(microseconds(at), offset(at))]
    while at < end:
        following = at + timedelta(days=1)
        if offset(following) != steps[-1][1]:
            before, after = at, following
            while after - before > MICROSECOND:
                middle = before + (after - before) / 2
                before, after = (middle, after) if offset(middle) == steps[-1][1] else (before, middle)
            steps.append((microseconds(after), offset(after)))
        at = following
    return tuple(steps)


def text_of(instant: int) -> datetime:
    """Return the instant of a number of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=instant)
