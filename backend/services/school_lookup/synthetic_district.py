"""A synthetic district with everything that a real one publishes, to try and test the lookup.

Its streets form a distorted grid. Each block between them has door numbers on its four sides and a community inside. A
primary school has one or two blocks, a junior school a column of three; five blocks have two schools.
"""

from datetime import date
from random import Random

import numpy as np
import shapely
from msgspec.structs import replace

from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.coordinates import METRES_PER_DEGREE, Points
from backend.services.school_lookup.facts import Stage
from backend.services.school_lookup.plan import (
    AddressPoint,
    Calendar,
    Catchment,
    Heading,
    PastBatch,
    Plan,
    School,
    geometry_of,
)

DISTRICT, CODE = "云城区", "990001"
WEST_EAST = ("天枢路", "天璇路", "天玑路", "天权路", "玉衡路", "开阳路", "瑶光路")
SOUTH_NORTH = tuple(f"{name}城街" for name in "春夏秋冬梅兰竹菊松柏桂")
COMMUNITIES = tuple(f"{first}{second}苑" for second in "兰桂枫荷柳棠" for first in "锦绣云霞翠碧金银清和")
COLUMNS, ROWS, ROWS_OF_JUNIOR = len(SOUTH_NORTH) - 1, len(WEST_EAST) - 1, 3
PRIMARIES, DOUBLE_DISTRICTS, BATCHES, PAST_YEARS = 48, 5, 4, 3
HOUSES, BUILDINGS = 10, 10
"""The number of houses on each side of a block, and of buildings in its community."""

_CORNER = np.array([120.05, 30.25])
_BLOCK_METRES = np.array([900.0, 800.0])
_DISTORTION_METRES, _SETBACK = 90.0, 0.04
_DEGREES = 1 / (METRES_PER_DEGREE * np.array([np.cos(np.radians(30.28)), 1.0]))

_Block = tuple[int, int]


def synthetic_plan(year: int, seed: int = 1) -> Plan:
    """Return the plan of the synthetic district for a year; the same seed gives the same map."""
    rng = Random(f"district {seed}")  # noqa: S311  must be reproducible
    corners = _corners(rng)
    blocks = [(column, row) for row in range(ROWS) for column in range(COLUMNS)]
    owner = {
        block: f"P{number if number < PRIMARIES else number - 2 * COLUMNS:02}" for number, block in enumerate(blocks)
    }
    schools = [_school(name, "primary", _land(corners, [block]), rng) for name, block in _first_blocks(owner).items()]
    catchments = [
        _catchment(f"Z-{owner[block]}-{column}{row}", owner[block], corners, [block])
        for block in blocks
        for column, row in [block]
    ]
    columns = [[(column, row + part) for row in range(ROWS_OF_JUNIOR)] for part in (0, 3) for column in range(COLUMNS)]
    for number, column in enumerate(columns):
        schools.append(_school(f"J{number:02}", "junior", _land(corners, column), rng))
        catchments.append(_catchment(f"Z-J{number:02}", f"J{number:02}", corners, column))
    schools.extend(_private(f"X{number}", stage, schools[number], rng) for number, stage in enumerate(_PRIVATE))
    catchments = _with_double_districts(catchments, owner, corners)
    whole = geometry_of(shapely.MultiPolygon([_land(corners, blocks)]))
    return Plan(
        _heading(year),
        boundary=whole,
        schools=schools,
        catchments=catchments,
        past=[one for school in schools for one in _past(school, year, rng)],
        addresses=[one for block in blocks for one in _addresses(corners, block)],
    )


def _heading(year: int) -> Heading:
    calendar = Calendar(date(year, 4, 1), date(year, 6, 1), date(year, 6, 10), date(year, 7, 1), date(year, 9, 1))
    source = "虚构数据，仅供试用 Synthetic data, for trial use only"
    return Heading(DISTRICT, CODE, year, source, "WGS84", "general_batch", calendar, synthetic=True)


_PRIVATE: tuple[Stage, ...] = ("primary", "primary", "junior", "junior")


def _corners(rng: Random) -> Points:
    """Return the street crossings, in degrees, by column and row."""
    crossings = np.empty((COLUMNS + 1, ROWS + 1, 2))
    for column in range(COLUMNS + 1):
        for row in range(ROWS + 1):
            offset = [rng.uniform(-_DISTORTION_METRES, _DISTORTION_METRES) for _ in range(2)]
            crossings[column, row] = _CORNER + (np.array([column, row]) * _BLOCK_METRES + offset) * _DEGREES
    return crossings


