"""Parse addresses as people write them, and match them with the address ranges of published catchments.

No maintained library parses the door numbers, lanes and buildings of Chinese addresses: the existing ones stop at the
district or are trained models of several gigabytes. This module is a small grammar instead. It accounts for every
character: what it does not understand is in `unparsed`, so that nobody is certain of a place that was only half read.
"""

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.services.school_lookup.address_text import normalised, normalised_name
from backend.services.school_lookup.divisions import city_before, is_county, is_former_county, short_divisions_before
from backend.services.school_lookup.numerals import in_plain_numerals

Match = Literal["yes", "maybe", "no"]
Parity = Literal["all", "odd", "even"]

MAX_TEXT = 200

_PROVINCE = re.compile(r"(?:中国|中华人民共和国)?(?:[^\d省市区县]{2,6}(?:省|自治区))?")
_DIVISION_END = re.compile(r"[区县市旗](?!大?(?:路|街(?!道)|道|巷|场|民|心))")
_TOWN = re.compile(
    r"[^\d路街巷弄镇乡区县]{2,6}(?:街道|(?<![小古])镇(?!江|海|东|西|南|北)|乡)(?=\D|\d+号?(?:大街|大道|路))"
)
_NEIGHBOURHOOD = re.compile(
    r"(?:[^\d路街巷弄区县]|(?<=[一二三四五六七八九十])区){2,8}(?:社区|居委会|村委会)(?=\D|\d+号?(?:大街|大道|路))"
)
_AREA = re.compile(r"[^\d路街巷弄号幢栋]{1,9}?[区县村]")
_BARE_ROAD = re.compile(r"[东西南北中前后]?大?(?:路|街|道|巷|弄|里)")

_DOOR = r"(?:第|门牌号?|NO)?"
_ROAD = re.compile(
    r"(\d{1,3}号?(?:[\u4e00-\u9fff]{1,2}路|大街|大道|路)|[^\d号幢栋路街]{1,12}(?:大道|大街|路|街|巷|弄|里|道|胡同|埭))"
    rf"(?=$|[ -]|(?:{_DOOR}|附)[甲乙丙丁戊]?\d)"
)
_ROAD_BEFORE_MORE = re.compile(r"([^\d号幢栋路街]{1,12}(?:大道|路|大街|街))(?=[^\d]{2})")
"""A road that is followed by a lane or a community, not by a door number."""

_LANE = re.compile(r"(\d{1,5})弄")
_SUBLANE = re.compile(r"(\d{1,5})支弄")
_NUMBER = re.compile(
    rf"{_DOOR}([甲乙丙丁戊]?)(\d{{1,5}})([甲乙丙丁戊A-H])?(?:([-之附])(\d{{1,4}}))?(?:号?[至到~、](\d{{1,5}}))?号(?!楼)"
    r"(?:大?院)?(?:[之附](\d{1,4})号?(?!楼)|-(\d{1,4})号(?!楼)|([甲乙丙丁戊A-H])(?!\d*(?:座|幢|栋|单元|区|号楼)))?"
)
_NUMBER_ALONE = re.compile(rf"{_DOOR}()(\d{{1,5}})()(?:([-之附])(\d{{1,2}}))?()()()()(?=$|[ -]\d{{3,5}}室?$)")
_LETTERED_BUILDING = r"[A-Z甲乙丙丁]\d{0,3}(?:幢|栋|座|号楼)"
_COMMUNITY = re.compile(
    r"((?:(?!号)[\u4e00-\u9fff·]|\d{1,2}(?=[区期村])|[A-Z](?=[区期])){2,20}?)"
    rf"(?={_DOOR}\d{{1,5}}(?![\d区期村])|{_LETTERED_BUILDING}|$)"
)
_GROUP = re.compile(r"第?(\d{1,3})(?:村民)?(?:小组|组|队)")
_BUILDING = re.compile(r"第?(\d{1,4}[A-Z甲乙丙丁]?|[A-Z甲乙丙丁]\d{0,3})(?:幢|栋|号楼|座|#楼?)")
_BUILDING_UNIT_ROOM = re.compile(r"[- ]?(\d{1,3})[- ](\d{1,2})[- ](?=\d{3,5}(?:室|$))")
_BUILDING_ROOM = re.compile(r"[- ]?(\d{1,3})[- ](?=\d{3,5}(?:室|$))")
_UNIT = re.compile(r"第?(?:(\d{1,3})|[东西南北中A-Z甲乙丙丁])单元")
_FLOOR = re.compile(r"第?\d{1,3}(?:楼|层)(?!\d*[幢栋])")
_ROOM = re.compile(r"[- ]?(\d{1,5})[A-Z东西南北中]?(?:室|房|户)?(?:[东西南北中](?:户|边?套))?$")
_NEXT_TO = re.compile(r"斜?对面|对过|旁边?|隔壁|附近|边上|后面|前面|[往以]?[东西南北][侧边面]?")


