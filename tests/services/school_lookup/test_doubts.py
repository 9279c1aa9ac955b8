"""A doubt names what of an address was not understood, and no family gets a wrong school as a certain one."""

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.api.schemas import LookupRequest, LookupResult
from backend.services.school_lookup.district import District
from backend.services.school_lookup.family import Child, Family, FamilyHome, HouseholdRegistration
from backend.services.school_lookup.lookup import look_up
from backend.services.school_lookup.model import UnknownAddress
from backend.services.school_lookup.plan import Plan
from backend.services.school_lookup.synthetic_district import synthetic_plan
from tests.services.school_lookup.conftest import LookUp
from tests.services.school_lookup.scene import HEADING, HOME, a_family, catchment, plan_with, problem
from tests.services.school_lookup.test_admission import RULEBOOK

CITY = ZoneInfo("Asia/Shanghai")
MORE = {
    "west": [
        AddressRange(community="朝晖六区"),
        AddressRange(community="滨江壹号院"),
        AddressRange(road="六号大街"),
        AddressRange(road="中村河下路"),
        AddressRange(community="和平村", first_number=1, last_number=20),
    ],
    "east": [AddressRange(community="翠苑一区"), AddressRange(community="和平村", first_number=21, last_number=40)],
}
PLAN = plan_with(
    *(
        replace(catchment(name), address_ranges=[*catchment(name).address_ranges, *ranges])
        for name, ranges in MORE.items()
    )
)
DISTRICT = District("with communities", PLAN, CITY)


def looked_up(address: str, district: District = DISTRICT) -> LookupResult:
    """Look up a child of six who is registered at this address, which the parents own."""
    child = Child(date(2012, 3, 10), date(2012, 3, 20))
    family = Family((child,), HouseholdRegistration(address), (FamilyHome(address, None, 100),))
    return look_up(RULEBOOK, [district], family)


def candidates(address: str, district: District = DISTRICT) -> list[tuple[str, str]]:
    place = looked_up(address, district).places[0]
    return [(one.catchment, one.certainty) for one in place.catchments if one.stage == "primary"]


# ── certain ──


@pytest.mark.parametrize(
    "address",
    [
        "朝晖六区5幢2单元301室",
        "试验区朝晖六区5幢",
        "杭州市试验区朝晖六区5幢",
        "朝晖6区五幢",
        "和平路四十一之一号",
        "和平路廿一号",
        "和平路甲7号",
        "和平路1-3号",
        "滨江壹号院5幢",
        "滨江一号院5幢",
        "中村河下路5号",
        "6号大街452号",
        "和平村十五号",
        "和平路7号（近双桥街）",
    ],
)
def test_an_address_that_is_fully_understood_is_certain(address: str) -> None:
    assert candidates(address) == [("west", "certain")]


@pytest.mark.parametrize(
    ("body", "schools"),
    [
        ("community_that_ends_in_qu", ["云城第1小学"]),
        ("number_of_zhi", ["云城第23小学", "云城第24小学"]),  # 天玑路41号 is in a double district
    ],
)
def test_the_reported_addresses_get_the_schools_whose_catchments_list_them(body: str, schools: list[str]) -> None:
    encoded = msgspec.json.encode(synthetic_plan(2027)).replace("锦兰苑".encode(), "朝晖六区".encode())
    file = Path(__file__).with_name("reported") / f"{body}.json"
    request = msgspec.json.decode(file.read_bytes(), type=LookupRequest)
    assert request.family is not None
    district = District("reported", msgspec.json.decode(encoded, type=Plan), CITY)
    child = look_up(RULEBOOK, [district], request.family).children[0]
    assert [one.school.name for one in child.schools if one.certainty == "certain" and one.batch] == schools


def test_a_range_may_be_a_whole_neighbourhood() -> None:
    ranges = [*catchment("west").address_ranges, AddressRange(community="朝晖社区")]
    district = District("e", plan_with(replace(catchment("west"), address_ranges=ranges)), CITY)
    assert candidates("试验区双桥街道朝晖社区新新路8号", district) == [("west", "certain")]
    assert candidates("朝晖社区新苑5幢", district) == [("west", "certain")]
    assert candidates("朝晖社区5幢", district) == [("west", "certain")]
    assert candidates("朝晖社区和平路8号", district) == [("east", "certain")]


def test_names_in_brackets_are_part_of_the_names_in_a_plan() -> None:
    ranges = [*catchment("west").address_ranges, AddressRange(community="梅苑（北区）")]
    district = District("e", plan_with(replace(catchment("west"), address_ranges=ranges)), CITY)
    assert candidates("梅苑（北区）3幢", district) == [("west", "certain")]
    assert candidates("梅苑北区3幢", district) == [("west", "certain")]
    with pytest.raises(UnknownAddress):
        looked_up("梅苑3幢", district)


@settings(deadline=None)
@given(text=st.text("近东侧某口外桥", min_size=1, max_size=5), number=st.integers(1, 98))
def test_no_place_is_certain_with_unknown_text_before_its_number(text: str, number: int) -> None:
    try:
        found = candidates(f"和平路{text}{number}号")
    except UnknownAddress:
        return
    assert {certainty for _, certainty in found} == {"possible"}


# ── possible, and why ──


