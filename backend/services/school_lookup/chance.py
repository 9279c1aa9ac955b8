"""Estimates from past admissions: the expected number of applicants, and the range of the chance of admission."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import ceil, floor, sqrt

from msgspec import Struct

from backend.services.school_lookup.plan import PastBatch

_Z = 1.959963984540054
"""The standard normal quantile of 97.5 %, for an interval of 95 %."""


class PastYear(Struct, frozen=True, gc=False):
    """The numbers of applications and admissions in one year."""

    year: int
    applied: int
    admitted: int


class Chance(Struct, frozen=True, gc=False):
    """A range for the chance of admission, in per cent, and the past years that it is based on.

    The range spans the Wilson 95 % intervals of all these years. The years are not pooled, because admission varies
    more from year to year than by chance within a year. The range describes the past; it is not a forecast.
    """

    lowest_percent: int
    highest_percent: int
    years: tuple[PastYear, ...]


def chance_of(years: Sequence[PastYear]) -> Chance | None:
    """Return the range over past years, or None if there were no applications."""
    intervals = [wilson(year.admitted, year.applied) for year in years if year.applied]
    if not intervals:
        return None
    lowest, highest = min(low for low, _ in intervals), max(high for _, high in intervals)
    return Chance(floor(lowest * 100), ceil(highest * 100), tuple(years))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (E. B. Wilson, 1927, JASA 22, 209-212), from 0 to 1."""
    share, spread = successes / trials, _Z * _Z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def past_by_batch(past: Iterable[PastBatch]) -> dict[tuple[str, int], list[PastYear]]:
    """Group past admissions by school and batch, in order of the years."""
    grouped = defaultdict[tuple[str, int], list[PastYear]](list)
    for one in sorted(past, key=lambda one: one.year):
        grouped[one.school, one.batch].append(PastYear(one.year, one.applied, one.admitted))
    return grouped


def expected_applicants(past: Iterable[PastBatch]) -> int | None:
    """Return the mean number of a school's applicants per year, over all batches, rounded up; None without a past."""
    totals = defaultdict[int, int](int)
    for one in past:
        totals[one.year] += one.applied
    return ceil(sum(totals.values()) / len(totals)) if totals else None
