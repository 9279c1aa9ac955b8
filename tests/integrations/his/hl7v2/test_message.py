import time
from datetime import datetime
from zoneinfo import ZoneInfo

import hl7
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from integrations.his.hl7v2.acknowledgement import (
    acknowledge,
)
from integrations.his.hl7v2.errors import Hl7Error, Location
from integrations.his.hl7v2.message import (
    MAX_FIELDS,
    MAX_SEGMENTS,
    encoding_of,
    parse_header,
    parse_message,
    parse_text,
)
from integrations.his.hl7v2.syntax import Encoding, Syntax, escape, unescape

CITY = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 24, 9, 30, 5, tzinfo=CITY)
ADMISSION = (
    "MSH|^~\\&|HIS|第一医院|CHENGMA|CITY|20261124093000||ADT^A01^ADT_A01|M-1|P|2.5||||||UNICODE UTF-8\r"
    "PID|1||330106199001011234^^^CN&1.2.156&ISO^NI~P-77^^^HIS^MR||张^三\r"
    'PV1|1|I|||||||||||||||||V-9||||||||||||||||||""\r'
    "FT1|1|||20261124||CG|A100||||12.50&CNY\r"
    "FT1|2|||20261124||CG|A200||||0.30&CNY\r"
)
TRAILING = [
    character
    for character in map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x10000)))
    if len(character.encode("gb18030")) == 2 and character.encode("gb18030")[1:] in {b"|", b"^", b"~", b"\\"}
]


def error_of(text: str | bytes, encoding: Encoding = "utf-8") -> Hl7Error:
    with pytest.raises(Hl7Error) as caught:
        parse_message(text.encode() if isinstance(text, str) else text, encoding)
    return caught.value


# parsing


def test_a_value_is_found_by_segment_field_repetition_component_and_subcomponent() -> None:
    message = parse_message(ADMISSION.encode(), "utf-8")
    identity = message.segment("PID").field(3)
    assert [part.component(1).text for part in identity.repetitions()] == ["330106199001011234", "P-77"]
    assert identity.repetition(1).component(4).subcomponent(2).text == "1.2.156"
    assert identity.component(4).subcomponent(3).text == "ISO"
    assert message.header.field(9).component(2).text == "A01"
    assert [charge.field(11).component(1).subcomponent(1).text for charge in message.all("FT1")] == ["12.50", "0.30"]


def test_a_part_has_the_location_that_err_2_contains() -> None:
    message = parse_message(ADMISSION.encode(), "utf-8")
    amount = message.all("FT1")[1].field(11).component(1).subcomponent(1)
    assert amount.location == Location("FT1", 2, 11, 1, 1, 1)
    assert amount.location.to_erl("^") == "FT1^2^11^1^1^1"
    assert str(amount.location) == "FT1[2]-11.1.1"
    assert message.segment("PID").field(3).location.to_erl("^") == "PID^1^3"
    assert str(message.segment("PID").field(3).repetition(2).component(1).location) == "PID-3[2].1"


def test_a_composite_has_the_text_of_its_first_part_and_a_missing_part_is_empty() -> None:
    message = parse_message(ADMISSION.encode(), "utf-8")
    assert message.segment("PID").field(3).text == "330106199001011234"
    assert message.segment("PID").field(99).component(3).text == ""
    assert message.segment("PID").field(5).component(7).text == ""
    assert message.segment("PID").field(4).repetitions() == ()


def test_two_quotes_are_null_and_an_empty_field_is_not() -> None:
    visit = parse_message(ADMISSION.encode(), "utf-8").segment("PV1")
    assert (visit.field(37).is_null, visit.field(37).text) == (True, "")
    assert (visit.field(20).is_null, visit.field(20).text) == (False, "")


def test_a_missing_required_value_or_segment_is_an_error_at_its_location() -> None:
    message = parse_message(ADMISSION.encode(), "utf-8")
    with pytest.raises(Hl7Error, match=r"PID-8 is required") as caught:
        message.segment("PID").field(8).required()
    assert (caught.value.code, caught.value.location) == ("101", Location("PID", 1, 8))
    with pytest.raises(Hl7Error, match="the EVN segment is missing") as caught:
        message.segment("EVN")
    assert caught.value.code == "100"


def test_a_message_may_use_other_delimiters() -> None:
    message = parse_text("MSH#*!$%#HIS#H1#C#C###ADT*A01#M-1#P#2.5\rPID#1##a*b%c!d$F$e")
    assert message.syntax == Syntax("#", "*", "!", "$", "%")
    assert message.header.field(9).component(2).text == "A01"
    identity = message.segment("PID").field(3)
    assert identity.component(2).subcomponent(2).text == "c"
    assert identity.repetition(2).text == "d#e"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segments_end_with_a_carriage_return_a_line_feed_or_both(end: str) -> None:
    assert len(parse_message(ADMISSION.replace("\r", end).encode(), "utf-8").all("FT1")) == 2


