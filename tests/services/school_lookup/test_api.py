"""Lookups of families over the API."""

from collections.abc import Callable
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.services.school_lookup import editions
from backend.services.school_lookup.coordinates import CoordinateSystem, from_wgs84
from backend.services.school_lookup.editions import store_plan
from backend.services.school_lookup.family import Child, Family, FamilyHome, HouseholdRegistration
from backend.services.school_lookup.ports import FamilyRegister
from integrations.family_register.sandbox import SandboxFamilyRegister
from tests.conftest import SignIn, id_number_for
from tests.services.school_lookup.conftest import LookUp
from tests.services.school_lookup.scene import (
    EAST,
    HOME,
    NORTH,
    PLAN,
    SPRING,
    WEST,
    a_child,
    a_family,
    catchment,
    plan_with,
    square,
)


def point(at: tuple[float, float], system: CoordinateSystem = "WGS84") -> dict[str, Any]:
    import numpy as np

    longitude, latitude = from_wgs84(np.array([at]), system)[0].tolist()
    return {"point": {"longitude": longitude, "latitude": latitude, "coordinates": system}}


def schools(child: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    return [(one["school"]["id"], one["admission"], one["batch"]) for one in child["schools"]]


def only(answer: Any) -> dict[str, Any]:  # noqa: ANN401  an answer of httpx
    """Return the result of the only child."""
    assert answer.status_code == 200, answer.text
    (child,) = answer.json()["children"]
    return child


def problem(answer: Any) -> tuple[int, str, list[str]]:  # noqa: ANN401  likewise
    body = answer.json()
    return answer.status_code, body["type"], [error["pointer"] for error in body.get("errors", [])]


# ── the answer ──


def test_a_parent_gets_the_school_the_batch_and_why(look_up: LookUp) -> None:
    child = only(look_up(a_family()))
    assert child["stage"] == "primary"
    assert schools(child) == [("S1", "catchment", 1), ("X1", "lottery", None)]
    school = child["schools"][0]
    assert school["certainty"] == "certain"
    assert school["because"]["en"].startswith("The parents or the child own a home in the catchment")
    assert school["rule"] == "parents-own-and-all-registered"
    assert [tie["result"] for tie in school["ties"]] == ["registration"]


def test_seats_and_chance_come_with_the_data_that_they_are_based_on(look_up: LookUp) -> None:
    school = only(look_up(a_family()))["schools"][0]
    assert school["seats"]["seats"] == 60
    assert school["seats"]["expected"] == 75
    assert school["seats"]["warning"] == "red"
    assert school["chance"]["years"] == [
        {"year": 2016, "applied": 40, "admitted": 40},
        {"year": 2017, "applied": 50, "admitted": 50},
    ]
    assert (school["chance"]["lowest_percent"], school["chance"]["highest_percent"]) == (91, 100)


def test_a_batch_without_a_past_has_no_chance(look_up: LookUp) -> None:
    family = a_family(a_child(registered_since="2016-05-01"), homes=[{"address": HOME}])
    school = only(look_up(family))["schools"][0]
    assert (school["batch"], school["chance"]) == (7, None)


def test_the_documents_to_bring_and_the_dates_are_listed(look_up: LookUp) -> None:
    answer = look_up(a_family())
    assert [one["result"] for one in only(answer)["documents"]] == [
        "household_register",
        "birth_certificate",
        "vaccination_record",
        "property_certificate",
    ]
    (district,) = answer.json()["districts"]
    assert district["calendar"]["application_from"] == "2018-06-01"
    assert (district["year"], district["synthetic"], district["source"]) == (2018, False, "a test's own")


def test_a_double_district_gives_both_schools(look_up: LookUp) -> None:
    at = "双桥街1号"
    family = a_family(registration={"address": at}, homes=[{"address": at, "parents_percent": 100}])
    assert schools(only(look_up(family))) == [("S1", "catchment", 1), ("S2", "catchment", 1), ("X1", "lottery", None)]


def test_possible_changes_are_listed(look_up: LookUp) -> None:
    family = a_family(
        a_child(registered_since="2015-05-01"),
        registration={"address": HOME, "parents": "none"},
        homes=[{"address": HOME, "grandparents_percent": 100}, {"address": "西湖区文三路1号", "parents_percent": 100}],
    )
    child = only(look_up(family))
    assert child["schools"][0]["batch"] == 6
    assert [(one["change"]["en"], one["from_batch"], one["to_batch"]) for one in child["possible_changes"]] == [
        ("If the child had been registered here since birth (this cannot be changed; for information only)", 6, 4),
        (
            "If the parents had no other home in 试验区、西湖区 (as in the property register; for information only)",
            6,
            2,
        ),
    ]


def test_a_registration_before_a_date_is_a_possible_change(look_up: LookUp) -> None:
    family = a_family(registration={"address": "和平路8号"})
    child = only(look_up(family))
    assert schools(child)[0] == ("S2", "catchment", 7)
    assert [one["school"] for one in child["ineligible_schools"]] == ["S1"]
    changes = [(one["school"], one["change"]["en"], one["to_batch"]) for one in child["possible_changes"]]
    assert ("S1", "The child is registered in the catchment by 2018-06-01", 1) in changes


def test_a_child_registered_after_applications_opened_is_placed_late(look_up: LookUp) -> None:
    child = only(look_up(a_family(a_child(registered_since="2018-06-02"))))
    assert schools(child)[0] == ("S1", "late", None)
    assert ("The child is registered in the catchment by 2018-06-01", 1) in [
        (one["change"]["en"], one["to_batch"]) for one in child["possible_changes"]
    ]


def test_homes_outside_the_city_districts_are_ignored(look_up: LookUp) -> None:
    def batch(elsewhere: str) -> int:
        homes = [{"address": HOME, "grandparents_percent": 100}, {"address": elsewhere, "parents_percent": 100}]
        return only(look_up(a_family(registration={"address": HOME, "parents": "none"}, homes=homes)))["schools"][0][
            "batch"
        ]

    assert batch("西湖区文三路1号") == 4  # one of the counted districts
    assert batch("宁波市海曙区中山路1号") == 1


# ── age and stage ──


def test_a_child_of_twelve_goes_to_a_junior_school(look_up: LookUp) -> None:
    child = only(look_up(a_family(a_child(born_on="2006-03-10"))))
    assert (child["stage"], schools(child)[0][0]) == ("junior", "S3")
    assert "primary_report" in [one["result"] for one in child["documents"]]


@pytest.mark.parametrize(
    ("born_on", "stage", "next_year"),
    [
        ("2012-08-31", "primary", None),
        ("2012-09-01", None, 2019),
        ("2011-09-01", "primary", None),
        ("2011-08-31", None, 2022),
    ],
)
def test_a_child_too_young_or_too_old_gets_the_next_year_of_entry(
    look_up: LookUp, born_on: str, stage: str | None, next_year: int | None
) -> None:
    child = only(look_up(a_family(a_child(born_on=born_on, registered_since="2014-01-01"))))
    assert (child["stage"], child["next_year"]) == (stage, next_year)
    if stage is None:
        assert child["schools"] == []
        assert child["remedy"]["zh"]


def test_a_person_of_forty_does_not_enter_school(look_up: LookUp) -> None:
    child = only(look_up(a_family(a_child(born_on="1978-01-01"))))
    assert (child["stage"], child["next_year"], child["schools"]) == (None, None, [])


# ── families ──


def test_two_children_are_looked_up_together(look_up: LookUp) -> None:
    family = a_family(a_child(), a_child(registered_since="2015-05-01"), a_child(born_on="2006-01-01"))
    answer = look_up(family).json()
    assert [child["stage"] for child in answer["children"]] == ["primary", "primary", "junior"]
    assert answer["shared_schools"] == []
    twins = look_up(a_family(a_child(), a_child(registered_since="2015-05-01"))).json()
    assert [school["id"] for school in twins["shared_schools"]] == ["S1", "X1"]


def test_swapping_two_children_swaps_their_results(look_up: LookUp) -> None:
    one, other = a_child(), a_child(born_on="2006-01-01", registered_since="2015-05-01")
    there, back = look_up(a_family(one, other)).json(), look_up(a_family(other, one)).json()
    assert there["children"] == back["children"][::-1]
    same = look_up(a_family(one, one)).json()["children"]
    assert same[0] == same[1] == there["children"][0]


def test_a_migrant_family_gets_the_conditions_that_it_does_not_meet(look_up: LookUp) -> None:
    family = a_family(
        {"born_on": "2012-03-10"},
        registration={"in_city": False},
        homes=[{"address": HOME}],
        parents=[{"permit_since": "2017-08-31", "insured_since": "2017-09-01"}, {}],
    )
    answer = look_up(family)
    child = only(answer)
    assert schools(child) == [("X1", "lottery", None)]
    assert [one["result"] for one in answer.json()["migrant_eligibility"]["missing"]] == [
        "residence_permits",
        "social_insurance",
        "livelihood",
    ]
    assert [one["to_batch"] for one in child["possible_changes"]] == [None]


def test_an_eligible_migrant_family_is_placed_by_the_points_of_the_parent_with_more(look_up: LookUp) -> None:
    held = {"permit_since": "2013-05-01", "insured_since": "2016-05-01", "employed_since": "2016-05-01"}
    family = a_family(
        {"born_on": "2012-03-10"},
        registration={"in_city": False},
        homes=[{"address": HOME}],
        parents=[{"permit_since": "2017-05-01"}, held],
    )
    answer = look_up(family)
    assert schools(only(answer))[0] == ("S1", "points", None)
    eligibility = answer.json()["migrant_eligibility"]
    assert (eligibility["missing"], eligibility["points"], eligibility["points_are_official"]) == ([], 60, False)
    family["parents"][0]["points"] = 77
    assert look_up(family).json()["migrant_eligibility"]["points"] == 77


# ── places ──


def candidates(answer: Any, number: int = 0) -> list[tuple[str, str]]:  # noqa: ANN401  an answer of httpx
    assert answer.status_code == 200, answer.text
    place = answer.json()["places"][number]
    return [(one["catchment"], one["certainty"]) for one in place["catchments"] if one["stage"] == "primary"]


def test_an_address_without_its_number_gives_every_candidate_and_the_reason(look_up: LookUp) -> None:
    answer = look_up(a_family(registration={"address": "和平路"}))
    assert candidates(answer) == [("east", "possible"), ("west", "possible")]
    found = only(answer)["schools"]
    assert [(one["school"]["id"], one["certainty"]) for one in found] == [
        ("S1", "possible"),
        ("S2", "possible"),
        ("X1", "certain"),
    ]
    assert "door number" in found[0]["doubts"][0]["en"]


def test_a_point_well_inside_a_catchment_is_found_by_the_map_and_marked_so(look_up: LookUp) -> None:
    answer = look_up(a_family(registration=point(WEST), homes=[{**point(WEST), "parents_percent": 100}]))
    assert candidates(answer) == [("west", "by_map")]
    assert "address ranges take precedence" in only(answer)["schools"][0]["doubts"][0]["en"]


def test_a_point_near_a_boundary_gives_both_sides_with_the_distance(look_up: LookUp) -> None:
    near = (120.11 + 0.0001, 30.305)
    answer = look_up(a_family(registration=point(near)))
    assert candidates(answer) == [("west", "possible"), ("east", "possible")]
    place = answer.json()["places"][0]["catchments"]
    assert [one["boundary_metres"] for one in place if one["stage"] == "primary"] == [10, 10]


def test_an_address_takes_precedence_over_the_map(look_up: LookUp) -> None:
    assert candidates(look_up(a_family(registration={"address": HOME, **point(EAST)}))) == [("west", "certain")]


def test_an_address_in_the_ranges_of_two_catchments_gives_both(
    look_up: LookUp, published: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = plan_with(
        replace(
            catchment("east"), address_ranges=[*catchment("east").address_ranges, *catchment("west").address_ranges]
        )
    )
    later = replace(both, heading=replace(both.heading, year=2019))
    published.blocking_portal.call(store_plan, published.app.state.city.store, later, SPRING)
    monkeypatch.setattr(editions, "REFRESH_SECONDS", 0)
    answer = look_up(a_family(a_child(born_on="2013-03-10", registered_since="2013-03-20")), year=2019)
    assert candidates(answer) == [("east", "possible"), ("west", "possible")]


@pytest.mark.parametrize("system", ["GCJ02", "BD09"])
@pytest.mark.parametrize(("at", "found"), [(WEST, ["west"]), (EAST, ["east"]), (NORTH, ["north-1", "north-2"])])
def test_a_point_in_another_coordinate_system_finds_the_same_catchments(
    look_up: LookUp, system: CoordinateSystem, at: tuple[float, float], found: list[str]
) -> None:
    answer = look_up(a_family(registration=point(at, system)))
    assert candidates(answer) == [(name, "by_map") for name in found]


# ── bad input ──


def test_an_unknown_address_is_reported_as_it_was_parsed(look_up: LookUp) -> None:
    answer = look_up(a_family(registration={"address": "试验区不存在路1号"}))
    assert problem(answer) == (422, "/problems/unknown-address", ["/family/registration/address"])
    assert answer.json()["parsed"]["road"] == "不存在路"
    assert problem(look_up(a_family(registration={"address": "和平路101号"})))[1] == "/problems/unknown-address"
    assert problem(look_up(a_family(registration={"address": "?"})))[1] == "/problems/unknown-address"


def test_a_point_outside_the_city_is_reported(look_up: LookUp) -> None:
    answer = look_up(a_family(registration=point((121.47, 31.23))))
    assert problem(answer) == (422, "/problems/outside-city", ["/family/registration/point"])


def test_a_home_in_a_district_without_a_plan_may_have_a_point_there(look_up: LookUp) -> None:
    elsewhere = {"address": "萧山区市心路1号", **point((120.27, 30.18)), "parents_percent": 100}
    assert look_up(a_family(homes=[{"address": HOME, "parents_percent": 100}, elsewhere])).status_code == 200


def test_latitude_and_longitude_swapped_are_reported(look_up: LookUp) -> None:
    answer = look_up(a_family(homes=[{"point": {"longitude": 30.305, "latitude": 120.105}}]))
    assert problem(answer) == (422, "/problems/outside-city", ["/family/homes/0/point"])
    assert "swapped" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("family", "pointer"),
    [
        (a_family(a_child(registered_since="2012-03-09")), "/family/children/0/registered_since"),
        (a_family(a_child(born_on="2018-05-03", registered_since="2018-05-03")), "/family/children/0/born_on"),
        (a_family({"born_on": "2012-03-10"}), "/family/children/0/registered_since"),
        (a_family(a_child(born_on="0001-01-01")), "/family/children/0/born_on"),
        (a_family(parents=[{"permit_since": "9999-12-31"}]), "/family/parents/0/permit_since"),
        (a_family(registration={}), "/family/registration/address"),
        (a_family(homes=[{"parents_percent": 10}]), "/family/homes/0/address"),
        (
            a_family(homes=[{"address": HOME, "parents_percent": 60, "grandparents_percent": 60}]),
            "/family/homes/0/parents_percent",
        ),
    ],
)
def test_contradictions_are_reported_with_their_pointers(look_up: LookUp, family: dict[str, Any], pointer: str) -> None:
    status, kind, pointers = problem(look_up(family))
    assert (status, kind) == (422, "/problems/invalid-family")
    assert pointer in pointers


def test_a_year_without_a_plan_is_reported(look_up: LookUp) -> None:
    assert problem(look_up(a_family(), year=2030))[:2] == (404, "/problems/no-school-plan")


def test_a_city_without_plans_is_reported(client: TestClient[Litestar]) -> None:
    answer = client.post("/v1/school-lookups", json={"family": a_family()})
    assert problem(answer)[:2] == (404, "/problems/no-school-plan")
    assert client.get("/v1/school-plans").json() == []


# ── who asks ──


def test_nothing_of_an_anonymous_lookup_is_stored(look_up: LookUp, stored_bytes: Callable[[], bytes]) -> None:
    look_up(a_family(registration={"address": "和平路77号"}))
    assert "和平路77号".encode() not in stored_bytes()
    assert b"2012-03-10" not in stored_bytes()


@pytest.fixture
def register(client: TestClient[Litestar]) -> SandboxFamilyRegister:
    return client.app.state.city.port(FamilyRegister)


FROM_RECORDS = {"use_my_records": True}


def test_a_citizen_who_consents_need_not_enter_anything(
    published: TestClient[Litestar], sign_in: SignIn, register: SandboxFamilyRegister
) -> None:
    from datetime import date

    known = Family(
        (Child(date(2012, 3, 10), date(2012, 3, 20)),), HouseholdRegistration(HOME), (FamilyHome(HOME, None, 100),)
    )
    register.set_family(id_number_for("13800000101"), known)
    wang = sign_in("13800000101", name="王小明")
    child = only(published.post("/v1/school-lookups", json=FROM_RECORDS, headers=wang))
    assert child == only(published.post("/v1/school-lookups", json={"family": a_family()}))


def test_records_are_for_citizens_with_a_verified_identity(published: TestClient[Litestar], sign_in: SignIn) -> None:
    assert published.post("/v1/school-lookups", json=FROM_RECORDS).status_code == 401
    assert published.post("/v1/school-lookups", json=FROM_RECORDS, headers=sign_in("13800000102")).status_code == 403


def test_a_family_is_either_entered_or_read_with_consent(published: TestClient[Litestar]) -> None:
    for body in ({}, {"family": a_family(), "use_my_records": True}):
        assert published.post("/v1/school-lookups", json=body).status_code == 400


def test_registers_that_do_not_answer_are_reported(
    published: TestClient[Litestar], sign_in: SignIn, register: SandboxFamilyRegister
) -> None:
    wang = sign_in("13800000101", name="王小明")
    register.database.script_outcomes("family", "lost_before")
    answer = published.post("/v1/school-lookups", json=FROM_RECORDS, headers=wang)
    assert problem(answer)[:2] == (503, "/problems/upstream-unavailable")
    assert answer.headers["Retry-After"] == "60"


def test_the_sandbox_makes_synthetic_families_of_every_kind() -> None:
    from datetime import date
    from zoneinfo import ZoneInfo

    from backend.services.school_lookup.district import District
    from backend.services.school_lookup.family import contradictions_of
    from backend.services.school_lookup.lookup import look_up as look_up_schools
    from backend.services.school_lookup.synthetic_district import synthetic_plan
    from integrations.family_register.sandbox import _synthetic_family
    from tests.services.school_lookup.test_admission import RULEBOOK

    today = date(2026, 5, 4)
    district = District("e", synthetic_plan(2026), ZoneInfo("Asia/Shanghai"))
    families = [_synthetic_family(str(number), today) for number in range(300)]
    assert None in families
    known = [family for family in families if family is not None]
    assert not [error for family in known for error in contradictions_of(family, today)]
    found = [look_up_schools(RULEBOOK, [district], family) for family in known]
    admissions = {choice.admission for one in found for child in one.children for choice in child.schools}
    assert {"catchment", "lottery"} <= admissions
    assert {child.stage for one in found for child in one.children} == {"primary", "junior"}


def test_the_plan_of_these_tests_is_the_one_in_the_drawing() -> None:
    assert PLAN.boundary == square(120.10, 30.30, 120.12, 30.32)
