from datetime import datetime
from zoneinfo import ZoneInfo

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message as StrictMessage
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_segments

from backend.i18n import Text
from integrations.his.hl7v2.acknowledgement import (
    AcknowledgementCode,
    AcknowledgementMode,
    RequestedAcknowledgements,
    acknowledge,
    requested_acknowledgements,
)
from integrations.his.hl7v2.errors import CONDITION_CODES, Hl7Error, Location
from integrations.his.hl7v2.message import (
    Message,
    parse_header,
    parse_message,
    parse_text,
)
from integrations.his.hl7v2.timestamps import parse_timestamp
from integrations.his.hl7v2.trigger_events import check_header

CITY = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 24, 9, 30, 5, tzinfo=CITY)
ADMISSION = (
    "MSH|^~\\&|HIS|第一医院|CHENGMA|CITY|20261124093000||ADT^A01^ADT_A01|M-1|P|2.5||||||UNICODE UTF-8\r"
    "PID|1||330106199001011234^^^CN&1.2.156&ISO^NI~P-77^^^HIS^MR||张^三\r"
    'PV1|1|I|||||||||||||||||V-9||||||||||||||||||""\r'
    "FT1|1|||20261124||CG|A100||||12.50&CNY\r"
    "FT1|2|||20261124||CG|A200||||0.30&CNY\r"
)


def message_of(*segments: str, header: str = "MSH|^~\\&|HIS|H1|CHENGMA|CITY|||ADT^A01|M-1|P|2.5") -> Message:
    return parse_text("\r".join([header, *segments]) + "\r")


def test_an_acknowledgement_goes_to_the_sender_and_contains_the_control_id() -> None:
    reply = acknowledge(parse_message(ADMISSION.encode(), "utf-8"), "AA", control_id="A-1", now=NOW)
    assert reply.decode() == (
        "MSH|^~\\&|CHENGMA|CITY|HIS|第一医院|20261124093005+0800||ACK^A01^ACK|A-1|P|2.5||||||UNICODE UTF-8\r"
        "MSA|AA|M-1\r"
    )


def test_an_acknowledgement_has_the_encoding_and_delimiters_of_the_message() -> None:
    text = "MSH#*!$%#HIS#医丨院#C#C###ADT*A01#M-1#P#2.5######GB18030\r"
    reply = acknowledge(parse_message(text.encode("gb18030"), "utf-8"), "AA", control_id="A#1", now=NOW)
    assert reply.decode("gb18030").startswith("MSH#*!$%#C#C#HIS#医丨院#20261124093005+0800##ACK*A01*ACK#A$F$1#P#2.5")


def test_each_error_is_reported_with_location_code_and_text_in_both_languages() -> None:
    message = parse_message(ADMISSION.encode(), "utf-8")
    charged_at = message.all("FT1")[1].field(4).component(1).subcomponent(1).location
    with pytest.raises(Hl7Error) as instant:
        parse_timestamp("1 pm", charged_at, CITY)
    with pytest.raises(Hl7Error) as missing:
        message.segment("PID").field(8).required()
    reply = acknowledge(message, "AE", [instant.value, missing.value], control_id="A-1", now=NOW).decode()
    assert reply.partition("\r")[2] == (
        "MSA|AE|M-1\r"
        "ERR||FT1^2^4^1^1^1|102^Data type error^HL70357|E|||FT1[2]-4.1.1: Data type error|"
        "FT1[2]-4.1.1须为有效的日期时间，如20260131093000+0800 "
        "FT1[2]-4.1.1 must be a date and time, such as 20260131093000+0800\r"
        "ERR||PID^1^8|101^Required field missing^HL70357|E|||PID-8: Required field missing|"
        "请补充必填的PID-8 PID-8 is required\r"
    )


def errors_of(message: Message) -> list[Hl7Error]:
    """Return an error in a field, one in a component, one in a segment, and one of the whole message."""
    text = Text(zh="没有" * 60, en="none" * 60)
    places = (Location("PID", 1, 3), Location("FT1", 2, 11, 1, 1, 1), Location("EVN"), None)
    with pytest.raises(Hl7Error) as missing:
        message.segment("PID").field(8).required()
    return [missing.value, *(Hl7Error(place, "102", text) for place in places)]