# encodings


def test_a_character_whose_second_byte_is_a_delimiter_is_not_split() -> None:
    for character in TRAILING:
        text = ADMISSION.replace("UNICODE UTF-8", "GB 18030-2000").replace("第一医院", character)
        message = parse_message(text.replace("张^三", f"{character}^{character}三").encode("gb18030"), "utf-8")
        assert message.header.field(4).text == character
        assert message.header.field(5).text == "CHENGMA"
        assert message.segment("PID").field(5).component(2).text == f"{character}三"


def test_there_are_126_such_characters_for_each_delimiter() -> None:
    assert len(TRAILING) == 4 * 126


@pytest.mark.parametrize("default", ["utf-8", "gb18030"])
@pytest.mark.parametrize(
    ("word", "encoding"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ("GB 18030-2000", "gb18030"),
        ("GB18030", "gb18030"),
        ("GBK", "gb18030"),
        ("ASCII~GB18030", "gb18030"),
    ],
)
def test_msh_18_determines_the_encoding_whatever_the_default(word: str, encoding: str, default: str) -> None:
    for name in ("H1", "医", "医院", "市一医院", "丅", "侓"):
        text = ADMISSION.replace("UNICODE UTF-8", word).replace("第一医院", name)
        message = parse_message(text.encode(encoding), default)  # type: ignore[arg-type]
        assert (message.syntax.encoding, message.header.field(4).text) == (encoding, name)


@pytest.mark.parametrize("word", ["", "ASCII"])
def test_without_msh_18_the_default_of_the_hospital_applies(word: str) -> None:
    text = ADMISSION.replace("UNICODE UTF-8", word)
    assert parse_message(text.encode("gb18030"), "gb18030").header.field(4).text == "第一医院"
    assert parse_message(text.encode(), "utf-8").header.field(4).text == "第一医院"


def test_an_unsupported_character_set_is_an_error() -> None:
    error = error_of(ADMISSION.replace("UNICODE UTF-8", "BIG-5").replace("第一医院", "H1"))
    assert (error.code, error.location) == ("103", Location("MSH", 1, 18))
    assert "BIG-5" in error.text.en


def test_an_invalid_byte_is_an_error_with_its_segment_and_number() -> None:
    raw = ADMISSION.encode().replace("三".encode(), "三".encode("gb18030"))
    error = error_of(raw)
    assert (error.code, error.location) == ("102", Location("PID", 1))
    assert error.text.en == f"byte {raw.index('三'.encode('gb18030')) + 1} is not UTF-8"


def test_a_message_in_another_encoding_than_it_declares_is_told_what_to_declare() -> None:
    as_gbk = error_of(ADMISSION.encode("gb18030"))
    assert as_gbk.text.en.endswith("is not UTF-8; set MSH-18 to GB18030")
    assert as_gbk.text.zh.endswith("不是UTF-8编码，MSH-18应为GB18030")
    corrected = ADMISSION.replace("UNICODE UTF-8", "GB18030").encode("gb18030")
    assert parse_message(corrected, "utf-8").syntax.encoding == "gb18030"


@given(st.text(max_size=30), st.sampled_from(["utf-8", "gb18030"]), st.sampled_from(["utf-8", "gb18030"]))
def test_any_facility_name_leaves_the_declared_encoding_recognisable(name: str, encoding: str, default: str) -> None:
    word = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}[encoding]
    text = ADMISSION.replace("UNICODE UTF-8", word).replace("第一医院", escape(name, Syntax()))
    assert encoding_of(text.encode(encoding), default) == encoding  # type: ignore[arg-type]


# escapes


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"one\.br\two\.sp2\three", "one\ntwo\nthree"),
        (r"\H\bold\N\, \.in+4\indented", "bold, indented"),
        (r"\X41C3A4\ \XE58CBB\ ", "Aä 医 "),
        (r"C:\data\new", r"C:\data\new"),
        (r"\Z12\kept", r"\Z12\kept"),
        ("\\", "\\"),
        (r"\.sp99999999999999\x", "\nx"),
    ],
)
def test_escape_sequences_are_decoded(sent: str, meant: str) -> None:
    assert unescape(sent, Syntax()) == meant


def test_escaped_bytes_are_in_the_encoding_of_the_message() -> None:
    assert unescape(r"\XD6D0\ ", Syntax(encoding="gb18030")) == "中 "
    with pytest.raises(Hl7Error, match="not UTF-8"):
        unescape(r"\XD6D0\ ", Syntax())


