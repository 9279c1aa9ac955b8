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


@given(st.text(max_size=200))
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    assert parse_address(text) == parse_address(f" {text} ")


@given(st.integers(1, 99_999), st.sampled_from(["湖墅南路", "和平街", "霞湾巷"]))
def test_a_number_survives_being_written(number: int, road: str) -> None:
    assert parse_address(f"拱墅区{road}{number}号") == Address("拱墅区", road, number=number)


ROAD = AddressRange(road="和平路")
ODD = AddressRange(road="和平路", first_number=11, last_number=19, parity="odd")
LANE = AddressRange(road="和平路", lane=12)
LANE_NUMBERS = AddressRange(road="和平路", lane=12, first_number=1, last_number=5)
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
