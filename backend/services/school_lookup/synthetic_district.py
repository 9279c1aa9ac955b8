"""A district that does not exist, with all that a real one publishes, so that the lookup can be tried and tested.

Streets cross in a grid whose corners are moved about; between them lie blocks, each with numbers on its four sides and
a community inside. A primary school has a block or two, a junior one a column of three; five blocks have two schools.
"""

from datetime import date
from random import Random

import numpy as np
import shapely

from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.coordinates import METRES_PER_DEGREE, Points
from backend.services.school_lookup.facts import Stage
from backend.services.school_lookup.plan import (
    AddressPoint,
    Calendar,
    Heading,
    PastBatch,
    Plan,
    School,
    Zone,
    geometry_of,
)

DISTRICT, CODE = "云城区", "990001"
WEST_EAST = ("天枢路", "天璇路", "天玑路", "天权路", "玉衡路", "开阳路", "瑶光路")
SOUTH_NORTH = tuple(f"{name}城街" for name in "春夏秋冬梅兰竹菊松柏桂")
COMMUNITIES = tuple(f"{first}{second}苑" for second in "兰桂枫荷柳棠" for first in "锦绣云霞翠碧金银清和")
COLUMNS, ROWS, ROWS_OF_JUNIOR = len(SOUTH_NORTH) - 1, len(WEST_EAST) - 1, 3
PRIMARIES, DOUBLE_DISTRICTS, BATCHES, PAST_YEARS = 48, 5, 4, 3
HOUSES, BUILDINGS = 10, 10
"""On each side of a block, and in its community."""

_CORNER = np.array([120.05, 30.25])
_BLOCK_METRES = np.array([900.0, 800.0])
_WOBBLE_METRES, _SETBACK = 90.0, 0.04
_DEGREES = 1 / (METRES_PER_DEGREE * np.array([np.cos(np.radians(30.28)), 1.0]))

_Block = tuple[int, int]


def invented_plan(year: int, seed: int = 1) -> Plan:
    """Make the plan of the invented district for a year; the same seed draws the same map."""
    chance = Random(f"district {seed}")  # noqa: S311  chance that repeats is wanted
    corners = _corners(chance)
    blocks = [(column, row) for row in range(ROWS) for column in range(COLUMNS)]
    owner = {
        block: f"P{number if number < PRIMARIES else number - 2 * COLUMNS:02}" for number, block in enumerate(blocks)
    }
    schools = [_school(name, "primary", _land(corners, [block]), chance) for name, block in _first(owner).items()]
    zones = [
        _zone(f"Z-{owner[block]}-{column}{row}", owner[block], corners, [block])
        for block in blocks
        for column, row in [block]
    ]
    columns = [[(column, row + part) for row in range(ROWS_OF_JUNIOR)] for part in (0, 3) for column in range(COLUMNS)]
    for number, column in enumerate(columns):
        schools.append(_school(f"J{number:02}", "junior", _land(corners, column), chance))
        zones.append(_zone(f"Z-J{number:02}", f"J{number:02}", corners, column))
    schools.extend(_private(f"X{number}", stage, schools[number], chance) for number, stage in enumerate(_PRIVATE))
    zones = _doubled(zones, owner, corners)
    whole = geometry_of(shapely.MultiPolygon([_land(corners, blocks)]))
    return Plan(
        _heading(year),
        boundary=whole,
        schools=schools,
        zones=zones,
        past=[one for school in schools for one in _past(school, year, chance)],
        addresses=[one for block in blocks for one in _addresses(corners, block)],
    )


def _heading(year: int) -> Heading:
    calendar = Calendar(date(year, 4, 1), date(year, 6, 1), date(year, 6, 10), date(year, 7, 1), date(year, 9, 1))
    source = "虚构数据，仅供试用 Invented, for trying out"
    return Heading(DISTRICT, CODE, year, source, "WGS84", "general_batch", calendar, invented=True)


_PRIVATE: tuple[Stage, ...] = ("primary", "primary", "junior", "junior")


def _corners(chance: Random) -> Points:
    """Give where the streets cross, in degrees, by column and row."""
    crossed = np.empty((COLUMNS + 1, ROWS + 1, 2))
    for column in range(COLUMNS + 1):
        for row in range(ROWS + 1):
            moved = [chance.uniform(-_WOBBLE_METRES, _WOBBLE_METRES) for _ in range(2)]
            crossed[column, row] = _CORNER + (np.array([column, row]) * _BLOCK_METRES + moved) * _DEGREES
    return crossed


def _ring(corners: Points, block: _Block) -> Points:
    """Give the corners of a block: south-west, south-east, north-east, north-west."""
    column, row = block
    return corners[[column, column + 1, column + 1, column], [row, row, row + 1, row + 1]]


def _land(corners: Points, blocks: list[_Block]) -> shapely.Polygon:
    land = shapely.union_all([shapely.Polygon(_ring(corners, block)) for block in blocks])
    assert isinstance(land, shapely.Polygon), "blocks of one zone lie side by side"
    return land


