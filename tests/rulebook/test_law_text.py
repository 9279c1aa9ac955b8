"""Rules that read like law: money in yuan, figures in texts, tables of rules, and sources that are named once."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import pytest
from msgspec import Meta, Struct

from backend.i18n import Text
from backend.rulebook import InvalidRulebook, Rulebook, make_rulebook
from backend.rulebook.modules.cases import read_cases
from backend.rulebook.modules.units import fen_of, figure_text
from backend.rulebook.source import Fault, SourceFile

CITY = ZoneInfo("Asia/Shanghai")


class Pensioner(Struct, frozen=True):
    """Who asks for the subsidy."""

    born_at: datetime
    income_fen: Annotated[int, Meta(ge=0, le=10**12)] = 0
    district: str = "xihu"


SUBSIDY = """\
module: subsidy
title: {zh: 高龄津贴, en: Old-age subsidy}
facts: Pensioner
result: {at_least: 0 yuan, at_most: 1_000 yuan}
strategy: first
sources:
  order_2020: "[S] the bureau's order 12 of 2020"
parameters:
  income_limit:
    label: {zh: 月收入上限, en: Highest monthly income}
    unit: yuan
    values:
      - {from: 2020-01-01, value: 4_000 yuan, source: order_2020}
      - {from: 2024-01-01, value: 5_500.50 yuan, source: "<order_2020>, as amended in 2023"}
  seventy_fen:
    - {from: 2020-01-01, value: 50 yuan, source: order_2020}
  eighty_fen:
    - {from: 2020-01-01, value: 100 yuan, source: order_2020}
    - {from: 2024-01-01, value: 1_00 fen, source: order_2020}
  wait:
    - {from: 2020-01-01, value: 30d, source: order_2020}
    - {from: 2024-01-01, value: 1d, source: order_2020}
rules:
  - id: income-too-high
    from: 2020-01-01
    when: facts.income_fen > income_limit
    then: 0
    because: {zh: "您的月收入超过{income_limit}", en: "Your income is over {income_limit} a month"}
    remedy: {zh: "收入下降后满{wait}可以申领", en: "Claim it {wait} after your income has fallen"}
    source: order_2020
  - table:
      - {name: eighty, years: 80, amount: eighty_fen}
      - {name: seventy, years: 70, amount: seventy_fen, remedy: {zh: 满80周岁后增加, en: It rises at 80}}
    id: age-<name>
    from: 2020-01-01
    when: age(facts.born_at, now) >= <years>
    then: <amount>
    because: {zh: "年满<years>周岁，每月{<amount>}", en: "From the age of <years>: {<amount>} a month"}
    source: "<order_2020>, the age of <years>"
otherwise:
  then: 0 yuan
  because: {zh: "月收入不超过{income_limit}、年满70周岁可以申领", en: "From 70, with {income_limit} a month or less"}
