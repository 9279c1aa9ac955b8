"""What is wrong with a plan is named with its feature; a sound plan has no fault."""

from datetime import date

import pytest
from msgspec.structs import replace

from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.coordinates import CoordinateSystem, from_wgs84
from backend.services.school_lookup.plan import (
    AddressPoint,
    MultiPolygon,
    PastBatch,
    Plan,
    points_of,
    read_as,
    shape_of,
)
from backend.services.school_lookup.plan_check import Fault, faults_of
from backend.services.school_lookup.synthetic_district import invented_plan
from tests.services.school_lookup.scene import (
    ADDRESSES,
    HEADING,
    PAST,
    PLAN,
    SCHOOLS,
    WEST,
    ZONES,
    plan_with,
    school,
    square,
    zone,
)

BOW_TIE = MultiPolygon([[[[120.10, 30.30], [120.11, 30.31], [120.11, 30.30], [120.10, 30.31], [120.10, 30.30]]]])


def kinds(faults: list[Fault]) -> set[tuple[str, str]]:
    return {(fault.feature, fault.kind) for fault in faults}


def test_a_sound_plan_has_no_fault() -> None:
    assert faults_of(PLAN) == []


@pytest.mark.parametrize("year", [2024, 2026])
def test_the_invented_district_is_as_large_as_it_says_and_sound(year: int) -> None:
    plan = invented_plan(year)
    assert len(plan.schools) >= 60
    assert len(plan.zones) >= 80
    assert len({one.double_district for one in plan.zones} - {None}) == 5
    assert len(plan.addresses) >= 3_000
    assert plan.heading.invented
    assert faults_of(plan) == []


def test_the_same_seed_invents_the_same_district() -> None:
    assert invented_plan(2026, 7) == invented_plan(2026, 7) != invented_plan(2026, 8)


def test_a_ring_that_crosses_itself_is_named_with_the_place_where_it_does() -> None:
    (fault,) = faults_of(plan_with(replace(zone("west"), geometry=BOW_TIE)))
    assert (fault.feature, fault.kind) == ("zone:west", "invalid_geometry")
    assert "120.105 30.305" in fault.text.en


def test_latitude_before_longitude_is_no_geometry_of_china() -> None:
    swapped = square(30.30, 120.10, 30.31, 120.11)
    assert kinds(faults_of(plan_with(replace(zone("west"), geometry=swapped)))) == {("zone:west", "invalid_geometry")}


def test_an_overlap_that_is_no_declared_double_district_is_named() -> None:
    wider = replace(zone("west"), geometry=square(120.10, 30.30, 120.111, 30.31))
    (fault,) = faults_of(plan_with(wider))
    assert (fault.feature, fault.kind) == ("zone:west", "overlap")
    assert "east" in fault.text.en


def test_zones_overlap_knowingly_only_where_both_declare_the_same_double_district() -> None:
    alone = replace(zone("north-1"), double_district=None)
    assert kinds(faults_of(plan_with(alone))) == {("zone:north-1", "overlap")}
    other = replace(zone("north-1"), double_district="another")
    assert kinds(faults_of(plan_with(other))) == {("zone:north-1", "overlap")}


def test_a_gap_is_named_by_what_lies_beside_it() -> None:
    narrower = replace(zone("west"), geometry=square(120.10, 30.30, 120.109, 30.31))
    (fault,) = faults_of(plan_with(narrower))
    assert (fault.feature, fault.kind) == ("boundary", "gap")
    assert "east" in fault.text.en
    assert "west" in fault.text.en


def test_what_is_no_wider_than_a_pencil_is_neither_gap_nor_overlap() -> None:
    metre = 1e-5
    narrower = replace(zone("west"), geometry=square(120.10, 30.30, 120.11 - metre, 30.31))
    wider = replace(zone("west"), geometry=square(120.10, 30.30, 120.11 + metre, 30.31))
    assert faults_of(plan_with(narrower)) == faults_of(plan_with(wider)) == []


def test_a_zone_beyond_the_boundary_is_named() -> None:
    beyond = replace(zone("west"), geometry=square(120.09, 30.30, 120.11, 30.31))
    assert kinds(faults_of(plan_with(beyond))) == {("zone:west", "outside")}


def test_a_zone_without_a_school_and_a_public_school_without_a_zone_are_named() -> None:
    nobodys = replace(zone("all"), school="S9")
    assert kinds(faults_of(plan_with(nobodys))) == {("zone:all", "no_school"), ("school:S3", "no_zone")}


def test_a_private_school_needs_no_zone() -> None:
    private = school("X2", WEST, 30, kind="private")
    assert faults_of(plan_with(schools=[*SCHOOLS, private])) == []


