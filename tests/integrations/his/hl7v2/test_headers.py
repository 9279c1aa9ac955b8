"""Unusual headers: they are read, or the reply says what is wrong with them and names the message in MSA-2."""

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.i18n import Text
from integrations.his.hl7v2.acknowledgement import acknowledge
from integrations.his.hl7v2.errors import Hl7Error
from integrations.his.hl7v2.message import Message, parse_header, parse_message
from integrations.his.hl7v2.syntax import Syntax
from tests.integrations.his.hl7v2.receiving_city import ReceivingCity
from tests.integrations.his.hospital import Hl7System, transaction
from tests.services.medical_credit.scene import NOON

GB18030_MARK = b"\x84\x31\x95\x33"


def errors(answer: Message) -> str:
    return " ".join(error.field(8).text for error in answer.all("ERR"))


@pytest.mark.parametrize("before", [codecs.BOM_UTF8, GB18030_MARK, b"\r\n", b" \r\n", codecs.BOM_UTF8 * 2])
def test_a_byte_order_mark_and_blank_lines_before_a_message_are_no_part_of_it(
    receiving: ReceivingCity, before: bytes
) -> None:
    message = Hl7System().registration(f"H{before.hex()}").encode()
    assert receiving.code(before + message) == "AA"
    assert receiving.receive(message) == receiving.receive(before + message)


def test_a_byte_order_mark_of_utf_8_selects_utf_8_for_a_hospital_with_another_encoding() -> None:
    text = "MSH|^~\\&|HIS|市一医院|C|C|||ADT^A01|M-1|P|2.5"
    message = parse_message(codecs.BOM_UTF8 + text.encode(), "gb18030")
    assert message.header.field(4).text == "市一医院"


@pytest.mark.parametrize("delimiters", ["^~\\", "^~"])
def test_delimiters_that_a_message_does_not_need_may_be_left_out(receiving: ReceivingCity, delimiters: str) -> None:
    system, visit = Hl7System(), f"D{len(delimiters)}"
    charge = system.charge_message(visit, transaction("L1", "1.00", title="A&B")).replace("^~\\&", delimiters, 1)
    assert receiving.code(system.registration(visit).replace("^~\\&", delimiters, 1)) == "AA"
    answer = receiving.receive(charge)[0].decode()
    assert answer.startswith(f"MSH|{delimiters}|CHENGMA|")
    assert receiving.visit(visit).lines[0].title == "A&B"


def test_without_their_delimiter_a_value_has_no_subcomponents_and_no_escapes() -> None:
    message = parse_message(b"MSH|^~|HIS|H1|C|C|||ADT^A01|M-1|P|2.5\rPID|1||a&b\\F\\c^d", "utf-8")
    assert message.syntax == Syntax(escape="", subcomponent="")
    part = message.segment("PID").field(3)
    assert [part.text, part.component(1).subcomponent(1).text, part.component(1).subcomponent(2).text] == [
        "a&b\\F\\c",
        "a&b\\F\\c",
        "",
    ]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (("^~\\&", "^"), "MSH-1 and MSH-2"),
        (("^~\\&", ""), "MSH-1 and MSH-2"),
        (("^~\\&", "^^\\&"), "MSH-1 and MSH-2"),
        (("^~\\&", "^~\\&##"), "MSH-1 and MSH-2"),
        (("^~\\&", "ab\\&"), "MSH-1 and MSH-2"),
        (("|HIS|", "|HI\x07S|"), "control character"),
        (("UNICODE UTF-8", "BIG-5"), "character set"),
        (("|P|2.5", "||2.5"), "MSH-11 is required"),
        (("|P|2.5", "|T|2.5"), "only P (production)"),
        (("|P|2.5", "|D|2.5"), "only P (production)"),
        (("|P|2.5", "|P|3.0"), "MSH-12"),
        (("|HZ001|", "||"), "MSH-4 is required"),
    ],
)
def test_a_header_that_cannot_be_read_is_rejected_with_its_control_id_and_the_reason(
    receiving: ReceivingCity, fault: tuple[str, str], told: str
) -> None:
    message = Hl7System().registration("W1", control="WRONG-1")
    answer = receiving.answer(message.replace(*fault, 1))
    assert [answer.segment("MSA").field(number).text for number in (1, 2)] == ["AR", "WRONG-1"]
    assert told in errors(answer)


