"""Numbers of identity documents: whatever has been issued is accepted, however it is typed."""

from datetime import date
from typing import get_args

import pytest
from gb2260.data import data as revisions
from stdnum.cn import ric

from backend.city.id_number import DocumentKind, IdentityDocument, InvalidIdNumber, parse_id_number

TODAY = date(2026, 11, 29)
NEWER_DIVISIONS = (330113, 330114)
"""Linping and Qiantang, founded in 2021, after the last revision of gb2260."""
RESIDENCE_PERMITS = (810000, 820000, 830000)


def with_checksum(first_seventeen: str) -> str:
    return first_seventeen + ric.calc_check_digit(first_seventeen + "0")


def of(kind: DocumentKind, text: str) -> IdentityDocument:
    return parse_id_number(text, TODAY, kind=kind)


def refused(kind: DocumentKind, text: str) -> InvalidIdNumber:
    with pytest.raises(InvalidIdNumber) as caught:
        of(kind, text)
    return caught.value


WOMAN = with_checksum("33010619900307002")


# ── resident identity cards ──


def test_every_division_is_accepted_with_every_year_of_birth() -> None:
    """The division is that of the place of registration, which may have been founded long after the birth."""
    divisions = {code for codes in revisions.values() for code in codes} | {*NEWER_DIVISIONS, *RESIDENCE_PERMITS}
    assert len(divisions) > 3_700
    for division in divisions:
        for year in range(1920, TODAY.year + 1):
            number = with_checksum(f"{division}{year}0101{division % 1000:03}")
            document = parse_id_number(number, TODAY)
            assert document == IdentityDocument(number)
        assert document.born_on == TODAY.replace(month=1, day=1)


@pytest.mark.parametrize(
    "number",
    [
        "330106196603100113",
        "33010219500505011X",
        "440106197001010110",
        "420106196501010119",
        "330109198808080118",
        "330110199901010114",
        "830000198501010110",
        "810000198501010117",
        "820000198501010119",
    ],
)
def test_people_born_before_the_code_of_their_district_are_accepted(number: str) -> None:
    assert parse_id_number(number, TODAY).number == number


@pytest.mark.parametrize(
    "typed",
    [
        "330106 19900307 0022",
        "330106-19900307-0022",
        "３３０１０６１９９００３０７００２２",
        "\u202d330106199003070022\u202c",
        "330106\u3000199003070022\r\n",
        "330106–19900307–0022",
    ],
)
def test_spaces_hyphens_and_full_width_digits_do_not_matter(typed: str) -> None:
    assert parse_id_number(typed, TODAY) == IdentityDocument("330106199003070022")


@pytest.mark.parametrize("typed", ["x", "Ｘ", "ｘ", "×", "Ⅹ", " X"])
def test_the_check_character_x_may_be_typed_in_any_form(typed: str) -> None:
    assert parse_id_number(f"33010619900307009{typed}", TODAY).number == "33010619900307009X"


def test_a_resident_id_number_encodes_sex_and_birth_date() -> None:
    woman, man = parse_id_number(WOMAN, TODAY), parse_id_number(with_checksum("33010619900307001"), TODAY)
    assert (woman.sex, woman.born_on) == ("female", date(1990, 3, 7))
    assert (man.sex, man.born_on) == ("male", date(1990, 3, 7))


def test_a_birth_date_may_be_today_but_not_tomorrow() -> None:
    assert parse_id_number(with_checksum("33010620261129001"), TODAY).born_on == TODAY
    assert "future" in refused("resident_identity_card", with_checksum("33010620261130001")).errors[0].detail


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (WOMAN[:-1] + ("0" if WOMAN[-1] != "0" else "1"), "checksum"),
        (with_checksum("33010619900230001"), "birth date"),
        (with_checksum("33010619901301001"), "birth date"),
        (with_checksum("33010600000101001"), "birth date"),
        (with_checksum("03010619900307001"), "17 digits"),
        (with_checksum("90010619900307001"), "17 digits"),
        (WOMAN[:-1], "17 digits"),
        (WOMAN + "1", "17 digits"),
        ("330106900307002", "17 digits"),
        ("三三〇一〇六一九九〇〇三〇七〇〇一一", "17 digits"),
        ("٣٣٠١٠٦١٩٩٠٠٣٠٧٠٠٢٢", "17 digits"),
        ("H12345678", "name its kind"),
        ("", "17 digits"),
    ],
)
def test_a_number_that_was_never_issued_is_refused_with_its_fault_and_place(text: str, fault: str) -> None:
    with pytest.raises(InvalidIdNumber) as caught:
        parse_id_number(text, TODAY, "/people/3/id_number")
    [error] = caught.value.errors
    assert (error.pointer, fault in error.detail) == ("/people/3/id_number", True)
    assert caught.value.detail.zh == error.detail_zh != ""