@pytest.mark.parametrize(
    ("address", "found", "told"),
    [
        ("开发区6号大街452号", ["west"], "“开发区”"),
        ("试验区高新区桃花苑3幢", ["west"], "“高新区”"),
        ("下城区朝晖六区5幢", ["west"], "“下城区”"),
        ("试验区萧山区和平路7号", ["west"], "“萧山区”"),
        ("朝晖六区桃花园5幢", ["west"], "“桃花园”"),
        ("翠苑一区二区三区", ["east"], "“二区三区”"),
        ("和平路东侧7号", ["east", "west"], "“东侧”"),
        ("和平路四十一某某之一号", ["east", "west"], "“四十一某某之”"),
        ("双桥街东侧7号", ["north-1", "north-2"], "“东侧”"),
        ("双桥街一百二号", ["north-1", "north-2"], "“一百二号”"),
        ("和平路4 1号", ["east", "west"], "“4 1号”"),
        ("和平路附1号", ["east", "west"], "“附1号”"),
        ("和平路7号对面", ["west"], "“对面”"),
        ("和平路（东）7号", ["west"], "“东”"),
    ],
)
def test_text_that_was_not_understood_is_named_and_nothing_is_certain(
    address: str, found: list[str], told: str
) -> None:
    place = looked_up(address).places[0]
    primary = [one for one in place.catchments if one.stage == "primary"]
    assert [(one.catchment, one.certainty) for one in primary] == [(name, "possible") for name in found]
    for one in primary:
        assert one.reason is not None
        assert told in one.reason.zh
        assert told in one.reason.en


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("和平路7、8号", ["east", "west"]),
        ("和平路1-4号", ["east", "west"]),
        ("和平村3组5号", ["east", "west"]),
        ("和平路97至101号", ["west"]),
    ],
)
def test_a_number_that_does_not_decide_is_asked_for(address: str, found: list[str]) -> None:
    place = looked_up(address).places[0]
    primary = [one for one in place.catchments if one.stage == "primary"]
    assert [(one.catchment, one.certainty) for one in primary] == [(name, "possible") for name in found]
    assert all(one.reason is not None and "一个门牌号" in one.reason.zh for one in primary)


def test_a_number_of_a_community_is_not_one_of_its_road() -> None:
    assert candidates("和平路桃花苑7号") == [("east", "possible"), ("west", "possible")]


def test_two_places_in_one_address_give_the_catchments_of_both() -> None:
    assert candidates("朝晖六区和平路8号") == [("east", "possible"), ("west", "possible")]
    assert candidates("和平路7号桃花苑7幢") == [("east", "possible"), ("west", "possible")]


# ── unknown, or elsewhere ──


@pytest.mark.parametrize(
    ("address", "told"), [("朝晖七区5幢", "“朝晖七区”"), ("东区5幢", "“东区”"), ("开发区桃树苑3幢", "“开发区桃树苑”")]
)
def test_a_name_that_no_plan_has_is_reported_and_is_no_district(address: str, told: str) -> None:
    with pytest.raises(UnknownAddress) as raised:
        looked_up(address)
    assert told in raised.value.detail.zh
    assert told.strip("“”") in raised.value.detail.en
    assert raised.value.members["parsed"].district is None


def test_the_part_that_was_not_understood_is_named_when_nothing_was_found() -> None:
    with pytest.raises(UnknownAddress) as raised:
        looked_up("开发区不存在路7号")
    assert "“开发区”无法识别" in raised.value.detail.zh
    assert "“开发区” was not understood" in raised.value.detail.en


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("萧山区市心路1号", "萧山区"),
        ("杭州市钱塘区6号大街452号", "杭州市钱塘区"),
        ("上海市浦东新区和平路7号", "上海市浦东新区"),
        ("建德市和平路7号", "建德市"),
    ],
)
def test_an_address_in_another_district_is_reported_to_be_elsewhere(address: str, name: str) -> None:
    place = looked_up(address).places[0]
    (doubt,) = place.doubts
    assert place.catchments == []
    assert f"该地址在{name}" in doubt.zh
    assert f"This address is in {name}" in doubt.en


def test_an_address_in_another_city_is_elsewhere_although_the_road_has_the_same_name() -> None:
    hangzhou = District("hangzhou", replace(PLAN, heading=replace(HEADING, district="拱墅区", code="330105")), CITY)
    assert candidates("杭州市和平路7号", hangzhou) == [("west", "certain")]
    assert candidates("杭州和平路7号", hangzhou) == [("west", "certain")]
    assert candidates("宁波和平路7号", hangzhou) == [("west", "possible")]
    assert candidates("浙江杭州拱墅和平路7号", hangzhou) == [("west", "certain")]
    assert candidates("拱墅朝晖六区5幢", hangzhou) == [("west", "certain")]
    assert candidates("浙江宁波海曙和平路7号", hangzhou) == [("west", "possible")]
    (doubt,) = looked_up("宁波市和平路7号", hangzhou).places[0].doubts
    assert "宁波市" in doubt.zh


def test_an_address_here_has_no_doubts_of_its_own(look_up: LookUp) -> None:
    assert all("doubts" not in place for place in look_up(a_family()).json()["places"])


def test_a_family_reads_the_doubt_in_its_own_language(look_up: LookUp) -> None:
    answer = look_up(a_family(registration={"address": "和平路7号对面"})).json()
    doubts = answer["children"][0]["schools"][0]["doubts"]
    assert "“对面”无法识别" in doubts[0]["zh"]
    assert "“对面” of the address was not understood" in doubts[0]["en"]
    assert answer["places"][0]["parsed"]["unparsed"] == "对面"


def test_an_unknown_address_is_explained_in_chinese_and_in_english(look_up: LookUp) -> None:
    family = a_family(registration={"address": "朝晖七区5幢"}, homes=[{"address": HOME, "parents_percent": 100}])
    answer = look_up(family)
    assert problem(answer) == (422, "/problems/unknown-address", ["/family/registration/address"])
    assert "“朝晖七区”" in answer.json()["detail"]
    assert "“朝晖七区”" in answer.json()["errors"][0]["detail"]
    assert answer.json()["parsed"]["community"] == "朝晖七区"
