"""What the financial transactions (FT1) of a DFT bill, what only explains the bill, and what is refused."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.medical_credit.model.commands import WithdrawCounterPayment
from backend.services.medical_credit.model.visit import Line
from integrations.his.hl7v2.errors import Hl7Error, Location
from integrations.his.hl7v2.message import parse_text
from integrations.his.hl7v2.trigger_events import LocatedCommand, parse_commands
from tests.integrations.his.hl7v2.receiving_city import ReceivingCity
from tests.integrations.his.hospital import Hl7System

HEADER = "MSH|^~\\&|HIS|HZ001|C|C|20260302||DFT^P03|M-1|P|2.5\rPV1|1|O" + "|" * 17 + "V1\r"


def ft1(line: str, quantity: str, amount: str, unit: str, kind: str = "CG", of: str = "", **fields: str) -> str:
    """Return an FT1; `fields` are further ones, such as `f22`."""
    values = ["FT1", "1", line, "", "20260302", "", kind, "C1", "检查", "", quantity, amount, unit, *[""] * 18, of]
    for name, value in fields.items():
        values[int(name[1:])] = value
    return "|".join(values)


def parsed(segment: str) -> LocatedCommand:
    (found,) = parse_commands(parse_text(HEADER + segment), UTC).commands
    return found


def fen(segment: str) -> int:
    line = parsed(segment).command
    assert isinstance(line, Line)
    return line.amount_fen


def refusal(segment: str) -> Hl7Error:
    with pytest.raises(Hl7Error) as caught:
        parsed(segment)
    return caught.value


# what is billed, and what explains it


@pytest.mark.parametrize(
    ("quantity", "amount", "unit", "billed"),
    [
        ("30", "0.98", "0.0325", 98),
        ("2", "25.00", "12.5000", 2_500),
        ("1.5", "0.19", "0.1265", 19),
        ("3", "1.00", "0.333333", 100),
        ("", "12.50", "12.5", 1_250),
        ("1.0000", "79.000000", "79.000000", 7_900),
        ("2", "25", "", 2_500),
        ("2.0000", "", "12.500000", 2_500),
        ("8", "", "0.1275", 102),
        ("", "", "7.00", 700),
    ],
)
def test_a_unit_price_of_many_places_explains_the_amount_that_is_billed(
    quantity: str, amount: str, unit: str, billed: int
) -> None:
    segment = ft1("L1", quantity, amount, unit)
    assert fen(segment) == billed
    assert parsed(segment).warnings == ()


@pytest.mark.parametrize(
    ("quantity", "amount", "unit", "place"),
    [("3", "1.00", "0.33", 11), ("1", "50.00", "5.00", 11), ("-1", "50.00", "50.00", 11), ("2盒", "9.00", "4.50", 10)],
)
def test_an_amount_that_quantity_and_unit_price_do_not_explain_is_billed_with_a_warning(
    quantity: str, amount: str, unit: str, place: int
) -> None:
    found = parsed(ft1("L1", quantity, amount, unit))
    assert [(one.severity, one.location and one.location.field) for one in found.warnings] == [("W", place)]
    assert isinstance(found.command, Line)
    assert found.command.amount_fen == int(amount.replace(".", ""))


def test_a_product_that_is_billed_is_never_rounded() -> None:
    error = refusal(ft1("L1", "3", "", "0.3333"))
    assert (error.code, error.location and error.location.field) == ("102", 11)
    assert "FT1-11.1.1 is required" in error.text.en


@given(st.integers(1, 10**6), st.integers(0, 10**9))
def test_an_amount_within_half_a_fen_of_the_product_has_no_warning(quantity: int, unit_in_10000ths: int) -> None:
    exact, rest = divmod(quantity * unit_in_10000ths, 100)
    amount_fen = exact + (rest >= 50)
    if amount_fen <= 10_000_000_000:
        unit = f"{unit_in_10000ths // 10_000}.{unit_in_10000ths % 10_000:04}"
        found = parsed(ft1("A1", str(quantity), f"{amount_fen // 100}.{amount_fen % 100:02}", unit, "AJ", "L1"))
        assert found.warnings == ()


@pytest.mark.parametrize(("quantity", "amount"), [("-1", "-50.00"), ("-1", "50.00"), ("1", "-50.00"), ("-1", "")])
def test_a_credit_may_have_its_sign_in_the_quantity_in_the_amount_in_both_or_in_neither(
    quantity: str, amount: str
) -> None:
    segment = ft1("L1R", quantity, amount, "50.00", "CD", "L1")
    assert fen(segment) == -5_000
    assert parsed(segment).warnings == ()


# currencies


@pytest.mark.parametrize(
    "price", ["100&USD", "288.81&USD", "100&usd", "100&840", "100&美元", "100&&USD", "100^USD", "100^^^^USD", "100&$"]
)
@pytest.mark.parametrize("field", ["f11", "f12", "f15", "f22"])
def test_another_currency_in_whichever_part_of_a_price_is_refused(price: str, field: str) -> None:
    error = refusal(ft1("L1", "1", "100", "100", **{field: price}))
    assert (error.code, error.location and error.location.field) == ("103", int(field[1:]))


@pytest.mark.parametrize("price", ["100", "100&CNY", "100&RMB", "100&156", "100^TP", "100&CNY^UP", "100&元", "100^CNY"])
def test_yuan_may_be_named(price: str) -> None:
    assert fen(ft1("L1", "1", price, "100&CNY^UP")) == 10_000


@pytest.mark.parametrize("price", ["USD100", "100USD", "$100", "100~20", "100 USD", "100\\T\\USD"])
def test_an_amount_with_something_else_in_it_is_refused(price: str) -> None:
    assert refusal(ft1("L1", "1", price, "")).code == "102"


def test_without_a_delimiter_of_subcomponents_a_currency_is_refused_all_the_same() -> None:
    with pytest.raises(Hl7Error) as caught:
        parse_commands(parse_text(HEADER.replace("~\\&", "~\\") + ft1("L1", "1", "100&USD", "")), UTC)
    assert caught.value.location == Location("FT1", 1, 11)


@pytest.mark.parametrize(
    ("quantity", "amount", "unit_price"), [("", "-100.00", ""), ("-1", "100.00", ""), ("-1", "", "100.00")]
)
def test_a_payment_below_zero_withdraws_the_payment_with_its_id(quantity: str, amount: str, unit_price: str) -> None:
    assert parsed(ft1("P1", quantity, amount, unit_price, "PY")).command == WithdrawCounterPayment("P1", 10_000)


def test_a_withdrawal_with_an_id_of_its_own_names_the_payment_in_ft1_31(receiving: ReceivingCity) -> None:
    system = Hl7System()
    messages = [
        system.registration("W1"),
        system.charge_message("W1", ft1("P1", "", "100.00", "", "PY"), ft1("P2", "", "30.00", "", "PY")),
        system.charge_message("W1", ft1("P3", "", "-100.00", "", "PY", "P1")),
    ]
    assert [receiving.code(message) for message in messages] == ["AA"] * 3
    paid = receiving.visit("W1").counter_payments
    assert [(one.id, one.withdrawn_at is not None) for one in paid] == [("P1", True), ("P2", False)]


@pytest.mark.parametrize("is_withdrawn", [False, True], ids=["in force", "withdrawn already"])
def test_a_part_of_a_payment_is_not_withdrawn_and_the_amount_of_the_payment_is_told(
    receiving: ReceivingCity, *, is_withdrawn: bool
) -> None:
    system = Hl7System()
    receiving.code(system.registration("W2"))
    receiving.code(system.charge_message("W2", ft1("P7", "", "20.00", "", "PY")))
    if is_withdrawn:
        assert receiving.code(system.charge_message("W2", ft1("P8", "", "-20.00", "", "PY", "P7"))) == "AA"
    refused = receiving.answer(system.charge_message("W2", ft1("P9", "", "-5.00", "", "PY", "P7")))
    error = refused.segment("ERR")
    assert (refused.segment("MSA").field(1).text, error.field(3).component(1).text) == ("AR", "102")
    assert error.field(2).raw == "FT1^1^11"
    assert "Counter payment P7 is of 20 yuan and can only be withdrawn as a whole" in error.field(8).text


# whole messages


def test_a_free_line_and_its_credit_are_kept_and_not_billed(receiving: ReceivingCity) -> None:
    system = Hl7System()
    lines = [ft1("L1", "", "10.00", ""), ft1("L2", "1", "0.00", "0.0000"), ft1("R2", "-1", "0.00", "0.00", "CD", "L2")]
    assert receiving.code(system.registration("F1")) == "AA"
    assert receiving.code(system.charge_message("F1", *lines)) == "AA"
    assert receiving.lines("F1") == [("L1", 1_000), ("L2", 0), ("R2", 0)]
    assert receiving.visit("F1").total_fen() == 1_000


def test_a_warning_is_told_with_aa_and_an_err_of_severity_w(receiving: ReceivingCity) -> None:
    system = Hl7System()
    assert receiving.code(system.registration("F2")) == "AA"
    answer = receiving.answer(system.charge_message("F2", ft1("L1", "3", "1.00", "0.33")))
    assert answer.segment("MSA").field(1).text == "AA"
    assert [answer.segment("ERR").field(number).raw for number in (2, 4)] == ["FT1^1^11^1^1^1", "W"]
    assert receiving.lines("F2") == [("L1", 100)]


def test_a_charge_and_its_credit_by_a_negative_quantity_leave_nothing_to_pay(receiving: ReceivingCity) -> None:
    system = Hl7System()
    messages = [
        system.registration("F3"),
        system.charge_message("F3", ft1("L1", "1", "50.00", "50.00")),
        system.charge_message("F3", ft1("L1R", "-1", "-50.00", "50.00", "CD", "L1")),
    ]
    assert [receiving.code(message) for message in messages] == ["AA"] * 3
    assert receiving.visit("F3").total_fen() == 0


# credits before version 2.5, which has no FT1-31


def old(message: str) -> str:
    return message.replace("|P|2.5|", "|P|2.3.1|")


def credited(receiving: ReceivingCity, visit: str, *charges: str) -> Hl7System:
    system = Hl7System()
    assert receiving.code(old(system.registration(visit))) == "AA"
    assert receiving.code(old(system.charge_message(visit, *charges))) == "AA"
    return system


def test_before_version_2_5_a_credit_is_of_the_only_charge_with_its_code(receiving: ReceivingCity) -> None:
    system = credited(receiving, "O1", ft1("L1", "", "20.00", ""), ft1("L2", "", "5.00", "", f7="C2"))
    assert receiving.code(old(system.charge_message("O1", ft1("R1", "", "-5.00", "", "CD")))) == "AA"
    assert [(line.id, line.of) for line in receiving.visit("O1").lines][2:] == [("R1", "L1")]


def test_before_version_2_5_a_credit_is_of_the_charge_with_its_code_and_amount(receiving: ReceivingCity) -> None:
    system = credited(receiving, "O2", ft1("L1", "", "20.00", ""), ft1("L2", "", "5.00", ""))
    assert receiving.code(old(system.charge_message("O2", ft1("R1", "", "-5.00", "", "CD")))) == "AA"
    assert receiving.code(old(system.charge_message("O2", ft1("R1", "", "-5.00", "", "CD")))) == "AA"
    assert [(line.id, line.of) for line in receiving.visit("O2").lines][2:] == [("R1", "L2")]


def test_before_version_2_5_a_credit_may_name_its_charge_in_ft1_3_or_ft1_31(receiving: ReceivingCity) -> None:
    system = credited(receiving, "O3", ft1("L1", "", "5.00", ""), ft1("L2", "", "5.00", ""))
    assert receiving.code(old(system.charge_message("O3", ft1("R1", "", "5.00", "", "CD", f3="L2")))) == "AA"
    assert receiving.code(old(system.charge_message("O3", ft1("A1", "", "-1.00", "", "AJ", "L1")))) == "AA"
    assert [line.of for line in receiving.visit("O3").lines] == [None, None, "L2", "L1"]


def test_before_version_2_5_a_credit_that_fits_several_charges_is_refused(receiving: ReceivingCity) -> None:
    system = credited(receiving, "O4", ft1("L1", "", "5.00", ""), ft1("L2", "", "5.00", ""))
    answer = receiving.answer(old(system.charge_message("O4", ft1("R1", "", "5.00", "", "CD", f3="BATCH-7"))))
    assert answer.segment("MSA").field(1).text in ("AE", "AR")
    assert "多条" in answer.segment("MSA").field(3).text
    assert receiving.visit("O4").total_fen() == 1_000


def test_a_credit_or_adjustment_of_more_than_the_charge_is_refused_at_its_amount(receiving: ReceivingCity) -> None:
    system = credited(receiving, "O6", ft1("L1", "", "5.00", ""))
    for sent in (
        system.charge_message("O6", ft1("R1", "", "5.01", "", "CD", "L1")),
        system.charge_message("O6", ft1("R1", "-1", "", "5.01", "CD", "L1")),
        system.charge_message("O6", ft1("R1", "", "-5.01", "", "AJ", "L1")),
    ):
        assert receiving.answer(sent).segment("ERR").field(2).raw == "FT1^1^11"
    before_2_5 = receiving.answer(old(system.charge_message("O6", ft1("R1", "", "5.01", "", "CD"))))
    assert before_2_5.segment("ERR").field(1).raw.startswith("FT1^1^11^")


def test_before_version_2_5_a_credit_may_arrive_before_its_charge(receiving: ReceivingCity) -> None:
    system = Hl7System()
    assert receiving.code(old(system.registration("O5"))) == "AA"
    assert receiving.code(old(system.charge_message("O5", ft1("R1", "", "5.00", "", "CD")))) == "AA"
    assert receiving.code(old(system.charge_message("O5", ft1("L1", "", "5.00", "")))) == "AA"
    assert receiving.lines("O5") == [("L1", 500), ("R1", -500)]


def test_since_version_2_5_a_credit_must_name_its_charge() -> None:
    assert refusal(ft1("R1", "", "5.00", "", "CD")).location == Location("FT1", 1, 31)
