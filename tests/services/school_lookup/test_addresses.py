"""Addresses are parsed, and matched with address ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.school_lookup.addresses import Address, AddressRange, Match, parse_address


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (
            "浙江省杭州市拱墅区湖墅街道湖墅南路186号3幢2单元501室",
            Address("拱墅区", "湖墅南路", number=186, building="3", unit=2, room=501),
        ),
        ("拱墅区湖墅南路186-1号", Address("拱墅区", "湖墅南路", number=186, annex=1)),
        ("湖墅南路１８６号", Address(road="湖墅南路", number=186)),
        ("文三路一百八十六号", Address(road="文三路", number=186)),
        ("文三路一八六号", Address(road="文三路", number=186)),
        ("拱墅区 莫干山路 123弄 5号", Address("拱墅区", "莫干山路", lane=123, number=5)),
        ("翠苑小区3幢", Address(community="翠苑小区", building="3")),
        ("杭州市西湖区翠苑一区12幢3单元401", Address("西湖区", community="翠苑一区", building="12", unit=3, room=401)),
        ("德胜路仓基新村5幢", Address(road="德胜路", community="仓基新村", building="5")),
        ("朝晖路", Address(road="朝晖路")),
        ("建国北路200号A座", Address(road="建国北路", number=200, building="A")),
        ("中山北路632号（近文晖路）", Address(road="中山北路", number=632)),
        ("湖墅南路186", Address(road="湖墅南路", number=186)),
        ("6号大街452号", Address(road="6号大街", number=452)),
        ("", Address()),
    ],
)
def test_an_address_is_parsed_into_its_parts(text: str, read: Address) -> None:
    assert parse_address(text) == read


def parts(text: str, *names: str) -> tuple[object, ...]:
    """Return some parts of an address."""
    address = parse_address(text, ("试验区",))
    return tuple(getattr(address, name) for name in names)


@pytest.mark.parametrize(
    ("text", "number", "annex"),
    [
        ("四十一之一号", 41, 1),
        ("四十一号之一", 41, 1),
        ("41之1号", 41, 1),
        ("41号之1", 41, 1),
        ("41号附1号", 41, 1),
        ("四十一附一号", 41, 1),
        ("４１－１号", 41, 1),
        ("四十一", 41, None),
        ("二十一之二", 21, 2),
        ("一百零一之二号", 101, 2),
        ("三十号之二", 30, 2),
        ("廿一号", 21, None),
        ("卅号", 30, None),
        ("卌一号", 41, None),
        ("两百零一号", 201, None),
        ("二百○一号", 201, None),
        ("二0一号", 201, None),
        ("二O一号", 201, None),
        ("壹佰贰拾叁号", 123, None),
        ("一千二百号", 1_200, None),
        ("十 七 号", 17, None),
        ("第7号", 7, None),
        ("门牌号7号", 7, None),
        ("No.7", 7, None),
        ("7 301", 7, None),
        ("7-301", 7, None),
    ],
)
def test_a_number_is_read_whatever_its_form(text: str, number: int, annex: int | None) -> None:
    assert parts(f"和平路{text}", "road", "number", "annex", "unparsed") == ("和平路", number, annex, "")


@pytest.mark.parametrize("text", ["7号甲", "甲7号", "7甲号", "七甲号", "甲七号"])
def test_a_letter_belongs_to_the_number(text: str) -> None:
    assert parts(f"和平路{text}", "number", "letter", "unparsed") == (7, "甲", "")


@pytest.mark.parametrize("text", ["7至9号", "7-9号", "7～9号", "7、9号", "7号、9号", "七至九号"])
def test_two_numbers_are_the_first_and_the_last(text: str) -> None:
    assert parts(f"和平路{text}", "number", "last_number") == (7, 9)


@pytest.mark.parametrize(
    ("text", "unparsed"),
    [
        ("和平路4 1号", "4 1号"),
        ("和平路4,1号", "4 1号"),
        ("和平路四 一号", "四 1号"),
        ("和平路4.1号", "4 1号"),
        ("和平路1/3号", "1/3号"),
        ("和平路一百二号", "一百二号"),
        ("和平路附1号", "附1号"),
        ("和平路11、13、15号", "11、13、15号"),
        ("和平路100000号", "100000号"),
    ],
)
def test_a_number_with_two_readings_is_none_and_is_reported(text: str, unparsed: str) -> None:
    assert parts(text, "road", "number", "community", "unparsed") == ("和平路", None, None, unparsed)


@pytest.mark.parametrize(
    ("text", "unparsed"),
    [
        ("和平路7号9号", "9号"),
        ("和平路7号对面", "对面"),
        ("和平路7号北侧50米", "北侧 50米"),
        ("和平路（东）7号", "东"),
        ("双桥街和平路7号", "双桥街"),
        ("桃花苑3-7幢", "3-7幢"),
    ],
)
def test_text_that_may_change_the_place_is_reported(text: str, unparsed: str) -> None:
    assert parts(text, "unparsed") == (unparsed,)


@pytest.mark.parametrize(
    ("text", "community", "building"),
    [
        ("朝晖六区5幢2单元301室", "朝晖六区", "5"),
        ("试验区朝晖六区5幢", "朝晖六区", "5"),
        ("杭州市翠苑一区12幢", "翠苑一区", "12"),
        ("三墩镇翠苑一区12幢", "翠苑一区", "12"),
        ("朝晖 6 区 5 幢", "朝晖6区", "5"),
        ("东区5幢", "东区", "5"),
        ("朝晖社区5幢", "朝晖社区", "5"),
        ("东方城市花园3幢", "东方城市花园", "3"),
        ("桃花苑三组团5幢", "桃花苑三组团", "5"),
        ("【桃花苑】3幢", "桃花苑", "3"),
        ("(桃花苑)3幢", "桃花苑", "3"),
        ("桃花苑A幢", "桃花苑", "A"),
        ("桃花苑甲幢", "桃花苑", "甲"),
        ("桃花苑A区3幢", "桃花苑A区", "3"),
        ("桃花苑3-2-301", "桃花苑", "3"),
        ("桃花苑3-301", "桃花苑", "3"),
        ("桃花苑壹号楼", "桃花苑", "1"),
        ("桃花苑第三幢第二单元", "桃花苑", "3"),
        ("桃花苑廿幢二单元三零一", "桃花苑", "20"),
    ],
)
def test_a_community_is_read_with_its_building(text: str, community: str, building: str) -> None:
    read = parts(text, "community", "building", "district", "number", "unparsed")
    assert read == (community, building, "试验区" if text.startswith("试验区") else None, None, "")


@pytest.mark.parametrize(
    ("text", "area"),
    [
        ("开发区6号大街452号", "开发区"),
        ("杭州经济技术开发区6号大街452号", "杭州经济技术开发区"),
        ("高新区6号大街452号", "高新区"),
        ("钱塘新区6号大街452号", "钱塘新区"),
        ("西湖风景名胜区6号大街452号", "西湖风景名胜区"),
        ("工业园区6号大街452号", "工业园区"),
        ("朝晖小区6号大街452号", "朝晖小区"),
        ("朝晖六区6号大街452号", "朝晖六区"),
        ("下城区6号大街452号", "下城区"),
        ("余杭市6号大街452号", "余杭市"),
        ("和平村6号大街452号", "和平村"),
        ("试验区萧山区6号大街452号", "萧山区"),
    ],
)
def test_a_name_before_a_road_that_is_no_district_is_an_area(text: str, area: str) -> None:
    district = "试验区" if text.startswith("试验区") else None
    assert parts(text, "area", "district", "road", "number") == (area, district, "6号大街", 452)


@pytest.mark.parametrize(
    ("text", "road"),
    [
        ("二十一大街7号", "二十一大街"),
        ("21大街7号", "21大街"),
        ("五一路7号", "五一路"),
        ("文三西路七号", "文三西路"),
        ("百井坊巷七号", "百井坊巷"),
        ("廿四间巷七号", "廿四间巷"),
        ("大陆弄七号", "大陆弄"),
        ("萧山市心路7号", "萧山市心路"),
        ("景区路7号", "景区路"),
        ("城区北路7号", "城区北路"),
        ("区府路7号", "区府路"),
        ("四号桥路七号", "4号桥路"),
    ],
)
def test_numerals_and_divisions_in_the_name_of_a_road_stay(text: str, road: str) -> None:
    assert parts(text, "road", "number", "area", "district", "unparsed") == (road, 7, None, None, "")


@pytest.mark.parametrize(
    ("text", "community"), [("十八家7号", "十八家"), ("廿四间七号", "廿四间"), ("三里亭7号", "三里亭")]
)
def test_a_number_after_a_community_is_not_one_of_a_road(text: str, community: str) -> None:
    assert parts(text, "community", "number", "number_in_community", "unparsed") == (community, 7, True, "")


def test_villages_have_groups_and_lanes_have_lanes() -> None:
    assert parts("和平村三组五号", "community", "group", "number", "unparsed") == ("和平村", 3, 5, "")
    assert parts("和平路12弄3支弄5号", "lane", "sublane", "number", "unparsed") == (12, 3, 5, "")
    assert parts("朝晖六区七弄", "community", "lane", "unparsed") == ("朝晖六区", 7, "")


@pytest.mark.parametrize(
    "text", ["2号院1号楼", "2号大院1号楼", "2号1幢", "2号1号楼3单元", "2号三楼", "2号1-301", "2号5楼501东户"]
)
def test_what_is_inside_a_house_does_not_change_its_number(text: str) -> None:
    assert parts(f"和平路{text}", "number", "annex", "unparsed") == (2, None, "")


@given(st.text(max_size=200))
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    assert parse_address(text) == parse_address(f" {text} ")


@given(st.integers(1, 99_999), st.sampled_from(["湖墅南路", "和平街", "霞湾巷"]))
def test_any_number_of_a_road_is_parsed(number: int, road: str) -> None:
    assert parse_address(f"拱墅区{road}{number}号") == Address("拱墅区", road, number=number)


ROAD = AddressRange(road="和平路")
ODD = AddressRange(road="和平路", first_number=11, last_number=19, parity="odd")
LANE = AddressRange(road="和平路", lane=12)
LANE_NUMBERS = AddressRange(road="和平路", lane=12, first_number=1, last_number=5)
VILLAGE = AddressRange(community="和平村", first_number=1, last_number=20)
COMMUNITY = AddressRange(community="桃花苑", first_building=3, last_building=5)


@pytest.mark.parametrize(
    ("range_", "text", "match", "missing"),
    [
        (ROAD, "和平路7号", "yes", None),
        (ROAD, "和平路", "yes", None),
        (ROAD, "和睦路7号", "no", None),
        (ODD, "和平路9号", "no", None),
        (ODD, "和平路11号", "yes", None),
        (ODD, "和平路12号", "no", None),
        (ODD, "和平路19号", "yes", None),
        (ODD, "和平路21号", "no", None),
        (ODD, "和平路", "maybe", "number"),
        (ODD, "和平路12弄11号", "no", None),
        (LANE, "和平路12弄3号", "yes", None),
        (LANE, "和平路13弄3号", "no", None),
        (LANE, "和平路3号", "no", None),
        (LANE, "和平路", "maybe", "lane"),
        (LANE_NUMBERS, "和平路12弄", "maybe", "number"),
        (LANE_NUMBERS, "和平路12弄6号", "no", None),
        (COMMUNITY, "桃花苑2幢", "no", None),
        (COMMUNITY, "桃花苑3幢", "yes", None),
        (COMMUNITY, "桃花苑5幢", "yes", None),
        (COMMUNITY, "桃花苑6幢", "no", None),
        (COMMUNITY, "桃花苑", "maybe", "building"),
        (COMMUNITY, "和平路桃花苑4幢", "yes", None),
        (COMMUNITY, "桃花苑A座", "no", None),
        (COMMUNITY, "桃花苑3A幢", "maybe", "building"),
        (ODD, "和平路十一之一号", "yes", None),
        (ODD, "和平路11-15号", "yes", None),
        (ODD, "和平路11至12号", "maybe", "number"),
        (ODD, "和平路19、21号", "maybe", "number"),
        (ODD, "和平路东侧11号", "maybe", "number"),
        (LANE, "和平路东侧3号", "maybe", "lane"),
        (LANE_NUMBERS, "和平路12弄2支弄3号", "maybe", "number"),
        (VILLAGE, "和平村5号", "yes", None),
        (VILLAGE, "和平村3组5号", "maybe", "number"),
        (VILLAGE, "和平路5号和平村", "maybe", "number"),
        (VILLAGE, "和平村25号", "no", None),
        (AddressRange(community="朝晖六区"), "朝晖6区5幢", "yes", None),
        (AddressRange(community="朝晖6区"), "朝晖六区5幢", "yes", None),
        (AddressRange(road="六号大街"), "6号大街452号", "yes", None),
        (AddressRange(road="白堤", parity="odd"), "白堤5号", "yes", None),
        (AddressRange(community="三里"), "三里5幢", "yes", None),
        (AddressRange(community="翠苑一区"), "翠苑一区和平路7号", "yes", None),
    ],
)
def test_a_range_contains_an_address_or_may_contain_it_if_a_part_is_missing(
    range_: AddressRange, text: str, match: Match, missing: str | None
) -> None:
    address = parse_address(text)
    assert range_.match(address) == match
    if match == "maybe":
        assert range_.missing(address) == missing


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 200), st.integers(0, 50))
def test_a_larger_range_never_loses_an_address(number: int, first: int, last: int, more: int) -> None:
    address = parse_address(f"和平路{number}号")
    smaller = AddressRange(road="和平路", first_number=first, last_number=last)
    larger = AddressRange(road="和平路", first_number=first - more, last_number=last + more)
    assert larger.match(address) == "yes" or smaller.match(address) == "no"
