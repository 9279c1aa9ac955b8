"""The rank of children within a batch, and the chance of admission."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import load_rulebook
from backend.rulebook.needs import facts_of
from backend.services.school_lookup.admission import decide, decide_stage
from backend.services.school_lookup.chance import Chance, PastYear, chance_of, expected_applicants, wilson
from backend.services.school_lookup.district import District
from backend.services.school_lookup.facts import AdmissionFacts, Home, Registration
from backend.services.school_lookup.family import Child
from backend.services.school_lookup.plan import PastBatch
from tests.conftest import ROOT
from tests.services.school_lookup.scene import HEADING, PAST, PLAN

CITY = ZoneInfo("Asia/Shanghai")
RULEBOOK = load_rulebook(ROOT / "rules", facts_of(rule_modules_of(discover_services())), CITY)
GONGSHU = District("gongshu", PLAN, CITY)
GENERAL = District("general", replace(PLAN, heading=replace(HEADING, batches="general_batch")), CITY)
BORN = datetime(2012, 3, 9, 16, 0, tzinfo=UTC)

percents = st.sampled_from([(100, 0), (0, 100), (50, 50), (1, 99), (30, 0), (0, 0)])
homes = st.builds(
    lambda place, percent, pupil: Home(place, *percent, pupil),
    st.sampled_from(["catchment", "city"]),
    percents,
    st.sampled_from(["none", "sibling", "other"]),
)
registrations = st.builds(
    lambda place, days, parents: Registration(place, BORN + timedelta(days), parents),
    st.sampled_from(["catchment", "city"]),
    st.integers(0, 2_400),
    st.sampled_from(["all", "some", "none"]),
)
children = st.builds(
    AdmissionFacts,
    stage=st.just("primary"),
    born_at=st.just(BORN),
    registration=st.none() | registrations,
    homes=st.lists(homes, max_size=3).map(tuple),
    migrant=st.sampled_from(["eligible", "lacking"]),
)
either = pytest.mark.parametrize("district", [GONGSHU, GENERAL], ids=["gongshu", "general"])


@either
@given(facts=children, days=st.integers(0, 2_400))
def test_an_earlier_registration_never_worsens_a_rank(district: District, facts: AdmissionFacts, days: int) -> None:
    if facts.registration is None:
        return
    earlier = max(BORN, facts.registration.since - timedelta(days))
    then = replace(facts, registration=replace(facts.registration, since=earlier))
    assert decide(RULEBOOK, district, then).rank <= decide(RULEBOOK, district, facts).rank


@either
@given(facts=children)
def test_parents_who_register_with_the_child_never_worsen_its_rank(district: District, facts: AdmissionFacts) -> None:
    if facts.registration is None:
        return
    then = replace(facts, registration=replace(facts.registration, parents="all"))
    assert decide(RULEBOOK, district, then).rank <= decide(RULEBOOK, district, facts).rank


@either
@given(facts=children)
def test_a_pupil_who_leaves_the_property_never_worsens_a_rank(district: District, facts: AdmissionFacts) -> None:
    then = replace(facts, homes=tuple(replace(home, pupil="none") for home in facts.homes))
    assert decide(RULEBOOK, district, then).rank <= decide(RULEBOOK, district, facts).rank


@either
@given(facts=children)
def test_a_sibling_on_the_property_does_not_change_the_rank(district: District, facts: AdmissionFacts) -> None:
    def with_pupil(pupil: str) -> AdmissionFacts:
        return replace(facts, homes=tuple(replace(home, pupil=pupil) for home in facts.homes))

    assert decide(RULEBOOK, district, with_pupil("sibling")).rank == decide(RULEBOOK, district, with_pupil("none")).rank


OWN = Home("catchment", parents_percent=100)


def at(*, registered: str = "2015-05-01", parents: str = "all", home: Home = OWN) -> AdmissionFacts:
    since = datetime.fromisoformat(f"{registered}T00:00:00+08:00")
    return AdmissionFacts("primary", BORN, Registration("catchment", since, parents), (home,))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(at(registered="2015-04-30"), at(registered="2015-05-01"), id="the earlier registration"),
        pytest.param(
            at(registered="2015-04-30", home=replace(OWN, pupil="other")), at(), id="registration before the property"
        ),
        pytest.param(at(), at(home=replace(OWN, pupil="other")), id="no pupil on the property"),
        pytest.param(at(home=replace(OWN, pupil="sibling")), at(home=replace(OWN, pupil="other")), id="but a sibling"),
        pytest.param(at(home=OWN), at(home=replace(OWN, parents_percent=99)), id="the larger parental share"),
        pytest.param(
            at(parents="all", home=Home("catchment", grandparents_percent=100)),
            at(parents="some", home=Home("catchment", grandparents_percent=100)),
            id="all three registered together",
        ),
    ],
)
def test_ties_are_broken_in_the_order_of_gongshu(first: AdmissionFacts, second: AdmissionFacts) -> None:
    one, other = decide(RULEBOOK, GONGSHU, first), decide(RULEBOOK, GONGSHU, second)
    assert one.batch == other.batch
    assert one.rank < other.rank


def test_a_rented_home_is_as_good_as_none_in_a_tie() -> None:
    rented = at(home=Home("catchment"))
    one, other = (decide(RULEBOOK, GONGSHU, facts) for facts in (rented, replace(rented, homes=())))
    assert one.rank == other.rank


def test_a_child_between_the_stages_is_too_young_for_the_later_one() -> None:
    found = decide_stage(RULEBOOK, GONGSHU, Child(date(2011, 8, 31)))
    assert found.stage is None
    assert found.because.en == "The child is younger than the usual age for finishing primary school"


# ── the chance ──


def test_the_interval_is_wilsons() -> None:
    """10 of 20: (0.5 + z2/40 +- z sqrt(0.25/20 + z2/1600)) / (1 + z2/20), z = 1.96."""
    low, high = wilson(10, 20)
    assert (round(low, 4), round(high, 4)) == (0.2993, 0.7007)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == pytest.approx(1.0)


def test_the_range_spans_all_past_years_and_names_them() -> None:
    years = [PastYear(2016, 20, 10), PastYear(2017, 20, 20)]
    assert chance_of(years) == Chance(29, 100, tuple(years))


def test_without_applicants_there_is_no_chance() -> None:
    assert chance_of([]) is chance_of([PastYear(2016, 0, 0)]) is None


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=5))
def test_every_past_share_lies_in_the_range(pairs: list[tuple[int, int]]) -> None:
    years = [PastYear(2000 + number, max(pair), min(pair)) for number, pair in enumerate(pairs)]
    chance = chance_of(years)
    for year in years:
        if year.applied:
            assert chance is not None
            assert chance.lowest_percent <= 100 * year.admitted / year.applied <= chance.highest_percent
            assert 0 <= chance.lowest_percent <= chance.highest_percent <= 100


def test_applicants_are_expected_by_the_mean_of_the_years_rounded_up() -> None:
    assert expected_applicants([one for one in PAST if one.school == "S1"]) == 75  # 80 and 70
    assert expected_applicants([PastBatch("S1", 2016, 1, 3, 3), PastBatch("S1", 2017, 1, 4, 4)]) == 4
    assert expected_applicants([]) is None