class Address(Struct, frozen=True, gc=False):
    """The parts of an address; None for parts that it does not have. A building is a number or a letter, as written."""

    district: str | None = None
    road: str | None = None
    lane: int | None = None
    number: int | None = None
    annex: int | None = None
    """The 1 of 186-1号, 186号之一 and 186号附1号."""
    community: str | None = None
    building: str | None = None
    unit: int | None = None
    room: int | None = None
    unparsed: str = ""
    """The text that the grammar does not cover. A place is not certain if there is any."""
    area: str | None = None
    """A name before the road or community that is no district now, such as 开发区 or 下城区."""
    sublane: int | None = None
    """The 3 of 12弄3支弄."""
    last_number: int | None = None
    """The 5 of 3至5号 and 3-5号. The latter may be an annex as well."""
    letter: str | None = None
    """The 甲 of 甲3号 and 3号甲."""
    group: int | None = None
    """The 3 of 和平村3组."""
    number_in_community: bool = False
    """Whether the number follows the name of a community, as in 和平村5号, and is not a number of the road."""

    @property
    def is_empty(self) -> bool:
        """Return whether the address names neither a road nor a community."""
        return self.road is None and self.community is None


def parse_address(text: str, districts: Collection[str] = ()) -> Address:
    """Parse an address into district, road, lane, number, community, building, unit and room, as far as it has them.

    `districts` are names of districts besides those of GB/T 2260. Full-width characters, spaces, and Chinese numerals
    before 号, 弄, 幢, 单元 and 室 are accepted. Province, city, subdistrict and neighbourhood are skipped.
    """
    return parse_place(text, districts)[0]


class Surroundings(Struct, frozen=True, gc=False):
    """The city that an address names, and the names of its subdistrict and neighbourhood."""

    city: str | None = None
    names: tuple[str, ...] = ()


def parse_place(text: str, districts: Collection[str] = ()) -> tuple[Address, Surroundings]:
    """Parse an address as `parse_address` does, and return with it what it is in."""
    if not text:
        return Address(), Surroundings()
    parser = _AddressParser(*normalised(text))
    surroundings, district, area = _divisions(parser, districts)
    road = _road(parser)
    lane, sublane = parser.number(_LANE), parser.number(_SUBLANE)
    community, group = None, None
    found = parser.consume(_NUMBER) or (None if road is None else parser.consume(_NUMBER_ALONE))
    numbered = found is not None
    if not re.match(_LETTERED_BUILDING, parser.rest):
        community = parser.text(_COMMUNITY)
        group = parser.number(_GROUP)
        lane = parser.number(_LANE) if lane is None else lane
    if numbered and community is not None and _NEXT_TO.fullmatch(community):
        parser.skipped.append(community)
        community = None
    found = found or parser.consume(_NUMBER)
    building, unit, room = _inside(parser, numbered=found is not None)
    address = Address(
        district,
        road,
        lane,
        community=community,
        building=None if building is None else building.lstrip("0") or "0",
        unit=unit,
        room=room,
        unparsed=parser.unparsed,
        area=area,
        sublane=sublane,
        group=group,
        number_in_community=found is not None and not numbered and community is not None,
        **({} if found is None else _numbers(found)),
    )
    return address, surroundings


def readings(address: Address) -> Iterator[tuple[str | None, Address]]:
    """Yield the ways in which the names of an address may be divided, each with the name that a plan must have for it.

    中村河下路 is a road, but 开发区和平路 is one in an area; 滨江壹号院 is a community, though 1号院 looks like a door.
    """
    community = address.community or ""
    if address.area is not None and address.road is not None:
        name = address.area + address.road
        yield name, replace(address, area=None, road=name)
    if address.number is not None and (address.road is None or address.number_in_community):
        for ending in ("号院", "号"):
            name = f"{community}{address.number}{ending}"
            yield name, replace(address, community=name, number=None, annex=None, number_in_community=False)
    if community and address.unparsed:
        yield community + address.unparsed, replace(address, community=community + address.unparsed, unparsed="")
    yield None, address
    area = _AREA.match(community)
    if area is not None and address.area is None and area[0] != community:
        yield None, replace(address, area=area[0], community=community.removeprefix(area[0]))
    if address.area is None and (short := short_divisions_before(address.road or community)):
        road = None if address.road is None else address.road.removeprefix(short)
        yield None, replace(address, area=short, road=road, community=community.removeprefix(short) or None)


