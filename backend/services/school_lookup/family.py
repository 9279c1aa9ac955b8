"""A family's information: the children, their registration, the homes, and the parents."""

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
    float, Meta(ge=-180, le=180, description="from -90 to 90; a value beyond is reported as swapped with the longitude")
]


class MapPoint(Struct, frozen=True, forbid_unknown_fields=True):
    """A point on a map. Chinese map clients use GCJ02; Baidu's use BD09."""

    longitude: Longitude
    latitude: Latitude
    coordinates: CoordinateSystem = "WGS84"


class HouseholdRegistration(Struct, frozen=True, forbid_unknown_fields=True):
    """The place where the children are registered, and how many of their parents with them.

    `in_city` is false if they are registered outside the city.
    """

    address: AddressText = ""
    point: MapPoint | None = None
    parents: Literal["all", "some", "none"] = "all"
    in_city: bool = True


class FamilyHome(Struct, frozen=True, forbid_unknown_fields=True):
    """A home of the family: the shares of the parents (with the children) and of the grandparents; rented if none.

    `pupil` is the child from this property who already attends the school there.
    """

    address: AddressText = ""
    point: MapPoint | None = None
    parents_percent: Percent = 0
    grandparents_percent: Percent = 0
    pupil: Pupil = "none"


class Child(Struct, frozen=True, forbid_unknown_fields=True):
    """A child; without `stage`, the age determines it. `registered_since` is the first day at this address."""

    born_on: date
    registered_since: date | None = None
    stage: Stage | None = None
    deferred: bool = False


class Parent(Struct, frozen=True, forbid_unknown_fields=True):
    """The first days on which a parent met the conditions for migrants, and the official residence points, if known."""

    permit_since: date | None = None
    insured_since: date | None = None
    employed_since: date | None = None
    points: Annotated[int, Meta(ge=0, le=10_000)] | None = None


class Family(Struct, frozen=True, forbid_unknown_fields=True):
    """A family that looks up schools; its children are looked up together."""

    children: Annotated[tuple[Child, ...], Meta(min_length=1, max_length=MAX_CHILDREN)]
    registration: HouseholdRegistration = HouseholdRegistration(in_city=False)
    homes: Annotated[tuple[FamilyHome, ...], Meta(max_length=MAX_HOMES)] = ()
    parents: Annotated[tuple[Parent, ...], Meta(max_length=MAX_PARENTS)] = ()


FIRST_YEAR, LAST_YEAR = 1900, 2100


def contradictions_of(family: Family, today: date) -> Iterator[FieldError]:
    """Yield the contradictions in a family's information, each with its JSON pointer below `/family`."""
    for pointer, day in _days(family):
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            yield FieldError(
                pointer,
                f"The year must be from {FIRST_YEAR} to {LAST_YEAR}.",
                f"年份应在{FIRST_YEAR}年至{LAST_YEAR}年之间。",
            )
    for number, child in enumerate(family.children):
        at = f"/family/children/{number}"
        if child.born_on > today:
            yield FieldError(f"{at}/born_on", "The date of birth is in the future.", "出生日期不能晚于今天。")
        if family.registration.in_city and child.registered_since is None:
            yield FieldError(
                f"{at}/registered_since",
                "State the day since which the child has been registered there.",
                "请填写孩子的户籍迁入（登记）日期。",
            )
        if child.registered_since is not None and child.registered_since < child.born_on:
            yield FieldError(
                f"{at}/registered_since", "The registration is before the date of birth.", "户籍登记日期早于出生日期。"
            )
    if family.registration.in_city and not (family.registration.address or family.registration.point):
        yield FieldError(
            "/family/registration/address", "Give the address or a point on the map.", "请填写地址，或在地图上选点。"
        )
    for number, home in enumerate(family.homes):
        at = f"/family/homes/{number}"
        if home.parents_percent + home.grandparents_percent > 100:  # noqa: PLR2004  per cent
            yield FieldError(
                f"{at}/parents_percent",
                "The shares of a home must not exceed 100 per cent in total.",
                "一处住房的产权份额合计不能超过100%。",
            )
        if not (home.address or home.point):
            yield FieldError(f"{at}/address", "Give the address or a point on the map.", "请填写地址，或在地图上选点。")


def _days(family: Family) -> Iterator[tuple[str, date]]:
    for group, people in (("children", family.children), ("parents", family.parents)):
        for number, person in enumerate(people):
            for name in person.__struct_fields__:
                if isinstance(day := getattr(person, name), date):
                    yield f"/family/{group}/{number}/{name}", day
