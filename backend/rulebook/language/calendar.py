"""Full years between two instants, by the calendar: `age(facts.born_at, now) >= 70`.

A year is full at midnight of its anniversary in the city's time zone: a person is 70 from the first instant of the
70th birthday, and a person born on 29 February from 1 March in a year without that day. The Civil Code counts periods
by the calendar (article 200, [V]), leaves out their first day (article 201, [V]), and lets a period of years end with
the corresponding day, or with the last day of the month if there is none (article 202, [V]), at midnight (article 203,
[V]), unless a law says otherwise (article 204, [V]). So years since 29 February end with 28 February. Whether the
birthday itself belongs to the new age is read in favour of the citizen, as offices do (assumption [A]); criminal
courts begin with the day after it (Supreme People's Court, Fa Shi [2006] No. 1, article 2, [V]). An order that reads
so is written `age(facts.born_at, now - duration("24h"))`.

In the typed tree it is `Apply(name="age", operation=AgeOperation, arguments=(since, at))` of type int, never less than
0. If `at` contains `now`, so does its `now_coefficient`, and the node is one side of a comparison with a whole number
free of `now`. Whatever translates the tree may rely on this equivalence, for any `n`:
`age(since, at) >= n` is `at >= anniversary(since, n, operation.zone)`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from backend.i18n import Text
from backend.rulebook.language.operation import Operation
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.tree import Apply, Node
from backend.rulebook.language.types import Type, microseconds

AGE = "age"

ALWAYS, NEVER_REACHED = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""The anniversaries of no years and of too many: outside all facts, by more than the longest duration."""

ANNIVERSARIES = Type("timestamp", microseconds(ALWAYS), microseconds(NEVER_REACHED))
"""The type of an anniversary."""

_OUT_OF_RANGE = Text(zh="时刻可能超出1000至8999年", en="its instants can leave the years 1000 to 8999")
_MIN_YEAR_DAYS = 365


@dataclass(frozen=True, kw_only=True)
class AgeOperation(Operation):
    """`age` by the calendar of `zone`."""

    zone: ZoneInfo


def birthday(born_on: date, years: int) -> date:
    """Return the day of an anniversary; for 29 February it is 1 March in a year without that day."""
    try:
        return born_on.replace(year=born_on.year + years)
    except ValueError:
        return date(born_on.year + years, 3, 1)


def anniversary(since: datetime, years: int, zone: ZoneInfo) -> datetime:
    """Return the instant at which `years` are full since an instant: midnight of that day in a time zone."""
    day = since.astimezone(zone).date()
    if years <= 0:
        return ALWAYS
    if day.year + years >= NEVER_REACHED.year:
        return NEVER_REACHED
    return midnight(birthday(day, years), zone)


def full_years(since: datetime, at: datetime, zone: ZoneInfo) -> int:
    """Return the full years from `since` until `at`; 0 if `at` is earlier."""
    years = at.astimezone(zone).year - since.astimezone(zone).year
    while years > 0 and at < anniversary(since, years, zone):
        years -= 1
    return max(years, 0)


def age_in(zone: ZoneInfo, since: Type, at: Type) -> AgeOperation | None:
    """Return the overload of `age` for these types, or None."""
    if since.kind != "timestamp" or at.kind != "timestamp":
        return None
    years = max(0, (at.high - since.low) // microseconds(timedelta(days=_MIN_YEAR_DAYS)))
    fits = all(ANNIVERSARIES.low <= kind.low and kind.high < ANNIVERSARIES.high for kind in (since, at))

    def evaluate(since: datetime, at: datetime) -> int:
        return full_years(since, at, zone)

    return AgeOperation(
        Type("int", 0, years),
        evaluate,
        failure_mode=None if fits else _OUT_OF_RANGE,
        zone=zone,
    )


def anniversary_of(age: Apply, years: Node, more: int) -> Apply:
    """Return the expression of the instant at which an `age` reaches a number of years, and `more`."""
    assert isinstance(age.operation, AgeOperation)
    zone = age.operation.zone

    def evaluate(since: datetime, years: int) -> datetime:
        return anniversary(since, years + more, zone)

    name, operation = f"anniversary+{more}", Operation(ANNIVERSARIES, evaluate)
    return Apply(age.start, age.end, ANNIVERSARIES, name, operation, (age.arguments[0], years))
