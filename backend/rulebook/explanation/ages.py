"""Comparisons of a full age with a number of years, as thresholds of the two instants between which it is counted."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from backend.rulebook.language.calendar import anniversary, birthday
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.types import EPOCH, microseconds

Path = tuple[str, ...]


@dataclass(frozen=True)
class AgeDifference:
    """`age(earlier + earlier_offset, later + later_offset)` compared with `years`; offsets are in microseconds.

    By the calendar's equivalence it compares `later` with the anniversary of `earlier`, at midnight in the zone.
    """

    later: Path
    earlier: Path
    years: int
    later_offset: int
    earlier_offset: int
    zone: ZoneInfo

    def rises(self, earlier: int) -> int:
        """Return the later instant from which the years are full, for an earlier one."""
        since = EPOCH + timedelta(microseconds=earlier + self.earlier_offset)
        return microseconds(anniversary(since, self.years, self.zone)) - self.later_offset

    def falls(self, later: int) -> Iterator[int]:
        """Yield earlier instants, among them the first for which the years are not full at a later one.

        The anniversaries of two days are in the order of the days, so it begins one of the days around the same day so
        many years before.
        """
        at = EPOCH + timedelta(microseconds=later + self.later_offset)
        today = at.astimezone(self.zone).date()
        if not 0 <= self.years < today.year - 1:  # full for no instant, or for every one
            return
        day = birthday(today, -self.years)
        for ahead in range(-1, 3):
            yield microseconds(midnight(day + timedelta(days=ahead), self.zone)) - self.earlier_offset
