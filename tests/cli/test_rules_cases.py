"""`chengma rules coverage`, `case` and the table of `test`, as authors run them."""

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.cli.rules import rules
from tests.conftest import ROOT

CONTACT = '{{contacts: [{{level: close, at: "{}+08:00"}}]}}'
AT = ("--at", "2022-05-20T08:00:00+08:00")


def run(*arguments: str, folder: Path, given: str | None = None, language: str = "en") -> Result:
    environment = {"CHENGMA_RULES": str(folder), "CHENGMA_LANGUAGE": language}
    return CliRunner().invoke(rules, arguments, input=given, env=environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the rules of the health code."""
    return Path(shutil.copytree(ROOT / "rules" / "health_code", tmp_path / "rules" / "health_code")).parent


def cases_of(folder: Path, module: str = "colour") -> Path:
    return folder / "health_code" / f"{module}.cases.yaml"


def line_of(folder: Path, words: str) -> int:
    """Return the line of the rules of the frame that contains these words."""
    lines = (folder / "health_code" / "frame.yaml").read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if words in line)


def make_case(folder: Path, given: str, *options: str, module: str = "health_code.colour") -> Result:
    return run("case", module, "--facts", "-", *AT, "--name", "密接者：仍在隔离", *options, folder=folder, given=given)


# ── test ──


def test_a_failed_case_is_printed_as_a_table_with_the_reason(folder: Path) -> None:
    path = cases_of(folder, "frame")
    path.write_text(path.read_text("utf-8").replace("expect: gold", "expect: none"), "utf-8")
    for language, words in (("en", ("expected", "fully")), ("zh", ("预期", "您已完成"))):
        found = run("test", str(folder), folder=folder, language=language)
        assert found.exit_code == 1
        assert "frame.cases.yaml:" in found.output
        for word in words:
            assert word in found.output


def test_two_instants_of_a_failed_case_are_printed_in_full_below_each_other(folder: Path) -> None:
    path = cases_of(folder, "frame")
    case = '  - {case: a long name of a case of vaccination, at: "2022-01-01T00:00:00+08:00", given: {}, expect: %s}\n'
    expected = '{result: none, changes_at: "2026-11-02T00:00:00+08:00"}'
    path.write_text(path.read_text("utf-8") + case % expected, "utf-8")
    lines = run("test", str(folder), folder=folder).output.splitlines()
    at = next(number for number, line in enumerate(lines) if "│ expected 2026-11-02T00:00:00+08:00" in line)
    assert "actual   never" in lines[at + 1]


# ── coverage ──


def test_coverage_shows_a_row_for_each_module_and_what_is_missing(folder: Path) -> None:
    found = run("coverage", folder=folder)
    assert found.exit_code == 0, found.output
    assert [line.split()[0] for line in found.output.splitlines()[:3]] == [
        "module",
        "health_code.colour",
        "health_code.frame",
    ]


def test_coverage_names_the_part_of_a_condition_that_no_case_tries(folder: Path) -> None:
    path = cases_of(folder, "frame")
    only = '  - {case: one, at: "2022-01-01T00:00:00+08:00", given: {}, expect: none}\n'
    path.write_text(f"module: health_code.frame\ncases:\n{only}", "utf-8")
    found = run("coverage", "health_code.frame", folder=folder)
    rule, condition = (line_of(folder, words) for words in ("- id: fully-vaccinated", "when: size(facts.doses)"))
    part = "`size(facts.doses) >= doses_due`"
    assert f"frame.yaml:{condition}:11: in 'fully-vaccinated': {part} has equal sides" in found.output
    assert f"frame.yaml:{rule}:9: 'fully-vaccinated' fires in no case" in found.output
    assert f"frame.yaml:{rule}:9: no case is dated 2021-05-01T00:00:00+08:00, the second of the change" in found.output


def test_coverage_speaks_the_authors_language(folder: Path) -> None:
    found = run("coverage", "health_code.colour", folder=folder, language="zh")
    assert found.output.splitlines()[0].split() == ["模块", "规则", "条件", "界限", "变更", "结果", "案例"]
    assert "没有案例使 day <= last 恰好越过界限" in found.output


def test_coverage_below_the_minimum_exits_with_one(folder: Path) -> None:
    path = cases_of(folder, "frame")
    only = '  - {case: one, at: "2022-01-01T00:00:00+08:00", given: {}, expect: none}\n'
    path.write_text(f"module: health_code.frame\ncases:\n{only}", "utf-8")
    assert run("coverage", "health_code.frame", folder=folder).exit_code == 0
    found = run("coverage", "health_code.frame", "--min", "95", folder=folder)
    assert found.exit_code == 1
    assert "Error: below 95 %: health_code.frame" in found.output


def test_coverage_is_json_for_machines(folder: Path) -> None:
    path = cases_of(folder, "frame")
    only = '  - {case: one, at: "2022-01-01T00:00:00+08:00", given: {}, expect: none}\n'
    path.write_text(f"module: health_code.frame\ncases:\n{only}", "utf-8")
    document = json.loads(run("coverage", "health_code.frame", "--json", folder=folder).output)["health_code.frame"]
    assert document["rules"] == {"reached": 1, "total": 2}
    assert {entry["kind"] for entry in document["missing"]} == {"rule", "threshold", "change", "result"}
    assert document["missing"][0]["message"]["zh"] == "没有案例使规则“fully-vaccinated”触发"


def test_coverage_of_an_unknown_module_lists_the_modules(folder: Path) -> None:
    found = run("coverage", "health_code.color", folder=folder)
    assert found.exit_code == 1
    assert "there is no module 'health_code.color'; use one of: health_code.colour, health_code.frame" in found.output


# ── case ──


def test_facts_become_a_case_that_expects_their_verdict(folder: Path) -> None:
    found = make_case(folder, CONTACT.format("2022-05-15T12:00:00"))
    assert found.output == (
        "  - case: 密接者：仍在隔离\n"
        "    at: 2022-05-20T08:00:00+08:00\n"
        '    given: {contacts: [{level: close, at: "2022-05-15T12:00:00+08:00"}]}\n'
        '    expect: {result: red, rule: close-contact, changes_at: "2022-05-29T12:00:00+08:00"}\n'
    )


def test_a_written_case_is_appended_and_passes(folder: Path) -> None:
    before = cases_of(folder).read_text("utf-8")
    found = make_case(folder, CONTACT.format("2022-05-15T12:00:00"), "--write")
    assert found.exit_code == 0, found.output
    after = cases_of(folder).read_text("utf-8")
    assert after.startswith(before), "comments and cases stay as they are"
    assert after.count("密接者：仍在隔离") == 1
    assert run("test", str(folder), folder=folder).exit_code in (0, 1)
    assert "密接者" not in run("test", str(folder), folder=folder).output, "the case does not fail"


def test_the_same_name_is_not_written_twice(folder: Path) -> None:
    make_case(folder, CONTACT.format("2022-05-15T12:00:00"), "--write")
    before = cases_of(folder).read_text("utf-8")
    found = make_case(folder, CONTACT.format("2022-05-16T12:00:00"), "--write")
    assert found.exit_code == 1
    assert "two cases have the same name" in found.output
    assert cases_of(folder).read_text("utf-8") == before


def test_a_case_is_added_before_the_keys_that_follow_the_cases(folder: Path) -> None:
    path = cases_of(folder, "frame")
    personas = "personas:\n  - {persona: nobody, given: {}}\n"
    path.write_text(path.read_text("utf-8") + personas, "utf-8")
    found = make_case(folder, "{}", "--write", module="health_code.frame")
    assert found.exit_code == 0, found.output
    assert path.read_text("utf-8").endswith("changes_at: never}\n" + personas)


def test_a_module_without_cases_gets_a_file(folder: Path) -> None:
    cases_of(folder, "frame").unlink()
    assert make_case(folder, "{}", "--write", module="health_code.frame").exit_code == 0
    assert cases_of(folder, "frame").read_text("utf-8").startswith("module: health_code.frame\ncases:\n  - case: ")


def test_instants_are_rounded_to_the_hour_where_the_verdict_stays(folder: Path) -> None:
    assert "2022-05-15T12:00:00+08:00" in make_case(folder, CONTACT.format("2022-05-15T12:34:56.789")).output
    edge = make_case(folder, CONTACT.format("2022-05-06T08:00:00.5"))
    assert "2022-05-06T08:00:00.500000+08:00" in edge.output, "rounded, the contact would be over"


def test_an_invented_person_keeps_exact_instants(folder: Path) -> None:
    exact = make_case(folder, CONTACT.format("2022-05-15T12:34:56"), "--exact")
    assert "2022-05-15T12:34:56+08:00" in exact.output


def test_facts_that_no_rule_reads_are_left_out(folder: Path) -> None:
    facts = '{entries: [{country: IT, entered_at: "2022-05-15T12:00:00+08:00"}], doses: []}'
    found = make_case(folder, facts)
    assert "IT" not in found.output
    assert 'given: {entries: [{country: XX, entered_at: "2022-05-15T12:00:00+08:00"}]}' in found.output


def test_the_time_of_a_case_has_its_offset_in_the_city(folder: Path) -> None:
    found = run("case", "health_code.frame", "--facts", "-", "--name", "none", folder=folder, given="{}")
    line = next(line for line in found.output.splitlines() if "at:" in line)
    assert datetime.fromisoformat(line.split("at: ")[1]).utcoffset() is not None
    assert line.endswith("+08:00")


# ── the law's text ──


def test_coverage_of_the_law_shows_what_encodes_each_article_and_why_others_are_left_out() -> None:
    found = run("coverage", "--law", "talent_code.class", folder=ROOT / "rules")
    assert found.exit_code == 0
    assert "    catalogue/a3  Class A, the Fields Medal, the Turing Award and the Pritzker Prize\n" in found.output
    assert "      rules prize-fields, prize-turing\n" in found.output
    assert "      the rest is not encoded: The Pritzker Prize is not reported by a registry yet\n" in found.output
    chinese = run("coverage", "--law", "talent_code.class", folder=ROOT / "rules", language="zh").output
    assert "      规则 prize-fields、prize-turing\n" in chinese
    assert "      其余未写入：普利兹克奖：登记来源尚未提供\n" in chinese


def test_coverage_of_the_law_is_json_for_machines_and_of_all_modules_without_one() -> None:
    document = json.loads(run("coverage", "--law", "--json", folder=ROOT / "rules").output)
    orders = {order["order"]: order["articles"] for order in document["health_code.colour"]}
    assert len(orders["twenty_measures"]) == 20
    assert orders["ten_measures"][2] == {
        "article": "ten_measures/3",
        "title": {"zh": "优化调整隔离方式：密切接触者5天居家隔离", "en": "Isolation, close contacts 5 days at home"},
        "state": "partly",
        "rules": [],
        "parameters": ["isolation"],
        "not_encoded": {
            "zh": "感染者的解除由医生登记，规则不自行计算",
            "en": "A doctor registers the release of infected people; the rules do not compute it",
        },
    }
    assert document["health_code.frame"] == []


def test_a_least_coverage_does_not_go_with_the_law() -> None:
    found = run("coverage", "--law", "--min", "90", folder=ROOT / "rules")
    assert (found.exit_code, found.output) == (1, "Error: --min does not go with --law\n")
