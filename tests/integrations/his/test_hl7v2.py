import time
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.his.hl7v2.acknowledgement import Mode, Wanted, acknowledge, wanted_acknowledgements
from integrations.his.hl7v2.error import CODES, Hl7Error, Place
from integrations.his.hl7v2.message import (
    MAX_FIELDS,
    MAX_SEGMENTS,
    Encoding,
    Message,
    Syntax,
    encoding_of,
    escape,
    header_of,
    read,
    read_message,
    unescape,
)
from integrations.his.hl7v2.time import read_time

CITY = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 24, 9, 30, 5, tzinfo=CITY)
HERE = Place("FT1", 2, 11, 1, 1, 1)
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


def message_of(*segments: str, header: str = "MSH|^~\\&|HIS|H1|CHENGMA|CITY|||ADT^A01|M-1|P|2.5") -> Message:
    return read_message("\r".join([header, *segments]) + "\r")


def error_of(text: str | bytes, encoding: Encoding = "utf-8") -> Hl7Error:
    with pytest.raises(Hl7Error) as caught:
        read(text.encode() if isinstance(text, str) else text, encoding)
    return caught.value


# reading


def test_a_value_is_found_by_its_segment_field_repetition_component_and_subcomponent() -> None:
    message = read(ADMISSION.encode(), "utf-8")
    identity = message.segment("PID").field(3)
    assert [part.component(1).text for part in identity.repetitions()] == ["330106199001011234", "P-77"]
    assert identity.repetition(1).component(4).subcomponent(2).text == "1.2.156"
    assert identity.component(4).subcomponent(3).text == "ISO"
    assert message.header.field(9).component(2).text == "A01"
    assert [charge.field(11).component(1).subcomponent(1).text for charge in message.all("FT1")] == ["12.50", "0.30"]


def test_a_part_knows_its_place_as_err_2_writes_it() -> None:
    message = read(ADMISSION.encode(), "utf-8")
    amount = message.all("FT1")[1].field(11).component(1).subcomponent(1)
    assert amount.place == Place("FT1", 2, 11, 1, 1, 1)
    assert amount.place.location("^") == "FT1^2^11^1^1^1"
    assert str(amount.place) == "FT1[2]-11.1.1"
    assert message.segment("PID").field(3).place.location("^") == "PID^1^3"
    assert str(message.segment("PID").field(3).repetition(2).component(1).place) == "PID-3[2].1"


def test_something_composed_reads_as_its_first_value_and_what_is_not_there_as_nothing() -> None:
    message = read(ADMISSION.encode(), "utf-8")
    assert message.segment("PID").field(3).text == "330106199001011234"
    assert message.segment("PID").field(99).component(3).text == ""
    assert message.segment("PID").field(5).component(7).text == ""
    assert message.segment("PID").field(4).repetitions() == ()


def test_two_quotes_erase_a_value_and_nothing_leaves_it() -> None:
    visit = read(ADMISSION.encode(), "utf-8").segment("PV1")
    assert (visit.field(37).deleted, visit.field(37).text) == (True, "")
    assert (visit.field(20).deleted, visit.field(20).text) == (False, "")


def test_a_required_value_or_segment_that_is_missing_is_told_with_its_place() -> None:
    message = read(ADMISSION.encode(), "utf-8")
    with pytest.raises(Hl7Error, match=r"PID-8 is required") as caught:
        message.segment("PID").field(8).required()
    assert (caught.value.code, caught.value.place) == ("101", Place("PID", 1, 8))
    with pytest.raises(Hl7Error, match="there is no EVN segment") as caught:
        message.segment("EVN")
    assert caught.value.code == "100"