# ── other documents ──


def test_the_permanent_residence_card_of_2023_is_recognised_by_its_first_digit() -> None:
    """The National Immigration Administration chose 9 so that nobody needs to name the kind."""
    typed = "933840198501010015"
    card = parse_id_number(typed, TODAY)
    assert card == of("permanent_residence_card", typed) == IdentityDocument(typed, "permanent_residence_card")
    assert (card.born_on, card.sex) == (date(1985, 1, 1), None)
    assert "checksum" in refused("permanent_residence_card", "933840198501010016").errors[0].detail


def test_the_older_permanent_residence_card_has_three_letters_and_twelve_digits() -> None:
    card = parse_id_number("usa 3301 8501 0101", TODAY)
    assert card == IdentityDocument("USA330185010101", "permanent_residence_card")
    assert (card.born_on, card.sex) == (None, None)


@pytest.mark.parametrize("typed", ["EA1234567", "ea 1234567", "ＥＡ１２３４５６７", "EA-1234567"])
def test_a_passport_has_letters_and_digits(typed: str) -> None:
    passport = of("passport", typed)
    assert passport == IdentityDocument("EA1234567", "passport")
    assert (passport.born_on, passport.sex) == (None, None)


@pytest.mark.parametrize("number", ["12345", "A" * 19 + "1", "C01X00T47", "USA330185010101", "933840198501010015"])
def test_passports_of_all_lengths_are_accepted_as_such(number: str) -> None:
    assert of("passport", number) == IdentityDocument(number, "passport")


@pytest.mark.parametrize(("typed", "number"), [("H12345678", "H12345678"), ("m0123456702", "M01234567")])
def test_a_travel_permit_of_hong_kong_or_macao_is_known_by_its_first_nine_characters(typed: str, number: str) -> None:
    """The last two of eleven count renewals: with the first nine the Ministry of Public Security names one person."""
    assert of("hong_kong_macao_travel_permit", typed).number == number


@pytest.mark.parametrize("typed", ["01234567", "0123456701", "0123456701B", "01234567(01)(B)", "01234567 01"])
def test_a_travel_permit_of_taiwan_is_known_by_its_first_eight_digits(typed: str) -> None:
    assert of("taiwan_travel_permit", typed) == IdentityDocument("01234567", "taiwan_travel_permit")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("permanent_residence_card", "330106199003070022"),
        ("permanent_residence_card", with_checksum("99000119900307001")),
        ("permanent_residence_card", "US3301850101001"),
        ("passport", "1234"),
        ("passport", "A" * 20 + "1"),
        ("passport", "PASSPORT"),
        ("passport", "E１２三四五六"),
        ("hong_kong_macao_travel_permit", "T12345678"),
        ("hong_kong_macao_travel_permit", "H123456789"),
        ("hong_kong_macao_travel_permit", "H1234567"),
        ("taiwan_travel_permit", "1234567"),
        ("taiwan_travel_permit", "123456789"),
        ("resident_identity_card", "EA1234567"),
    ],
)
def test_a_number_of_another_form_than_its_kind_is_refused(kind: DocumentKind, text: str) -> None:
    problem = refused(kind, text)
    assert problem.errors[0].pointer == "/id_number"
    assert problem.detail.en == problem.errors[0].detail


def test_documents_of_all_kinds_are_stored_as_texts_of_their_own() -> None:
    """The text of a resident card is its number, as it was before there were other kinds."""
    assert str(IdentityDocument(WOMAN)) == WOMAN
    same = [IdentityDocument("H12345678", kind) for kind in get_args(DocumentKind)]
    assert len(set(map(str, same))) == len(same)
    assert [IdentityDocument.from_text(str(document)) for document in same] == same