def _ring(corners: Points, block: _Block) -> Points:
    """Return the corners of a block: south-west, south-east, north-east, north-west."""
    column, row = block
    return corners[[column, column + 1, column + 1, column], [row, row, row + 1, row + 1]]


def _land(corners: Points, blocks: list[_Block]) -> shapely.Polygon:
    land = shapely.union_all([shapely.Polygon(_ring(corners, block)) for block in blocks])
    assert isinstance(land, shapely.Polygon), "blocks of one catchment are adjacent"
    return land


def _first_blocks(owner: dict[_Block, str]) -> dict[str, _Block]:
    return {school: block for block, school in reversed(owner.items())}


def _school(name: str, stage: Stage, land: shapely.Polygon, rng: Random) -> School:
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
        seats=rng.choice((80, 120, 160, 200)) * (1 if stage == "primary" else 2),
    )


def _private(name: str, stage: Stage, neighbour: School, rng: Random) -> School:
    kind = "实验小学" if stage == "primary" else "外国语中学"
    return School(
        id=name,
        name=f"云城{'甲乙丙丁'[int(name[1:])]}{kind}（民办）",
        stage=stage,
        kind="private",
        longitude=neighbour.longitude + 0.001,
        latitude=neighbour.latitude,
        address=DISTRICT,
        seats=rng.choice((60, 90)),
    )


def _catchment(name: str, school: str, corners: Points, blocks: list[_Block]) -> Catchment:
    ranges = [one for block in blocks for one in _ranges(block)]
    return Catchment(name, school, ranges, geometry_of(shapely.MultiPolygon([_land(corners, blocks)])))


def _with_double_districts(catchments: list[Catchment], owner: dict[_Block, str], corners: Points) -> list[Catchment]:
    """Add to five blocks of the middle row the school of their eastern neighbour."""
    added = list[Catchment]()
    shared = {f"Z-{owner[column, 2]}-{column}2": (column, 2) for column in range(0, 2 * DOUBLE_DISTRICTS, 2)}
    names = dict(zip(shared, (f"D{number}" for number in range(1, DOUBLE_DISTRICTS + 1)), strict=True))
    for name, (column, row) in shared.items():
        school = owner[column + 1, row]
        catchment = _catchment(f"Z-{school}-{column}{row}", school, corners, [(column, row)])
        added.append(replace(catchment, double_district=names[name]))
    changed = [replace(one, double_district=names.get(one.id, one.double_district)) for one in catchments]
    return [*changed, *added]


def _ranges(block: _Block) -> list[AddressRange]:
    """Return the four sides of a block and its community; odd numbers are north and east of a street."""
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
    """Return the houses of a block, slightly inside the streets, and the buildings of its community."""
    south, north, west, east, _ = _ranges(block)
    south_west, south_east, north_east, north_west = _ring(corners, block)
    sides = (
        (south, south_west, south_east),
        (north, north_west, north_east),
        (west, south_west, north_west),
        (east, south_east, north_east),
    )
    middle = _ring(corners, block).mean(axis=0)
    points = list[AddressPoint]()
    for side, start, end in sides:
        first = (side.first_number or 1) + (side.parity == "even")
        for house in range(HOUSES):
            on_street = start + (end - start) * (house + 0.5) / HOUSES
            at = on_street + (middle - on_street) * _SETBACK
            points.append(AddressPoint(f"{DISTRICT}{side.road}{first + 2 * house}号", float(at[0]), float(at[1])))
    for building in range(1, BUILDINGS + 1):
        at = middle + (north_east - south_west) * (building - BUILDINGS / 2) * 0.02
        points.append(AddressPoint(f"{DISTRICT}{_community(block)}{building}幢", float(at[0]), float(at[1])))
    return points


def _past(school: School, year: int, rng: Random) -> list[PastBatch]:
    """Return synthetic past admissions: batches are admitted in order until there are no places left."""
    batches = list[PastBatch]()
    for past in range(year - PAST_YEARS, year):
        free = school.seats
        for batch in range(1, 1 + (1 if school.kind == "private" else BATCHES)):
            share = rng.uniform(0.8, 2.0) if school.kind == "private" else rng.uniform(0.02, 0.7 - batch / 10)
            applied = round(school.seats * share)
            admitted = min(applied, free)
            free -= admitted
            batches.append(PastBatch(school.id, past, batch, applied, admitted))
    return batches
