"""The plan that an education bureau publishes for one district and year: schools, catchments and past admissions."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import shapely
from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.coordinates import CoordinateSystem, Points, to_wgs84
from backend.services.school_lookup.facts import Stage, Year

SchoolKind = Literal["public", "private"]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
DistrictCode = Annotated[str, Meta(pattern=r"^[0-9]{6}$", max_length=6)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Position = Annotated[list[float], Meta(min_length=2, max_length=3)]
Rings = list[Annotated[list[Position], Meta(min_length=4)]]


class MultiPolygon(Struct, frozen=True, tag="MultiPolygon"):
    """A GeoJSON MultiPolygon (RFC 7946); positions are longitude, latitude."""

    coordinates: Annotated[list[Rings], Meta(min_length=1)]


class Polygon(Struct, frozen=True, tag="Polygon"):
    """A GeoJSON Polygon, treated as a MultiPolygon of one."""

    coordinates: Rings


class School(Struct, frozen=True):
    """A campus of a school, for one stage; `seats` is the number of places in its first year."""

    id: Code
    name: Name
    stage: Stage
    kind: SchoolKind
    longitude: float
    latitude: float
    address: Annotated[str, Meta(max_length=200)]
    seats: Annotated[int, Meta(ge=0, le=5_000)]
    campus: Annotated[str, Meta(max_length=100)] = ""


class Catchment(Struct, frozen=True):
    """The catchment of a school. Its address ranges take precedence over its geometry.

    Catchments with the same `double_district` overlap on purpose: an address there has several schools.
    """

    id: Code
    school: Code
    address_ranges: list[AddressRange]
    geometry: MultiPolygon | Polygon
    double_district: Code | None = None


class PastBatch(Struct, frozen=True):
    """The applications and admissions of a school in one batch of one year; a private school's draw is batch 1."""

    school: Code
    year: Year
    batch: Annotated[int, Meta(ge=1, le=20)]
    applied: Annotated[int, Meta(ge=0, le=100_000)]
    admitted: Annotated[int, Meta(ge=0, le=100_000)]


class AddressPoint(Struct, frozen=True):
    """The position of an address, from the place names bureau; used to check the map."""

    address: Annotated[str, Meta(min_length=1, max_length=200)]
    longitude: float
    latitude: float


P = TypeVar("P", School, AddressPoint)


class Calendar(Struct, frozen=True, forbid_unknown_fields=True):
    """The dates of an admission, in the city's calendar; `application_until` is the last day of application."""

    publication: date
    application_from: date
    application_until: date
    admission: date
    school_begins: date

    def is_in_order(self) -> bool:
        """Return whether no date is before the preceding one."""
        days = (self.publication, self.application_from, self.application_until, self.admission, self.school_begins)
        return list(days) == sorted(days)


class Heading(Struct, frozen=True, forbid_unknown_fields=True):
    """The district and year of a plan, its source, and its conventions (`plan.yaml`).

    `code` is the district's code by GB/T 2260. `batches` names the rule module that assigns children to batches, such
    as `gongshu_batch`. A home in the district or in one of `city_districts` is a home in the city. `synthetic` marks
    data that is not real.
    """

    district: Name
    code: DistrictCode
    year: Year
    source: Annotated[str, Meta(min_length=1, max_length=500)]
    coordinates: CoordinateSystem
    batches: Code
    calendar: Calendar
    city_districts: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()
    synthetic: bool = False

    @property
    def districts(self) -> tuple[str, ...]:
        """Return the names of the district and of the others in which a home is taken into account."""
        return (self.district, *self.city_districts)


class Plan(Struct, frozen=True):
    """A whole plan. Coordinates are in the system that `heading` declares."""

    heading: Heading
    boundary: MultiPolygon | Polygon
    schools: list[School]
    catchments: list[Catchment]
    past: list[PastBatch] = []
    addresses: list[AddressPoint] = []


def shape_of(geometry: MultiPolygon | Polygon) -> shapely.MultiPolygon:
    """Return the shape of a GeoJSON geometry, valid or not. Raises ValueError if it cannot form rings."""
    parts = _parts(geometry)
    polygons = [shapely.Polygon(_flat(rings[0]), [_flat(hole) for hole in rings[1:]]) for rings in parts if rings]
    return shapely.MultiPolygon(polygons)


def geometry_of(shape: shapely.MultiPolygon) -> MultiPolygon:
    """Return the GeoJSON geometry of a shape."""
    mapping: dict[str, Any] = shapely.geometry.mapping(shape)
    return MultiPolygon([[[list(at) for at in ring] for ring in polygon] for polygon in mapping["coordinates"]])


def plan_to_wgs84(plan: Plan, system: CoordinateSystem) -> Plan:
    """Convert a plan to WGS 84, assuming that its coordinates are in this system."""
    if system == "WGS84":
        return plan
    return replace(
        plan,
        boundary=_converted(plan.boundary, system),
        schools=_converted_points(plan.schools, system),
        catchments=[
            replace(catchment, geometry=_converted(catchment.geometry, system)) for catchment in plan.catchments
        ],
        addresses=_converted_points(plan.addresses, system),
    )


def points_of(located: Sequence[School | AddressPoint]) -> Points:
    """Return the positions of schools or addresses: longitude and latitude."""
    return np.array([(one.longitude, one.latitude) for one in located], dtype=np.float64).reshape(-1, 2)


def _converted(geometry: MultiPolygon | Polygon, system: CoordinateSystem) -> MultiPolygon:
    return MultiPolygon([[_ring(ring, system) for ring in rings] for rings in _parts(geometry)])


def _parts(geometry: MultiPolygon | Polygon) -> list[Rings]:
    return geometry.coordinates if isinstance(geometry, MultiPolygon) else [geometry.coordinates]


def _ring(ring: list[Position], system: CoordinateSystem) -> list[Position]:
    return to_wgs84(_flat(ring), system).tolist()


def _flat(ring: list[Position]) -> Points:
    return np.array([position[:2] for position in ring], dtype=np.float64)


def _converted_points(located: list[P], system: CoordinateSystem) -> list[P]:
    points = to_wgs84(points_of(located), system)
    return [replace(one, longitude=x, latitude=y) for one, (x, y) in zip(located, points.tolist(), strict=True)]
