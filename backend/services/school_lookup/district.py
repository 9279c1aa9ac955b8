"""A district's plan of one year, prepared for lookups once per edition and never changed."""

from collections import defaultdict
from functools import cached_property
from zoneinfo import ZoneInfo

import shapely
from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.language.temporal import midnight
from backend.services.school_lookup.atlas import Atlas, Point
from backend.services.school_lookup.chance import Chance, chance_of, expected_applicants, past_by_batch
from backend.services.school_lookup.divisions import city_of, province_of
from backend.services.school_lookup.facts import STAGES, SeatFacts, Stage
from backend.services.school_lookup.plan import Catchment, PastBatch, Plan, School, SchoolKind, shape_of
from backend.services.school_lookup.rule_modules import SEAT_WARNING


class SchoolDetails(Struct, frozen=True, gc=False):
    """A school; `district` is the code of its district. Longitude and latitude are WGS 84."""

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
    """A school's places, the expected number of applicants (the mean of past years), and the warning that follows.

    Without past admissions there is neither an expectation nor a warning.
    """

    seats: int
    expected: int | None
    warning: str | None
    because: Text | None


class SchoolOutlook(Struct, frozen=True, gc=False):
    """A school, its places, and the chance of admission in each batch that has past admissions."""

    school: SchoolDetails
    seats: Seats
    chances: dict[int, Chance | None]


class District:
    """The schools and catchments of one district and year. `edition` is the digest of the plan, in WGS 84."""

    def __init__(self, edition: str, plan: Plan, time_zone: ZoneInfo) -> None:
        self.edition, self.heading, self.plan, self.time_zone = edition, plan.heading, plan, time_zone
        self.bureau = f"{plan.heading.district}教育局"
        self.batches = f"school_lookup.{plan.heading.batches}"
        self.schools = {school.id: school for school in plan.schools}
        self.atlases: dict[Stage, Atlas] = {stage: Atlas(self._catchments(stage)) for stage in STAGES}
        self.application_start = midnight(plan.heading.calendar.application_from, time_zone)
        self._outlooks: tuple[str, dict[str, SchoolOutlook]] = ("", {})

    def _catchments(self, stage: Stage) -> list[Catchment]:
        return [catchment for catchment in self.plan.catchments if self.schools[catchment.school].stage == stage]

    def covers(self, point: Point) -> bool:
        """Return whether a point is in the district."""
        return self._boundary.covers(shapely.Point(point))

    def is_in_city(self, district: str | None, city: str | None = None) -> bool:
        """Return whether a home at this address is in the city; an address without a district is."""
        names = self.heading.districts
        return self._may_be_in(city) and (district is None or any(district.endswith(name) for name in names))

    def may_contain(self, district: str | None, city: str | None = None) -> bool:
        """Return whether an address may be in this district, by the district and the city that it names."""
        return self._may_be_in(city) and (district is None or district.endswith(self.heading.district))

    def _may_be_in(self, city: str | None) -> bool:
        return None in (city, self.city) or city == self.city

    def is_short_name(self, name: str) -> bool:
        """Return whether a name is that of this district as people write it without 省, 市 and 区, as in 杭州拱墅."""
        rest = name
        for division in (province_of(self.heading.code), self.city, self.heading.district):
            rest = rest.removeprefix((division or "")[:-1])
        return not rest

    @cached_property
    def city(self) -> str | None:
        """Return the city of the district, or None if the table of divisions lacks its code."""
        return city_of(self.heading.code)

    @cached_property
    def private_schools(self) -> dict[Stage, list[School]]:
        """Return the private schools, which have no catchments, by stage."""
        return {
            stage: [one for one in self.plan.schools if one.stage == stage and one.kind == "private"]
            for stage in STAGES
        }

    def outlooks(self, rulebook: Rulebook) -> dict[str, SchoolOutlook]:
        """Return the outlook of each school, with the warnings by the rules of this rulebook."""
        if self._outlooks[0] != rulebook.digest:
            self._outlooks = (rulebook.digest, self._evaluate(rulebook))
        return self._outlooks[1]

    def _evaluate(self, rulebook: Rulebook) -> dict[str, SchoolOutlook]:
        past = defaultdict[str, list[PastBatch]](list)
        for one in self.plan.past:
            past[one.school].append(one)
        chances = defaultdict[str, dict[int, Chance | None]](dict)
        for (school, batch), years in past_by_batch(self.plan.past).items():
            chances[school][batch] = chance_of(years)
        return {
            one.id: SchoolOutlook(self._details(one), self._seats(rulebook, one, past[one.id]), chances[one.id])
            for one in self.plan.schools
        }

    def _details(self, one: School) -> SchoolDetails:
        return SchoolDetails(
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
        verdict = rulebook.evaluate(SEAT_WARNING, SeatFacts(school.seats, expected), self.application_start)
        return Seats(school.seats, expected, verdict.result, verdict.because)

    @cached_property
    def _boundary(self) -> shapely.MultiPolygon:
        boundary = shape_of(self.plan.boundary)
        shapely.prepare(boundary)
        return boundary
