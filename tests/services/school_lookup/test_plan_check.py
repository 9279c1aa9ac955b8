"""Faults of a plan are reported with their features; a correct plan has none."""

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
    plan_to_wgs84,
    points_of,
    shape_of,
)
from backend.services.school_lookup.plan_check import Fault, faults_of
from backend.services.school_lookup.synthetic_district import synthetic_plan
from tests.services.school_lookup.scene import (
    ADDRESSES,
    CATCHMENTS,
    HEADING,
    PAST,
    PLAN,
    SCHOOLS,
    WEST,
    catchment,
    plan_with,
    school,
    square,
)

BOW_TIE = MultiPolygon([[[[120.10, 30.30], [120.11, 30.31], [120.11, 30.30], [120.10, 30.31], [120.10, 30.30]]]])


def kinds(faults: list[Fault]) -> set[tuple[str, str]]:
    return {(fault.feature, fault.kind) for fault in faults}


def test_a_correct_plan_has_no_fault() -> None:
    assert faults_of(PLAN) == []


@pytest.mark.parametrize("year", [2024, 2026])
def test_the_synthetic_district_is_large_enough_and_has_no_fault(year: int) -> None:
    plan = synthetic_plan(year)
    assert len(plan.schools) >= 60
    assert len(plan.catchments) >= 80
    assert len({one.double_district for one in plan.catchments} - {None}) == 5
    assert len(plan.addresses) >= 3_000
    assert plan.heading.synthetic
    assert faults_of(plan) == []


def test_the_same_seed_gives_the_same_district() -> None:
    assert synthetic_plan(2026, 7) == synthetic_plan(2026, 7) != synthetic_plan(2026, 8)


def test_a_ring_that_crosses_itself_is_reported_with_its_position() -> None:
    (fault,) = faults_of(plan_with(replace(catchment("west"), geometry=BOW_TIE)))
    assert (fault.feature, fault.kind) == ("catchment:west", "invalid_geometry")
    assert "120.105 30.305" in fault.text.en


def test_latitude_before_longitude_is_an_invalid_geometry() -> None:
    swapped = square(30.30, 120.10, 30.31, 120.11)
    assert kinds(faults_of(plan_with(replace(catchment("west"), geometry=swapped)))) == {
        ("catchment:west", "invalid_geometry")
    }


def test_an_undeclared_overlap_is_reported() -> None:
    wider = replace(catchment("west"), geometry=square(120.10, 30.30, 120.111, 30.31))
    (fault,) = faults_of(plan_with(wider))
    assert (fault.feature, fault.kind) == ("catchment:west", "overlap")
    assert "east" in fault.text.en


def test_an_overlap_is_declared_only_if_both_catchments_name_the_same_double_district() -> None:
    alone = replace(catchment("north-1"), double_district=None)
    assert kinds(faults_of(plan_with(alone))) == {("catchment:north-1", "overlap")}
    other = replace(catchment("north-1"), double_district="another")
    assert kinds(faults_of(plan_with(other))) == {("catchment:north-1", "overlap")}


def test_a_gap_is_reported_with_the_adjacent_catchments() -> None:
    narrower = replace(catchment("west"), geometry=square(120.10, 30.30, 120.109, 30.31))
    (fault,) = faults_of(plan_with(narrower))
    assert (fault.feature, fault.kind) == ("boundary", "gap")
    assert "east" in fault.text.en
    assert "west" in fault.text.en


def test_a_sliver_is_neither_a_gap_nor_an_overlap() -> None:
    metre = 1e-5
    narrower = replace(catchment("west"), geometry=square(120.10, 30.30, 120.11 - metre, 30.31))
    wider = replace(catchment("west"), geometry=square(120.10, 30.30, 120.11 + metre, 30.31))
    assert faults_of(plan_with(narrower)) == faults_of(plan_with(wider)) == []


def test_a_catchment_beyond_the_boundary_is_reported() -> None:
    beyond = replace(catchment("west"), geometry=square(120.09, 30.30, 120.11, 30.31))
    assert kinds(faults_of(plan_with(beyond))) == {("catchment:west", "outside")}


def test_a_catchment_without_a_school_and_a_public_school_without_a_catchment_are_reported() -> None:
    nobodys = replace(catchment("all"), school="S9")
    assert kinds(faults_of(plan_with(nobodys))) == {("catchment:all", "no_school"), ("school:S3", "no_catchment")}