def test_a_zone_without_ranges_is_named_because_they_are_the_authority() -> None:
    silent = replace(zone("west"), address_ranges=[])
    assert ("zone:west", "no_zone") in kinds(faults_of(plan_with(silent)))


def test_a_range_that_contradicts_the_map_is_named_by_the_address_that_shows_it() -> None:
    west = replace(zone("west"), address_ranges=zone("east").address_ranges)
    east = replace(zone("east"), address_ranges=zone("west").address_ranges)
    (first, second, third) = faults_of(plan_with(west, east))
    assert [first.feature, second.feature, third.feature] == ["address:1", "address:2", "address:4"]
    assert {one.kind for one in (first, second, third)} == {"contradiction"}
    assert "east" in first.text.en
    assert "west" in first.text.en


def test_an_address_that_nobody_can_read_is_named() -> None:
    addresses = [*ADDRESSES, AddressPoint("???", *WEST)]
    assert kinds(faults_of(plan_with(addresses=addresses))) == {("address:5", "unreadable_address")}


def test_the_same_id_twice_is_named() -> None:
    assert ("zone:west", "twice") in kinds(faults_of(replace(PLAN, zones=[*ZONES, zone("west")])))
    assert ("school:S1", "twice") in kinds(faults_of(replace(PLAN, schools=[*SCHOOLS, SCHOOLS[0]])))


@pytest.mark.parametrize(
    "wrong", [PastBatch("S9", 2017, 1, 1, 1), PastBatch("S1", 2017, 3, 1, 2), PastBatch("S1", 2018, 1, 1, 1)]
)
def test_a_past_that_cannot_be_is_named_by_its_row(wrong: PastBatch) -> None:
    assert kinds(faults_of(replace(PLAN, past=[*PAST, wrong]))) == {(f"past:{len(PAST) + 1}", "past")}


def test_a_calendar_out_of_order_is_named() -> None:
    calendar = replace(HEADING.calendar, application_until=date(2018, 5, 31))
    assert kinds(faults_of(replace(PLAN, heading=replace(HEADING, calendar=calendar)))) == {("plan", "calendar")}
    another_year = replace(HEADING, year=2019)
    assert kinds(faults_of(replace(PLAN, heading=another_year))) == {("plan", "calendar")}


# ── coordinate systems ──


def drawn_in(plan: Plan, system: CoordinateSystem) -> Plan:
    """Give a plan as it is published when somebody drew it in another coordinate system."""

    def area(geometry: MultiPolygon) -> MultiPolygon:
        import numpy as np

        return MultiPolygon(
            [[from_wgs84(np.array(ring), system).tolist() for ring in polygon] for polygon in geometry.coordinates]
        )

    addresses = from_wgs84(points_of(plan.addresses), system).tolist()
    return replace(
        plan,
        boundary=area(plan.boundary),
        zones=[replace(one, geometry=area(one.geometry)) for one in plan.zones],
        addresses=[AddressPoint(one.address, *at) for one, at in zip(plan.addresses, addresses, strict=True)],
    )


@pytest.mark.parametrize("system", ["GCJ02", "BD09"])
def test_a_declared_coordinate_system_is_converted(system: CoordinateSystem) -> None:
    plan = invented_plan(2026)
    read = read_as(drawn_in(plan, system), system)
    assert faults_of(read, shape_of(plan.boundary)) == []


@pytest.mark.parametrize("system", ["GCJ02", "BD09"])
def test_an_undeclared_one_is_suspected_by_the_boundary_of_the_year_before(system: CoordinateSystem) -> None:
    plan = invented_plan(2026)
    (fault,) = faults_of(drawn_in(plan, system), shape_of(plan.boundary))
    assert (fault.feature, fault.kind) == ("plan", "coordinates")
    assert system in fault.text.en


@pytest.mark.parametrize("system", ["GCJ02", "BD09"])
def test_zones_or_addresses_alone_in_another_system_are_suspected_by_the_other_half(system: CoordinateSystem) -> None:
    plan = invented_plan(2026)
    drawn = drawn_in(plan, system)
    mixed = replace(plan, addresses=drawn.addresses)
    other = replace(drawn, addresses=plan.addresses)
    for wrong in (mixed, other):
        (fault,) = faults_of(wrong)
        assert (fault.kind, system in fault.text.en) == ("coordinates", True)


def test_a_range_may_name_a_road_that_no_address_is_known_of() -> None:
    more = replace(zone("west"), address_ranges=[*zone("west").address_ranges, AddressRange(road="新路")])
    assert faults_of(plan_with(more)) == []
