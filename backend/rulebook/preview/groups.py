"""The groups by which a preview counts people: districts if documents have one, otherwise ages."""

from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backend.i18n import Text
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.types import microseconds
from backend.rulebook.preview.layout import ABSENT

Integers = NDArray[np.int64]

UNKNOWN = "?"


class Groups(Struct, frozen=True):
    """How people are grouped: by `ages` in years since the instant in the fact `born`, or by a `field` of the document.

    Ages 3 and 18 make the groups 0-2, 3-17 and 18+.
    """

    title: Text
    born: str = ""
    ages: tuple[int, ...] = ()
    field: str = ""

    @property
    def names(self) -> list[str]:
        """Return the names of the groups of ages, and of people whose age is not known."""
        if not self.ages:
            return [UNKNOWN]
        firsts = [0, *self.ages]
        spans = [f"{first}-{following - 1}" for first, following in zip(firsts, self.ages, strict=False)]
        return [*spans, f"{firsts[-1]}+", UNKNOWN]


def groups_of_ages(groups: Groups, born: Integers, at: datetime, zone: ZoneInfo) -> Integers:
    """Return the place of each person's group among the names; `born` are instants in microseconds, or ABSENT."""
    limits = np.array(_born_by(groups.ages, at, zone), dtype=np.int64)
    found = np.zeros(len(born), dtype=np.int64)
    for limit in limits:
        found += born <= limit
    found[born == ABSENT] = len(groups.names) - 1
    return found


def _born_by(ages: Sequence[int], at: datetime, zone: ZoneInfo) -> list[int]:
    """Return the last midnight of birth for each age."""
    today = at.astimezone(zone).date()
    return [microseconds(midnight(_years_before(today, age), zone)) for age in ages]


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February: those born then have their birthday on 1 March
        return date(day.year - years, 2, 28)