def test_a_private_school_needs_no_catchment() -> None:
    private = school("X2", WEST, 30, kind="private")
    assert faults_of(plan_with(schools=[*SCHOOLS, private])) == []


def test_a_catchment_without_address_ranges_is_reported() -> None:
    silent = replace(catchment("west"), address_ranges=[])
    assert ("catchment:west", "no_catchment") in kinds(faults_of(plan_with(silent)))


def test_a_range_that_contradicts_the_map_is_reported_with_the_address() -> None:
    west = replace(catchment("west"), address_ranges=catchment("east").address_ranges)
    east = replace(catchment("east"), address_ranges=catchment("west").address_ranges)
    (first, second, third) = faults_of(plan_with(west, east))
    assert [first.feature, second.feature, third.feature] == ["address:1", "address:2", "address:4"]
    assert {one.kind for one in (first, second, third)} == {"contradiction"}
    assert "east" in first.text.en
    assert "west" in first.text.en


def test_an_unreadable_address_is_reported() -> None:
    addresses = [*ADDRESSES, AddressPoint("???", *WEST)]
    assert kinds(faults_of(plan_with(addresses=addresses))) == {("address:5", "unreadable_address")}


@pytest.mark.parametrize("address", ["试验区和平路101号", "不存在路1号", "桃花苑11幢", "试验区朝晖六区5幢"])
def test_an_address_that_no_range_has_is_reported(address: str) -> None:
    addresses = [*ADDRESSES, AddressPoint(address, *WEST)]
    faults = [fault for fault in faults_of(plan_with(addresses=addresses)) if "小学" in fault.text.zh]
    assert kinds(faults) == {("address:5", "no_range")}
    assert address in faults[0].text.en


def test_every_address_that_no_range_has_is_reported() -> None:
    addresses = [*ADDRESSES, *(AddressPoint(f"新路{number}号", *WEST) for number in range(1, 301))]
    assert kinds(faults_of(plan_with(addresses=addresses))) == {(f"address:{row}", "no_range") for row in range(5, 305)}


def test_an_address_is_looked_for_in_each_stage() -> None:
    junior = replace(catchment("all"), address_ranges=[AddressRange(road="和平路"), AddressRange(community="桃花苑")])
    (fault,) = faults_of(plan_with(junior))
    assert (fault.feature, fault.kind) == ("address:3", "no_range")
    assert "stage junior" in fault.text.en


def test_an_address_whose_last_part_is_missing_is_not_without_a_range() -> None:
    assert faults_of(plan_with(addresses=[*ADDRESSES, AddressPoint("和平路", *WEST)])) == []


def test_the_range_of_an_address_may_be_its_neighbourhood() -> None:
    more = [AddressRange(community="朝晖社区")]
    plan = plan_with(
        *(
            replace(catchment(name), address_ranges=[*catchment(name).address_ranges, *more])
            for name in ("west", "all")
        ),
        addresses=[*ADDRESSES, AddressPoint("试验区朝晖社区新新路7号", *WEST)],
    )
    assert faults_of(plan) == []


def test_the_part_of_an_address_that_is_not_understood_is_reported() -> None:
    addresses = [*ADDRESSES, AddressPoint("开发区新路7号", *WEST)]
    (fault,) = faults_of(plan_with(addresses=addresses))
    assert (fault.feature, fault.kind) == ("address:5", "unreadable_address")
    assert "开发区" in fault.text.zh


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (AddressRange(road="新路", first_number=99, last_number=1), "number 99 to number 1"),
        (AddressRange(community="新苑", first_building=5, last_building=1), "building 5 to building 1"),
    ],
)
def test_a_reversed_range_is_reported(wrong: AddressRange, named: str) -> None:
    west = replace(catchment("west"), address_ranges=[*catchment("west").address_ranges, wrong])
    (fault,) = faults_of(plan_with(west))
    assert (fault.feature, fault.kind) == ("catchment:west", "reversed_range")
    assert named in fault.text.en
    assert "颠倒" in fault.text.zh


