"""What a family says of itself: its children, where they are registered, its homes, and its parents."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from backend.problems import FieldError
from backend.services.school_lookup.addresses import MAX_TEXT
from backend.services.school_lookup.coordinates import CoordinateSystem
from backend.services.school_lookup.facts import MAX_HOMES, MAX_PARENTS, Percent, Pupil, Stage

MAX_CHILDREN = 6
AddressText = Annotated[str, Meta(max_length=MAX_TEXT)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Latitude = Annotated[
    float, Meta(ge=-180, le=180, description="from -90 to 90; beyond it is told that the two are swapped")
]


class MapPoint(Struct, frozen=True, forbid_unknown_fields=True):
    """A point on a map. Chinese map clients give GCJ02, Baidu's BD09."""

    longitude: Longitude
    latitude: Latitude
    coordinates: CoordinateSystem = "WGS84"


class HouseholdRegistration(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the children are registered, and how many of their parents with them; `in_city` false: elsewhere."""

    address: AddressText = ""
    point: MapPoint | None = None
    parents: Literal["all", "some", "none"] = "all"
    in_city: bool = True


class FamilyHome(Struct, frozen=True, forbid_unknown_fields=True):
    """A home of the family: the shares of the parents (with the children) and of the grandparents; rented if none.

    `pupil` is who of the property goes to the school there already.
    """

    address: AddressText = ""
    point: MapPoint | None = None
    parents_percent: Percent = 0
    grandparents_percent: Percent = 0
    pupil: Pupil = "none"


class Child(Struct, frozen=True, forbid_unknown_fields=True):
    """A child: its stage follows from its age where it is not said; `registered_since` is the day at this address."""

    born_on: date
    registered_since: date | None = None
    stage: Stage | None = None
    deferred: bool = False


class Parent(Struct, frozen=True, forbid_unknown_fields=True):
    """Since when a parent has held what is asked of migrants, and their official residence points, if known."""

    permit_since: date | None = None
    insured_since: date | None = None
    employed_since: date | None = None
    points: Annotated[int, Meta(ge=0, le=10_000)] | None = None


class Family(Struct, frozen=True, forbid_unknown_fields=True):
    """All that is asked about; children of one family are answered together."""

    children: Annotated[tuple[Child, ...], Meta(min_length=1, max_length=MAX_CHILDREN)]
    registration: HouseholdRegistration = HouseholdRegistration(in_city=False)
    homes: Annotated[tuple[FamilyHome, ...], Meta(max_length=MAX_HOMES)] = ()
    parents: Annotated[tuple[Parent, ...], Meta(max_length=MAX_PARENTS)] = ()


FIRST_YEAR, LAST_YEAR = 1900, 2100


def contradictions_of(family: Family, today: date) -> Iterator[FieldError]:
    """Give what cannot be true of a family, each with its place below `/family`."""
    for pointer, day in _days(family):
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            yield FieldError(pointer, f"Years from {FIRST_YEAR} to {LAST_YEAR} are understood.")
    for number, child in enumerate(family.children):
        at = f"/family/children/{number}"
        if child.born_on > today:
            yield FieldError(f"{at}/born_on", "This day of birth lies in the future.")
        if family.registration.in_city and child.registered_since is None:
            yield FieldError(f"{at}/registered_since", "Say since when the child is registered there.")
        if child.registered_since is not None and child.registered_since < child.born_on:
            yield FieldError(f"{at}/registered_since", "Nobody is registered before their birth.")
    if family.registration.in_city and not (family.registration.address or family.registration.point):
        yield FieldError("/family/registration/address", "Give the address, or a point on the map.")
    for number, home in enumerate(family.homes):
        at = f"/family/homes/{number}"
        if home.parents_percent + home.grandparents_percent > 100:  # noqa: PLR2004  per cent
            yield FieldError(f"{at}/parents_percent", "The shares of a home are 100 per cent at most, together.")
        if not (home.address or home.point):
            yield FieldError(f"{at}/address", "Give the address, or a point on the map.")


def _days(family: Family) -> Iterator[tuple[str, date]]:
    for group, people in (("children", family.children), ("parents", family.parents)):
        for number, person in enumerate(people):
            for name in person.__struct_fields__:
                if isinstance(day := getattr(person, name), date):
                    yield f"/family/{group}/{number}/{name}", day
