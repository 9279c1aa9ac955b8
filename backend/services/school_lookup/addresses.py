"""Parse addresses as people write them, and match them with the address ranges of published catchments.

No maintained library parses the door numbers, lanes and buildings of Chinese addresses: the existing ones stop at the
district or are trained models of several gigabytes. This module is a small grammar instead.
"""

import re
import unicodedata
from typing import Literal

from msgspec import Struct

Match = Literal["yes", "maybe", "no"]
Parity = Literal["all", "odd", "even"]

MAX_TEXT = 200

_NUMERAL = re.compile(r"[〇零一二三四五六七八九十百]+(?=号|弄|幢|栋|座|单元|室)")
_DIGITS = {character: digit for digit, character in enumerate("零一二三四五六七八九")} | {"〇": 0}
_UNITS = {"十": 10, "百": 100}

_PROVINCE_AND_CITY = re.compile(r"(?:[^\d省市区县]{2,6}(?:省|自治区))?(?:[^\d省市区县]{2,5}市(?!场|民|心))?")
_DISTRICT = re.compile(r"([^\d省市区县路街巷弄]{1,5}(?<![小园新社])[区县])")
_TOWN = re.compile(r"[^\d路街巷弄镇乡]{2,6}(?:街道|镇(?!江|海|东|西|南|北)|乡)(?=.)")
_NEIGHBOURHOOD = re.compile(r"[^\d路街巷弄]{2,6}(?:社区|居委会)(?=.)")
_ROAD = re.compile(r"(\d{1,3}号(?:大街|路)|[^\d号幢栋路街]{1,12}(?:大道|大街|路|街|巷|弄|里|道|胡同|埭))(?=\d|$)")
_ROAD_BEFORE_MORE = re.compile(r"([^\d号幢栋路街]{1,12}(?:大道|路|大街|街))(?=[^\d]{2})")
"""A road that is followed by a lane or a community, not by a door number."""

_LANE = re.compile(r"(\d{1,5})弄")
_NUMBER = re.compile(r"(\d{1,5})(?:[-—–之](\d{1,4}))?号(?!楼)")
_NUMBER_ALONE = re.compile(r"(\d{1,5})(?:[-—–之](\d{1,4}))?$")
_COMMUNITY = re.compile(r"([\u4e00-\u9fff·]{2,20}?)(?=\d|[A-Z]座|$)")
_BUILDING = re.compile(r"(\d{1,4}|[A-Z])(?:幢|栋|号楼|座|#)")
_UNIT = re.compile(r"(\d{1,3})单元")
_ROOM = re.compile(r"(\d{1,5})(?:室)?$")


class Address(Struct, frozen=True, gc=False):
    """The parts of an address; None for parts that it does not have. A building is a number or a letter, as written."""

    district: str | None = None
    road: str | None = None
    lane: int | None = None
    number: int | None = None
    annex: int | None = None
    """The 1 of 186-1号."""
    community: str | None = None
    building: str | None = None
    unit: int | None = None
    room: int | None = None
    unparsed: str = ""
    """The remainder that the grammar does not cover."""

    @property
    def is_empty(self) -> bool:
        """Return whether the address names neither a road nor a community."""
        return self.road is None and self.community is None


def parse_address(text: str) -> Address:
    """Parse an address into district, road, lane, number, community, building, unit and room, as far as it has them.

    Full-width characters, spaces, and Chinese numerals before 号, 弄, 幢, 单元 and 室 are accepted. Province, city,
    subdistrict and neighbourhood are skipped.
    """
    if not text:
        return Address()
    parser = _AddressParser(_normalised(text))
    parser.consume(_PROVINCE_AND_CITY)
    district = parser.text(_DISTRICT)
    parser.consume(_TOWN)
    parser.consume(_NEIGHBOURHOOD)
    leading = parser.text(_ROAD_BEFORE_MORE)
    road = parser.text(_ROAD) or leading
    lane = parser.number(_LANE)
    community, found = None, parser.consume(_NUMBER) or (None if road is None else parser.consume(_NUMBER_ALONE))
    if not parser.unparsed[1:].startswith("座"):
        community = parser.text(_COMMUNITY)
    found = found or parser.consume(_NUMBER)
    number, annex = (None, None) if found is None else (int(found[1]), int(found[2]) if found[2] else None)
    building = parser.text(_BUILDING)
    unit = parser.number(_UNIT)
    room = parser.number(_ROOM)
    building = None if building is None else building.lstrip("0") or "0"
    return Address(district, road, lane, number, annex, community, building, unit, room, parser.unparsed)


class _AddressParser:
    """A text that is consumed from its beginning."""

    def __init__(self, text: str) -> None:
        self.unparsed = text

    def consume(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.unparsed)
        if found is not None:
            self.unparsed = self.unparsed[found.end() :]
        return found

    def text(self, pattern: re.Pattern[str]) -> str | None:
        found = self.consume(pattern)
        return None if found is None else found[1]

    def number(self, pattern: re.Pattern[str]) -> int | None:
        found = self.consume(pattern)
        return None if found is None else int(found[1])


def _normalised(text: str) -> str:
    narrow = unicodedata.normalize("NFKC", text).upper()
    joined = re.sub(r"[\s,.;，。；]+|\(.*?\)", "", narrow)
    return _NUMERAL.sub(lambda found: str(_numeral_value(found[0])), joined)


def _numeral_value(numeral: str) -> int:
    """Return the value of a Chinese numeral below 1,000, in either notation (一百八十六, 一八六)."""
    if not any(unit in numeral for unit in _UNITS):
        return int("".join(str(_DIGITS[digit]) for digit in numeral))
    total, digit = 0, None
    for character in numeral:
        if character in _UNITS:
            total += (1 if digit is None else digit) * _UNITS[character]
            digit = None
        else:
            digit = _DIGITS[character]
    return total + (digit or 0)


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

    def _place(self, address: Address) -> Match:
        if self.community is not None:
            if address.community == self.community:
                return "yes" if None in (self.road, address.road) or self.road == address.road else "no"
            return (
                "maybe"
                if address.community is None and None not in (self.road, address.road) and (self.road == address.road)
                else "no"
            )
        return "yes" if self.road is not None and address.road == self.road else "no"

    def _lane(self, address: Address) -> Match:
        if self.lane is None:
            return "yes"
        if address.lane is None:
            return "maybe" if address.number is None else "no"
        return "yes" if address.lane == self.lane else "no"

    def _number(self, address: Address) -> Match:
        if self.first_number is None and self.last_number is None and self.parity == "all":
            return "yes"
        if address.number is None:
            return "maybe"
        if address.lane is not None and self.lane is None:
            return "no"  # the numbers of a lane are not those of its road
        if self.parity != "all" and address.number % 2 != (self.parity == "odd"):
            return "no"
        return "yes" if _within(address.number, self.first_number, self.last_number) else "no"

    def _building(self, address: Address) -> Match:
        if self.first_building is None and self.last_building is None:
            return "yes"
        if address.building is None:
            return "maybe"
        if not address.building.isdigit():
            return "no"
        return "yes" if _within(int(address.building), self.first_building, self.last_building) else "no"


def _within(number: int, first: int | None, last: int | None) -> bool:
    return (first is None or first <= number) and (last is None or number <= last)
