"""What the past says of the seats: whether they will suffice, and in what range the chance of admission lies."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import ceil, floor, sqrt

from msgspec import Struct

from backend.services.school_lookup.plan import PastBatch

_Z = 1.959963984540054
"""The standard normal quantile of 97.5 %, for an interval of 95 %."""


class PastYear(Struct, frozen=True, gc=False):
    """How many applied in one year, and how many were admitted."""

    year: int
    applied: int
    admitted: int


class Chance(Struct, frozen=True, gc=False):
    """A range for the chance of admission, in per cent, and the past years that it rests on.

    It spans the intervals (Wilson, 95 %) of all these years: what moves from year to year is more than what chance
    moves within one, so the years are not thrown together. It says what was, not what this year will be.
    """

    lowest_percent: int
    highest_percent: int
    years: tuple[PastYear, ...]


def chance_of(years: Sequence[PastYear]) -> Chance | None:
    """Give the range of past years; None where nobody ever applied."""
    told = [wilson(year.admitted, year.applied) for year in years if year.applied]
    if not told:
        return None
    lowest, highest = min(low for low, _ in told), max(high for _, high in told)
    return Chance(floor(lowest * 100), ceil(highest * 100), tuple(years))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Give the score interval of a share at 95 % (E. B. Wilson, 1927, JASA 22, 209-212), from 0 to 1."""
    share, spread = successes / trials, _Z * _Z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def past_of(past: Iterable[PastBatch]) -> dict[tuple[str, int], list[PastYear]]:
    """Give the past of each school and batch, in order of the years."""
    found = defaultdict[tuple[str, int], list[PastYear]](list)
    for one in sorted(past, key=lambda one: one.year):
        found[one.school, one.batch].append(PastYear(one.year, one.applied, one.admitted))
    return found


def expected_applicants(past: Iterable[PastBatch]) -> int | None:
    """Give the mean of a school's applicants a year, all batches together, rounded up; None without a past."""
    totals = defaultdict[int, int](int)
    for one in past:
        totals[one.year] += one.applied
    return ceil(sum(totals.values()) / len(totals)) if totals else None
