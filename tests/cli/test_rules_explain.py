"""`chengma rules explain`: the smallest way out, for authors, machines, citizens and officers."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from litestar import Litestar
from litestar.testing import TestClient

from backend.city.service import City
from backend.cli.rules import rules
from backend.services.health_code.model import HealthRecord
from backend.settings import Settings
from backend.store.migrations import find_migrations, migrate
from tests.conftest import ROOT, SignIn, id_number_for
from tests.services.audit_entries import acts, logged

NEARBY = '{contacts: [{level: nearby, at: "2022-05-15T12:00:00+08:00"}]}'
AT = ("--at", "2022-05-20T12:00:00+08:00")
COLOUR = ("explain", "health_code.colour", "--facts", "-", *AT)

BEFORE_BIRTHDAY = ("--at", "2026-11-01T09:00:00+08:00")
ELDERS = """\
module: talent_code.benefits.elders
title: {zh: 高龄津贴, en: Old-age allowance}
facts: BenefitFacts
result: {at_least: 0 yuan, at_most: 9_000 yuan}
strategy: first
sources: {order: "[A] assumption: a test"}
terms:
  - {from: 2026-01-01, source: order, subject: person, gives: money, budget_fen: 9_000_000 yuan}
parameters:
  least_age:
    label: {zh: 最低年龄, en: Lowest age}
    unit: age
    values:
      - {from: 2026-01-01, value: 65, source: order}
  elder_fen:
    label: {zh: 津贴, en: Allowance}
    values:
      - {from: 2026-01-01, value: 1_440 yuan, source: "[A] assumption: the order of amounts"}
rules:
  - id: elder
    from: 2026-01-01
    when: age(facts.born_at, now) >= least_age
    then: elder_fen
    because: {zh: "您已满{least_age}", en: "You are {least_age:number} or older"}
    source: order
otherwise:
  then: 0
  because: {zh: 您未满年龄, en: You are too young}