def test_a_hospital_may_choose_other_delimiters() -> None:
    message = read_message("MSH#*!$%#HIS#H1#C#C###ADT*A01#M-1#P#2.5\rPID#1##a*b%c!d$F$e")
    assert message.syntax == Syntax("#", "*", "!", "$", "%")
    assert message.header.field(9).component(2).text == "A01"
    identity = message.segment("PID").field(3)
    assert identity.component(2).subcomponent(2).text == "c"
    assert identity.repetition(2).text == "d#e"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segments_end_with_a_carriage_return_or_whatever_the_field_takes_for_one(end: str) -> None:
    assert len(read(ADMISSION.replace("\r", end).encode(), "utf-8").all("FT1")) == 2


# encodings


def test_a_character_whose_second_byte_is_a_delimiter_comes_through_whole() -> None:
    for character in TRAILING:
        text = ADMISSION.replace("UNICODE UTF-8", "GB 18030-2000").replace("第一医院", character)
        message = read(text.replace("张^三", f"{character}^{character}三").encode("gb18030"), "utf-8")
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
def test_msh_18_says_how_a_message_is_written_whatever_the_default(word: str, encoding: str, default: str) -> None:
    for name in ("H1", "医", "医院", "市一医院", "丅", "侓"):
        text = ADMISSION.replace("UNICODE UTF-8", word).replace("第一医院", name)
        message = read(text.encode(encoding), default)  # type: ignore[arg-type]
        assert (message.syntax.encoding, message.header.field(4).text) == (encoding, name)


@pytest.mark.parametrize("word", ["", "ASCII"])
def test_where_msh_18_says_nothing_the_default_of_the_hospital_holds(word: str) -> None:
    text = ADMISSION.replace("UNICODE UTF-8", word)
    assert read(text.encode("gb18030"), "gb18030").header.field(4).text == "第一医院"
    assert read(text.encode(), "utf-8").header.field(4).text == "第一医院"


def test_a_character_set_that_we_do_not_speak_is_told() -> None:
    error = error_of(ADMISSION.replace("UNICODE UTF-8", "BIG-5").replace("第一医院", "H1"))
    assert (error.code, error.place) == ("103", Place("MSH", 1, 18))
    assert "BIG-5" in error.text.en


def test_a_byte_in_another_encoding_is_an_error_with_its_segment_and_number() -> None:
    raw = ADMISSION.encode().replace("三".encode(), "三".encode("gb18030"))
    error = error_of(raw)
    assert (error.code, error.place) == ("102", Place("PID", 1))
    assert error.text.en == f"byte {raw.index('三'.encode('gb18030')) + 1} is not UTF-8"


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
def test_an_escape_sequence_becomes_what_it_means(sent: str, meant: str) -> None:
    assert unescape(sent, Syntax()) == meant


def test_escaped_bytes_are_in_the_encoding_of_the_message() -> None:
    assert unescape(r"\XD6D0\ ", Syntax(encoding="gb18030")) == "中 "
    with pytest.raises(Hl7Error, match="not UTF-8"):
        unescape(r"\XD6D0\ ", Syntax())


SYNTAXES = st.permutations("|^~\\&#*!$%@+").map(lambda some: Syntax(*some[:5]))


@given(st.text(st.characters(exclude_categories=["Cs"])), SYNTAXES, st.sampled_from(["utf-8", "gb18030"]))
def test_what_is_escaped_comes_back(text: str, syntax: Syntax, encoding: Encoding) -> None:
    syntax = Syntax(
        syntax.field, syntax.component, syntax.repetition, syntax.escape, syntax.subcomponent, encoding=encoding
    )
    escaped = escape(text, syntax)
    assert unescape(escaped, syntax) == text
    assert not set(escaped) & {syntax.field, syntax.component, syntax.repetition, syntax.subcomponent, "\r", "\n"}


