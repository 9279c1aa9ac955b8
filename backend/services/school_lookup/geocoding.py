"""Which catchments a place belongs to: ranges of addresses decide, the map assists, and nothing is guessed silently."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from backend.i18n import Text
from backend.services.school_lookup.addresses import Address, parse_address
from backend.services.school_lookup.atlas import Atlas, Found, Point
from backend.services.school_lookup.coordinates import is_in_china, to_wgs84
from backend.services.school_lookup.family import Family, MapPoint
from backend.services.school_lookup.plan import Zone

Certainty = Literal["certain", "by_map", "possible"]

NEAR_METRES = 30.0
"""So near to a boundary a point may lie on its other side, by the errors of phones and drawings: an assumption [A]."""

_MISSING = {
    "lane": Text(zh="地址缺少弄号，无法确定学区。", en="The address lacks its lane, which decides here."),
    "number": Text(zh="地址缺少门牌号，无法确定学区。", en="The address lacks its door number, which decides here."),
    "building": Text(zh="地址缺少幢号，无法确定学区。", en="The address lacks its building, which decides here."),
    None: Text(zh="地址不完整，无法确定学区。", en="The address lacks its community, which decides here."),
}
_SEVERAL = Text(zh="此地址属于多个学区的范围，请向教育局确认。", en="The ranges of several zones have this address.")
_BY_MAP = Text(zh="按地图判断；以公布的地址范围为准。", en="By the map; the published ranges of addresses decide.")


class Place(Struct, frozen=True, gc=False):
    """A place that a family named: `pointer` is where it stands in the request. The point is in WGS 84."""

    pointer: str
    address: Address
    point: Point | None

    def is_at(self, other: "Place") -> bool:
        """Tell whether two places are plainly the same one: families live where they are registered."""
        return self.address is other.address and self.point is other.point


class Candidate(Struct, frozen=True, gc=False):
    """A zone that a place may belong to, how sure that is, and why it is not surer."""

    zone: Zone
    certainty: Certainty
    reason: Text | None = None
    boundary_metres: int | None = None
    """How far the point lies from the zone's boundary, where that is near."""


def places_of(family: Family) -> Iterator[Place]:
    """Read all places of a family: its registration in the city, if any, then its homes."""
    registered = family.registration
    place = Place("/family/registration", parse_address(registered.address), _at(registered.point))
    if registered.in_city:
        yield place
    for number, home in enumerate(family.homes):
        pointer = f"/family/homes/{number}"
        if (home.address, home.point) == (registered.address, registered.point):
            yield Place(pointer, place.address, place.point)
        else:
            yield Place(pointer, parse_address(home.address), _at(home.point))


def _at(point: MapPoint | None) -> Point | None:
    if point is None:
        return None
    if point.coordinates == "WGS84":
        return point.longitude, point.latitude
    longitude, latitude = to_wgs84(np.array([[point.longitude, point.latitude]]), point.coordinates)[0].tolist()
    return longitude, latitude


def candidates_of(atlas: Atlas, place: Place) -> list[Candidate]:
    """Give the zones of a stage that a place belongs to, or may belong to."""
    found = atlas.at_address(place.address)
    certain = [one.zone for one in found if one.match == "yes"]
    if certain:
        if len(certain) == 1 or _are_double(certain):
            return [Candidate(zone, "certain") for zone in certain]
        return [Candidate(zone, "possible", _SEVERAL) for zone in certain]
    if found:
        return [_unsure(one) for one in found]
    return [] if place.point is None else _on_map(atlas, place.point)


def _are_double(zones: Sequence[Zone]) -> bool:
    return len({zone.double_district for zone in zones}) == 1 and zones[0].double_district is not None


def _unsure(found: Found) -> Candidate:
    return Candidate(found.zone, "possible", _MISSING[found.missing])


def _on_map(atlas: Atlas, point: Point) -> list[Candidate]:
    covering, near = atlas.around(point, NEAR_METRES)
    zones = [atlas.zones[number] for number in covering]
    if set(near) <= set(covering) and (len(covering) == 1 or _are_double(zones)):
        return [Candidate(zone, "by_map", _BY_MAP) for zone in zones]
    return [
        Candidate(
            atlas.zones[number], "possible", _near(near.get(number), number in covering), _whole(near.get(number))
        )
        for number in sorted({*covering, *near})
    ]


def _whole(metres: float | None) -> int | None:
    return None if metres is None else round(metres)


def _near(metres: float | None, inside: bool) -> Text:
    if metres is None:
        return _BY_MAP
    away = round(metres)
    chinese, english = ("内", "inside") if inside else ("外", "outside")
    return Text(
        zh=f"该点在此学区边界{chinese}约{away}米，可能属于相邻学区。",
        en=f"The point lies {away} m {english} this zone's boundary, so either side is possible.",
    )


def is_swapped(place: Place) -> bool:
    """Tell whether the longitude and latitude of a place's point look swapped."""
    return place.point is not None and is_in_china(place.point[1], place.point[0])
