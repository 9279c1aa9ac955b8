"""Find the catchments of a place: address ranges decide, then the map; every doubt is reported."""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.services.school_lookup.addresses import Address, Surroundings, parse_place
from backend.services.school_lookup.atlas import AddressMatch, Atlas, Point
from backend.services.school_lookup.coordinates import is_in_china, to_wgs84
from backend.services.school_lookup.district import District
from backend.services.school_lookup.facts import Stage
from backend.services.school_lookup.family import Family, FamilyHome, HouseholdRegistration, MapPoint
from backend.services.school_lookup.plan import Catchment

Certainty = Literal["certain", "by_map", "possible"]

NEAR_METRES = 30.0
"""A point this close to a boundary may be on its other side, given the errors of phones and maps: an assumption [A]."""

_MISSING = {
    "lane": Text(zh="请补充弄号（如“12弄”），再查一次。", en="Add the lane (such as 12弄) and search again."),
    "number": Text(zh="请补充门牌号（如“8号”），再查一次。", en="Add the door number (such as 8号) and search again."),
    "building": Text(zh="请补充幢号（如“5幢”），再查一次。", en="Add the building (such as 5幢) and search again."),
    None: Text(zh="请补充小区名称，再查一次。", en="Add the name of the community and search again."),
}
_BY_MAP = Text(
    zh="按地图位置判断，仅供参考；以公布的地址范围为准。",
    en="Found on the map only, for reference; the published address ranges take precedence.",
)


class Place(Struct, frozen=True, gc=False):
    """A place of a family's request; `pointer` is its JSON pointer. The point is in WGS 84."""

    pointer: str
    address: Address
    point: Point | None
    surroundings: Surroundings = Surroundings()

    def is_same_as(self, other: "Place") -> bool:
        """Return whether two places share one address and point: many families live where they are registered."""
        return self.address is other.address and self.point is other.point


class Candidate(Struct, frozen=True, gc=False):
    """A catchment that a place may belong to, the certainty, and the reason for doubt."""

    catchment: Catchment
    certainty: Certainty
    reason: Text | None = None
    boundary_metres: int | None = None
    """The distance of the point from the catchment's boundary, if it is near."""


def places_of(family: Family, districts: Collection[str]) -> Iterator[Place]:
    """Yield all places of a family: its registration in the city, if any, then its homes.

    `districts` are the names of districts in the plans.
    """
    registered = family.registration
    place = _place("/family/registration", registered, districts)
    if registered.in_city:
        yield place
    for number, home in enumerate(family.homes):
        pointer = f"/family/homes/{number}"
        if (home.address, home.point) == (registered.address, registered.point):
            yield replace(place, pointer=pointer)
        else:
            yield _place(pointer, home, districts)


def _place(pointer: str, given: HouseholdRegistration | FamilyHome, districts: Collection[str]) -> Place:
    address, surroundings = parse_place(given.address, districts)
    return Place(pointer, address, _wgs84_point(given.point), surroundings)


def _wgs84_point(point: MapPoint | None) -> Point | None:
    if point is None:
        return None
    if point.coordinates == "WGS84":
        return point.longitude, point.latitude
    longitude, latitude = to_wgs84(np.array([[point.longitude, point.latitude]]), point.coordinates)[0].tolist()
    return longitude, latitude


def candidates_of(district: District, stage: Stage, place: Place) -> list[Candidate]:
    """Return the catchments of a stage that a place belongs to, or may belong to."""
    atlas = district.atlases[stage]
    matches = matches_of(atlas, place.address, place.surroundings)
    certain = [one for one in matches if one.match == "yes"]
    if certain:
        catchments = [one.catchment for one in certain]
        if len(certain) == 1 or _are_double_district(catchments):
            return [_matched(one, _unread_by(one, atlas, district), district.bureau) for one in certain]
        return [Candidate(catchment, "possible", _several(district.bureau)) for catchment in catchments]
    if matches:
        return [_incomplete(one, _unread_by(one, atlas, district), district.bureau) for one in matches]
    return [] if place.point is None else _by_map(atlas, place.point, district.bureau)


