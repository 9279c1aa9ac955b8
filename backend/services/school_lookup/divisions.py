"""Administrative divisions by GB/T 2260: distinguish districts from communities whose names end alike.

朝晖六区 is a community and 开发区 is no district of its own, so the ending of a name decides nothing; the table does.
"""

import re
from functools import cache
from importlib.resources import files

from msgspec import Struct

_ENTRY = re.compile(r"\s+(\d{4}) county=\"(.*)\"")
_PERIOD = re.compile(r"\[\d*-(\d*)\]")
_CITY = re.compile(r"([^\d省市区县]{2,9}?(?:市|自治州|盟|地区))(?:区(?![府政]))?(?!场|民|心)")
_NEWER_COUNTIES = ("临平区", "钱塘区")
"""Districts of 2021 that the table of python-stdnum lacks."""


class Divisions(Struct, frozen=True):
    """The names of the divisions: cities of a prefecture's rank, and districts, counties and smaller cities.

    `former` has the names that are no longer in use anywhere; `by_code` has the provinces by two digits of their codes,
    and the cities by four.
    """

    provinces: frozenset[str]
    cities: frozenset[str]
    counties: frozenset[str]
    former: frozenset[str]
    by_code: dict[str, str]


@cache
def divisions() -> Divisions:
    """Return the table of python-stdnum, which the checks of ID numbers use as well."""
    cities, counties, former = set[str](), set[str](_NEWER_COUNTIES), set[str]()
    by_code = dict[str, str]()
    province, name_of_province = "", ""
    for line in files("stdnum.cn").joinpath("loc.dat").read_text("utf-8").splitlines():
        if not line.startswith((" ", "#")):
            province, name_of_province = line[:2], line.split('"')[1]
            by_code[province] = name_of_province
        entry = _ENTRY.match(line)
        if entry is None:
            continue
        code, names = entry[1], entry[2].split(",")
        if code.endswith("00"):
            city = _PERIOD.sub("", names[-1])
            city = name_of_province if city in ("市辖区", "县") else city
            if _CITY.fullmatch(city):
                by_code[province + code[:2]] = city
                cities.add(city)
            continue
        for name in names:
            period = _PERIOD.match(name)
            (former if period is not None and period[1] else counties).add(_PERIOD.sub("", name))
    provinces = frozenset(name for code, name in by_code.items() if len(code) == 2)  # noqa: PLR2004  as in GB/T 2260
    return Divisions(provinces, frozenset(cities), frozenset(counties), frozenset(former - counties), by_code)


def province_of(code: str) -> str | None:
    """Return the province of a district's code, or None if the code is not in the table."""
    return divisions().by_code.get(code[:2])


def city_of(code: str) -> str | None:
    """Return the city of a district's code, or None if the code is not in the table."""
    return divisions().by_code.get(code[:4])


def city_before(text: str) -> re.Match[str] | None:
    """Return the city at the beginning of an address without its province; group 1 is its name."""
    found = _CITY.match(text)
    return found if found is not None and found[1] in divisions().cities else None


def is_county(name: str, *, after_city: bool) -> bool:
    """Return whether a name is that of a district, county or county-level city.

    A name such as 东区 is one only after its city: communities have such parts everywhere.
    """
    if len(name) == 2 and name.endswith("区") and not after_city:  # noqa: PLR2004  东区
        return False
    return _without_city(name) in divisions().counties


def is_former_county(name: str) -> bool:
    """Return whether a name was that of a district, county or county-level city, and has its own word (not 南区)."""
    return len(name) > 2 and _without_city(name) in divisions().former  # noqa: PLR2004  南区


def _without_city(name: str) -> str:
    return name.removeprefix(_short_name_before(name, "市"))


def short_divisions_before(name: str) -> str:
    """Return the divisions at the beginning of a name that are written without 省, 市 or 区, as in 杭州上城和平路."""
    rest = name
    while found := _short_name_before(rest, "省市区县"):
        rest = rest.removeprefix(found)
    return name.removesuffix(rest)


def _short_name_before(name: str, endings: str) -> str:
    table = divisions()
    for length in (2, 3):
        if len(name) > length + 1:
            names = [name[:length] + ending for ending in endings]
            if any(one in table.provinces or one in table.cities or one in table.counties for one in names):
                return name[:length]
    return ""