def _divisions(parser: "_AddressParser", districts: Collection[str]) -> tuple[Surroundings, str | None, str | None]:
    """Skip the divisions at the beginning; return them, the district, and the name that only looks like a district."""
    parser.consume(_PROVINCE)
    city = city_before(parser.rest)
    parser.skip("" if city is None else city[0])
    district = parser.skip(_district_before(parser.rest, districts, after_city=city is not None))
    while district is not None and parser.rest.startswith(district):
        parser.skip(district)
    former = None if district else parser.skip(_former_before(parser.rest))
    inside = [parser.consume(_TOWN), parser.consume(_NEIGHBOURHOOD)]
    area = parser.skip(_area_before(parser.rest))
    inside += [parser.consume(_TOWN), parser.consume(_NEIGHBOURHOOD)]
    if former is not None and area is not None:
        parser.skipped.append(area)
    names = tuple(found[0] for found in inside if found is not None)
    return Surroundings(None if city is None else city[1], names), district, former or area


def _district_before(text: str, districts: Collection[str], *, after_city: bool) -> str:
    for end in _DIVISION_END.finditer(text[:12]):
        name = text[: end.end()]
        if any(name.endswith(one) for one in districts) or is_county(name, after_city=after_city):
            return name
    return ""


def _former_before(text: str) -> str:
    ends = (text[: end.end()] for end in _DIVISION_END.finditer(text[:12]))
    return next((name for name in ends if is_former_county(name)), "")


def _area_before(text: str) -> str:
    """Return a name that ends like a district and is followed by a road: 开发区 of 开发区6号大街."""
    found = _AREA.match(text)
    if found is None:
        return ""
    after = text[found.end() :]
    for prefix in (_TOWN, _NEIGHBOURHOOD):
        after = prefix.sub("", after, count=1) if prefix.match(after) else after
    is_road = _ROAD.match(after) or _ROAD_BEFORE_MORE.match(after)
    return found[0] if is_road and not _BARE_ROAD.match(after) else ""


def _road(parser: "_AddressParser") -> str | None:
    leading = parser.text(_ROAD_BEFORE_MORE)
    road = parser.text(_ROAD)
    if leading is not None and road is not None and road.endswith(("路", "街", "大道")):
        parser.skipped.append(leading)  # two roads, and only one has the number
    return road or leading


def _numbers(found: re.Match[str]) -> dict[str, Any]:
    before, number, letter, joint, annex, last, annex_after, dashed, letter_after = found.groups()
    annex = annex or annex_after or dashed
    if joint == "-" and int(annex) > int(number):
        last = last or annex
    return {
        "number": int(number),
        "annex": int(annex) if annex else None,
        "last_number": int(last) if last else None,
        "letter": before or letter or letter_after or None,
    }


def _inside(parser: "_AddressParser", *, numbered: bool) -> tuple[str | None, int | None, int | None]:
    """Return building, unit and room, also where they are written 3-2-301."""
    building, unit = None, None
    if (found := parser.consume(_BUILDING_UNIT_ROOM)) is not None:
        building, unit = found[1], int(found[2])
    elif (building := parser.text(_BUILDING)) is None and (found := parser.consume(_BUILDING_ROOM)) is not None:
        building, unit = (None, int(found[1])) if numbered else (found[1], None)
    elif building is not None and (found := parser.consume(_BUILDING_ROOM)) is not None:
        unit = int(found[1])
    unit = parser.number(_UNIT) if unit is None else unit
    parser.consume(_FLOOR)
    return building, unit, parser.number(_ROOM)