"""
SUBSIDY = SUBSIDY.replace("1_00 fen", "12_345 fen")


def load(text: str) -> Rulebook:
    return make_rulebook({"subsidy": SourceFile("subsidy.yaml", text, [])}, [Pensioner], CITY, strict=True)


def fault(old: str, new: str) -> Fault:
    assert old in SUBSIDY
    with pytest.raises(InvalidRulebook) as refused:
        load(SUBSIDY.replace(old, new))
    return refused.value.faults[0]


RULEBOOK = load(SUBSIDY)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CITY)


def test_money_is_written_in_yuan_and_held_in_fen() -> None:
    module = RULEBOOK.modules["subsidy"]
    assert module.result == (0, 100_000)
    assert [value.value for value in module.parameters["income_limit"].values] == [400_000, 550_050]
    assert module.parameters["income_limit"].label == Text(zh="月收入上限", en="Highest monthly income")


@pytest.mark.parametrize(
    ("text", "fen"),
    [
        ("1_200_000 yuan", 120_000_000),
        ("1_200.50 yuan", 120_050),
        ("300 yuan", 30_000),
        ("-0.05 yuan", -5),
        ("50 fen", 50),
        ("1_2000 yuan", None),
        ("1.5 yuan", None),
        ("1.50 fen", None),
        ("1,200 yuan", None),
        ("300", None),
        ("300元", None),
    ],
)
def test_amounts_have_one_form(text: str, fen: int | None) -> None:
    assert fen_of(text) == fen


def test_an_amount_in_yuan_without_its_unit_is_refused_because_it_would_be_a_hundredth() -> None:
    found = fault("value: 4_000 yuan", "value: 4000")
    assert (found.code, found.location.line) == ("R084", 13)
    assert "4000 yuan" in found.help.en


def test_money_is_refused_where_no_amount_is_meant() -> None:
    found = fault("- {from: 2020-01-01, value: 30d", "- {from: 2020-01-01, value: 30 yuan")
    assert (found.code, found.location.line) == ("R086", 21)


def test_a_case_may_give_facts_and_expect_results_in_yuan() -> None:
    text = (
        "module: subsidy\ncases:\n  - case: rich\n    at: 2021-01-01T00:00:00+08:00\n"
        "    given: {born_at: '1950-01-01T00:00:00+08:00', income_fen: 5_000 yuan}\n    expect: 50 yuan\n"
    )
    (case,) = read_cases(SourceFile("c.yaml", text, []), RULEBOOK.modules["subsidy"])
    assert case.facts == Pensioner(local("1950-01-01"), 500_000)
    assert case.expected["result"].value == 5_000


def test_texts_take_the_figures_of_the_day() -> None:
    rich = Pensioner(local("1940-01-01"), 10**9)
    before, after = (RULEBOOK.evaluate("subsidy", rich, local(day)) for day in ("2023-12-31", "2024-01-01"))
    assert (before.because.zh, before.remedy and before.remedy.en) == (
        "您的月收入超过4,000元",
        "Claim it 30 days after your income has fallen",
    )
    assert (after.because.en, after.remedy and after.remedy.zh) == (
        "Your income is over 5,500.50 yuan a month",
        "收入下降后满1天可以申领",
    )
    assert after.remedy is not None
    assert after.remedy.en == "Claim it 1 day after your income has fallen"


def test_a_text_that_changes_with_the_law_is_no_change_of_the_verdict() -> None:
    rich = Pensioner(local("1940-01-01"), 10**9)
    assert RULEBOOK.evaluate("subsidy", rich, local("2023-12-31")).changes_at is None


def test_rules_that_others_list_have_the_figures_of_the_day() -> None:
    (rule, *_) = RULEBOOK.in_force("subsidy", local("2024-01-01"))
    assert rule.because.zh == "您的月收入超过5,500.50元"


def test_before_the_law_begins_the_text_names_its_first_figure() -> None:
    verdict = RULEBOOK.evaluate("subsidy", Pensioner(local("1940-01-01")), local("2019-06-01"))
    assert verdict.because.zh == "月收入不超过4,000元、年满70周岁可以申领"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("超过{income_limit}", "超过{income_limits}", "there is no figure 'income_limits'"),
        ("超过{income_limit}", "超过{收入}", "is not a figure"),
        ("超过{income_limit}", "超过{income_limit", "a brace without its pair"),
        ("超过{income_limit}", "超过{income_limit + wait}", "do not add up"),
        ("超过{income_limit}", "超过{income_limit + 1}", "do not add up"),
    ],
    ids=["misspelt", "Chinese", "unclosed", "kinds", "units"],
)
def test_a_text_that_names_no_figure_is_refused_at_its_place(old: str, new: str, problem: str) -> None:
    found = fault(old, new)
    assert (found.code, found.location.line, found.location.column) == ("R085", 28, 27)
    assert problem in found.message.en


def test_a_text_cannot_name_a_figure_that_has_no_value_in_its_period() -> None:
    found = fault("  wait:\n    - {from: 2020-01-01", "  wait:\n    - {from: 2021-01-01")
    assert "'wait' has no value on 2020-01-01" in found.message.en


@pytest.mark.parametrize(
    ("value", "unit", "bare", "zh", "en"),
    [
        (120_000, "yuan", False, "1,200元", "1,200 yuan"),
        (10_000_000, "yuan", False, "10万元", "100,000 yuan"),
        (1_000_000, "yuan", False, "10,000元", "10,000 yuan"),
        (15_000_000_00, "yuan", False, "1,500万元", "15,000,000 yuan"),
        (12_345_600, "yuan", False, "123,456元", "123,456 yuan"),
        (-30_050, "yuan", False, "300.50元", "300.50 yuan"),
        (120_000, "yuan", True, "1,200", "1,200"),
        (timedelta(days=7), None, False, "7天", "7 days"),
        (timedelta(days=1), None, False, "1天", "1 day"),
        (timedelta(days=1), "hours", False, "24小时", "24 hours"),
        (timedelta(minutes=90), None, False, "90分钟", "90 minutes"),
        (timedelta(days=7), None, True, "7", "7"),
        (50, "percent", False, "50%", "50 percent"),
        (70, "age", False, "70周岁", "70"),
        (1, "persons", False, "1人", "1 person"),
        (12_000, "persons", False, "12,000人", "12,000 persons"),
        (2026, None, False, "2026", "2026"),
        (datetime(2026, 1, 1, tzinfo=CITY), None, False, "2026年1月1日", "1 January 2026"),
        (("a", "b"), None, False, "a、b", "a, b"),
    ],
)
def test_figures_read_as_people_write_them(value: object, unit: str | None, bare: bool, zh: str, en: str) -> None:
    assert figure_text(value, unit, CITY, bare=bare) == Text(zh=zh, en=en)


def test_a_table_is_a_rule_for_each_of_its_rows() -> None:
    rules = {rule.id: rule for rule in RULEBOOK.modules["subsidy"].rules}
    assert list(rules) == ["income-too-high", "age-eighty", "age-seventy"]
    assert rules["age-eighty"].text == "age(facts.born_at, now) >= 80"
    assert rules["age-eighty"].source == "[S] the bureau's order 12 of 2020, the age of 80"
    assert rules["age-seventy"].remedy == Text(zh="满80周岁后增加", en="It rises at 80")
    assert rules["age-eighty"].remedy is None
    verdict = RULEBOOK.evaluate("subsidy", Pensioner(local("1940-05-01")), local("2024-05-01").astimezone(UTC))
    assert (verdict.result, verdict.because) == (
        12_345,
        Text(zh="年满80周岁，每月123.45元", en="From the age of 80: 123.45 yuan a month"),
    )


def test_a_fault_that_a_row_causes_is_shown_in_its_cell() -> None:
    found = fault("{name: seventy, years: 70, ", "{name: seventy, years: -7O, ")
    assert (found.location.line, found.excerpt[found.location.column - 1 :][:3]) == (33, "-7O")
    found = fault("amount: seventy_fen", "amount: seventi_fen")
    assert (found.location.line, found.location.column) == (33, found.excerpt.index("seventi_fen") + 1)


def test_a_fault_in_the_template_of_a_table_is_shown_there() -> None:
    found = fault("age(facts.born_at, now) >= <years>", "age(facts.born_att, now) >= <years>")
    assert (found.location.line, found.excerpt[found.location.column - 1 :][:8]) == (36, "born_att")


def test_two_rows_with_the_same_id_are_refused_in_the_second() -> None:
    found = fault("name: seventy,", "name: eighty,")
    assert (found.location.line, "'age-eighty' is taken" in found.message.en) == (33, True)


@pytest.mark.parametrize(
    ("old", "new", "code", "problem"),
    [
        ("then: <amount>", "then: <amounts>", "R083", "no column of this table 'amounts'"),
        ("{name: eighty, ", "{name: eighty, extra: 1, ", "R082", "does not use the column 'extra'"),
        ("source: order_2020\n  - table", "source: order_2021\n  - table", "R081", "no source named 'order_2021'"),
        ('"<order_2020>, the', '"<order_1920>, the', "R083", "no column of this table 'order_1920'"),
        ("sources:\n  order_2020:", "sources:\n  Order 2020:", "R080", "not a name with one source"),
        ("unit: yuan", "unit: dollars", "R024", "'dollars' is not a unit"),
    ],
    ids=["column", "unused", "source", "source-in-table", "name", "unit"],
)
def test_each_mistake_in_a_table_or_a_source_names_itself(old: str, new: str, code: str, problem: str) -> None:
    found = fault(old, new)
    assert found.code == code
    assert problem in found.message.en


def test_a_text_with_a_figure_that_lacks_its_quotes_is_named() -> None:
    found = fault('{zh: "您的月收入超过{income_limit}"', "{zh: 您的月收入超过{income_limit}")
    assert "a text without quotes contains {income_limit}" in found.message.en