VALUES = st.text(st.sampled_from("ab12 张^~&\\|"), max_size=6)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=4))
def test_an_independent_reader_finds_the_same_values(segments: list[list[str]]) -> None:
    lines = ["ZZ1|" + "|".join(escape(value, Syntax()) for value in values) for values in segments]
    text = "\r".join(["MSH|^~\\&|HIS|H1|C|C|||ADT^A01|M-1|P|2.5", *lines]) + "\r"
    theirs, ours = hl7.parse(text), read_message(text)
    for number, values in enumerate(segments, 1):
        for field, value in enumerate(values, 1):
            # python-hl7 gives what an escaped line holds as it is, and cuts spaces off a message's end
            found = theirs.extract_field("ZZ1", number, field)
            assert found.strip() == value.strip()
            assert ours.all("ZZ1")[number - 1].field(field).text == value


# what is refused


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "100", Place("MSH")),
        ("EVN|A01", "100", Place("MSH")),
        ("BHS|^~\\&|a\r" + ADMISSION, "100", Place("MSH")),
        ("MSH", "102", Place("MSH", 1, 2)),
        ("MSH|", "102", Place("MSH", 1, 2)),
        ("MSH|^~|HIS", "102", Place("MSH", 1, 2)),
        ("MSH|^^\\&|HIS", "102", Place("MSH", 1, 2)),
        ("MSHa^~\\&aHIS", "102", Place("MSH", 1, 2)),
        (ADMISSION + ADMISSION, "100", Place("MSH", 2)),
        (ADMISSION + "no segment", "100", None),
        (ADMISSION + "NTE|1|\x07", "102", Place("NTE", 1)),
        (ADMISSION + "FT1" + "|" * (MAX_FIELDS + 1), "102", Place("FT1", 3)),
        (ADMISSION + "NTE|1\r" * MAX_SEGMENTS, "100", None),
        (ADMISSION + "NTE|1|" + "x" * 1_048_576, "102", None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_broken_message_is_refused_with_code_and_place(text: str, code: str, place: Place | None) -> None:
    error = error_of(text)
    assert (error.code, error.place) == (code, place)


def test_a_message_may_be_as_large_as_the_bounds_say() -> None:
    lines = ["FT1" + "|" * MAX_FIELDS] * (MAX_SEGMENTS - 1)
    assert len(read_message("\r".join([ADMISSION.partition("\r")[0], *lines]), at_most=2_000_000).segments) == 2_000


@pytest.mark.parametrize("letter", ["|", "^", "&", "~", "\\", "\r", "\n", "\\X41", "\\.sp9", "\\X\\", "FT1|", "医"])
def test_a_hostile_megabyte_is_read_or_refused_in_a_moment(letter: str) -> None:
    size = 1_000_000 // len(letter.encode())
    begin = time.process_time()
    try:
        message = read(ADMISSION.encode() + b"NTE|1|" + (letter * size).encode(), "utf-8")
        message.segment("NTE").field(2).component(2).subcomponent(2).required()
    except Hl7Error:
        pass
    assert time.process_time() - begin < 1


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "gb18030"]))
def test_whatever_bytes_come_are_read_or_refused_and_can_be_answered(raw: bytes, default: Encoding) -> None:
    for sent in (raw, b"MSH|^~\\&|" + raw):
        try:
            answered, code, errors = read(sent, default), "AA", []
        except Hl7Error as error:
            answered, code, errors = header_of(sent, default), "AR", [error]
        answer = acknowledge(answered, code, errors, control_id="A-1", now=NOW)  # type: ignore[arg-type]
        assert read(answer, default).segment("MSA").field(1).text == code


# instants


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("20260131", datetime(2026, 1, 31, tzinfo=CITY)),
        ("2026013109", datetime(2026, 1, 31, 9, tzinfo=CITY)),
        ("202601310930", datetime(2026, 1, 31, 9, 30, tzinfo=CITY)),
        ("20260131093005", datetime(2026, 1, 31, 1, 30, 5, tzinfo=UTC)),
        ("20260131093005.25", datetime(2026, 1, 31, 1, 30, 5, 250_000, tzinfo=UTC)),
        ("20260131093005+0000", datetime(2026, 1, 31, 9, 30, 5, tzinfo=UTC)),
        ("202601310930-0530", datetime(2026, 1, 31, 9, 30, tzinfo=timezone(timedelta(hours=-5, minutes=-30)))),
        ("20260131+0900", datetime(2026, 1, 30, 15, tzinfo=UTC)),
    ],
)
def test_an_instant_is_in_its_own_offset_or_in_the_citys_zone(text: str, at: datetime) -> None:
    assert read_time(text, HERE, CITY) == at


