"""People by district, without telling what happens to one of them.

A report is read by many, and a district with two people who turn red names them to their neighbours. So a count of one
to four is hidden, and one more of the same column if a hidden one could be computed from the sum of the city.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backend.rulebook.preview.tally import COUNTED, Counted

Integers = NDArray[np.int64]

UNKNOWN_DISTRICT = ""
OTHER_DISTRICTS = "*"
LEAST_SHOWN = 5
MAX_DISTRICTS = 100


class DistrictCount(Struct, frozen=True):
    """The people of a district, and how many have a worse or a better result under the draft; None is hidden.

    `district` is a code of GB/T 2260, "" for people whose district is not known, and "*" for all that are not listed.
    """

    district: str
    name: str
    people: int | None
    worse: int | None
    better: int | None
    again: int | None


@dataclass(frozen=True)
class DistrictsOf:
    """The district of each of some people: its place among the codes."""

    codes: Sequence[str]
    numbers: Integers | NDArray[np.int32]


@dataclass(frozen=True)
class Districts:
    """The district of everybody: `numbers` are places among the codes, by the hashes of ids in ascending order.

    Ten bytes or so for a person, where the ids as texts would take a hundred and more.
    """

    codes: Sequence[str]
    hashes: Integers
    numbers: NDArray[np.int32]

    def of(self, hashes: Integers) -> DistrictsOf:
        """Return the districts of people by the hashes of their ids; the last code stands for those not known."""
        if not len(self.hashes):
            return DistrictsOf(self.codes, np.full(len(hashes), len(self.codes) - 1, dtype=np.int64))
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        known = self.hashes[places] == hashes
        return DistrictsOf(self.codes, np.where(known, self.numbers[places], len(self.codes) - 1).astype(np.int64))


def districts_of_codes(codes: Sequence[str | None]) -> DistrictsOf:
    """Return the districts of people from the code of each, None if it is not known."""
    texts = [code or UNKNOWN_DISTRICT for code in codes]
    known = list(dict.fromkeys(texts))
    places = {code: place for place, code in enumerate(known)}
    return DistrictsOf(known, np.array([places[code] for code in texts], dtype=np.int64))


def district_counts(counts: Mapping[tuple[str, Counted], int], name: Callable[[str], str]) -> list[DistrictCount]:
    """Return the counts of the districts, first those where most people change; small counts are hidden.

    `name` returns the name of a code.

    After MAX_DISTRICTS, and for districts with fewer than LEAST_SHOWN people, the others are added up.
    """
    codes = {code for code, _ in counts}
    if codes <= {UNKNOWN_DISTRICT}:
        return []
    whole = {code: {what: counts.get((code, what), 0) for what in COUNTED} for code in codes}
    order = sorted(codes, key=lambda code: (-whole[code]["worse"] - whole[code]["better"], code))
    listed = [code for code in order if whole[code]["people"] >= LEAST_SHOWN][:MAX_DISTRICTS]
    rows = {code: whole[code] for code in listed}
    others = [whole[code] for code in order if code not in rows]
    if others:
        rows[OTHER_DISTRICTS] = {what: sum(row[what] for row in others) for what in COUNTED}
    shown = {what: _hidden([row[what] for row in rows.values()]) for what in COUNTED}
    return [
        DistrictCount(
            code,
            "" if code in (UNKNOWN_DISTRICT, OTHER_DISTRICTS) else name(code),
            *(shown[what][place] for what in COUNTED),
        )
        for place, code in enumerate(rows)
    ]


def _hidden(column: Sequence[int]) -> list[int | None]:
    """Return a column with its small counts hidden; if that hides only one, the next larger one is hidden too."""
    small = [place for place, count in enumerate(column) if 0 < count < LEAST_SHOWN]
    if len(small) == 1:
        rest = [place for place, count in enumerate(column) if count >= LEAST_SHOWN]
        small += sorted(rest, key=lambda place: column[place])[:1]
    return [None if place in small else count for place, count in enumerate(column)]