class _AddressParser:
    """A text that is consumed from its beginning; `skipped` are the parts that were not understood."""

    def __init__(self, text: str, notes: str) -> None:
        self.rest = text
        self.skipped = [notes]

    @property
    def unparsed(self) -> str:
        return " ".join(part for part in (*self.skipped, self.rest.strip()) if part)

    def consume(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.rest)
        if found is not None:
            self.rest = self.rest[found.end() :]
        return found

    def skip(self, text: str) -> str | None:
        self.rest = self.rest.removeprefix(text)
        return text or None

    def text(self, pattern: re.Pattern[str]) -> str | None:
        found = self.consume(pattern)
        return None if found is None else found[1]

    def number(self, pattern: re.Pattern[str]) -> int | None:
        found = self.consume(pattern)
        return None if found is None or found[1] is None else int(found[1])


@lru_cache(maxsize=10_000)
def name_key(name: str) -> str:
    """Return the name of a road or community for comparison: half width, no spaces, numerals in their usual form."""
    return in_plain_numerals(normalised_name(name))


class AddressRange(Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses that belong to a catchment: all or a part of a road or a community.

    The first and last numbers and buildings are included; `parity` is that of the door numbers. A community matches by
    its name, with or without the road that leads to it.
    """

    road: str | None = None
    community: str | None = None
    lane: int | None = None
    first_number: int | None = None
    last_number: int | None = None
    parity: Parity = "all"
    first_building: int | None = None
    last_building: int | None = None

    def match(self, address: Address) -> Match:
        """Return whether an address is in the range; `maybe` if the address leaves out the part that decides."""
        result: Match = "yes"
        for check in (self._number, self._building, self._lane, self._place):  # the first ones exclude most
            match = check(address)
            if match == "no":
                return match
            if match == "maybe":
                result = match
        return result

    def missing(self, address: Address) -> str | None:
        """Return the name of the field that an address leaves out and that decides whether it is in this range."""
        checks = {"lane": self._lane(address), "number": self._number(address), "building": self._building(address)}
        return next((field for field, match in checks.items() if match == "maybe"), None)

    def is_named(self, name: str | None) -> bool:
        """Return whether a name is that of the community of this range, or of its road."""
        return name is not None and any(_is_same(name, one) for one in (self.community, self.road))

    def _place(self, address: Address) -> Match:
        if self.community is None:
            name = address.community if address.road is None else address.road
            return "yes" if _is_same(self.road, name) else "no"
        name = address.road if address.community is None else address.community
        if _is_same(self.community, name) or _is_same(self.community, address.area):
            apart = None in (self.road, address.road) or _is_same(self.community, address.road)
            return "yes" if apart or _is_same(self.road, address.road) else "no"
        return "maybe" if address.community is None and _is_same(self.road, address.road) else "no"

    def _lane(self, address: Address) -> Match:
        if self.lane is None:
            return "yes"
        if address.lane is None:
            return "maybe" if address.number is None or address.number_in_community else "no"
        return "yes" if address.lane == self.lane else "no"

    def _number(self, address: Address) -> Match:
        if self.first_number is None and self.last_number is None and self.parity == "all":
            return "yes"
        if address.number is None:
            return "maybe"
        if address.lane is not None and self.lane is None:
            return "no"  # the numbers of a lane are not those of its road
        if address.sublane is not None or address.group is not None or not self._has_numbers_of(address):
            return "maybe"
        is_inside = self._contains(address.number)
        if address.last_number is not None and self._contains(address.last_number) != is_inside:
            return "maybe"
        return "yes" if is_inside else "no"

    def _has_numbers_of(self, address: Address) -> bool:
        """Return whether the number of an address belongs to what this range is named after."""
        if address.number_in_community:
            return self.community is not None or _is_same(self.road, address.community)
        return self.road is not None or address.road is None or _is_same(self.community, address.road)

    def has_number(self) -> bool:
        """Return whether the first or the last number of this range is in it, by its parity."""
        ends = (one for one in (self.first_number, self.last_number) if one is not None)
        return any(self._contains(one) for one in ends)

    def _contains(self, number: int) -> bool:
        is_of_parity = self.parity == "all" or number % 2 == (self.parity == "odd")
        return is_of_parity and _within(number, self.first_number, self.last_number)

    def _building(self, address: Address) -> Match:
        if self.first_building is None and self.last_building is None:
            return "yes"
        if address.building is None:
            return "maybe"
        if address.building.isdigit():
            return "yes" if _within(int(address.building), self.first_building, self.last_building) else "no"
        return "maybe" if any(character.isdigit() for character in address.building) else "no"


def _is_same(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and (one == other or name_key(one) == name_key(other))


def _within(number: int, first: int | None, last: int | None) -> bool:
    return (first is None or first <= number) and (last is None or number <= last)