def _first(owner: dict[_Block, str]) -> dict[str, _Block]:
    return {school: block for block, school in reversed(owner.items())}


def _school(name: str, stage: Stage, land: shapely.Polygon, chance: Random) -> School:
    at = land.representative_point()
    kind = "小学" if stage == "primary" else "初级中学"
    return School(
        id=name,
        name=f"云城第{int(name[1:]) + 1}{kind}",
        stage=stage,
        kind="public",
        longitude=at.x,
        latitude=at.y,
        address=DISTRICT,
        seats=chance.choice((80, 120, 160, 200)) * (1 if stage == "primary" else 2),
    )


def _private(name: str, stage: Stage, beside: School, chance: Random) -> School:
    kind = "实验小学" if stage == "primary" else "外国语中学"
    return School(
        id=name,
        name=f"云城{'甲乙丙丁'[int(name[1:])]}{kind}（民办）",
        stage=stage,
        kind="private",
        longitude=beside.longitude + 0.001,
        latitude=beside.latitude,
        address=DISTRICT,
        seats=chance.choice((60, 90)),
    )


def _zone(name: str, school: str, corners: Points, blocks: list[_Block]) -> Zone:
    ranges = [one for block in blocks for one in _ranges(block)]
    return Zone(name, school, ranges, geometry_of(shapely.MultiPolygon([_land(corners, blocks)])))


def _doubled(zones: list[Zone], owner: dict[_Block, str], corners: Points) -> list[Zone]:
    """Give five blocks of the middle row their eastern neighbour's school as well."""
    added = list[Zone]()
    shared = {f"Z-{owner[column, 2]}-{column}2": (column, 2) for column in range(0, 2 * DOUBLE_DISTRICTS, 2)}
    doubled = dict(zip(shared, (f"D{number}" for number in range(1, DOUBLE_DISTRICTS + 1)), strict=True))
    for name, (column, row) in shared.items():
        school = owner[column + 1, row]
        zone = _zone(f"Z-{school}-{column}{row}", school, corners, [(column, row)])
        added.append(Zone(zone.id, zone.school, zone.address_ranges, zone.geometry, doubled[name]))
    told = [
        Zone(zone.id, zone.school, zone.address_ranges, zone.geometry, doubled.get(zone.id, zone.double_district))
        for zone in zones
    ]
    return [*told, *added]


def _ranges(block: _Block) -> list[AddressRange]:
    """Give the four sides of a block and its community; odd numbers lie north of a street, and east of it."""
    column, row = block
    along, up = 2 * HOUSES * column, 2 * HOUSES * row
    return [
        AddressRange(road=WEST_EAST[row], first_number=along + 1, last_number=along + 2 * HOUSES, parity="odd"),
        AddressRange(road=WEST_EAST[row + 1], first_number=along + 1, last_number=along + 2 * HOUSES, parity="even"),
        AddressRange(road=SOUTH_NORTH[column], first_number=up + 1, last_number=up + 2 * HOUSES, parity="odd"),
        AddressRange(road=SOUTH_NORTH[column + 1], first_number=up + 1, last_number=up + 2 * HOUSES, parity="even"),
        AddressRange(community=_community(block)),
    ]


def _community(block: _Block) -> str:
    return COMMUNITIES[block[1] * COLUMNS + block[0]]


def _addresses(corners: Points, block: _Block) -> list[AddressPoint]:
    """Give the houses of a block, a little inside the streets, and the buildings of its community."""
    south, north, west, east, _ = _ranges(block)
    south_west, south_east, north_east, north_west = _ring(corners, block)
    sides = (
        (south, south_west, south_east),
        (north, north_west, north_east),
        (west, south_west, north_west),
        (east, south_east, north_east),
    )
    middle = _ring(corners, block).mean(axis=0)
    made = list[AddressPoint]()
    for side, begin, end in sides:
        first = (side.first_number or 1) + (side.parity == "even")
        for house in range(HOUSES):
            on_street = begin + (end - begin) * (house + 0.5) / HOUSES
            at = on_street + (middle - on_street) * _SETBACK
            made.append(AddressPoint(f"{DISTRICT}{side.road}{first + 2 * house}号", float(at[0]), float(at[1])))
    for building in range(1, BUILDINGS + 1):
        at = middle + (north_east - south_west) * (building - BUILDINGS / 2) * 0.02
        made.append(AddressPoint(f"{DISTRICT}{_community(block)}{building}幢", float(at[0]), float(at[1])))
    return made


def _past(school: School, year: int, chance: Random) -> list[PastBatch]:
    """Make what happened in the years before: batches are admitted in order, until the seats are taken."""
    made = list[PastBatch]()
    for past in range(year - PAST_YEARS, year):
        free = school.seats
        for batch in range(1, 1 + (1 if school.kind == "private" else BATCHES)):
            share = chance.uniform(0.8, 2.0) if school.kind == "private" else chance.uniform(0.02, 0.7 - batch / 10)
            applied = round(school.seats * share)
            admitted = min(applied, free)
            free -= admitted
            made.append(PastBatch(school.id, past, batch, applied, admitted))
    return made
