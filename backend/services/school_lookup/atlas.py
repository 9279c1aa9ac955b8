"""An in-memory index of catchments: find those that contain, or may contain, a point or an address.

An atlas holds one stage of one plan. Points are longitude and latitude in WGS 84.
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

from backend.services.school_lookup.addresses import Address, AddressRange, Match, name_key, readings
from backend.services.school_lookup.coordinates import Points, metres
from backend.services.school_lookup.plan import Catchment, shape_of

Indexes = npt.NDArray[np.intp]
Point = tuple[float, float]
"""Longitude and latitude."""

CELL_METRES = 50.0
MAX_CELLS = 200_000
"""The maximum number of cached cells: 500 km2, more than the area of a district."""


class AddressMatch(Struct, frozen=True):
    """A catchment that an address, as it was read, may belong to by one of its ranges.

    `missing` names the part that the address lacks for certainty.
    """

    address: Address
    catchment: Catchment
    range_: AddressRange
    match: Match
    missing: str | None = None


class Atlas:
    """The catchments of one stage, as shapes and as address ranges."""

    def __init__(self, catchments: Sequence[Catchment]) -> None:
        self.catchments = tuple(catchments)
        self._shapes = np.array([shape_of(catchment.geometry) for catchment in catchments], dtype=object)
        shapely.prepare(self._shapes)
        self._tree = STRtree(self._shapes)
        self._cells: dict[tuple[float, float, float], list[int] | None] = {}
        self._ranges: dict[str, list[tuple[Catchment, AddressRange]]] = defaultdict(list)
        for catchment in catchments:
            for one in catchment.address_ranges:
                for name in (one.road, one.community):
                    if name is not None:
                        self._ranges[name_key(name)].append((catchment, one))

    def covering(self, points: Points) -> tuple[Indexes, Indexes]:
        """Return which points are in which catchments, boundaries included: pairs of indexes in order of points."""
        at, catchment = self._tree.query(shapely.points(points))
        covered = shapely.intersects_xy(self._shapes[catchment], points[at, 0], points[at, 1])
        pairs = np.sort(at[covered] * len(self._shapes) + catchment[covered], kind="stable")  # one number sorts faster
        return np.divmod(pairs, len(self._shapes))

    def at_point(self, point: Point, within_metres: float) -> tuple[list[int], dict[int, float]]:
        """Return which catchments cover a point, and its distance from each boundary within `within_metres`.

        Most points are in a square cell that no boundary comes near. Such a cell is in the same catchments throughout;
        they are computed at the first request and cached.
        """
        longitude, latitude = point
        east, north = self._degree_metres
        cell = (longitude * east // CELL_METRES, latitude * north // CELL_METRES, within_metres)
        cached = self._cells.get(cell)
        if cached is None and cell not in self._cells and len(self._cells) < MAX_CELLS:
            cached = self._cells[cell] = self._catchments_of_cell(*cell)
        if cached is not None:
            return cached, {}
        here = shapely.Point(longitude * east, latitude * north)
        return self._covering_one(shapely.Point(longitude, latitude)), self._distances(here, within_metres)

    def _catchments_of_cell(self, column: float, row: float, within_metres: float) -> list[int] | None:
        """Return which catchments cover a whole cell, or None if a boundary is near it."""
        west, south = column * CELL_METRES, row * CELL_METRES
        square = shapely.box(west, south, west + CELL_METRES, south + CELL_METRES)
        if len(self._edges.query(square, predicate="dwithin", distance=within_metres)):
            return None
        east, north = self._degree_metres
        return self._covering_one(shapely.Point((west + CELL_METRES / 2) / east, (south + CELL_METRES / 2) / north))

    def _covering_one(self, at: shapely.Point) -> list[int]:
        boxes: list[int] = self._tree.query(at).tolist()
        return sorted(catchment for catchment in boxes if self._shapes[catchment].covers(at))

    def near(self, points: Points, within_metres: float) -> tuple[Indexes, Indexes]:
        """Return which points are within a distance of which catchments' boundaries, on either side."""
        at, edge = self._edges.query(
            shapely.points(metres(points, self._latitude)), predicate="dwithin", distance=within_metres
        )
        pairs = np.unique(np.column_stack([at, self._edge_catchments[edge]]), axis=0)
        return pairs[:, 0], pairs[:, 1]

    def _distances(self, here: shapely.Point, within_metres: float) -> dict[int, float]:
        edges = self._edges.query(here, predicate="dwithin", distance=within_metres)
        if not len(edges):
            return {}
        catchments: list[int] = self._edge_catchments[edges].tolist()
        distances = cast("list[float]", shapely.distance(self._segments[0][edges], here).tolist())  # pyright: ignore[reportUnknownMemberType]
        nearest = dict[int, float]()
        for catchment, distance in zip(catchments, distances, strict=True):
            nearest[catchment] = min(distance, nearest.get(catchment, distance))
        return nearest

    def at_address(self, address: Address) -> list[AddressMatch]:
        """Return the catchments whose ranges contain, or may contain, an address; the certain ones first."""
        possible = (one for name, one in readings(address) if name is None or self.has_name(name))
        return next((found for reading in possible if (found := self._matches(reading))), list[AddressMatch]())

    def _matches(self, address: Address) -> list[AddressMatch]:
        found = dict[str, AddressMatch]()
        for catchment, one in self._named(address):
            match = one.match(address)
            if match == "yes" and (catchment.id not in found or found[catchment.id].match != "yes"):
                found[catchment.id] = AddressMatch(address, catchment, one, match)
            elif match == "maybe":
                found.setdefault(catchment.id, AddressMatch(address, catchment, one, match, one.missing(address)))
        return sorted(found.values(), key=lambda one: (one.match != "yes", one.catchment.id))

    def _named(self, address: Address) -> Iterator[tuple[Catchment, AddressRange]]:
        for name in (address.area, address.community, address.road):
            if name is not None:
                yield from self._ranges.get(name_key(name), ())

    def has_name(self, name: str) -> bool:
        """Return whether any range has this road or community."""
        return name_key(name) in self._ranges

    def is_known(self, address: Address) -> bool:
        """Return whether any range has the road or the community of an address."""
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
    def _edge_catchments(self) -> Indexes:
        return self._segments[1]

    @cached_property
    def _edges(self) -> STRtree:
        return STRtree(self._segments[0])

    @cached_property
    def _segments(self) -> tuple[npt.NDArray[np.object_], Indexes]:
        """Return every edge of every catchment, in metres on a plane, and its catchment: faster to query than rings."""
        rings, polygons = shapely.get_rings(shapely.get_parts(self._shapes), return_index=True)
        owner = shapely.get_parts(self._shapes, return_index=True)[1][polygons]
        corners, ring = shapely.get_coordinates(rings, return_index=True)
        plane = metres(corners, self._latitude)
        same = ring[:-1] == ring[1:]
        ends = np.stack([plane[:-1][same], plane[1:][same]], axis=1)
        return np.asarray(shapely.linestrings(ends)), owner[ring[:-1][same]]


def pairs_of(indexes: tuple[Indexes, Indexes] | Indexes) -> list[tuple[int, int]]:
    """Return two arrays of indexes as a list of pairs."""
    first, second = cast("tuple[list[int], list[int]]", (indexes[0].tolist(), indexes[1].tolist()))
    return list(zip(first, second, strict=True))
