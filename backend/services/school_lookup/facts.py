"""What the rules of the school lookup may read, of a child, its family, and a school's seats.

Days are instants here: the midnight, in the city, at which they begin. `now` is the first day of application.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

Instant = Annotated[datetime, Meta(tz=True)]
Stage = Literal["primary", "junior"]
Year = Annotated[int, Meta(ge=2000, le=2100)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Pupil = Literal["none", "sibling", "other"]
"""Who of the property goes to the school already: nobody, a sibling of the child, or a child of somebody else."""

STAGES: tuple[Stage, ...] = ("primary", "junior")
MAX_HOMES = 10
MAX_PARENTS = 2


class AgeFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """When a child was born, and the year and stage that it would begin; `deferred` by an office's decision."""

    stage: Stage
    year: Year
    born_at: Instant
    deferred: bool = False


class Registration(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Where a child is registered as a resident of the city, since when, and how many of its parents with it."""

    place: Literal["catchment", "city"]
    since: Instant
    parents: Literal["all", "some", "none"]


class Home(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A home of the family, and the shares that the parents (or the child) and the grandparents own in it.

    Where both shares are 0 it is rented.
    """

    place: Literal["catchment", "city"]
    parents_percent: Percent = 0
    grandparents_percent: Percent = 0
    pupil: Pupil = "none"


class AdmissionFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A child before one catchment; no `registration` where it is registered outside the city.

    Only the districts that the plan counts are "the city" here. `migrant` is what `school_lookup.migrant` said.
    """

    stage: Stage
    born_at: Instant
    registration: Registration | None = None
    homes: Annotated[tuple[Home, ...], Meta(max_length=MAX_HOMES)] = ()
    migrant: Literal["eligible", "lacking"] = "lacking"
    deferred: bool = False


class ParentFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Since when a parent has held a residence permit, social insurance, and a contract of work or a licence."""

    permit_since: Instant | None = None
    insured_since: Instant | None = None
    employed_since: Instant | None = None


class MigrantFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The parents of a child that is registered outside the city."""

    year: Year
    parents: Annotated[tuple[ParentFacts, ...], Meta(max_length=MAX_PARENTS)] = ()


class SeatFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A school's seats, and how many are expected to apply: the mean of the past years."""

    seats: Annotated[int, Meta(ge=0, le=10_000)]
    expected: Annotated[int, Meta(ge=0, le=1_000_000)]
