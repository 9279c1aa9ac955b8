"""Cities and districts are distinguished from names that end alike."""

import pytest

from backend.services.school_lookup.divisions import (
    city_before,
    city_of,
    is_county,
    is_former_county,
    province_of,
    short_divisions_before,
)


@pytest.mark.parametrize("name", ["上城区", "杭州上城区", "浦东新区", "淳安县", "建德市", "钱塘区", "临平区"])
def test_a_district_or_county_is_known(name: str) -> None:
    assert is_county(name, after_city=False)


@pytest.mark.parametrize("name", ["朝晖六区", "翠苑一区", "开发区", "高新区", "工业区", "景区", "桃花小区", "朝晖社区"])
def test_a_community_or_a_zone_is_not_a_district(name: str) -> None:
    assert not is_county(name, after_city=True)


def test_a_part_of_a_community_is_a_district_only_after_its_city() -> None:
    assert not is_county("东区", after_city=False)
    assert is_county("东区", after_city=True)


def test_a_district_that_was_dissolved_is_not_one_now() -> None:
    assert is_former_county("下城区")
    assert not is_county("下城区", after_city=True)
    assert not is_former_county("上城区")
    assert not is_former_county("南区")


@pytest.mark.parametrize(
    ("text", "city"),
    [
        ("杭州市和平路", "杭州市"),
        ("杭州市区和平路", "杭州市"),
        ("萧山市心路", None),
        ("东方城市花园", None),
        ("市民中心", None),
    ],
)
def test_a_city_is_known_at_the_beginning_of_an_address(text: str, city: str | None) -> None:
    found = city_before(text)
    assert (None if found is None else found[1]) == city


@pytest.mark.parametrize(
    ("name", "short"),
    [("浙江杭州上城和平路", "浙江杭州上城"), ("杭州路", ""), ("和平路", ""), ("临安路", ""), ("朝晖六区", "")],
)
def test_divisions_may_be_written_without_their_kind(name: str, short: str) -> None:
    assert short_divisions_before(name) == short


def test_the_city_of_a_district_follows_from_its_code() -> None:
    assert (city_of("330105"), city_of("310115"), city_of("110101")) == ("杭州市", "上海市", "北京市")
    assert province_of("330105") == "浙江省"
    assert city_of("990002") is province_of("990002") is None