SYNTAXES = st.permutations("|^~\\&#*!$%@+").map(lambda some: Syntax(*some[:5]))


@example("\n\x1f", Syntax(escape="+"), "utf-8")  # the sign of a layout command, or the beginning of the next sequence
@given(st.text(st.characters(exclude_categories=["Cs"])), SYNTAXES, st.sampled_from(["utf-8", "gb18030"]))
def test_escape_and_unescape_are_inverse(text: str, syntax: Syntax, encoding: Encoding) -> None:
    syntax = Syntax(
        syntax.field, syntax.component, syntax.repetition, syntax.escape, syntax.subcomponent, encoding=encoding
    )
    escaped = escape(text, syntax)
    assert unescape(escaped, syntax) == text
    assert not set(escaped) & {syntax.field, syntax.component, syntax.repetition, syntax.subcomponent, "\r", "\n"}


VALUES = st.text(st.sampled_from("ab12 张^~&\\|"), max_size=6)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=4))
def test_an_independent_parser_finds_the_same_values(segments: list[list[str]]) -> None:
    lines = ["ZZ1|" + "|".join(escape(value, Syntax()) for value in values) for values in segments]
    text = "\r".join(["MSH|^~\\&|HIS|H1|C|C|||ADT^A01|M-1|P|2.5", *lines]) + "\r"
    theirs, ours = hl7.parse(text), parse_text(text)
    for number, values in enumerate(segments, 1):
        for field, value in enumerate(values, 1):
            # python-hl7 does not unescape, and strips spaces at the end of a message
            found = theirs.extract_field("ZZ1", number, field)
            assert found.strip() == value.strip()
            assert ours.all("ZZ1")[number - 1].field(field).text == value


# invalid messages


@pytest.mark.parametrize(
    ("text", "code", "location"),
    [
        ("", "100", Location("MSH")),
        ("EVN|A01", "100", Location("MSH")),
        ("BHS|^~\\&|a\r" + ADMISSION, "100", Location("MSH")),
        ("MSH", "102", Location("MSH", 1, 2)),
        ("MSH|", "102", Location("MSH", 1, 2)),
        ("MSH|^|HIS", "102", Location("MSH", 1, 2)),
        ("MSH|^~\\&##|HIS", "102", Location("MSH", 1, 2)),
        ("MSH|^^\\&|HIS", "102", Location("MSH", 1, 2)),
        ("MSHa^~\\&aHIS", "102", Location("MSH", 1, 2)),
        (ADMISSION + ADMISSION, "100", Location("MSH", 2)),
        (ADMISSION + "no segment", "100", None),
        (ADMISSION + "NTE|1|\x07", "102", Location("NTE", 1)),
        (ADMISSION + "FT1" + "|" * (MAX_FIELDS + 1), "102", Location("FT1", 3)),
        (ADMISSION + "NTE|1\r" * MAX_SEGMENTS, "100", None),
        (ADMISSION + "NTE|1|" + "x" * 1_048_576, "102", None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_an_invalid_message_is_rejected_with_code_and_location(text: str, code: str, location: Location | None) -> None:
    error = error_of(text)
    assert (error.code, error.location) == (code, location)


def test_a_message_may_be_as_large_as_the_limits_allow() -> None:
    lines = ["FT1" + "|" * MAX_FIELDS] * (MAX_SEGMENTS - 1)
    assert (
        len(parse_text("\r".join([ADMISSION.partition("\r")[0], *lines]), max_characters=2_000_000).segments) == 2_000
    )


@pytest.mark.parametrize("letter", ["|", "^", "&", "~", "\\", "\r", "\n", "\\X41", "\\.sp9", "\\X\\", "FT1|", "医"])
def test_a_hostile_megabyte_is_parsed_or_rejected_within_a_second(letter: str) -> None:
    size = 1_000_000 // len(letter.encode())
    begin = time.process_time()
    try:
        message = parse_message(ADMISSION.encode() + b"NTE|1|" + (letter * size).encode(), "utf-8")
        message.segment("NTE").field(2).component(2).subcomponent(2).required()
    except Hl7Error:
        pass
    assert time.process_time() - begin < 1


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "gb18030"]))
def test_any_bytes_are_parsed_or_rejected_and_can_be_acknowledged(raw: bytes, default: Encoding) -> None:
    for sent in (raw, b"MSH|^~\\&|" + raw):
        try:
            answered, code, errors = parse_message(sent, default), "AA", []
        except Hl7Error as error:
            answered, code, errors = parse_header(sent, default), "AR", [error]
        reply = acknowledge(answered, code, errors, control_id="A-1", now=NOW)  # type: ignore[arg-type]
        assert parse_message(reply, default).segment("MSA").field(1).text == code
