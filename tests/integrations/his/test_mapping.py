"""Values that both interfaces parse in the same way: money, instants, identifiers and kinds of visits."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.city.id_number import DocumentKind, IdentityDocument
from backend.services.medical_credit.model.commands import Command, WithdrawCounterPayment
from backend.services.medical_credit.model.visit import CounterPayment, Line
from integrations.his.mapping import (
    DOCUMENT_TYPES,
    Unmappable,
    build_transaction,
    fen_from_yuan,
    kind_of_system,
    parse_identifier,
    parse_instant,
    parse_title,
    require_document,
    visit_kind,
    yuan_from_fen,
)

CITY = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [
        ("12.50", 1250),
        ("0.3", 30),
        ("7", 700),
        ("-0.01", -1),
        ("+1.10", 110),
        ("100000000.00", 10_000_000_000),
        ("1.000", 100),
        ("100.100", 100_10),
        ("79.000000", 79_00),
        ("0.00", 0),
        ("-5.000", -5_00),
        ("1." + "0" * 5_000, 100),
    ],
)
def test_yuan_are_converted_to_fen_exactly(yuan: str, fen: int) -> None:
    assert fen_from_yuan(yuan) == fen


@pytest.mark.parametrize(
    ("number", "fen"),
    [("1e2", 100_00), ("1.25E+1", 12_50), ("1250e-2", 12_50), ("1E-2", 1), ("0e-9", 0), ("1e8", 10**10)],
)
def test_a_json_number_may_have_an_exponent(number: str, fen: int) -> None:
    assert fen_from_yuan(Decimal(number)) == fen


@pytest.mark.parametrize(
    "number", ["1e-3", "1.0050", "1.00000000000000000000000000000001", "1e20", "1e999999999", "1e-999999999", "NaN"]
)
def test_a_json_number_with_too_many_places_is_an_error_and_never_rounded(number: str) -> None:
    with pytest.raises(Unmappable):
        fen_from_yuan(Decimal(number))


@pytest.mark.parametrize(
    "yuan",
    ["1.005", "1.001", "1e3", "NaN", "Infinity", "1,000.00", "¥1", "１２", " 1", "1.", ".5", "9" * 11, "1" * 10**6],
)
def test_an_invalid_amount_is_an_error_and_never_rounded(yuan: str) -> None:
    with pytest.raises(Unmappable) as caught:
        fen_from_yuan(yuan)
    assert (caught.value.element, caught.value.fault) == ("amount", "value")
    assert yuan[:20] not in str(caught.value)


def test_more_than_a_hundred_million_yuan_is_an_error() -> None:
    with pytest.raises(Unmappable):
        fen_from_yuan("100000000.01")


@pytest.mark.parametrize("nothing", ["", None])
def test_a_missing_amount_is_missing_and_not_zero(nothing: str | None) -> None:
    with pytest.raises(Unmappable) as caught:
        fen_from_yuan(nothing)
    assert caught.value.fault == "required"


@given(st.integers(-(10**10), 10**10))
def test_every_amount_survives_conversion_to_yuan_and_back(fen: int) -> None:
    assert fen_from_yuan(yuan_from_fen(fen)) == fen


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31", datetime(2026, 1, 30, 16, tzinfo=UTC)),
        ("2026-01-31T09:30", datetime(2026, 1, 31, 1, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:05", datetime(2026, 1, 31, 1, 30, 5, tzinfo=UTC)),
        ("2026-01-31T09:30:05Z", datetime(2026, 1, 31, 9, 30, 5, tzinfo=UTC)),
        ("2026-01-31T09:30:05-05:30", datetime(2026, 1, 31, 15, 0, 5, tzinfo=UTC)),
        ("2026-01-31T09:30:05.1Z", datetime(2026, 1, 31, 9, 30, 5, 100_000, tzinfo=UTC)),
        ("2026-01-31T09:30:05.123999999+00:00", datetime(2026, 1, 31, 9, 30, 5, 123_000, tzinfo=UTC)),
    ],
)
def test_an_instant_has_its_own_offset_or_the_time_zone_of_the_city_and_is_cut_to_the_millisecond(
    text: str, at: datetime
) -> None:
    assert parse_instant(text, CITY, "occurred_at") == at


@pytest.mark.parametrize(
    "text",
    [
        "2026",
        "20260131",
        "2026-W05-6",
        "2026-02-30",
        "2026-01-31 09:30",
        "2026-01-31T24:00",
        "2026-01-31T09:30:60Z",
        "2026-01-31T09:30Z+",
        "2026-01-31T09:30:05.1234567890Z",
        "2026-01-31T09:30:05+24:00",
        "２０２６-01-31",
        "1999-12-31",
        "2101-01-01",
    ],
)
def test_an_invalid_instant_is_an_error(text: str) -> None:
    with pytest.raises(Unmappable) as caught:
        parse_instant(text, CITY, "occurred_at")
    assert (caught.value.element, caught.value.fault) == ("occurred_at", "value")


@pytest.mark.parametrize("name", ["V 9", "V|9", "V^9", "V~9", "V&9", "V\\9", "x" * 65, "V\x079"])
def test_an_identifier_has_no_spaces_no_delimiters_and_at_most_64_characters(name: str) -> None:
    with pytest.raises(Unmappable) as caught:
        parse_identifier(name, "visit")
    assert caught.value.fault == "value"
    assert parse_identifier("x" * 64, "visit") == "x" * 64


@pytest.mark.parametrize("text", [None, "", "  "])
def test_a_blank_identifier_is_missing(text: str | None) -> None:
    with pytest.raises(Unmappable) as caught:
        parse_identifier(text, "visit")
    assert (caught.value.element, caught.value.fault) == ("visit", "required")


def test_a_title_has_at_most_200_characters() -> None:
    assert parse_title(f" {'x' * 200} ") == "x" * 200
    with pytest.raises(Unmappable) as caught:
        parse_title("x" * 201)
    assert (caught.value.element, caught.value.fault) == ("title", "value")


AT = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "amount", "command"),
    [
        ("CG", "5.00", Line("L2", "charge", "A1", "诊查费", 500, AT)),
        ("CD", "-5.00", Line("L2", "credit", "", "诊查费", -500, AT, "L1")),
        ("AJ", "-5.00", Line("L2", "adjustment", "", "诊查费", -500, AT, "L1")),
        ("PY", "5.00", CounterPayment("L2", 500, AT)),
    ],
)
def test_a_transaction_is_a_charge_a_credit_an_adjustment_or_a_payment(
    kind: str, amount: str, command: Command
) -> None:
    assert build_transaction(kind, "L2", "L1", "A1", "诊查费", amount, AT) == command


def test_a_free_charge_is_a_line_of_zero_and_a_charge_below_zero_is_an_error() -> None:
    assert build_transaction("CG", "L1", None, "A1", None, "0.00", AT) == Line("L1", "charge", "A1", "", 0, AT)
    with pytest.raises(Unmappable):
        build_transaction("CG", "L1", None, "A1", None, "-0.01", AT)


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("outpatient", ["AMB", "SS", "HH", "VR", "O", "R"]),
        ("emergency", ["EMER", "E"]),
        ("inpatient", ["IMP", "ACUTE", "NONAC", "I", "B"]),
    ],
)
def test_the_kind_of_a_visit_follows_from_either_code_system(kind: str, codes: list[str]) -> None:
    assert [visit_kind(code) for code in codes] == [kind] * len(codes)


@pytest.mark.parametrize("code", ["P", "PRENC", "amb", "U"])
def test_planned_and_unknown_visits_have_no_kind(code: str) -> None:
    with pytest.raises(Unmappable) as caught:
        visit_kind(code)
    assert (caught.value.element, caught.value.fault) == ("class", "unknown")


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("resident_identity_card", ["NI", "NN", "NNCHN"]),
        ("permanent_residence_card", ["PRC"]),
        ("passport", ["PPN", "03"]),
        ("hong_kong_macao_travel_permit", ["06"]),
        ("taiwan_travel_permit", ["07"]),
    ],
)
def test_the_kind_of_a_document_follows_from_its_type(kind: DocumentKind, types: list[str]) -> None:
    assert [type_ for type_, one in DOCUMENT_TYPES.items() if one == kind] == types


def test_the_kind_of_a_document_without_type_follows_from_its_system() -> None:
    kinds = [kind_of_system(system) for system in (None, "", "urn:oid:2.16.156.10011.1.3")]
    assert kinds == ["resident_identity_card"] * 3
    assert kind_of_system("http://hl7.org/fhir/sid/passport-USA") == "passport"
    assert kind_of_system("urn:his:patients") is None


def test_a_patient_is_identified_by_a_resident_card_or_else_the_first_document_with_a_number() -> None:
    card, passport, permit = (
        IdentityDocument("330106199003070022"),
        IdentityDocument("EA1234567", "passport"),
        IdentityDocument("01234567", "taiwan_travel_permit"),
    )
    assert require_document([passport, card, permit]) == card
    assert require_document([IdentityDocument(" "), passport, permit]) == passport
    for nothing in ([], [IdentityDocument("  ")]):
        with pytest.raises(Unmappable) as caught:
            require_document(nothing)
        assert (caught.value.element, caught.value.fault) == ("patient", "required")


def test_a_payment_below_zero_withdraws_the_payment_with_its_id() -> None:
    command = build_transaction("PY", "P1", None, None, None, "-100.00", AT)
    assert command == WithdrawCounterPayment("P1", 10_000)