"""


def elders(folder: Path) -> Path:
    (folder / "talent_code" / "benefits").mkdir(parents=True)
    (folder / "talent_code" / "benefits" / "elders.yaml").write_text(ELDERS, encoding="utf-8")
    return folder


def run(*arguments: str, given: str | None = None, **environment: str) -> Result:
    return CliRunner().invoke(
        rules,
        arguments,
        input=given,
        env={"CHENGMA_RULES": str(ROOT / "rules"), "CHENGMA_LANGUAGE": "en", **environment},
    )


def explained(*arguments: str, given: str = NEARBY) -> dict[str, Any]:
    found = run(*COLOUR, "--json", *arguments, given=given)
    assert found.exit_code == 0, found.output
    return json.loads(found.output)


def test_the_smallest_way_out_is_printed_with_the_facts_that_it_changes() -> None:
    lines = run(*COLOUR, given=NEARBY).output.splitlines()
    start = lines.index("  the smallest way (2 changed, proved smallest):")
    assert lines[start - 1] == "  without any change: green from 2022-05-29T12:00:00+08:00"
    tests = "  + Take a PCR test with a negative result  [add tests: kind: pcr, result: negative, sampled_at: {}]"
    assert lines[start + 1 : start + 4] == [
        tests.format("2022-05-20T12:00:00+08:00"),
        tests.format("2022-05-21T12:00:00+08:00"),
        "    → green from 2022-05-21T12:00:00+08:00 by otherwise",
    ]


def test_every_other_rule_says_which_operand_decided_with_its_values() -> None:
    lines = run(*COLOUR, given=NEARBY).output.splitlines()
    assert lines[lines.index("· fever → yellow") + 1] == "    facts.symptoms is empty"
    assert lines[lines.index("· close-contact → red") + 1] == (
        '    c.level == "close": does not hold; c.level = nearby'
    )


def test_it_speaks_chinese_in_a_chinese_terminal() -> None:
    output = run(*COLOUR, given=NEARBY, CHENGMA_LANGUAGE="zh").output
    assert output.startswith("health_code.colour，2022-05-20T12:00:00+08:00：yellow，依据 nearby\n")
    assert "  最小的办法（2 项改变，已证明最小）:" in output
    assert "    facts.symptoms 为空" in output


def test_an_author_reads_amounts_in_yuan() -> None:
    facts = '{born_at: "1990-05-01T00:00:00+08:00", degree: doctor, graduated_at: "2026-01-10T00:00:00+08:00"}'
    arguments = ("talent_code.benefits.graduate_allowance", "--facts", "-", "--at", "2026-06-01T12:00:00+08:00")
    assert "+08:00: 100,000 yuan by doctor\n" in run("explain", *arguments, given=facts).output
    assert "+08:00：100,000元，依据 doctor\n" in run("explain", *arguments, given=facts, CHENGMA_LANGUAGE="zh").output


def test_an_author_reads_where_the_amount_comes_from(tmp_path: Path) -> None:
    arguments = ("explain", "talent_code.benefits.elders", "--rules", str(elders(tmp_path)), "--facts", "-")
    facts = '{born_at: "1950-11-02T00:00:00+08:00"}'
    amount = "    elder_fen  =  1_440 yuan  [A] assumption: the order of amounts"
    assert amount in run(*arguments, *BEFORE_BIRTHDAY, given=facts).output.splitlines()
    assert amount in run(*arguments, *BEFORE_BIRTHDAY, "--rule", "elder", given=facts).output.splitlines()
    found = json.loads(run(*arguments, *BEFORE_BIRTHDAY, "--json", given=facts).output)
    assert (found["figure"]["value"], found["figure"]["source"]) == (144_000, "[A] assumption: the order of amounts")


def test_a_citizen_reads_it_in_plain_words() -> None:
    assert run(*COLOUR, "--for", "citizen", "--language", "zh", given=NEARBY).output.splitlines()[2:] == [
        (
            "最简便的办法：做一次核酸检测，结果为阴性；做一次核酸检测，结果为阴性（2022-05-21 12:00或之后）。"
            "最早2022-05-21 12:00起：未见异常。"
        ),
        "不办理任何事项的，2022-05-29 12:00起自动变为：未见异常。",
    ]


def test_a_benefit_that_only_time_gives_is_to_be_claimed_and_never_comes_by_itself(tmp_path: Path) -> None:
    facts = '{born_at: "1961-11-02T00:00:00+08:00"}'
    arguments = ("talent_code.benefits.elders", "--rules", str(elders(tmp_path)), "--facts", "-", *BEFORE_BIRTHDAY)
    citizen = ("--for", "citizen", "--language")
    assert run("explain", *arguments, *citizen, "zh", given=facts).output.splitlines()[-1] == (
        "无法提前，2026-11-02 00:00起可申领：高龄津贴：1,440元。"
    )
    assert run("explain", *arguments, *citizen, "en", given=facts).output.splitlines()[-1] == (
        "You cannot make it earlier: from 2026-11-02 00:00 on you can claim: Old-age allowance: 1,440 yuan."
    )


EXCLUDED_TWICE = ELDERS.replace(
    "rules:\n",
    """rules:
  - id: too-young
    from: 2026-01-01
    when: age(facts.born_at, now) < least_age
    then: 0
    because: {zh: "您未满{least_age}", en: "You are younger than {least_age:number}"}
    source: order
  - id: several-homes
    from: 2026-01-01
    when: facts.homes > 1
    then: 0
    because: {zh: 您的住房多于1套, en: You own more than one home}
    source: order