def matches_of(atlas: Atlas, address: Address, surroundings: Surroundings) -> list[AddressMatch]:
    """Return the catchments of an address, or else those of the whole neighbourhood or subdistrict that it is in."""
    around = (replace(address, community=name, building=None) for name in reversed(surroundings.names))
    named = (one for one in around if one.community is not None and atlas.has_name(one.community))
    return next((found for one in (address, *named) if (found := atlas.at_address(one))), list[AddressMatch]())


def unread(address: Address, atlases: Collection[Atlas]) -> str:
    """Return the parts of an address that mean nothing to the grammar or the plans, or an empty text."""
    parts = [address.area, address.community if address.number_in_community else None]
    unknown = [one for one in parts if one is not None and not any(atlas.has_name(one) for atlas in atlases)]
    return "、".join(one for one in (*unknown, address.unparsed) if one)


def _unread_by(match: AddressMatch, atlas: Atlas, district: District) -> str:
    """Return the parts of an address that neither a matching range nor the district's name explains."""
    address, parts = match.address, list[str]()
    if address.area is not None and district.is_short_name(address.area):
        address = replace(address, area=None)
    if address.area is not None and atlas.has_name(address.area):
        names = (address.community, address.road) if match.range_.is_named(address.area) else (address.area,)
        parts = [one for one in names if one is not None and not match.range_.is_named(one)]
    return "、".join(one for one in (*parts, unread(address, [atlas])) if one)


def _are_double_district(catchments: Sequence[Catchment]) -> bool:
    return len({one.double_district for one in catchments}) == 1 and catchments[0].double_district is not None


def _matched(match: AddressMatch, unread_text: str, bureau: str) -> Candidate:
    if unread_text:
        return Candidate(match.catchment, "possible", _not_understood(unread_text, bureau))
    return Candidate(match.catchment, "certain")


def _incomplete(match: AddressMatch, unread_text: str, bureau: str) -> Candidate:
    reason = _MISSING[match.missing]
    if unread_text:
        reason = _not_understood(unread_text, bureau)
    elif match.missing == "number" and match.address.number is not None:
        reason = _one_number(bureau)
    return Candidate(match.catchment, "possible", reason)


def _one_number(bureau: str) -> Text:
    return Text(
        zh=f"该门牌号不能确定属于哪个学区。请只填写一个门牌号（如“8号”）再查，或向{bureau}确认。",
        en=(
            "This door number does not decide the catchment. Enter a single door number (such as 8号) and search "
            "again, or ask the district education bureau."
        ),
    )


def _not_understood(text: str, bureau: str) -> Text:
    return Text(
        zh=f"地址中的“{text}”无法识别，结果可能不准。请按“路名+门牌号”或“小区+幢号”改写后再查，或向{bureau}确认。",
        en=(
            f"The part “{text}” of the address was not understood, so this may be the wrong catchment. Write the road "
            "with the door number, or the community with the building, and search again, or ask the district "
            "education bureau."
        ),
    )


def _by_map(atlas: Atlas, point: Point, bureau: str) -> list[Candidate]:
    covering, near = atlas.at_point(point, NEAR_METRES)
    catchments = [atlas.catchments[number] for number in covering]
    if set(near) <= set(covering) and (len(covering) == 1 or _are_double_district(catchments)):
        return [Candidate(catchment, "by_map", _BY_MAP) for catchment in catchments]
    return [_near_boundary(atlas.catchments[one], near.get(one), bureau) for one in sorted({*covering, *near})]


def _near_boundary(catchment: Catchment, distance: float | None, bureau: str) -> Candidate:
    if distance is None:
        return Candidate(catchment, "possible", _BY_MAP)
    metres = round(distance)
    reason = Text(
        zh=f"该位置距学区边界约{metres}米，也可能属于相邻学区，请填写门牌号再查，或向{bureau}确认。",
        en=(
            f"The point is about {metres} m from the boundary of this catchment and may be in the neighbouring one. "
            "Enter the door number and search again, or ask the district education bureau."
        ),
    )
    return Candidate(catchment, "possible", reason, metres)


def _several(bureau: str) -> Text:
    return Text(
        zh=f"此地址同时列入多个学区，请向{bureau}确认。",
        en="This address is listed in several catchments; please ask the district education bureau.",
    )


def is_swapped(place: Place) -> bool:
    """Return whether the longitude and latitude of a place's point look swapped."""
    return place.point is not None and is_in_china(place.point[1], place.point[0])
