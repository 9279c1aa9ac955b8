"""Where a family lives, over the API: addresses, points on the map, and what is wrong with an entry."""

from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.services.school_lookup import editions
from backend.services.school_lookup.coordinates import CoordinateSystem
from backend.services.school_lookup.editions import store_plan
from tests.services.school_lookup.conftest import LookUp
from tests.services.school_lookup.scene import (
    EAST,
    HOME,
    NORTH,
    SPRING,
    WEST,
    a_child,
    a_family,
    catchment,
    only,
    plan_with,
    point,
    problem,
)

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


def test_contradictions_are_explained_in_the_language_of_the_family(published: TestClient[Litestar]) -> None:
    family = a_family(homes=[{"parents_percent": 10}])
    for language, detail in (("zh", "请填写地址，或在地图上选点。"), ("en", "Give the address or a point on the map.")):
        headers = {"Accept-Language": language}
        answer = published.post("/v1/school-lookups", json={"family": family}, headers=headers)
        assert [error["detail"] for error in answer.json()["errors"]] == [detail]


def test_a_year_without_a_plan_is_reported(look_up: LookUp) -> None:
    assert problem(look_up(a_family(), year=2030))[:2] == (404, "/problems/no-school-plan")


def test_a_city_without_plans_is_reported(client: TestClient[Litestar]) -> None:
    answer = client.post("/v1/school-lookups", json={"family": a_family()})
    assert problem(answer)[:2] == (404, "/problems/no-school-plan")
    assert client.get("/v1/school-plans").json() == []