""",
)


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("zh", "情况不变的，2026-11-02 00:00起仍不能申领：您的住房多于1套。"),
        (
            "en",
            "If nothing else changes, from 2026-11-02 00:00 on you still cannot claim it: You own more than one home.",
        ),
    ],
)
def test_who_is_excluded_for_another_reason_later_reads_it_now(tmp_path: Path, language: str, sentence: str) -> None:
    folder = elders(tmp_path)
    (folder / "talent_code" / "benefits" / "elders.yaml").write_text(EXCLUDED_TWICE, encoding="utf-8")
    arguments = ("talent_code.benefits.elders", "--rules", str(folder), "--facts", "-", *BEFORE_BIRTHDAY)
    facts = '{born_at: "1961-11-02T00:00:00+08:00", homes: 2}'
    printed = run("explain", *arguments, "--for", "citizen", "--language", language, given=facts).output
    assert printed.splitlines()[-1] == sentence


def test_machines_read_the_tree_the_other_rules_and_the_ways() -> None:
    found = explained()
    assert (found["result"], found["rule"], found["changes_at"]) == ("yellow", "nearby", "2022-05-29T04:00:00Z")
    assert found["decisive"]["value"] is True
    assert found["decisive"]["steps"][0]["steps"][0]["steps"][0]["text"] == 'c.level == "nearby"'
    others = {other["rule"]: other for other in found["others"]}
    assert (others["confirmed"]["compared"], others["fever"]["compared"]) == ("worse", "same")
    assert others["fever"]["reasons"] == [
        {"text": "facts.symptoms", "holds": False, "values": {}, "element": None, "elements": 0}
    ]
    way_out = found["way_out"]
    assert (way_out["kind"], way_out["by"], way_out["searched"], way_out["proved"]) == ("change", "person", 2, True)
    assert [act["at"] for act in way_out["ways"][0]["acts"]] == ["2022-05-20T04:00:00Z", "2022-05-21T04:00:00Z"]
    assert way_out["waiting"]["at"] == "2022-05-29T04:00:00Z"


def test_a_wanted_result_is_reached_rather_than_any_better_one() -> None:
    case = '{cases: [{status: confirmed, since: "2022-05-15T12:00:00+08:00"}]}'
    assert explained(given=case)["way_out"]["ways"][0]["then"]["result"] == "yellow"
    green = explained("--to", "green", given=case)["way_out"]
    assert (green["by"], green["ways"][0]["then"]["result"]) == ("authority", "green")
    assert green["ways"][0]["then"]["at"] == "2022-06-03T04:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "blue"), "'blue' is no result of health_code.colour; use one of: green, yellow, red"),
        (("--person", "x"), "name a file of facts with --facts (- for standard input), or a person with --person"),
    ],
    ids=["no result", "two sources"],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], message: str) -> None:
    found = run(*COLOUR, *arguments, given="{}")
    assert found.exit_code != 0
    assert message in found.output


def test_a_file_of_windows_notepad_is_read_and_one_in_gbk_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "facts.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + NEARBY.encode().replace(b"\n", b"\r\n"))
    assert run("explain", "health_code.colour", "--facts", str(file), *AT).exit_code == 0
    file.write_bytes("# 张三\n{}".encode("gbk"))
    refused = run("explain", "health_code.colour", "--facts", str(file), *AT)
    assert refused.exit_code == 1
    assert f"{file} is not UTF-8 text; save it as UTF-8" in refused.output


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in run(*COLOUR, given=NEARBY, FORCE_COLOR="1", TERM="xterm-256color").output
    assert "\x1b[" not in run(*COLOUR, given=NEARBY, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color").output


# ── officers ──


async def records(city: City) -> list[HealthRecord]:
    return [record async for record in city.store.scan(HealthRecord)]


def environment_of(settings: Settings) -> dict[str, str]:
    return {"CHENGMA_STORE": settings.store, "CHENGMA_KEYS": str(settings.keys), "CHENGMA_DEVELOPMENT": "1"}


def test_an_officer_explains_a_persons_code_and_the_person_sees_it(
    client: TestClient[Litestar], sign_in: SignIn, settings: Settings
) -> None:
    assert client.blocking_portal is not None
    city = client.app.state.city
    client.blocking_portal.call(migrate, city.store, find_migrations(), lambda _migration, _seen: None)
    wang = sign_in("13800138001", name="王芳", id_number=id_number_for("13800138001"))
    client.post("/v1/me/health-declarations", headers=wang, json={"symptoms": ["fever"]})
    (record,) = client.blocking_portal.call(records, city)
    for named in (record.code_id, record.id):
        found = run("explain", "health_code.colour", "--person", named, **environment_of(settings))
        assert found.exit_code == 0, found.output
        assert "health_code.colour at " in found.output
        for secret in ("王芳", "13800138001", id_number_for("13800138001")):
            assert secret not in found.output
    logged(client)
    assert acts(client, wang)[:2] == [("rules.explained", "city")] * 2


def test_an_unknown_person_and_a_module_about_nobody_are_refused(
    client: TestClient[Litestar], settings: Settings
) -> None:
    assert client.get("/v1/audit/head").status_code == 200
    unknown = run("explain", "health_code.colour", "--person", "nobody", **environment_of(settings))
    assert "no person has this id, and no code has it" in unknown.output
    module = run("explain", "medical_credit.terms", "--person", "nobody", **environment_of(settings))
    assert "medical_credit.terms does not decide about a person whom the city keeps" in module.output


def test_an_identity_cards_number_is_not_the_id_of_a_person() -> None:
    for language, words in (("en", "this is an identity card's number"), ("zh", "这是身份证号")):
        found = run("explain", "health_code.colour", "--person", "11010519491231002X", CHENGMA_LANGUAGE=language)
        assert found.exit_code == 1
        assert words in found.output
        assert "11010519491231002X" not in found.output


def test_an_instant_outside_the_years_of_facts_is_named_at_its_place(tmp_path: Path) -> None:
    facts = tmp_path / "facts.yaml"
    facts.write_text('contacts: [{level: close, at: "1899-05-15T12:00:00+08:00"}]\n', "utf-8")
    found = run("explain", "health_code.colour", "--facts", str(facts))
    assert found.exit_code == 1
    assert "facts.yaml:1:31: R018 '1899-05-15T12:00:00+08:00' is outside the years 1900 to 2149" in found.output
    assert "= correct the year" in found.output