@pytest.mark.parametrize(
    "wrong", [AddressRange(first_number=1), AddressRange(road="新路", first_number=2, last_number=2, parity="odd")]
)
def test_a_range_without_an_address_is_reported(wrong: AddressRange) -> None:
    west = replace(catchment("west"), address_ranges=[*catchment("west").address_ranges, wrong])
    assert kinds(faults_of(plan_with(west))) == {("catchment:west", "empty_range")}


def test_a_range_of_one_number_is_neither_reversed_nor_empty() -> None:
    one = AddressRange(road="新路", first_number=3, last_number=3, parity="odd", first_building=1, last_building=1)
    west = replace(catchment("west"), address_ranges=[*catchment("west").address_ranges, one])
    assert faults_of(plan_with(west)) == []


def test_a_duplicate_id_is_reported() -> None:
    assert ("catchment:west", "duplicate") in kinds(
        faults_of(replace(PLAN, catchments=[*CATCHMENTS, catchment("west")]))
    )
    assert ("school:S1", "duplicate") in kinds(faults_of(replace(PLAN, schools=[*SCHOOLS, SCHOOLS[0]])))


@pytest.mark.parametrize(
    "wrong", [PastBatch("S9", 2017, 1, 1, 1), PastBatch("S1", 2017, 3, 1, 2), PastBatch("S1", 2018, 1, 1, 1)]
)
def test_impossible_past_admissions_are_reported_with_their_row(wrong: PastBatch) -> None:
    assert kinds(faults_of(replace(PLAN, past=[*PAST, wrong]))) == {(f"past:{len(PAST) + 1}", "past")}


def test_dates_in_the_wrong_order_are_reported() -> None:
    calendar = replace(HEADING.calendar, application_until=date(2018, 5, 31))
    assert kinds(faults_of(replace(PLAN, heading=replace(HEADING, calendar=calendar)))) == {("plan", "calendar")}
    another_year = replace(HEADING, year=2019)
    assert kinds(faults_of(replace(PLAN, heading=another_year))) == {("plan", "calendar")}


# ── coordinate systems ──


def drawn_in(plan: Plan, system: CoordinateSystem) -> Plan:
    """Return a plan as if it had been drawn in another coordinate system."""

    def area(geometry: MultiPolygon) -> MultiPolygon:
        import numpy as np

        return MultiPolygon(
            [[from_wgs84(np.array(ring), system).tolist() for ring in polygon] for polygon in geometry.coordinates]
        )

    addresses = from_wgs84(points_of(plan.addresses), system).tolist()
    return replace(
        plan,
        boundary=area(plan.boundary),
        catchments=[replace(one, geometry=area(one.geometry)) for one in plan.catchments],
        addresses=[AddressPoint(one.address, *at) for one, at in zip(plan.addresses, addresses, strict=True)],
    )


@pytest.mark.parametrize("system", ["GCJ02", "BD09"])
def test_a_declared_coordinate_system_is_converted(system: CoordinateSystem) -> None:
    plan = synthetic_plan(2026)
    read = plan_to_wgs84(drawn_in(plan, system), system)
    assert faults_of(read, shape_of(plan.boundary)) == []


@pytest.mark.parametrize("system", ["GCJ02", "BD09"])
def test_an_undeclared_one_is_suspected_from_the_boundary_of_the_previous_plan(system: CoordinateSystem) -> None:
    plan = synthetic_plan(2026)
    (fault,) = faults_of(drawn_in(plan, system), shape_of(plan.boundary))
    assert (fault.feature, fault.kind) == ("plan", "coordinates")
    assert system in fault.text.en


@pytest.mark.parametrize("system", ["GCJ02", "BD09"])
def test_catchments_or_addresses_alone_in_another_system_are_suspected(system: CoordinateSystem) -> None:
    plan = synthetic_plan(2026)
    drawn = drawn_in(plan, system)
    mixed = replace(plan, addresses=drawn.addresses)
    other = replace(drawn, addresses=plan.addresses)
    for wrong in (mixed, other):
        (fault,) = faults_of(wrong)
        assert (fault.kind, system in fault.text.en) == ("coordinates", True)


def test_a_range_may_name_a_road_without_known_addresses() -> None:
    more = replace(catchment("west"), address_ranges=[*catchment("west").address_ranges, AddressRange(road="新路")])
    assert faults_of(plan_with(more)) == []
