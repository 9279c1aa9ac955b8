"""Names as phones type them become the names on the documents; the register decides whose they are."""

import pytest

from backend.city.name import InvalidName, parse_name

UYGHUR = "阿卜杜热西提·买买提"


@pytest.mark.parametrize("dot", "·•・･‧∙⋅．.。｡﹒⸱●◦")
@pytest.mark.parametrize("space", ["", " ", "\u3000", "\u200b", "\u00a0"])
def test_the_dot_in_a_name_may_be_typed_in_many_ways(dot: str, space: str) -> None:
    assert parse_name(f"阿卜杜热西提{space}{dot}{space}买买提") == UYGHUR


def test_a_dot_typed_twice_is_one_and_each_part_is_joined_by_one() -> None:
    assert parse_name("阿卜杜热西提··买买提") == parse_name("阿卜杜热西提..买买提") == UYGHUR
    assert parse_name("阿依・古丽．艾山") == "阿依·古丽·艾山"


@pytest.mark.parametrize("typed", ["张 三", " 张三 ", "张\u3000三", "张\u200b三", "张\n三"])
def test_spaces_between_chinese_characters_are_dropped(typed: str) -> None:
    assert parse_name(typed) == "张三"


@pytest.mark.parametrize(
    "name",
    [
        "张",
        "䶮",
        "𠅤明",
        "㛃明",
        "〇",
        "\U0002b820",  # extension E
        "\U0002ebf1",  # extension I, which Python 3.11 does not know
        "\U00031350",  # extension H, likewise
        "\U000323b1",  # extension J, likewise
        "\ue000明",  # a register's own character
        "\U000f0000明",
    ],
)
def test_a_name_of_one_character_or_of_rare_ones_is_kept(name: str) -> None:
    assert parse_name(name) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("\ue863", "䶮"),
        ("\ue81e", "\u9fb4"),
        ("\ue816明", "\U00020087明"),
        ("\ue864", "\u9fbb"),
        ("\uf9dc", "\u9686"),
        ("\u2f00", "一"),
        ("李○", "李〇"),
        ("葛\ufe00", "葛"),
        ("葛\U000e0100", "葛"),
    ],
    ids=["GBK", "GBK, 2005", "GBK, plane 2", "GBK, last", "compatible", "radical", "circle", "variant", "ideographic"],
)
def test_a_character_in_the_private_use_area_of_gbk_or_of_another_form_becomes_the_one_in_unicode(
    typed: str, name: str
) -> None:
    assert parse_name(typed) == name


def test_each_character_that_gb_18030_of_2005_moved_out_of_the_private_use_area_is_found_in_unicode() -> None:
    """Python's codec is that of the year 2000, which has no places for these; the iconv of glibc gives the same."""
    moved = "\ue816\ue817\ue818\ue81e\ue826\ue82b\ue82c\ue831\ue832\ue83b\ue843\ue854\ue855\ue864"
    assert parse_name(moved) == "𠂇𠂉𠃌龴龵龶龷𡗗龸𢦏龹龺𤇾龻"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Anna O'Neill-Smith", "Anna O'Neill-Smith"),
        ("Anna O’Neill‑Smith", "Anna O'Neill-Smith"),
        ("José Ñúñez", "José Ñúñez"),
        ("Jose\u0301", "José"),
        ("Żółć Łukasz", "Żółć Łukasz"),
        ("Nguyễn Thị Hà", "Nguyễn Thị Hà"),
        ("SMITH,  JOHN", "SMITH, JOHN"),
        ("'t Hooft", "'t Hooft"),
        ("J. R. Smith Jr.", "J. R. Smith Jr."),
        ("Maʻa Mu`", "Ma'a Mu'"),
        ("ＪＯＨＮ　ＳＭＩＴＨ", "JOHN SMITH"),
        ("Anna•Maria", "Anna·Maria"),
        ("Иван Петров", "Иван Петров"),
        ("陈大文 CHAN TAI MAN", "陈大文 CHAN TAI MAN"),
    ],
)
def test_names_in_other_letters_keep_their_spaces_accents_and_apostrophes(typed: str, name: str) -> None:
    assert parse_name(typed) == name
    assert parse_name(name) == name


def test_a_name_may_be_as_long_as_a_document_shows() -> None:
    assert parse_name("A" * 60) == "A" * 60
    with pytest.raises(InvalidName):
        parse_name("A" * 61)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "张3",
        "张3三",
        "张😀三",
        "张\x00三",
        "John <b> Smith",
        "张²",
        "<b>张</b>",
        "😀😀",
        "·张",
        "张·",
        "张-",
        "-张",
        "张三\x00",
        "\ud840",
        "，",
        "'",
        "·",
        "⿰女弟",
    ],
)
def test_what_no_document_shows_is_refused(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_name(text)
    [error] = caught.value.errors
    assert (error.pointer, error.detail, error.detail_zh) == (
        "/name",
        caught.value.detail.en,
        caught.value.detail.zh,
    )
