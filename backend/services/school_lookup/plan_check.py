"""What is wrong with a plan before it is taken in: every fault names its feature, and one is enough to refuse it all.

What is small enough to be a pencil's width on the map is no fault: `SLIVER_METRES`, an assumption [A].
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, cast

import shapely
from msgspec import Struct

from backend.i18n import Text
from backend.services.school_lookup.addresses import Address, parse_address
from backend.services.school_lookup.atlas import Atlas, pairs_of
from backend.services.school_lookup.coordinates import CoordinateSystem, is_in_china, metres
from backend.services.school_lookup.facts import STAGES, Stage
from backend.services.school_lookup.plan import AddressPoint, Plan, School, Zone, points_of, read_as, shape_of

FaultKind = Literal[
    "twice",
    "invalid_geometry",
    "overlap",
    "gap",
    "no_school",
    "no_zone",
    "outside",
    "contradiction",
    "unreadable_address",
    "coordinates",
    "past",
    "calendar",
    "unreadable",
]
SLIVER_METRES = 2.0
"""An overlap or a gap that is nowhere wider than twice this is how hands draw, and no fault."""

MAX_MISFIT = 0.02
"""If more than this share of a plan does not fit, other coordinate systems are tried, an assumption [A]."""

MUCH_BETTER = 3
"""Another coordinate system is suspected where it leaves a third of the misfit at most, an assumption [A]."""

_OTHER_SYSTEMS: tuple[CoordinateSystem, ...] = ("GCJ02", "BD09")


class Fault(Struct, frozen=True, order=True):
    """What is wrong, with which feature (`zone:Z12`, `school:S3`, `address:17`, `plan`), in words."""

    feature: str
    kind: FaultKind
    text: Text


def faults_of(plan: Plan, known: shapely.MultiPolygon | None = None) -> list[Fault]:
    """Check a plan whose coordinates are WGS 84 now, against itself and the boundary of its district.

    `known` is the district's boundary from elsewhere, such as the plan of the year before; only against it can be seen
    that a whole plan lies in an undeclared coordinate system. An empty list means that the plan is sound.
    """
    checks: tuple[Callable[[Plan], Iterator[Fault]], ...] = (_calendar, _named_twice, _geometries, _schools, _past)
    found = [fault for check in checks for fault in check(plan)]
    if any(fault.kind == "invalid_geometry" for fault in found):
        return found  # what is no shape cannot be compared with anything
    suspected = _undeclared(plan, known)
    if suspected is not None:
        return [*found, suspected]
    for stage in STAGES:
        zones = [zone for zone, school in _with_schools(plan) if school.stage == stage]
        if zones:
            found.extend(_overlaps(zones))
            found.extend(_gaps(plan, zones, stage))
            found.extend(_contradictions(plan, zones))
    return found


def _calendar(plan: Plan) -> Iterator[Fault]:
    calendar = plan.heading.calendar
    if not calendar.is_in_order():
        yield Fault("plan", "calendar", Text(zh="日期先后有误", en="The days of the calendar are not in their order"))
    if calendar.school_begins.year != plan.heading.year:
        text = Text(zh="开学日期不在该学年", en=f"School does not begin in {plan.heading.year}")
        yield Fault("plan", "calendar", text)


def _named_twice(plan: Plan) -> Iterator[Fault]:
    for kind, ids in (("school", [one.id for one in plan.schools]), ("zone", [one.id for one in plan.zones])):
        for name, times in Counter(ids).items():
            if times > 1:
                yield Fault(f"{kind}:{name}", "twice", Text(zh="编号重复", en=f"This id occurs {times} times"))


def _geometries(plan: Plan) -> Iterator[Fault]:
    for feature, geometry in [("boundary", plan.boundary), *((f"zone:{one.id}", one.geometry) for one in plan.zones)]:
        try:
            shape = shape_of(geometry)
        except (ValueError, shapely.errors.GEOSException) as error:
            yield Fault(feature, "invalid_geometry", Text(zh="不是有效的面", en=f"This is no polygon: {error}"))
            continue
        if shape.is_empty:
            yield Fault(feature, "invalid_geometry", Text(zh="面为空", en="This polygon is empty"))
        elif not shape.is_valid:
            reason = shapely.is_valid_reason(shape)
            yield Fault(
                feature, "invalid_geometry", Text(zh=f"面无效：{reason}", en=f"This polygon is not valid: {reason}")
            )
        elif not _in_china(shape):
            text = Text(
                zh="坐标不是经度在前、纬度在后的度数", en="Positions are longitude, then latitude, in degrees of China"
            )
            yield Fault(feature, "invalid_geometry", text)


def _in_china(shape: shapely.MultiPolygon) -> bool:
    west, south, east, north = shape.bounds
    return is_in_china(west, south) and is_in_china(east, north)


def _schools(plan: Plan) -> Iterator[Fault]:
    schools = {school.id: school for school in plan.schools}
    zoned = {zone.school for zone in plan.zones}
    for zone in plan.zones:
        if zone.school not in schools:
            text = Text(zh=f"学校 {zone.school} 不存在", en=f"There is no school {zone.school}")
            yield Fault(f"zone:{zone.id}", "no_school", text)
        if not zone.address_ranges:
            text = Text(zh="没有地址范围", en="It has no address ranges, which are the authority")
            yield Fault(f"zone:{zone.id}", "no_zone", text)
    for school in plan.schools:
        if school.kind == "public" and school.id not in zoned:
            yield Fault(f"school:{school.id}", "no_zone", Text(zh="公办学校没有学区", en="A public school has a zone"))


def _past(plan: Plan) -> Iterator[Fault]:
    schools = {school.id for school in plan.schools}
    for row, one in enumerate(plan.past, 1):
        if one.school not in schools:
            yield Fault(f"past:{row}", "past", Text(zh="学校不存在", en=f"There is no school {one.school}"))
        if one.admitted > one.applied:
            yield Fault(f"past:{row}", "past", Text(zh="录取多于报名", en="More were admitted than applied"))
        if one.year >= plan.heading.year:
            yield Fault(f"past:{row}", "past", Text(zh="年份不在过去", en="This year is not before the plan's"))


def _with_schools(plan: Plan) -> list[tuple[Zone, School]]:
    schools = {school.id: school for school in plan.schools}
    return [(zone, schools[zone.school]) for zone in plan.zones if zone.school in schools]


# ── the map against itself ──


def _overlaps(zones: Sequence[Zone]) -> Iterator[Fault]:
    shapes = _on_plane([shape_of(zone.geometry) for zone in zones])
    tree = shapely.STRtree(shapes)
    for one, other in pairs_of(tree.query(shapes, predicate="intersects")):
        if one >= other:
            continue
        declared = zones[one].double_district
        if declared is not None and declared == zones[other].double_district:
            continue
        shared = shapely.intersection(shapes[one], shapes[other])
        if _is_wide(shared):
            area = f"{shared.area:,.0f}"
            text = Text(
                zh=f"与学区 {zones[other].id} 重叠 {area} 平方米，且未声明为双学区",
                en=f"It overlaps the zone {zones[other].id} by {area} m2, and they are no declared double district",
            )
            yield Fault(f"zone:{zones[one].id}", "overlap", text)


def _gaps(plan: Plan, zones: Sequence[Zone], stage: Stage) -> Iterator[Fault]:
    shapes = _on_plane([shape_of(plan.boundary), *(shape_of(zone.geometry) for zone in zones)])
    left = shapely.difference(shapes[0], shapely.union_all(shapes[1:]))
    for gap in cast("list[shapely.Polygon]", shapely.get_parts(left).tolist()):
        if not _is_wide(gap):
            continue
        beside = [zone.id for zone, shape in zip(zones, shapes[1:], strict=True) if shape.distance(gap) < SLIVER_METRES]
        named = ", ".join(sorted(beside)[:4]) or "no zone"
        text = Text(
            zh=f"{stage} 学段有 {gap.area:,.0f} 平方米不属于任何学区，邻近 {named}",
            en=f"{gap.area:,.0f} m2 beside {named} lie in no zone of the stage {stage}",
        )
        yield Fault("boundary", "gap", text)
    for zone, shape in zip(zones, shapes[1:], strict=True):
        if _is_wide(shapely.difference(shape, shapes[0])):
            yield Fault(
                f"zone:{zone.id}", "outside", Text(zh="超出区界", en="It reaches beyond the district's boundary")
            )


def _on_plane(shapes: Sequence[shapely.MultiPolygon]) -> list[shapely.MultiPolygon]:
    latitude = shapes[0].centroid.y
    return [shapely.transform(shape, lambda corners: metres(corners, latitude)) for shape in shapes]


def _is_wide(shape: shapely.Geometry) -> bool:
    return not shapely.buffer(shape, -SLIVER_METRES).is_empty


# ── the ranges of addresses against the map ──


def _contradictions(plan: Plan, zones: Sequence[Zone]) -> Iterator[Fault]:
    atlas, points = Atlas(zones), points_of(plan.addresses)
    covered = defaultdict[int, set[str]](set)
    for row, number in [*pairs_of(atlas.covering(points)), *pairs_of(atlas.near(points, SLIVER_METRES))]:
        covered[row].add(zones[number].id)
    for row, one in enumerate(plan.addresses):
        address = parse_address(one.address)
        if address.is_empty:
            yield Fault(
                f"address:{row + 1}", "unreadable_address", Text(zh="无法识别的地址", en="No road, no community")
            )
            continue
        for found in atlas.at_address(address):
            if found.match == "yes" and found.zone.id not in covered[row]:
                there = ", ".join(sorted(covered[row])) or "no zone"
                text = Text(
                    zh=f"学区 {found.zone.id} 的地址范围含有此地址，但地图上位于 {there}",
                    en=f"The ranges of the zone {found.zone.id} have this address, which lies in {there} on the map",
                )
                yield Fault(f"address:{row + 1}", "contradiction", text)


# ── the coordinate system ──


def _undeclared(plan: Plan, known: shapely.MultiPolygon | None) -> Fault | None:
    """Say so if the plan, or one half of it, fits much better when it is taken for another coordinate system."""
    comparisons: list[tuple[str, str, Callable[[CoordinateSystem], float]]] = []
    if known is not None:
        comparisons.append(
            ("边界", "boundary", lambda system: _likeness(shape_of(read_as(plan, system).boundary), known))
        )
    if plan.addresses:
        placed = [(one, parse_address(one.address)) for one in plan.addresses]
        comparisons.append(("学区图", "zones", lambda system: _agreement(read_as(plan, system), plan, placed)))
        comparisons.append(("地址点", "addresses", lambda system: _agreement(plan, read_as(plan, system), placed)))
    for chinese, english, fit in comparisons:
        misfit = 1 - fit("WGS84")
        if misfit <= MAX_MISFIT:
            continue
        others = {system: 1 - fit(system) for system in _OTHER_SYSTEMS}
        best = min(others, key=lambda system: others[system])
        if others[best] * MUCH_BETTER < misfit:
            now, then = f"{1 - misfit:.0%}", f"{1 - others[best]:.0%}"
            text = Text(
                zh=f"{chinese}的坐标疑似 {best}，与声明不符：按声明吻合 {now}，按 {best} 吻合 {then}",
                en=f"The {english} look like {best}, which is not declared: {now} fit as they stand, {then} if read so",
            )
            return Fault("plan", "coordinates", text)
    return None


def _likeness(one: shapely.MultiPolygon, other: shapely.MultiPolygon) -> float:
    union = shapely.union(one, other).area
    return shapely.intersection(one, other).area / union if union else 0.0


def _agreement(map_: Plan, addresses: Plan, placed: list[tuple[AddressPoint, Address]]) -> float:
    """Give the share of addresses that lie in the zone whose ranges have them, of those that some range has."""
    atlas = Atlas(map_.zones)
    covered = set(pairs_of(atlas.covering(points_of(addresses.addresses))))
    numbers = {atlas_zone.id: number for number, atlas_zone in enumerate(atlas.zones)}
    decided = [
        (row, numbers[found.zone.id])
        for row, (_, address) in enumerate(placed)
        for found in atlas.at_address(address)
        if found.match == "yes"
    ]
    return sum(pair in covered for pair in decided) / len(decided) if decided else 1.0
