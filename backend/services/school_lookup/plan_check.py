"""Check a plan before it is imported. Every fault names its feature; a single fault rejects the whole plan.

Deviations up to the width of a drawn line are not faults: `SLIVER_METRES`, an assumption [A].
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, cast

import shapely
from msgspec import Struct

from backend.i18n import Text
from backend.services.school_lookup.addresses import Address, parse_address, parse_place
from backend.services.school_lookup.atlas import Atlas, pairs_of
from backend.services.school_lookup.coordinates import CoordinateSystem, is_in_china, metres
from backend.services.school_lookup.facts import STAGES, Stage
from backend.services.school_lookup.geocoding import matches_of, unread
from backend.services.school_lookup.plan import (
    AddressPoint,
    Catchment,
    Plan,
    School,
    plan_to_wgs84,
    points_of,
    shape_of,
)

FaultKind = Literal[
    "duplicate",
    "invalid_geometry",
    "overlap",
    "gap",
    "no_school",
    "no_catchment",
    "outside",
    "contradiction",
    "no_range",
    "reversed_range",
    "empty_range",
    "unreadable_address",
    "coordinates",
    "past",
    "calendar",
    "unreadable",
]
SLIVER_METRES = 2.0
"""An overlap or a gap that is nowhere wider than twice this comes from drawing by hand, and is not a fault."""

MAX_MISFIT = 0.02
"""If more than this share of a plan does not fit, other coordinate systems are tried, an assumption [A]."""

MIN_IMPROVEMENT = 3
"""Another coordinate system is suspected if it reduces the misfit by this factor, an assumption [A]."""

_OTHER_SYSTEMS: tuple[CoordinateSystem, ...] = ("GCJ02", "BD09")
_STAGE_NAMES: dict[Stage, str] = {"primary": "小学", "junior": "初中"}
_GEOMETRY_ERRORS = {
    "Self-intersection": "边线自相交",
    "Ring Self-intersection": "边线自相交",
    "Hole lies outside shell": "内环在外环之外",
    "Holes are nested": "内环互相嵌套",
    "Interior is disconnected": "内部不连通",
    "Nested shells": "外环互相嵌套",
    "Duplicate Rings": "环重复",
    "Too few points in geometry component": "顶点太少",
    "Invalid Coordinate": "坐标无效",
}
"""The reasons of GEOS in Chinese."""


class Fault(Struct, frozen=True, order=True):
    """A fault of one feature (`catchment:Z12`, `school:S3`, `address:17`, `plan`), with a description."""

    feature: str
    kind: FaultKind
    text: Text


def faults_of(plan: Plan, known: shapely.MultiPolygon | None = None) -> list[Fault]:
    """Check a plan in WGS 84 against itself and the boundary of its district; an empty list means no faults.

    `known` is the district's boundary from another source, such as the previous plan. Only a comparison with it shows
    that a whole plan is in an undeclared coordinate system.
    """
    checks: tuple[Callable[[Plan], Iterator[Fault]], ...] = (
        _calendar,
        _duplicates,
        _geometries,
        _schools,
        _ranges,
        _past,
    )
    found = [fault for check in checks for fault in check(plan)]
    if any(fault.kind == "invalid_geometry" for fault in found):
        return found  # an invalid shape cannot be compared with others
    suspected = _undeclared_system(plan, known)
    if suspected is not None:
        return [*found, suspected]
    for stage in STAGES:
        catchments = [catchment for catchment, school in _with_schools(plan) if school.stage == stage]
        if catchments:
            found.extend(_overlaps(catchments))
            found.extend(_gaps(plan, catchments, stage))
            found.extend(_contradictions(plan, catchments, stage))
    return list(dict.fromkeys(found))  # an unreadable address is one in either stage


def _calendar(plan: Plan) -> Iterator[Fault]:
    calendar, year = plan.heading.calendar, plan.heading.year
    if not calendar.is_in_order():
        text = Text(
            zh="日程先后有误，应依次为：公布、报名开始、报名截止、录取、开学",
            en="The dates are in the wrong order: publication, first and last day of application, admission, school",
        )
        yield Fault("plan", "calendar", text)
    if calendar.school_begins.year != year:
        yield Fault("plan", "calendar", Text(zh=f"开学日期应在{year}年内", en=f"School must begin in {year}"))


def _duplicates(plan: Plan) -> Iterator[Fault]:
    for kind, ids in (("school", [one.id for one in plan.schools]), ("catchment", [one.id for one in plan.catchments])):
        for name, times in Counter(ids).items():
            if times > 1:
                text = Text(zh=f"编号重复，出现了{times}次", en=f"This id occurs {times} times")
                yield Fault(f"{kind}:{name}", "duplicate", text)


def _geometries(plan: Plan) -> Iterator[Fault]:
    geometries = [(f"catchment:{one.id}", one.geometry) for one in plan.catchments]
    for feature, geometry in [("boundary", plan.boundary), *geometries]:
        try:
            shape = shape_of(geometry)
        except (ValueError, shapely.errors.GEOSException) as error:
            text = Text(zh="图形不是多边形，请修正后再导入", en=f"This geometry is not a polygon: {error}")
            yield Fault(feature, "invalid_geometry", text)
            continue
        if shape.is_empty:
            text = Text(zh="图形为空，请修正后再导入", en="This polygon is empty")
            yield Fault(feature, "invalid_geometry", text)
        elif not shape.is_valid:
            yield Fault(feature, "invalid_geometry", _invalid(shapely.is_valid_reason(shape)))
        elif not _in_china(shape):
            text = Text(
                zh="坐标应为中国境内的经纬度，经度在前、纬度在后",
                en="Positions must be longitude, then latitude, in degrees, within China",
            )
            yield Fault(feature, "invalid_geometry", text)


def _invalid(reason: str) -> Text:
    """Describe why a polygon is invalid, from a reason of GEOS such as `Self-intersection[120.105 30.305]`."""
    error, _, position = reason.partition("[")
    chinese = _GEOMETRY_ERRORS.get(error, "多边形自相交等")
    place = f"，位置：{position.removesuffix(']').replace(' ', '，')}" if position else ""
    return Text(zh=f"图形无效（{chinese}{place}），请修正后再导入", en=f"This polygon is not valid: {reason}")


def _in_china(shape: shapely.MultiPolygon) -> bool:
    west, south, east, north = shape.bounds
    return is_in_china(west, south) and is_in_china(east, north)


def _schools(plan: Plan) -> Iterator[Fault]:
    schools = {school.id: school for school in plan.schools}
    with_catchment = {catchment.school for catchment in plan.catchments}
    for catchment in plan.catchments:
        if catchment.school not in schools:
            text = Text(zh=f"学校{catchment.school}不存在", en=f"There is no school {catchment.school}")
            yield Fault(f"catchment:{catchment.id}", "no_school", text)
        if not catchment.address_ranges:
            text = Text(zh="学区没有地址范围", en="A catchment must have address ranges; this one has none")
            yield Fault(f"catchment:{catchment.id}", "no_catchment", text)
    for school in plan.schools:
        if school.kind == "public" and school.id not in with_catchment:
            text = Text(zh="公办学校没有学区", en="A public school must have a catchment; this one has none")
            yield Fault(f"school:{school.id}", "no_catchment", text)


def _ranges(plan: Plan) -> Iterator[Fault]:
    for catchment in plan.catchments:
        for one in catchment.address_ranges:
            name = one.community or one.road
            for first, last, chinese, english in (
                (one.first_number, one.last_number, "号", "number"),
                (one.first_building, one.last_building, "幢", "building"),
            ):
                if first is not None and last is not None and first > last:
                    text = Text(
                        zh=f"{name or ''}的地址范围首尾颠倒：从{first}{chinese}到{last}{chinese}",
                        en=f"A range of {name} is reversed: from {english} {first} to {english} {last}",
                    )
                    yield Fault(f"catchment:{catchment.id}", "reversed_range", text)
            if name is None:
                text = Text(zh="地址范围没有写明道路或小区", en="A range names neither a road nor a community")
                yield Fault(f"catchment:{catchment.id}", "empty_range", text)
            elif one.first_number is not None and one.first_number == one.last_number and not one.has_number():
                text = Text(
                    zh=f"{name}的地址范围没有门牌号：{one.first_number}号与单双号不符",
                    en=f"A range of {name} has no door number: {one.first_number} is not {one.parity}",
                )
                yield Fault(f"catchment:{catchment.id}", "empty_range", text)


def _past(plan: Plan) -> Iterator[Fault]:
    schools = {school.id for school in plan.schools}
    for row, one in enumerate(plan.past, 1):
        if one.school not in schools:
            text = Text(zh=f"学校{one.school}不存在", en=f"There is no school {one.school}")
            yield Fault(f"past:{row}", "past", text)
        if one.admitted > one.applied:
            text = Text(zh="录取人数多于报名人数", en="More children were admitted than applied")
            yield Fault(f"past:{row}", "past", text)
        if one.year >= plan.heading.year:
            text = Text(
                zh="年份应早于招生年份", en=f"The year must be before {plan.heading.year}, the year of the plan"
            )
            yield Fault(f"past:{row}", "past", text)


def _with_schools(plan: Plan) -> list[tuple[Catchment, School]]:
    schools = {school.id: school for school in plan.schools}
    return [(catchment, schools[catchment.school]) for catchment in plan.catchments if catchment.school in schools]


# ── the map against itself ──


def _overlaps(catchments: Sequence[Catchment]) -> Iterator[Fault]:
    shapes = _on_plane([shape_of(catchment.geometry) for catchment in catchments])
    tree = shapely.STRtree(shapes)
    for one, other in pairs_of(tree.query(shapes, predicate="intersects")):
        if one >= other:
            continue
        declared = catchments[one].double_district
        if declared is not None and declared == catchments[other].double_district:
            continue
        shared = shapely.intersection(shapes[one], shapes[other])
        if _is_wide(shared):
            area, name = f"{shared.area:,.0f}", catchments[other].id
            text = Text(
                zh=f"与学区{name}重叠{area}平方米，且未声明为双学区",
                en=f"It overlaps catchment {name} by {area} m2, and the two are not a declared double district",
            )
            yield Fault(f"catchment:{catchments[one].id}", "overlap", text)


def _gaps(plan: Plan, catchments: Sequence[Catchment], stage: Stage) -> Iterator[Fault]:
    shapes = _on_plane([shape_of(plan.boundary), *(shape_of(catchment.geometry) for catchment in catchments)])
    uncovered = shapely.difference(shapes[0], shapely.union_all(shapes[1:]))
    pairs = list(zip(catchments, shapes[1:], strict=True))
    for gap in cast("list[shapely.Polygon]", shapely.get_parts(uncovered).tolist()):
        if not _is_wide(gap):
            continue
        adjacent = sorted(one.id for one, shape in pairs if shape.distance(gap) < SLIVER_METRES)[:4]
        area = f"{gap.area:,.0f}"
        text = Text(
            zh=f"{_STAGE_NAMES[stage]}学段有{area}平方米不属于任何学区，邻近学区：{'、'.join(adjacent) or '无'}",
            en=f"{area} m2 next to {', '.join(adjacent) or 'no catchment'} are in no catchment of the stage {stage}",
        )
        yield Fault("boundary", "gap", text)
    for catchment, shape in pairs:
        if _is_wide(shapely.difference(shape, shapes[0])):
            text = Text(zh="学区超出区界", en="It extends beyond the boundary of the district")
            yield Fault(f"catchment:{catchment.id}", "outside", text)


def _on_plane(shapes: Sequence[shapely.MultiPolygon]) -> list[shapely.MultiPolygon]:
    latitude = shapes[0].centroid.y
    return [shapely.transform(shape, lambda corners: metres(corners, latitude)) for shape in shapes]


def _is_wide(shape: shapely.Geometry) -> bool:
    return not shapely.buffer(shape, -SLIVER_METRES).is_empty


# ── the address ranges against the map ──


def _contradictions(plan: Plan, catchments: Sequence[Catchment], stage: Stage) -> Iterator[Fault]:
    atlas, points = Atlas(catchments), points_of(plan.addresses)
    covered = defaultdict[int, set[str]](set)
    for row, number in [*pairs_of(atlas.covering(points)), *pairs_of(atlas.near(points, SLIVER_METRES))]:
        covered[row].add(catchments[number].id)
    for row, one in enumerate(plan.addresses):
        feature = f"address:{row + 1}"
        address, surroundings = parse_place(one.address, plan.heading.districts)
        if address.is_empty:
            text = Text(zh="地址无法识别，应写明道路或小区", en="This address names neither a road nor a community")
            yield Fault(feature, "unreadable_address", text)
            continue
        matches = matches_of(atlas, address, surroundings)
        if not matches:
            yield _without_range(feature, one.address, unread(address, [atlas]), stage)
        for found in matches:
            if found.match == "yes" and found.catchment.id not in covered[row]:
                yield Fault(feature, "contradiction", _contradiction(found.catchment, covered[row]))


def _without_range(feature: str, address: str, not_understood: str, stage: Stage) -> Fault:
    if not_understood:
        text = Text(
            zh=f"地址“{address}”中的“{not_understood}”无法识别",
            en=f"The part “{not_understood}” of the address “{address}” is not understood",
        )
        return Fault(feature, "unreadable_address", text)
    text = Text(
        zh=f"{_STAGE_NAMES[stage]}学段没有学区的地址范围包含“{address}”",
        en=f"No address range of the stage {stage} contains “{address}”",
    )
    return Fault(feature, "no_range", text)


def _contradiction(catchment: Catchment, on_map: set[str]) -> Text:
    names = sorted(on_map)
    chinese = f"位于学区{'、'.join(names)}" if names else "不在任何学区内"
    return Text(
        zh=f"学区{catchment.id}的地址范围包含此地址，但地图上{chinese}",
        en=(
            f"The ranges of catchment {catchment.id} contain this address, but on the map it is in "
            f"{', '.join(names) or 'no catchment'}"
        ),
    )


# ── the coordinate system ──


def _undeclared_system(plan: Plan, known: shapely.MultiPolygon | None) -> Fault | None:
    """Return a fault if the plan, or one half of it, fits much better in another coordinate system."""
    comparisons: list[tuple[str, str, Callable[[CoordinateSystem], float]]] = []
    if known is not None:
        comparisons.append(
            ("边界", "boundary", lambda system: _similarity(shape_of(plan_to_wgs84(plan, system).boundary), known))
        )
    if plan.addresses:
        parsed = [(one, parse_address(one.address, plan.heading.districts)) for one in plan.addresses]
        comparisons.append(
            ("学区图", "catchments", lambda system: _agreement(plan_to_wgs84(plan, system), plan, parsed))
        )
        comparisons.append(
            ("地址点", "addresses", lambda system: _agreement(plan, plan_to_wgs84(plan, system), parsed))
        )
    for chinese, english, fit in comparisons:
        misfit = 1 - fit("WGS84")
        if misfit <= MAX_MISFIT:
            continue
        others = {system: 1 - fit(system) for system in _OTHER_SYSTEMS}
        best = min(others, key=lambda system: others[system])
        if others[best] * MIN_IMPROVEMENT < misfit:
            declared, converted = f"{1 - misfit:.0%}", f"{1 - others[best]:.0%}"
            text = Text(
                zh=f"{chinese}的坐标疑似{best}，与声明不符：按声明吻合{declared}，按{best}吻合{converted}",
                en=(
                    f"The coordinates of the {english} look like {best}, which is not declared: {declared} fit as "
                    f"declared, {converted} fit as {best}"
                ),
            )
            return Fault("plan", "coordinates", text)
    return None


def _similarity(one: shapely.MultiPolygon, other: shapely.MultiPolygon) -> float:
    """Return the area of the intersection as a share of the union."""
    union = shapely.union(one, other).area
    return shapely.intersection(one, other).area / union if union else 0.0


def _agreement(map_: Plan, addresses: Plan, parsed: list[tuple[AddressPoint, Address]]) -> float:
    """Return the share of addresses that are in the catchment of their range, among those that are in some range."""
    atlas = Atlas(map_.catchments)
    covered = set(pairs_of(atlas.covering(points_of(addresses.addresses))))
    numbers = {catchment.id: number for number, catchment in enumerate(atlas.catchments)}
    certain = [
        (row, numbers[found.catchment.id])
        for row, (_, address) in enumerate(parsed)
        for found in atlas.at_address(address)
        if found.match == "yes"
    ]
    return sum(pair in covered for pair in certain) / len(certain) if certain else 1.0
