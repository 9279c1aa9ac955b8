"""A district that is easy to draw: two squares in the south, and one above both that has two schools.

    30.32 ┌───────────────────┐
          │ 双桥街: S1 and S2 │        catchments of primary schools; the junior school S3 has all of it,
    30.31 ├─────────┬─────────┤        and X1 is private
          │ west:   │ east:   │
          │ S1      │ S2      │
    30.30 └─────────┴─────────┘
       120.10    120.11    120.12

In the west are the odd numbers of 和平路 and the buildings 1 to 5 of 桃花苑, in the east the even ones and 6 to 10.
Application begins on 1 June 2018, by the batches of Gongshu; a child of six was born on 10 March 2012.
"""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from msgspec.structs import replace

from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.coordinates import CoordinateSystem, from_wgs84
from backend.services.school_lookup.plan import (
    AddressPoint,
    Calendar,
    Catchment,
    Heading,
    MultiPolygon,
    PastBatch,
    Plan,
    School,
)

SPRING = datetime(2018, 5, 2, 4, 0, tzinfo=UTC)
WEST, EAST, NORTH = (120.105, 30.305), (120.115, 30.305), (120.11, 30.315)


def square(west: float, south: float, east: float, north: float) -> MultiPolygon:
    """Return the area between these degrees."""
    return MultiPolygon([[[[west, south], [east, south], [east, north], [west, north], [west, south]]]])


def school(name: str, at: tuple[float, float], seats: int, **more: object) -> School:
    return School(
        name,
        f"试验{name}学校",
        stage=more.get("stage", "primary"),
        kind=more.get("kind", "public"),
        longitude=at[0],
        latitude=at[1],
        address="试验区",
        seats=seats,
    )


HEADING = Heading(
    "试验区",
    "990002",
    2018,
    "a test's own",
    "WGS84",
    "gongshu_batch",
    Calendar(date(2018, 4, 1), date(2018, 6, 1), date(2018, 6, 10), date(2018, 7, 1), date(2018, 9, 1)),
    city_districts=("西湖区",),
)
SCHOOLS = [
    school("S1", WEST, 60),
    school("S2", EAST, 100),
    school("S3", NORTH, 200, stage="junior"),
    school("X1", NORTH, 30, kind="private"),
]
ODD = AddressRange(road="和平路", first_number=1, last_number=99, parity="odd")
EVEN = AddressRange(road="和平路", first_number=2, last_number=98, parity="even")
BRIDGE = AddressRange(road="双桥街")
CATCHMENTS = [
    Catchment(
        "west",
        "S1",
        [ODD, AddressRange(community="桃花苑", first_building=1, last_building=5)],
        square(120.10, 30.30, 120.11, 30.31),
    ),
    Catchment(
        "east",
        "S2",
        [EVEN, AddressRange(community="桃花苑", first_building=6, last_building=10)],
        square(120.11, 30.30, 120.12, 30.31),
    ),
    Catchment("north-1", "S1", [BRIDGE], square(120.10, 30.31, 120.12, 30.32), "D"),
    Catchment("north-2", "S2", [BRIDGE], square(120.10, 30.31, 120.12, 30.32), "D"),
    Catchment(
        "all",
        "S3",
        [AddressRange(road="和平路"), AddressRange(community="桃花苑"), BRIDGE],
        square(120.10, 30.30, 120.12, 30.32),
    ),
]
PAST = [
    PastBatch("S1", 2016, 1, 40, 40),
    PastBatch("S1", 2016, 2, 40, 20),
    PastBatch("S1", 2017, 1, 50, 50),
    PastBatch("S1", 2017, 2, 20, 10),
    PastBatch("S2", 2017, 1, 91, 91),
    PastBatch("X1", 2017, 1, 60, 30),
]
ADDRESSES = [
    AddressPoint("试验区和平路7号", *WEST),
    AddressPoint("试验区和平路8号", *EAST),
    AddressPoint("试验区双桥街1号", *NORTH),
    AddressPoint("试验区桃花苑3幢", *WEST),
]
PLAN = Plan(HEADING, square(120.10, 30.30, 120.12, 30.32), SCHOOLS, CATCHMENTS, PAST, ADDRESSES)


def catchment(name: str) -> Catchment:
    """Return one of the catchments."""
    return next(one for one in CATCHMENTS if one.id == name)


def plan_with(*catchments: Catchment, **changes: object) -> Plan:
    """Return the plan with these catchments instead of those with the same ids, and with other changes."""
    changed = {one.id: one for one in catchments}
    return replace(PLAN, catchments=[changed.get(one.id, one) for one in CATCHMENTS], **changes)


# ── a family ──

HOME = "试验区和平路7号"


def a_child(**more: object) -> dict[str, Any]:
    """Return a child of six, registered since birth."""
    return {"born_on": "2012-03-10", "registered_since": "2012-03-20", **more}


def a_family(*children: dict[str, Any], **more: object) -> dict[str, Any]:
    """Return a family that owns the home in which all of it is registered, in the west."""
    return {
        "children": list(children or (a_child(),)),
        "registration": {"address": HOME},
        "homes": [{"address": HOME, "parents_percent": 100}],
        **more,
    }


def point(at: tuple[float, float], system: CoordinateSystem = "WGS84") -> dict[str, Any]:
    """Return a home at a point, as it is entered in a coordinate system."""
    longitude, latitude = from_wgs84(np.array([at]), system)[0].tolist()
    return {"point": {"longitude": longitude, "latitude": latitude, "coordinates": system}}


def schools(child: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    """Return the schools of a child, each with the way of admission and the batch."""
    return [(one["school"]["id"], one["admission"], one["batch"]) for one in child["schools"]]


def only(answer: Any) -> dict[str, Any]:  # noqa: ANN401  an answer of httpx
    """Return the result of the only child."""
    assert answer.status_code == 200, answer.text
    (child,) = answer.json()["children"]
    return child


def problem(answer: Any) -> tuple[int, str, list[str]]:  # noqa: ANN401  likewise
    """Return status, type and pointers of an answer that is a Problem."""
    body = answer.json()
    return answer.status_code, body["type"], [error["pointer"] for error in body.get("errors", [])]
