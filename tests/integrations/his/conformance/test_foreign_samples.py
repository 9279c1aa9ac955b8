from pathlib import Path

from integrations.his.conformance.fhir_checks import HttpResponse
from integrations.his.hl7v2.message import parse_message
from tests.foreign_samples import (
    Answer,
    facility_of,
    messages_in,
    read_acknowledgement,
    read_outcome,
    resources_in,
    table_of,
    with_own_ids,
)

MESSAGE = b"MSH|^~\\&|LAB|GHH^1.2.3^ISO|X|Y|20261124||ORU^R01|M1|P|2.5\nPID|1\n"


def test_every_message_of_a_file_is_sent_with_carriage_returns(tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_bytes(b"/* notes */\n" + MESSAGE + b"\n" + MESSAGE)
    (tmp_path / "read.me").write_bytes(MESSAGE)
    names, sent = zip(*messages_in(tmp_path), strict=True)
    assert names == ("two.txt (1)", "two.txt (2)")
    assert set(sent) == {MESSAGE.replace(b"\n", b"\r")}
    assert facility_of(sent[0]) == "GHH"


def test_a_control_id_that_occurs_again_gets_a_suffix() -> None:
    sent = [raw for _, raw in with_own_ids([("a", MESSAGE), ("b", MESSAGE), ("c", MESSAGE)])]
    assert sent == [MESSAGE, MESSAGE.replace(b"|M1|", b"|M1-2|"), MESSAGE.replace(b"|M1|", b"|M1-3|")]


def test_files_that_are_no_resources_are_passed_over(tmp_path: Path) -> None:
    for name, text in {"a": '{"resourceType": "Encounter"}', "b": "[]", "c": "{", "d": '{"name": "package"}'}.items():
        (tmp_path / f"{name}.json").write_text(text)
    assert [name for name, _ in resources_in(tmp_path)] == ["a.json"]


def test_an_answer_tells_the_condition_of_both_forms_of_the_error_segment() -> None:
    header = "MSH|^~\\&|A|B|C|D|20261124||ACK|1|P|{}\rMSA|AR|M1|no\r"
    before = header.format("2.4") + "ERR|MSH^1^9^201&Unsupported&HL70357\r"
    since = header.format("2.5") + "ERR||MSH^1^9|100^Sequence^HL70357|E||||segment 3 is odd\r"
    old, new = (read_acknowledgement("s", parse_message(one.encode(), "utf-8")) for one in (before, since))
    assert old == Answer("s", "AR", "201 MSH-9: no", read=True)
    assert new == Answer("s", "AR", "100 MSH-9: segment 3 is odd", read=False)


def test_equal_reasons_are_counted_together() -> None:
    def refused(sample: str, name: str) -> Answer:
        issue = f'{{"issue": [{{"expression": ["Encounter.class"], "diagnostics": "{name} is unknown"}}]}}'
        return read_outcome(sample, HttpResponse(422, {}, issue.encode()))

    answers = [refused("a", "'X'"), refused("b", "'Y'"), Answer("c", "201")]
    *_, row = table_of({"all": answers}).splitlines()
    assert row == "| all | 3 | 3 | 422 2, 201 1 | 2 x Encounter.class … is unknown |"
