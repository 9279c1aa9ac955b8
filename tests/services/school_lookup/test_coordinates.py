"""The coordinate systems of Chinese maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.school_lookup.coordinates import CoordinateSystem, from_wgs84, metres, to_wgs84

IN_CHINA = st.tuples(st.floats(74, 135), st.floats(18, 53))


def away_metres(one: np.ndarray, other: np.ndarray) -> float:
    latitude = float(one[0, 1])
    return float(np.hypot(*(metres(one, latitude) - metres(other, latitude))[0]))


def test_a_point_near_beijing_is_converted_like_the_published_example() -> None:
    """The published example of the common formula: 120 E, 40 N becomes 120.00567568355486, 40.0013047896019."""
    (moved,) = from_wgs84(np.array([[120.0, 40.0]]), "GCJ02")
    assert moved == pytest.approx([120.00567568355486, 40.0013047896019], abs=1e-12)


@pytest.mark.parametrize("system", ["GCJ02", "BD09"])
@given(at=IN_CHINA)
def test_converting_there_and_back_changes_nothing(system: CoordinateSystem, at: tuple[float, float]) -> None:
    point = np.array([at])
    assert away_metres(point, to_wgs84(from_wgs84(point, system), system)) < 0.001
    assert away_metres(point, from_wgs84(to_wgs84(point, system), system)) < 0.001


@given(at=IN_CHINA)
def test_gcj02_is_up_to_a_kilometre_away_and_bd09_further(at: tuple[float, float]) -> None:
    point = np.array([at])
    assert away_metres(point, from_wgs84(point, "GCJ02")) < 1_500
    assert away_metres(from_wgs84(point, "GCJ02"), from_wgs84(point, "BD09")) > 500


def test_wgs84_is_not_changed() -> None:
    point = np.array([[120.1, 30.2]])
    assert to_wgs84(point, "WGS84") is from_wgs84(point, "WGS84") is point
