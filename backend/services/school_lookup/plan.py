"""What an education bureau publishes for one district and year: schools, their zones, seats, and past admissions."""

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
    """A GeoJSON Polygon, which counts as a MultiPolygon of one."""

    coordinates: Rings


class School(Struct, frozen=True):
    """A campus of a school, for one stage; `seats` are those that its first year has."""

    id: Code
    name: Name
    stage: Stage
    kind: SchoolKind
    longitude: float
    latitude: float
    address: Annotated[str, Meta(max_length=200)]
    seats: Annotated[int, Meta(ge=0, le=5_000)]
    campus: Annotated[str, Meta(max_length=100)] = ""


class Zone(Struct, frozen=True):
    """The catchment of a school. Its address ranges are the authority; the map is a drawing of them.

    Zones with the same `double_district` share their land knowingly: an address there has several schools.
    """

    id: Code
    school: Code
    address_ranges: list[AddressRange]
    geometry: MultiPolygon | Polygon
    double_district: Code | None = None


class PastBatch(Struct, frozen=True):
    """How many applied to a school in one batch of one year, and how many it admitted; a lot is batch 1."""

    school: Code
    year: Year
    batch: Annotated[int, Meta(ge=1, le=20)]
    applied: Annotated[int, Meta(ge=0, le=100_000)]
    admitted: Annotated[int, Meta(ge=0, le=100_000)]


class AddressPoint(Struct, frozen=True):
    """Where an address lies, from the bureau of place names; the map is held against it."""

    address: Annotated[str, Meta(min_length=1, max_length=200)]
    longitude: float
    latitude: float


P = TypeVar("P", School, AddressPoint)


class Calendar(Struct, frozen=True, forbid_unknown_fields=True):
    """The days of an admission, each in the city's calendar; application lasts through its last day."""

    publication: date
    application_from: date
    application_until: date
    admission: date
    school_begins: date

    def is_in_order(self) -> bool:
        """Tell whether each day lies after the one before it, or on it."""
        days = (self.publication, self.application_from, self.application_until, self.admission, self.school_begins)
        return list(days) == sorted(days)


class Heading(Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan is of, where it comes from, and how it is to be read (`plan.yaml`).

    `code` is the district's by GB/T 2260. `batches` names the rule module that puts children in batches here, such as
    `gongshu_batch`. A home in one of `counted_districts`, and in the district itself, is a home in the city.
    """

    district: Name
    code: DistrictCode
    year: Year
    source: Annotated[str, Meta(min_length=1, max_length=500)]
    coordinates: CoordinateSystem
    batches: Code
    calendar: Calendar
    counted_districts: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()
    invented: bool = False


class Plan(Struct, frozen=True):
    """All that is published for a district and year. Coordinates are as `heading` declares them."""

    heading: Heading
    boundary: MultiPolygon | Polygon
    schools: list[School]
    zones: list[Zone]
    past: list[PastBatch] = []
    addresses: list[AddressPoint] = []


def shape_of(geometry: MultiPolygon | Polygon) -> shapely.MultiPolygon:
    """Give the shape of a GeoJSON geometry, valid or not. Raises ValueError where no ring can be made of it."""
    parts = _parts(geometry)
    made = [shapely.Polygon(_flat(rings[0]), [_flat(hole) for hole in rings[1:]]) for rings in parts if rings]
    return shapely.MultiPolygon(made)


def geometry_of(shape: shapely.MultiPolygon) -> MultiPolygon:
    """Give the GeoJSON geometry of a shape."""
    told: dict[str, Any] = shapely.geometry.mapping(shape)
    return MultiPolygon([[[list(at) for at in ring] for ring in polygon] for polygon in told["coordinates"]])


def read_as(plan: Plan, system: CoordinateSystem) -> Plan:
    """Take the coordinates of a plan for those of a system, and give the plan in WGS 84."""
    if system == "WGS84":
        return plan
    return replace(
        plan,
        boundary=_moved(plan.boundary, system),
        schools=_placed(plan.schools, system),
        zones=[replace(zone, geometry=_moved(zone.geometry, system)) for zone in plan.zones],
        addresses=_placed(plan.addresses, system),
    )


def points_of(placed: Sequence[School | AddressPoint]) -> Points:
    """Give where schools or addresses lie: longitude and latitude."""
    return np.array([(one.longitude, one.latitude) for one in placed], dtype=np.float64).reshape(-1, 2)


def _moved(geometry: MultiPolygon | Polygon, system: CoordinateSystem) -> MultiPolygon:
    return MultiPolygon([[_ring(ring, system) for ring in rings] for rings in _parts(geometry)])


def _parts(geometry: MultiPolygon | Polygon) -> list[Rings]:
    return geometry.coordinates if isinstance(geometry, MultiPolygon) else [geometry.coordinates]


def _ring(ring: list[Position], system: CoordinateSystem) -> list[Position]:
    return to_wgs84(_flat(ring), system).tolist()


def _flat(ring: list[Position]) -> Points:
    return np.array([position[:2] for position in ring], dtype=np.float64)


def _placed(placed: list[P], system: CoordinateSystem) -> list[P]:
    points = to_wgs84(points_of(placed), system)
    return [replace(one, longitude=x, latitude=y) for one, (x, y) in zip(placed, points.tolist(), strict=True)]
