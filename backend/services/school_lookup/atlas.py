"""Where catchments lie, held in memory: which zones a point or an address belongs to, and which it may belong to.

An atlas answers for one stage of one plan. Points are longitude and latitude in WGS 84.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt
import shapely
from msgspec import Struct
from shapely import STRtree

from backend.services.school_lookup.addresses import Address, AddressRange, Match
from backend.services.school_lookup.coordinates import Points, metres
from backend.services.school_lookup.plan import Zone, shape_of

Indexes = npt.NDArray[np.intp]
Point = tuple[float, float]
"""Longitude and latitude."""

CELL_METRES = 50.0
MAX_CELLS = 200_000
"""Of those that were asked for once, so many are remembered: 500 km2, more than a district has."""


class Found(Struct, frozen=True):
    """A zone that an address may belong to; `missing` names what the address leaves out where it is not certain."""

    zone: Zone
    match: Match
    missing: str | None = None


class Atlas:
    """The zones of one stage, as shapes and as ranges of addresses."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self.zones = tuple(zones)
        self._shapes = np.array([shape_of(zone.geometry) for zone in zones], dtype=object)
        shapely.prepare(self._shapes)
        self._tree = STRtree(self._shapes)
        self._inner: dict[tuple[float, float, float], list[int] | None] = {}
        self._ranges: dict[str, list[tuple[Zone, AddressRange]]] = defaultdict(list)
        for zone in zones:
            for one in zone.address_ranges:
                for name in (one.road, one.community):
                    if name is not None:
                        self._ranges[name].append((zone, one))

    def covering(self, points: Points) -> tuple[Indexes, Indexes]:
        """Give which of the points which zones cover, boundaries included: pairs of indexes, by point, then zone."""
        at, zone = self._tree.query(shapely.points(points))
        covered = shapely.intersects_xy(self._shapes[zone], points[at, 0], points[at, 1])
        pairs = np.sort(at[covered] * len(self._shapes) + zone[covered], kind="stable")  # one number sorts faster
        return np.divmod(pairs, len(self._shapes))

    def around(self, point: Point, within_metres: float) -> tuple[list[int], dict[int, float]]:
        """Give which zones cover a single point, and how far it lies from the boundaries of those that come near.

        Most points lie in a square that no boundary comes near. All of such a square lies in the same zones, which are
        worked out when it is first asked for.
        """
        longitude, latitude = point
        east, north = self._degree_metres
        cell = (longitude * east // CELL_METRES, latitude * north // CELL_METRES, within_metres)
        known = self._inner.get(cell)
        if known is None and cell not in self._inner and len(self._inner) < MAX_CELLS:
            known = self._inner[cell] = self._inside(*cell)
        if known is not None:
            return known, {}
        here = shapely.Point(longitude * east, latitude * north)
        return self._covering_one(shapely.Point(longitude, latitude)), self._distances(here, within_metres)

    def _inside(self, column: float, row: float, within_metres: float) -> list[int] | None:
        """Give which zones cover all of a square; None where a boundary comes near it."""
        west, south = column * CELL_METRES, row * CELL_METRES
        square = shapely.box(west, south, west + CELL_METRES, south + CELL_METRES)
        if len(self._edges.query(square, predicate="dwithin", distance=within_metres)):
            return None
        east, north = self._degree_metres
        return self._covering_one(shapely.Point((west + CELL_METRES / 2) / east, (south + CELL_METRES / 2) / north))

    def _covering_one(self, at: shapely.Point) -> list[int]:
        boxes: list[int] = self._tree.query(at).tolist()
        return sorted(zone for zone in boxes if self._shapes[zone].covers(at))

    def near(self, points: Points, within_metres: float) -> tuple[Indexes, Indexes]:
        """Give which of the points lie within a distance of which zones' boundaries, on either side."""
        at, edge = self._edges.query(
            shapely.points(metres(points, self._latitude)), predicate="dwithin", distance=within_metres
        )
        pairs = np.unique(np.column_stack([at, self._edge_zones[edge]]), axis=0)
        return pairs[:, 0], pairs[:, 1]

    def _distances(self, here: shapely.Point, within_metres: float) -> dict[int, float]:
        edges = self._edges.query(here, predicate="dwithin", distance=within_metres)
        if not len(edges):
            return {}
        zones: list[int] = self._edge_zones[edges].tolist()
        distances = cast("list[float]", shapely.distance(self._segments[0][edges], here).tolist())  # pyright: ignore[reportUnknownMemberType]
        nearest = dict[int, float]()
        for zone, away in zip(zones, distances, strict=True):
            nearest[zone] = min(away, nearest.get(zone, away))
        return nearest

    def at_address(self, address: Address) -> list[Found]:
        """Give the zones that have an address in their ranges, or may have it; the certain ones first."""
        found = dict[str, Found]()
        for zone, one in self._named(address):
            match = one.match(address)
            if match == "yes":
                found[zone.id] = Found(zone, match)
            elif match == "maybe":
                found.setdefault(zone.id, Found(zone, match, one.missing(address)))
        return sorted(found.values(), key=lambda one: (one.match != "yes", one.zone.id))

    def _named(self, address: Address) -> Iterator[tuple[Zone, AddressRange]]:
        for name in (address.road, address.community):
            if name is not None:
                yield from self._ranges.get(name, ())

    def knows(self, address: Address) -> bool:
        """Tell whether the road or the community of an address occurs in any range."""
        return any(True for _ in self._named(address))

    @cached_property
    def _degree_metres(self) -> tuple[float, float]:
        east, north = metres(np.ones((1, 2)), self._latitude)[0].tolist()
        return east, north

    @cached_property
    def _latitude(self) -> float:
        corners = shapely.get_coordinates(self._shapes)
        return float(corners[:, 1].mean()) if len(corners) else 0.0

    @cached_property
    def _edge_zones(self) -> Indexes:
        return self._segments[1]

    @cached_property
    def _edges(self) -> STRtree:
        return STRtree(self._segments[0])

    @cached_property
    def _segments(self) -> tuple[npt.NDArray[np.object_], Indexes]:
        """Every edge of every zone on a plane of metres, and whose it is: they are found faster than whole rings."""
        rings, polygons = shapely.get_rings(shapely.get_parts(self._shapes), return_index=True)
        owner = shapely.get_parts(self._shapes, return_index=True)[1][polygons]
        corners, ring = shapely.get_coordinates(rings, return_index=True)
        plane = metres(corners, self._latitude)
        same = ring[:-1] == ring[1:]
        ends = np.stack([plane[:-1][same], plane[1:][same]], axis=1)
        return np.asarray(shapely.linestrings(ends)), owner[ring[:-1][same]]


def pairs_of(indexes: tuple[Indexes, Indexes] | Indexes) -> list[tuple[int, int]]:
    """Give two arrays of indexes as pairs."""
    first, second = cast("tuple[list[int], list[int]]", (indexes[0].tolist(), indexes[1].tolist()))
    return list(zip(first, second, strict=True))
