"""Lookups of families over the API."""

from collections.abc import Callable

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.services.school_lookup.family import Child, Family, FamilyHome, HouseholdRegistration
from backend.services.school_lookup.ports import FamilyRegister
from integrations.family_register.sandbox import SandboxFamilyRegister
from tests.conftest import SignIn, id_number_for
from tests.services.school_lookup.conftest import LookUp
from tests.services.school_lookup.scene import (
    HOME,
    PLAN,
    a_child,
    a_family,
    only,
    problem,
    schools,
    square,
)

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