def test_other_field_delimiters_that_are_invalid_are_told_with_the_control_id(receiving: ReceivingCity) -> None:
    message = Hl7System().registration("W2", control="WRONG-2").replace("|", "｜")
    answer = receiving.answer(message)
    assert [answer.segment("MSA").field(number).text for number in (1, 2)] == ["AR", "WRONG-2"]
    assert "MSH-1 and MSH-2" in errors(answer)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_message_in_utf_16_is_told_to_be_one(receiving: ReceivingCity, encoding: str) -> None:
    answer = receiving.answer(Hl7System().registration("W3", control="WRONG-3").encode(encoding))
    assert [answer.segment("MSA").field(number).text for number in (1, 2)] == ["AR", "WRONG-3"]
    assert "UTF-16" in errors(answer)


@pytest.mark.parametrize("raw", [b"", b"PID|1", b"\xff\xfe", b"GET / HTTP/1.1"])
def test_what_is_no_message_is_told_to_be_none(receiving: ReceivingCity, raw: bytes) -> None:
    answer = receiving.answer(raw)
    assert answer.segment("MSA").field(1).text == "AR"
    assert "this facility is not connected" not in errors(answer)


def test_an_unknown_facility_is_told_to_be_unknown_whatever_else_is_wrong(receiving: ReceivingCity) -> None:
    answer = receiving.answer(Hl7System("NOBODY").registration("W4").replace("|P|", "|T|"))
    assert "this facility is not connected" in errors(answer)


def test_the_fields_of_a_broken_header_are_between_the_usual_delimiters() -> None:
    header = parse_header(b"MSH#*!$%&@#HI|S#HZ001#C#C###ADT^A01#M-1#P#2.3", "utf-8").header
    assert [header.field(number).text for number in (3, 4, 9, 10, 12)] == ["HI|S", "HZ001", "ADT", "M-1", "2.3"]


def test_without_an_escape_character_a_reply_has_spaces_for_the_delimiters_in_its_texts() -> None:
    message = parse_message(b"MSH|^~|HIS|H1|C|C|||ADT^A01|M-1|P|2.5\rPID|1", "utf-8")
    error = Hl7Error(None, "102", Text(zh="甲|乙", en="a^b~c&d"))
    reply = parse_message(acknowledge(message, "AR", [error], control_id="A-1", now=NOON), "utf-8")
    assert reply.segment("ERR").field(8).raw == "甲 乙 a b c&d"


@settings(max_examples=50)
@given(
    st.sampled_from(["^~\\&", "^~\\", "^~", "^", "", "^^", "^~\\&#", "ab"]),
    st.text(st.sampled_from("|^~\\&X41.brMSHPID1\r\n\x1c\x07 \ufeff"), max_size=60),
)
def test_any_header_is_acknowledged_in_a_message_that_can_be_read(delimiters: str, rest: str) -> None:
    raw = f"MSH|{delimiters}|HIS|HZ001|C|C|||ADT^A01|M-1|P|2.4|{rest}".encode()
    try:
        answered, code, errors = parse_message(raw, "utf-8"), "AA", []
    except Hl7Error as error:
        answered, code, errors = parse_header(raw, "utf-8"), "AR", [error]
    reply = acknowledge(answered, code, errors, control_id="A-1", now=NOON)  # type: ignore[arg-type]
    assert parse_message(reply, "utf-8").segment("MSA").field(2).text == "M-1"
