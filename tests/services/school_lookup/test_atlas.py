"""The catchments of a point are those of shapely's plain `covers`."""

import numpy as np
import pytest
import shapely

from backend.services.school_lookup.addresses import parse_address
from backend.services.school_lookup.atlas import Atlas, pairs_of
from backend.services.school_lookup.plan import Catchment, Stage, shape_of
from backend.services.school_lookup.synthetic_district import synthetic_plan
from tests.services.school_lookup.scene import CATCHMENTS, EAST, NORTH, WEST

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(20181001)
PRIMARY = [catchment for catchment in CATCHMENTS if catchment.id != "all"]


def catchments_of(stage: Stage) -> list[Catchment]:
    plan = synthetic_plan(2026)
    stages = {school.id: school.stage for school in plan.schools}
    return [catchment for catchment in plan.catchments if stages[catchment.school] == stage]


def points_on(shapes: np.ndarray, count: int) -> np.ndarray:
    """Return random points in and around the shapes: anywhere, on corners, on edges, and very close to edges."""
    west, south, east, north = shapely.total_bounds(shapes)
    anywhere = RANDOM.uniform([west - 0.01, south - 0.01], [east + 0.01, north + 0.01], (count // 2, 2))
    corners = shapely.get_coordinates(shapes)
    begins, ends = corners[:-1], corners[1:]
    chosen = RANDOM.integers(0, len(begins), count // 4)
    share = RANDOM.choice([0.0, 0.25, 0.5, 1.0], (len(chosen), 1))
    on_edges = begins[chosen] + (ends[chosen] - begins[chosen]) * share
    near = on_edges + RANDOM.choice([-1e-13, 0, 1e-13], on_edges.shape)
    return np.concatenate([anywhere, on_edges, near])


def test_a_hundred_thousand_points_agree_with_plain_covers_boundaries_included() -> None:
    asked = 0
    for stage in ("primary", "junior"):
        catchments = catchments_of(stage)
        shapes = np.array([shape_of(catchment.geometry) for catchment in catchments])
        points = points_on(shapes, 60_000)
        drawn = shapely.points(points)
        expected = [
            (at, catchment)
            for catchment, shape in enumerate(shapes)
            for at in np.flatnonzero(shapely.covers(shape, drawn))
        ]
        atlas = Atlas(catchments)
        assert pairs_of(atlas.covering(points)) == sorted(expected)
        one_by_one = [
            (at, catchment) for at, point in enumerate(points.tolist()) for catchment in atlas.at_point(point, 30)[0]
        ]
        assert one_by_one == sorted(expected)
        asked += len(points)
    assert asked >= 100_000


def test_a_point_on_a_common_corner_is_in_all_catchments_there() -> None:
    corner = np.array([[120.11, 30.31]])
    assert [PRIMARY[catchment].id for _, catchment in pairs_of(Atlas(PRIMARY).covering(corner))] == [
        "west",
        "east",
        "north-1",
        "north-2",
    ]


def test_a_point_outside_is_in_no_catchment() -> None:
    assert pairs_of(Atlas(PRIMARY).covering(np.array([[120.2, 30.2]]))) == []


def test_a_double_district_gives_two_catchments_and_others_one() -> None:
    atlas = Atlas(PRIMARY)
    found = pairs_of(atlas.covering(np.array([WEST, EAST, NORTH])))
    assert [(at, atlas.catchments[catchment].id) for at, catchment in found] == [
        (0, "west"),
        (1, "east"),
        (2, "north-1"),
        (2, "north-2"),
    ]


def test_the_distance_to_a_boundary_is_reported_in_metres_on_either_side() -> None:
    degree = 111_320 * np.cos(np.radians(30.31))
    near = (120.11 + 10 / degree, 30.305)
    atlas = Atlas(PRIMARY)
    away = {atlas.catchments[catchment].id: metres for catchment, metres in atlas.at_point(near, 30)[1].items()}
    assert {name: round(metres) for name, metres in away.items()} == {"west": 10, "east": 10}
    assert atlas.at_point(near, 5)[1] == {}


def test_boundaries_near_a_point_are_the_same_for_one_point_and_for_many() -> None:
    catchments = catchments_of("primary")
    atlas = Atlas(catchments)
    points = points_on(np.array([shape_of(catchment.geometry) for catchment in catchments]), 4_000)
    one_by_one = [
        (at, catchment)
        for at, point in enumerate(points.tolist())
        for catchment in sorted(atlas.at_point(point, 30)[1])
    ]
    assert pairs_of(atlas.near(points, 30)) == one_by_one


def test_the_ranges_of_catchments_are_found_by_road_and_by_community() -> None:
    atlas = Atlas(PRIMARY)
    found = {
        text: [(one.catchment.id, one.match) for one in atlas.at_address(parse_address(text))]
        for text in ("和平路7号", "和平路", "桃花苑6幢", "双桥街3号", "不存在路1号")
    }
    assert found == {
        "和平路7号": [("west", "yes")],
        "和平路": [("east", "maybe"), ("west", "maybe")],
        "桃花苑6幢": [("east", "yes")],
        "双桥街3号": [("north-1", "yes"), ("north-2", "yes")],
        "不存在路1号": [],
    }
    assert atlas.is_known(parse_address("和平路999号"))
    assert not atlas.is_known(parse_address("不存在路1号"))


def test_a_larger_catchment_never_loses_a_point() -> None:
    catchments = catchments_of("primary")
    larger = [
        Catchment(one.id, one.school, one.address_ranges, one.geometry if number else _grown(one), one.double_district)
        for number, one in enumerate(catchments)
    ]
    points = points_on(np.array([shape_of(catchments[0].geometry)]), 4_000)
    before, after = set(pairs_of(Atlas(catchments).covering(points))), set(pairs_of(Atlas(larger).covering(points)))
    assert before <= after
    assert before != after


def _grown(catchment: Catchment) -> object:
    from backend.services.school_lookup.plan import geometry_of

    return geometry_of(shapely.MultiPolygon([shapely.buffer(shape_of(catchment.geometry).geoms[0], 0.002)]))
