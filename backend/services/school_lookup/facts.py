"""The facts that the rules of the school lookup may read: a child, its family, and a school's places.

Days are given as instants: the midnight, in the city, at which they begin. `now` is the first day of application.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

Instant = Annotated[datetime, Meta(tz=True)]
Stage = Literal["primary", "junior"]
Year = Annotated[int, Meta(ge=2000, le=2100)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Pupil = Literal["none", "sibling", "other"]
"""The child from this property who already attends the school: none, a sibling, or a child of another family."""

STAGES: tuple[Stage, ...] = ("primary", "junior")
MAX_HOMES = 10
MAX_PARENTS = 2


class AgeFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The birth of a child, and the stage and year of entry; `deferred` if the bureau decided so."""

    stage: Stage
    year: Year
    born_at: Instant
    deferred: bool = False


class Registration(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Where and since when a child is registered as a resident of the city, and how many of its parents with it."""

    place: Literal["catchment", "city"]
    since: Instant
    parents: Literal["all", "some", "none"]


class Home(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A home of the family, and the shares that the parents (or the child) and the grandparents own in it.

    If both shares are 0, the home is rented.
    """

    place: Literal["catchment", "city"]
    parents_percent: Percent = 0
    grandparents_percent: Percent = 0
    pupil: Pupil = "none"


class AdmissionFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A child's application to one catchment; no `registration` if the child is registered outside the city.

    "The city" means the district and the plan's `city_districts`. `migrant` is the result of `school_lookup.migrant`.
    """

    stage: Stage
    born_at: Instant
    registration: Registration | None = None
    homes: Annotated[tuple[Home, ...], Meta(max_length=MAX_HOMES)] = ()
    migrant: Literal["eligible", "lacking"] = "lacking"
    deferred: bool = False


class ParentFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The first days of a parent's residence permit, social insurance, and employment contract or business licence."""

    permit_since: Instant | None = None
    insured_since: Instant | None = None
    employed_since: Instant | None = None


class MigrantFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The parents of a child who is registered outside the city."""

    year: Year
    parents: Annotated[tuple[ParentFacts, ...], Meta(max_length=MAX_PARENTS)] = ()


class SeatFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A school's places, and the expected number of applicants: the mean of the past years."""

    seats: Annotated[int, Meta(ge=0, le=10_000)]
    expected: Annotated[int, Meta(ge=0, le=1_000_000)]