def test_before_version_2_5_the_error_is_in_err_1_and_its_text_in_msa_3() -> None:
    message = parse_message(ADMISSION.replace("|2.5|", "|2.3.1|").encode(), "utf-8")
    reply = parse_message(acknowledge(message, "AE", errors_of(message)[:2], control_id="A-1", now=NOW), "utf-8")
    assert reply.segment("MSA").field(3).text == "E 101 请补充必填的PID-8 PID-8 is required"
    (error,) = reply.all("ERR")
    assert error.fields[1:] == ("PID^1^8^101&Required field missing&HL70357~PID^1^3^102&Data type error&HL70357",)


def test_before_version_2_5_a_warning_is_in_msa_3_alone() -> None:
    message = parse_message(ADMISSION.replace("|2.5|", "|2.4|").encode(), "utf-8")
    warning = Hl7Error(Location("FT1", 1, 11), "102", Text(zh="请核对", en="check it"), "W")
    reply = parse_message(acknowledge(message, "AA", [warning], control_id="A-1", now=NOW), "utf-8")
    assert (reply.segment("MSA").field(3).text, reply.all("ERR")) == ("W 102 请核对 check it", ())


def test_before_version_2_5_a_long_text_is_cut_in_both_languages() -> None:
    message = parse_message(ADMISSION.replace("|2.5|", "|2.1|").encode(), "utf-8")
    reply = parse_message(acknowledge(message, "AE", errors_of(message)[1:], control_id="A-1", now=NOW), "utf-8")
    text = reply.segment("MSA").field(3).text
    assert len(text) == 80
    assert text == f"E 102 {'没有' * 18}没 {'none' * 9}"


def test_before_version_2_5_a_long_text_is_cut_after_an_english_word() -> None:
    message = parse_message(ADMISSION.replace("|2.5|", "|2.4|").encode(), "utf-8")
    text = Text(
        zh="该患者未使用先看病后付费，消息已接收，不作处理",
        en="this patient does not pay later; the message was accepted and ignored",
    )
    ignored = Hl7Error(Location("PID", 1, 3), "204", text, "I")
    reply = parse_message(acknowledge(message, "AA", [ignored], control_id="A-1", now=NOW), "utf-8")
    told = reply.segment("MSA").field(3).text
    assert told == f"I 204 {text.zh} this patient does not pay later; the message was"
    assert len(told) <= 80


def test_the_answer_to_an_unsupported_version_says_in_both_languages_which_are_supported() -> None:
    message = parse_message(ADMISSION.replace("|2.5|", "|2.1|").encode(), "utf-8")
    with pytest.raises(Hl7Error) as refused:
        check_header(message, development=False)
    reply = parse_message(acknowledge(message, "AR", [refused.value], control_id="A-1", now=NOW), "utf-8")
    text = reply.segment("MSA").field(3).text
    assert text == "E 203 MSH-12：不支持该版本，请使用2.3至2.8 MSH-12: version not supported; use 2.3 to 2.8"


@pytest.mark.parametrize("version", ["2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8"])
def test_since_version_2_5_the_error_is_in_err_2_and_later_fields(version: str) -> None:
    message = parse_message(ADMISSION.replace("|2.5|", f"|{version}|").encode(), "utf-8")
    reply = parse_message(acknowledge(message, "AE", errors_of(message), control_id="A-1", now=NOW), "utf-8")
    assert len(reply.segment("MSA").fields) == 3
    assert [error.field(1).raw for error in reply.all("ERR")] == [""] * 5
    assert [error.field(4).raw for error in reply.all("ERR")] == ["E"] * 5
    assert max(len(error.field(8).raw) for error in reply.all("ERR")) <= 250


@pytest.mark.parametrize("code", ["AA", "AE", "AR", "CA", "CR"])
@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"])
def test_a_strict_validator_accepts_the_acknowledgement_of_every_version(
    version: str, code: AcknowledgementCode
) -> None:
    message = parse_message(ADMISSION.replace("|2.5|", f"|{version}|").encode(), "utf-8")
    errors = errors_of(message) if code[1] != "A" else []
    raw = acknowledge(message, code, errors, control_id="0123456789abcdef0123", now=NOW).decode()
    assert validate_strictly(raw, version)


@pytest.mark.parametrize(
    ("version", "segment"),
    [
        ("2.3", "ERR||PID^1^8|101^Required field missing^HL70357|E"),
        ("2.4", "ERR|PID^1^8^101&Required field missing&HL70357|PID^1^8|101^Required field missing^HL70357|E"),
        ("2.5", "ERR|PID^1^8^101&Required field missing&HL70357"),
        ("2.7", "ERR|PID^1^8^101&Required field missing&HL70357|PID^1^8|101^Required field missing^HL70357|E"),
    ],
)
def test_the_strict_validator_rejects_the_err_segment_of_another_version(version: str, segment: str) -> None:
    message = parse_message(ADMISSION.replace("|2.5|", f"|{version}|").encode(), "utf-8")
    raw = acknowledge(message, "AE", control_id="A-1", now=NOW).decode()
    with pytest.raises(HL7apyException):
        validate_strictly(f"{raw}{segment}\r", version)