@pytest.mark.parametrize(
    "text",
    ["2026", "202602", "20260230", "20261301", "2026013124", "20260131093060", "2026-01-31", "20260131+2400", "x"],
)
def test_what_is_no_instant_is_an_error(text: str) -> None:
    with pytest.raises(Hl7Error) as caught:
        read_time(text, HERE, CITY)
    assert caught.value.code == "102"


@given(st.dates(date(1, 1, 2), date(9999, 12, 30)))
def test_every_day_begins_at_the_midnight_of_the_city(day: date) -> None:
    assert read_time(f"{day:%Y%m%d}".rjust(8, "0"), HERE, CITY) == datetime(day.year, day.month, day.day, tzinfo=CITY)


# answers


def test_an_answer_goes_back_to_the_sender_and_names_the_message() -> None:
    answer = acknowledge(read(ADMISSION.encode(), "utf-8"), "AA", control_id="A-1", now=NOW)
    assert answer.decode() == (
        "MSH|^~\\&|CHENGMA|CITY|HIS|第一医院|20261124093005+0800||ACK^A01^ACK|A-1|P|2.5||||||UNICODE UTF-8\r"
        "MSA|AA|M-1\r"
    )


def test_an_answer_is_in_the_encoding_and_the_delimiters_of_the_message() -> None:
    text = "MSH#*!$%#HIS#医丨院#C#C###ADT*A01#M-1#P#2.5######GB18030\r"
    answer = acknowledge(read(text.encode("gb18030"), "utf-8"), "AA", control_id="A#1", now=NOW)
    assert answer.decode("gb18030").startswith("MSH#*!$%#C#C#HIS#医丨院#20261124093005+0800##ACK*A01*ACK#A$F$1#P#2.5")


def test_each_error_is_told_with_its_place_its_code_and_words_in_both_languages() -> None:
    message = read(ADMISSION.encode(), "utf-8")
    charged_at = message.all("FT1")[1].field(4).component(1).subcomponent(1).place
    with pytest.raises(Hl7Error) as instant:
        read_time("1 pm", charged_at, CITY)
    with pytest.raises(Hl7Error) as missing:
        message.segment("PID").field(8).required()
    answer = acknowledge(message, "AE", [instant.value, missing.value], control_id="A-1", now=NOW).decode()
    assert answer.partition("\r")[2] == (
        "MSA|AE|M-1\r"
        "ERR||FT1^2^4^1^1^1|102^Data type error^HL70357|E|||FT1[2]-4.1.1: Data type error|"
        "FT1[2]-4.1.1 不是有效的日期时间 FT1[2]-4.1.1 is no date and time, such as 20260131093000+0800\r"
        "ERR||PID^1^8|101^Required field missing^HL70357|E|||PID-8: Required field missing|"
        "缺少必填的 PID-8 PID-8 is required\r"
    )


def test_before_version_2_5_the_error_stands_in_err_1_and_its_words_in_msa_3() -> None:
    message = read(ADMISSION.replace("|2.5|", "|2.3.1|").encode(), "utf-8")
    with pytest.raises(Hl7Error) as missing:
        message.segment("PID").field(8).required()
    answer = read(acknowledge(message, "AE", [missing.value], control_id="A-1", now=NOW), "utf-8")
    assert answer.segment("MSA").field(3).text == "缺少必填的 PID-8"
    assert answer.segment("ERR").field(1).raw == "PID^1^8^101&Required field missing&HL70357"


