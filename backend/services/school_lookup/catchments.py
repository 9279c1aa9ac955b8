"""A plan as lookups use it: made ready once for each edition, and never changed."""

from collections import defaultdict
from functools import cached_property
from zoneinfo import ZoneInfo

import shapely
from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.language.temporal import midnight
from backend.services.school_lookup.atlas import Atlas, Point
from backend.services.school_lookup.chance import Chance, chance_of, expected_applicants, past_of
from backend.services.school_lookup.facts import STAGES, SeatFacts, Stage
from backend.services.school_lookup.plan import PastBatch, Plan, School, SchoolKind, Zone, shape_of

SEAT_WARNING = "school_lookup.seat_warning"


class SchoolShown(Struct, frozen=True, gc=False):
    """A school; `district` is its district's code. Longitude and latitude are WGS 84."""

    id: str
    district: str
    name: str
    campus: str
    stage: Stage
    kind: SchoolKind
    address: str
    longitude: float
    latitude: float


class Seats(Struct, frozen=True, gc=False):
    """A school's seats, how many are expected to apply (the mean of past years), and what follows from both.

    Without a past there is neither.
    """

    seats: int
    expected: int | None
    warning: str | None
    because: Text | None


class Standing(Struct, frozen=True, gc=False):
    """A school, its seats, and the chance of admission in each batch that has a past."""

    school: SchoolShown
    seats: Seats
    chances: dict[int, Chance | None]


class Catchments:
    """The schools and zones of one district and year. `edition` is the digest of the plan, in WGS 84."""

    def __init__(self, edition: str, plan: Plan, time_zone: ZoneInfo) -> None:
        self.edition, self.heading, self.plan, self.time_zone = edition, plan.heading, plan, time_zone
        self.batches = f"school_lookup.{plan.heading.batches}"
        self.schools = {school.id: school for school in plan.schools}
        self.atlases: dict[Stage, Atlas] = {stage: Atlas(self._zones(stage)) for stage in STAGES}
        self.application_begins = midnight(plan.heading.calendar.application_from, time_zone)
        self._standing: tuple[str, dict[str, Standing]] = ("", {})

    def _zones(self, stage: Stage) -> list[Zone]:
        return [zone for zone in self.plan.zones if self.schools[zone.school].stage == stage]

    def covers(self, point: Point) -> bool:
        """Tell whether a point lies in the district."""
        return self._boundary.covers(shapely.Point(point))

    def counts(self, district: str | None) -> bool:
        """Tell whether a home in a district, as an address names it, is one in the city; without a name it is."""
        names = (self.heading.district, *self.heading.counted_districts)
        return district is None or any(district.endswith(name) for name in names)

    def is_named(self, district: str | None) -> bool:
        """Tell whether an address may lie in this district, by the district that it names."""
        return district is None or district.endswith(self.heading.district)

    @cached_property
    def private_schools(self) -> dict[Stage, list[School]]:
        """The private schools, which have no zones."""
        return {
            stage: [one for one in self.plan.schools if one.stage == stage and one.kind == "private"]
            for stage in STAGES
        }

    def standing(self, rulebook: Rulebook) -> dict[str, Standing]:
        """Give what is known of each school, its seat warning by the rules of this rulebook."""
        if self._standing[0] != rulebook.digest:
            self._standing = (rulebook.digest, self._stand(rulebook))
        return self._standing[1]

    def _stand(self, rulebook: Rulebook) -> dict[str, Standing]:
        past = defaultdict[str, list[PastBatch]](list)
        for one in self.plan.past:
            past[one.school].append(one)
        chances = defaultdict[str, dict[int, Chance | None]](dict)
        for (school, batch), years in past_of(self.plan.past).items():
            chances[school][batch] = chance_of(years)
        return {
            one.id: Standing(self._shown(one), self._seats(rulebook, one, past[one.id]), chances[one.id])
            for one in self.plan.schools
        }

    def _shown(self, one: School) -> SchoolShown:
        return SchoolShown(
            one.id,
            self.heading.code,
            one.name,
            one.campus,
            one.stage,
            one.kind,
            one.address,
            one.longitude,
            one.latitude,
        )

    def _seats(self, rulebook: Rulebook, school: School, past: list[PastBatch]) -> Seats:
        expected = expected_applicants(past)
        if expected is None:
            return Seats(school.seats, None, None, None)
        verdict = rulebook.evaluate(SEAT_WARNING, SeatFacts(school.seats, expected), self.application_begins)
        return Seats(school.seats, expected, verdict.result, verdict.because)

    @cached_property
    def _boundary(self) -> shapely.MultiPolygon:
        boundary = shape_of(self.plan.boundary)
        shapely.prepare(boundary)
        return boundary
