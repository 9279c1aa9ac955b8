"""The coordinate systems of Chinese maps: WGS 84, GCJ-02 (required by law for maps) and BD-09 (Baidu's).

The city stores WGS 84. GCJ-02 is WGS 84 with an offset of some hundred metres that changes from place to place; BD-09
adds a second offset. Neither has a published standard: the formulas are those that all map software shares, [W].
Points are longitude and latitude in degrees, in arrays of the shape (n, 2).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
CoordinateSystem = Literal["WGS84", "GCJ02", "BD09"]

_SEMI_MAJOR_METRES = 6_378_245.0
_ECCENTRICITY_SQUARED = 0.00669342162296594323
"""The Krasovsky ellipsoid, with which GCJ-02 converts its offset from metres to degrees."""

_BD09_TURN = np.pi * 3_000 / 180
_BD09_SHIFT = np.array([0.0065, 0.006])
_MAX_ITERATIONS, _TOLERANCE_DEGREES = 12, 1e-13
"""Each iteration of the inverse gains at least three digits."""

METRES_PER_DEGREE = 111_320.0
"""For latitude; for longitude, multiply by the cosine of the latitude."""


def to_wgs84(points: Points, system: CoordinateSystem) -> Points:
    """Convert points from a coordinate system to WGS 84, within a millimetre."""
    if system == "BD09":
        points = _inverse(_gcj02_to_bd09, points)
    return points if system == "WGS84" else _inverse(_wgs84_to_gcj02, points)


def from_wgs84(points: Points, system: CoordinateSystem) -> Points:
    """Convert points from WGS 84 to another coordinate system."""
    if system == "WGS84":
        return points
    gcj02 = _wgs84_to_gcj02(points)
    return _gcj02_to_bd09(gcj02) if system == "BD09" else gcj02


def metres(points: Points, latitude: float) -> Points:
    """Project points onto a plane in metres, true to scale near a latitude."""
    return points * np.array([METRES_PER_DEGREE * np.cos(np.radians(latitude)), METRES_PER_DEGREE])


def is_in_china(longitude: float, latitude: float) -> bool:
    """Return whether a position may be in China, roughly: 73 to 136 degrees east, 3 to 54 north."""
    return 73 <= longitude <= 136 and 3 <= latitude <= 54  # noqa: PLR2004  the bounds of the country


def _inverse(forward: Callable[[Points], Points], points: Points) -> Points:
    found = points
    for _ in range(_MAX_ITERATIONS):
        error = points - forward(found)
        found = found + error
        if np.abs(error).max(initial=0.0) < _TOLERANCE_DEGREES:
            break
    return found


def _wgs84_to_gcj02(points: Points) -> Points:
    longitude, latitude = points[:, 0], points[:, 1]
    x, y = longitude - 105.0, latitude - 35.0
    common = (20 * np.sin(6 * np.pi * x) + 20 * np.sin(2 * np.pi * x)) * 2 / 3
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * np.sqrt(np.abs(x)) + common
    north = north + (20 * np.sin(np.pi * y) + 40 * np.sin(np.pi * y / 3)) * 2 / 3
    north = north + (160 * np.sin(np.pi * y / 12) + 320 * np.sin(np.pi * y / 30)) * 2 / 3
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * np.sqrt(np.abs(x)) + common
    east = east + (20 * np.sin(np.pi * x) + 40 * np.sin(np.pi * x / 3)) * 2 / 3
    east = east + (150 * np.sin(np.pi * x / 12) + 300 * np.sin(np.pi * x / 30)) * 2 / 3
    radians = np.radians(latitude)
    magic = 1 - _ECCENTRICITY_SQUARED * np.sin(radians) ** 2
    meridian = _SEMI_MAJOR_METRES * (1 - _ECCENTRICITY_SQUARED) / (magic * np.sqrt(magic))
    parallel = _SEMI_MAJOR_METRES / np.sqrt(magic) * np.cos(radians)
    return points + np.degrees(np.column_stack([east / parallel, north / meridian]))


def _gcj02_to_bd09(points: Points) -> Points:
    x, y = points[:, 0], points[:, 1]
    distance = np.hypot(x, y) + 0.00002 * np.sin(y * _BD09_TURN)
    angle = np.arctan2(y, x) + 0.000003 * np.cos(x * _BD09_TURN)
    return np.column_stack([distance * np.cos(angle), distance * np.sin(angle)]) + _BD09_SHIFT