def test_an_independent_reader_understands_an_answer() -> None:
    message = read(ADMISSION.encode(), "utf-8")
    with pytest.raises(Hl7Error) as missing:
        message.segment("PID").field(8).required()
    answer = hl7.parse(acknowledge(message, "AE", [missing.value], control_id="A-1", now=NOW))
    assert [str(answer[key]) for key in ("MSH.F9.R1.C1", "MSH.F9.R1.C2", "MSA.F1", "MSA.F2")] == [
        "ACK",
        "A01",
        "AE",
        "M-1",
    ]
    assert [answer[f"ERR.F{field}.R1.C1"] for field in (2, 3)] == ["PID", "101"]


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (ADMISSION.encode() + b"NTE|1|\xff", "M-1"),
        (ADMISSION.replace("UNICODE UTF-8", "BIG-5").encode(), "M-1"),
        (ADMISSION.encode()[:300], "M-1"),
        (b"MSH|^~\\&|HIS", ""),
        (b"MSH", ""),
        (b"\xff\xfe", ""),
        (b"", ""),
    ],
)
def test_a_message_that_cannot_be_read_is_answered_as_far_as_its_header_can(raw: bytes, named: str) -> None:
    answer = read(acknowledge(header_of(raw, "utf-8"), "AR", [], control_id="A-1", now=NOW), "utf-8")
    assert [answer.segment("MSA").field(field).text for field in (1, 2)] == ["AR", named]
    assert answer.header.field(10).text == "A-1"


@pytest.mark.parametrize(
    ("header", "mode", "wanted"),
    [
        ("", "by_message", Wanted("original", "NE", "AL")),
        ("||||", "by_message", Wanted("original", "NE", "AL")),
        ("|||AL|NE", "by_message", Wanted("enhanced", "AL", "NE")),
        ("|||ER|SU", "by_message", Wanted("enhanced", "ER", "SU")),
        ("|||AL", "by_message", Wanted("enhanced", "AL", "NE")),
        ("||||AL", "by_message", Wanted("enhanced", "NE", "AL")),
        ("|||NE|NE", "original", Wanted("original", "NE", "AL")),
        ("", "enhanced", Wanted("enhanced", "AL", "AL")),
        ("|||NE|ER", "enhanced", Wanted("enhanced", "NE", "ER")),
    ],
)
def test_the_answers_that_are_wanted_follow_the_message_or_the_hospital(
    header: str, mode: Mode, wanted: Wanted
) -> None:
    message = message_of(header="MSH|^~\\&|HIS|H1|C|C|||ADT^A01|M-1|P|2.5" + header)
    assert wanted_acknowledgements(message, mode) == wanted


@pytest.mark.parametrize(
    ("condition", "after_success", "after_failure"),
    [("AL", True, True), ("NE", False, False), ("ER", False, True), ("SU", True, False)],
)
def test_an_answer_is_due_always_never_on_error_or_on_success(
    condition: str, *, after_success: bool, after_failure: bool
) -> None:
    wanted = wanted_acknowledgements(
        message_of(header=f"MSH|^~\\&|HIS|H1|C|C|||ADT^A01|M-1|P|2.5|||{condition}|{condition}")
    )
    assert (wanted.wants_commit(ok=True), wanted.wants_commit(ok=False)) == (after_success, after_failure)
    assert (wanted.wants_application(ok=True), wanted.wants_application(ok=False)) == (after_success, after_failure)


def test_a_condition_that_hl7_does_not_know_is_told() -> None:
    with pytest.raises(Hl7Error) as caught:
        wanted_acknowledgements(message_of(header="MSH|^~\\&|HIS|H1|C|C|||ADT^A01|M-1|P|2.5|||XX"))
    assert (caught.value.code, caught.value.place) == ("103", Place("MSH", 1, 15))


def test_every_code_has_the_words_of_table_0357() -> None:
    assert CODES["205"] == "Duplicate key identifier"
    assert len(CODES) == 12
