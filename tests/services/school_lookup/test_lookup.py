"""Invariants of every lookup."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.api.schemas import LookupResult
from backend.services.school_lookup.district import District
from backend.services.school_lookup.family import Child, Family, FamilyHome, HouseholdRegistration, MapPoint, Parent
from backend.services.school_lookup.lookup import look_up
from backend.services.school_lookup.plan import Catchment, Plan, geometry_of, shape_of
from backend.services.school_lookup.synthetic_district import synthetic_plan
from tests.services.school_lookup.test_admission import RULEBOOK

CITY = ZoneInfo("Asia/Shanghai")
PLAN = synthetic_plan(2026)
DISTRICT = District("as it is", PLAN, CITY)
PRIMARY = [catchment for catchment in PLAN.catchments if DISTRICT.schools[catchment.school].stage == "primary"]

addresses = st.sampled_from([one.address for one in PLAN.addresses]).map(lambda address: {"address": address})
points = st.sampled_from(PLAN.addresses).map(lambda one: {"point": MapPoint(one.longitude, one.latitude)})
places = addresses | points
born = st.integers(0, 364).map(lambda days: date(2019, 9, 1) + timedelta(days))
children = st.builds(
    lambda day, later: Child(day, day + timedelta(later)), born, st.sampled_from([0, 31, 32, 400, 2_000])
)
homes = st.builds(
    lambda place, shares, pupil: FamilyHome(
        **place, parents_percent=shares[0], grandparents_percent=shares[1], pupil=pupil
    ),
    places,
    st.sampled_from([(100, 0), (50, 50), (0, 100), (0, 0)]),
    st.sampled_from(["none", "sibling", "other"]),
)
registrations = st.builds(
    lambda place, parents: HouseholdRegistration(**place, parents=parents),
    places,
    st.sampled_from(["all", "some", "none"]),
) | st.just(HouseholdRegistration(in_city=False))
held = st.none() | st.just(date(2020, 1, 1))
families = st.builds(
    Family,
    st.lists(children, min_size=1, max_size=3).map(tuple),
    registrations,
    st.lists(homes, max_size=2).map(tuple),
    st.lists(st.builds(Parent, held, held, held), max_size=2).map(tuple),
)


def schools(found: LookupResult) -> list[set[str]]:
    return [{choice.school.id for choice in child.schools} for child in found.children]


def enlarged(plan: Plan, number: int, other: int, how: str) -> Plan:
    """Return a plan in which a catchment also has the ranges, or the area, of another one."""
    catchment, more = PRIMARY[number], PRIMARY[other]
    if how == "ranges":
        larger = replace(catchment, address_ranges=[*catchment.address_ranges, *more.address_ranges])
    else:
        union = shapely.union(shape_of(catchment.geometry), shape_of(more.geometry))
        larger = replace(catchment, geometry=geometry_of(shapely.MultiPolygon(shapely.get_parts(union).tolist())))
    return replace(plan, catchments=[larger if one.id == catchment.id else one for one in plan.catchments])


@settings(deadline=None)
@given(
    family=families,
    number=st.integers(0, len(PRIMARY) - 1),
    other=st.integers(0, len(PRIMARY) - 1),
    how=st.sampled_from(["ranges", "land"]),
)
def test_a_larger_catchment_never_removes_a_school(family: Family, number: int, other: int, how: str) -> None:
    larger = District("larger", enlarged(PLAN, number, other, how), CITY)
    before, after = schools(look_up(RULEBOOK, [DISTRICT], family)), schools(look_up(RULEBOOK, [larger], family))
    for was, then in zip(before, after, strict=True):
        assert was <= then


@settings(deadline=None)
@given(family=families, order=st.randoms(use_true_random=False))
def test_the_order_in_which_children_are_named_changes_nothing(family: Family, order: object) -> None:
    shuffled = list(enumerate(family.children))
    order.shuffle(shuffled)
    there = look_up(RULEBOOK, [DISTRICT], family).children
    back = look_up(RULEBOOK, [DISTRICT], replace(family, children=tuple(child for _, child in shuffled))).children
    assert [there[number] for number, _ in shuffled] == back


@settings(deadline=None)
@given(family=families, days=st.integers(0, 3_000))
def test_an_earlier_registration_never_loses_a_school_nor_a_better_batch(family: Family, days: int) -> None:
    def earlier(child: Child) -> Child:
        assert child.registered_since is not None
        return replace(child, registered_since=max(child.born_on, child.registered_since - timedelta(days)))

    now = look_up(RULEBOOK, [DISTRICT], family)
    then = look_up(RULEBOOK, [DISTRICT], replace(family, children=tuple(map(earlier, family.children))))
    for child, better in zip(now.children, then.children, strict=True):
        batches = {choice.school.id: choice.batch or 99 for choice in better.schools}
        for choice in child.schools:
            assert batches[choice.school.id] <= (choice.batch or 99)


@settings(deadline=None)
@given(family=families)
def test_every_choice_has_a_reason_and_every_doubt_is_listed(family: Family) -> None:
    for child in look_up(RULEBOOK, [DISTRICT], family).children:
        for choice in child.schools:
            assert choice.because.zh
            assert (choice.certainty == "certain") == (not choice.doubts)
        for change in child.possible_changes:
            assert change.to_batch is None or change.from_batch is None or change.to_batch < change.from_batch


@pytest.mark.parametrize("number", range(0, len(PLAN.addresses), 97))
def test_the_map_and_the_ranges_of_the_synthetic_district_agree(number: int) -> None:
    one = PLAN.addresses[number]
    by_range = Family((Child(date(2020, 1, 1), date(2020, 1, 1)),), HouseholdRegistration(one.address))
    point = MapPoint(one.longitude, one.latitude)
    by_map = replace(by_range, registration=HouseholdRegistration(point=point))
    said = schools(look_up(RULEBOOK, [DISTRICT], by_range))[0]
    assert said <= schools(look_up(RULEBOOK, [DISTRICT], by_map))[0]


def test_a_family_with_homes_in_two_districts_gets_the_schools_of_both() -> None:
    other_catchment = Catchment("far", "F1", [AddressRange(road="远方路")], geometry_of(_moved()))
    school = replace(PLAN.schools[0], id="F1", name="远方小学")
    heading = replace(PLAN.heading, district="远方区", code="990003")
    far = District("far", replace(PLAN, heading=heading, schools=[school], catchments=[other_catchment], past=[]), CITY)
    near = PLAN.addresses[0].address
    family = Family(
        (Child(date(2020, 1, 1), date(2020, 1, 1)),),
        HouseholdRegistration(near),
        (FamilyHome("远方区远方路1号", parents_percent=100),),
    )
    found = look_up(RULEBOOK, [DISTRICT, far], family)
    assert [one.code for one in found.districts] == ["990001", "990003"]
    assert {(choice.school.district, choice.batch) for choice in found.children[0].schools if choice.batch} == {
        ("990001", 3),
        ("990003", 4),
    }


def _moved() -> shapely.MultiPolygon:
    return shapely.MultiPolygon([shapely.box(121.0, 31.0, 121.1, 31.1)])