def validate_strictly(raw: str, version: str) -> bool:
    """Return whether hl7apy finds an acknowledgement valid. Raises HL7apyException."""
    reply = StrictMessage("ACK", version=version, validation_level=VALIDATION_LEVEL.STRICT)
    reply.children = parse_segments(raw, version=version, validation_level=VALIDATION_LEVEL.STRICT)
    return reply.validate()


def test_an_independent_parser_reads_an_acknowledgement() -> None:
    message = parse_message(ADMISSION.encode(), "utf-8")
    with pytest.raises(Hl7Error) as missing:
        message.segment("PID").field(8).required()
    reply = hl7.parse(acknowledge(message, "AE", [missing.value], control_id="A-1", now=NOW))
    assert [str(reply[key]) for key in ("MSH.F9.R1.C1", "MSH.F9.R1.C2", "MSA.F1", "MSA.F2")] == [
        "ACK",
        "A01",
        "AE",
        "M-1",
    ]
    assert [reply[f"ERR.F{field}.R1.C1"] for field in (2, 3)] == ["PID", "101"]


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
def test_an_invalid_message_is_acknowledged_from_its_header(raw: bytes, named: str) -> None:
    reply = parse_message(acknowledge(parse_header(raw, "utf-8"), "AR", [], control_id="A-1", now=NOW), "utf-8")
    assert [reply.segment("MSA").field(field).text for field in (1, 2)] == ["AR", named]
    assert reply.header.field(10).text == "A-1"


@pytest.mark.parametrize(
    ("header", "mode", "requested"),
    [
        ("", "by_message", RequestedAcknowledgements("original", "NE", "AL")),
        ("||||", "by_message", RequestedAcknowledgements("original", "NE", "AL")),
        ("|||AL|NE", "by_message", RequestedAcknowledgements("enhanced", "AL", "NE")),
        ("|||ER|SU", "by_message", RequestedAcknowledgements("enhanced", "ER", "SU")),
        ("|||AL", "by_message", RequestedAcknowledgements("enhanced", "AL", "NE")),
        ("||||AL", "by_message", RequestedAcknowledgements("enhanced", "NE", "AL")),
        ("|||NE|NE", "original", RequestedAcknowledgements("original", "NE", "AL")),
        ("", "enhanced", RequestedAcknowledgements("enhanced", "AL", "AL")),
        ("|||NE|ER", "enhanced", RequestedAcknowledgements("enhanced", "NE", "ER")),
    ],
)
def test_the_requested_acknowledgements_follow_the_message_or_the_hospital(
    header: str, mode: AcknowledgementMode, requested: RequestedAcknowledgements
) -> None:
    message = message_of(header="MSH|^~\\&|HIS|H1|C|C|||ADT^A01|M-1|P|2.5" + header)
    assert requested_acknowledgements(message, mode) == requested


@pytest.mark.parametrize(
    ("condition", "after_success", "after_failure"),
    [("AL", True, True), ("NE", False, False), ("ER", False, True), ("SU", True, False)],
)
def test_an_acknowledgement_is_due_always_never_on_error_or_on_success(
    condition: str, *, after_success: bool, after_failure: bool
) -> None:
    requested = requested_acknowledgements(
        message_of(header=f"MSH|^~\\&|HIS|H1|C|C|||ADT^A01|M-1|P|2.5|||{condition}|{condition}")
    )
    assert (requested.accept_due(ok=True), requested.accept_due(ok=False)) == (after_success, after_failure)
    assert (requested.application_due(ok=True), requested.application_due(ok=False)) == (after_success, after_failure)


def test_an_unknown_acknowledgement_condition_is_an_error() -> None:
    with pytest.raises(Hl7Error) as caught:
        requested_acknowledgements(message_of(header="MSH|^~\\&|HIS|H1|C|C|||ADT^A01|M-1|P|2.5|||XX"))
    assert (caught.value.code, caught.value.location) == ("103", Location("MSH", 1, 15))


def test_condition_codes_have_the_texts_of_table_0357() -> None:
    assert CONDITION_CODES["205"] == "Duplicate key identifier"
    assert len(CONDITION_CODES) == 12
