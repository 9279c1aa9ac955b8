"""The conventions that `chengma rules check` requires of any folder of rules."""

from pathlib import Path

import pytest

from backend.rulebook import InvalidRulebook, load_rulebook
from tests.rulebook.tram import CITY, FARE, REFUND, Delay, Rider

FINE = """\
module: tram.fine
title: {zh: 罚款, en: Fine}
facts: Rider
result: {at_least: 0, at_most: 100000}
strategy: first
parameters:
  low_fen:
    - {from: 2020-01-01, value: 5000 fen, source: "[S] council"}
  high_fen:
    - {from: 2020-01-01, value: 20000 fen, source: "[S] council"}
    - {from: 2022-01-01, value: 30000 fen, source: "[S] council"}
  income_fen:
    - {from: 2020-01-01, value: 1000000000 fen, source: "[S] council"}
rules:
  - id: student
    from: 2020-01-01
    when: facts.student && facts.age * 100000000 < income_fen
    then: low_fen
    source: "[S] council"
    because: {zh: 学生罚款50元, en: The fine of a student is 50 yuan}
    remedy: {zh: 请缴纳罚款, en: Pay the fine}
  - id: grown
    from: 2020-01-01
    when: facts.age >= 14
    then: high_fen
    because: {zh: 成年人罚款300元（2022年以前200元）, en: "The fine is 300 yuan (200 before 2022)"}
    remedy:
      zh: >-
        学生仅罚
        50元
      en: Students pay only 50 yuan
    source: "[S] council"
otherwise: {then: 0, because: {zh: 儿童不罚款, en: Children are not fined}}
"""

NO_PARAMETER = "no parameter of the module is 50 yuan while this text is in force"


def faults(folder: Path, text: str, *, strict: bool = True, name: str = "fine") -> list[str]:
    """Return the faults of one module as `line:column: message (help)`."""
    (folder / "tram").mkdir(exist_ok=True)
    (folder / "tram" / f"{name}.yaml").write_text(text, encoding="utf-8")
    try:
        load_rulebook(folder, [Rider, Delay], CITY, strict=strict)
    except InvalidRulebook as error:
        return [f"{one.location.line}:{one.location.column}: {one.message.en} ({one.help.en})" for one in error.faults]
    return []


def test_modules_that_follow_the_conventions_are_accepted(tmp_path: Path) -> None:
    assert faults(tmp_path, FINE) == []
    assert faults(tmp_path, FARE, name="fare") == []
    assert faults(tmp_path, REFUND, name="refund") == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            'then: low_fen\n    source: "[S] council"',
            'then: low_fen\n    source: "council"',
            "19:13: the source has no mark of its reliability (add [V] (read in a public source), [S]",
        ),
        (
            '{from: 2022-01-01, value: 30000 fen, source: "[S] council"}',
            '{from: 2022-01-01, value: 30000 fen, source: "[X] council"}',
            "11:52: the source has no mark of its reliability",
        ),
        (
            'value: 5000 fen, source: "[S] council"',
            'value: 5000 fen, source: "[A] council"',
            "8:51: an assumption needs the word `assumption` and the mark [A] (add the word `assumption`)",
        ),
        (
            'value: 5000 fen, source: "[S] council"',
            'value: 5000 fen, source: "assumption: council"',
            "8:51: an assumption needs the word `assumption` and the mark [A] (add [A])",
        ),
        (
            "{zh: 请缴纳罚款, en: Pay the fine}",
            "{zh: Pay the fine, en: Pay the fine}",
            "21:18: the Chinese text has no Chinese characters (write it in Chinese)",
        ),
        (
            "{zh: 请缴纳罚款, en: Pay the fine}",
            "{zh: 请缴纳罚款, en: Pay the fine，please}",
            "21:41: the English text contains '，' (write it in ASCII characters)",
        ),
        ("{zh: 罚款, en: Fine}", "{zh: Fine, en: Fine}", "2:13: the Chinese text has no Chinese characters"),
        ("en: Children are not fined", "en: 儿童不罚款", "33:47: the English text contains '儿'"),
    ],
)
def test_a_source_without_mark_and_a_text_in_the_wrong_language_are_faults(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    assert FINE.count(old) == 1
    (found,) = faults(tmp_path, FINE.replace(old, new))
    assert found.startswith(fault), found


def test_the_terms_of_a_module_need_marked_sources(tmp_path: Path) -> None:
    assert faults(tmp_path, FARE, name="fare") == []
    unmarked = REFUND.replace('paid: card, source: "[S] council"', "paid: card, source: order")
    (found,) = faults(tmp_path, unmarked, name="refund")
    assert found.startswith("17:44: the source has no mark of its reliability")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "value: 5000 fen,",
            "value: 6000 fen,",
            [
                f"20:23: {NO_PARAMETER} ('low_fen' is 60 yuan, 'income_fen' is 10,000,000 yuan)",
                f"20:57: {NO_PARAMETER} ('low_fen' is 60 yuan, 'income_fen' is 10,000,000 yuan)",
                f"30:9: {NO_PARAMETER} ('high_fen' is 200 yuan, 'high_fen' is 300 yuan)",
                f"31:29: {NO_PARAMETER} ('high_fen' is 200 yuan, 'high_fen' is 300 yuan)",
            ],
        ),
        (
            '（2022年以前200元）, en: "The fine is 300 yuan (200 before 2022)"',
            ', en: "The fine is 300 yuan"',
            [
                f"26:{column}: 300 yuan is right for only part of the period ('high_fen' is 200 yuan from 2020-01-01,"
                " 300 yuan from 2022-01-01: write all of them, or split the rule by date)"
                for column in (24, 47)
            ],
        ),
        (
            "en: The fine of a student is 50 yuan",
            "en: The fine of a student is small",
            ["20:23: the English text does not contain 50 yuan (use the same amounts in both)"],
        ),
        (
            "zh: 学生罚款50元",
            "zh: 学生罚款较少",
            ["20:56: the Chinese text does not contain 50 yuan (use the same amounts in both)"],
        ),
        (
            "zh: 学生罚款50元, en: The fine of a student is 50 yuan",
            "zh: '收入超过1,000万元', en: The income exceeds 10 million yuan",
            [],
        ),
        (
            "zh: 学生罚款50元, en: The fine of a student is 50 yuan",
            "zh: 2022年以前少150元，以后少250元, en: 150 yuan less before 2022 and 250 yuan less after",
            [],
        ),
        (
            "zh: 儿童不罚款, en: Children are not fined",
            "zh: 儿童罚款7.50元, en: Children pay 7.50 yuan",
            [
                f"33:{column}: no parameter of the module is 7.50 yuan while this text is in force"
                " (correct it, or add a parameter whose name ends in '_fen')"
                for column in (40, 64)
            ],
        ),
    ],
    ids=[
        "an amount that changed",
        "an amount of a part of the period",
        "an amount in Chinese only",
        "an amount in English only",
        "large units",
        "differences of two results",
        "an amount from elsewhere",
    ],
)
def test_amounts_in_texts_agree_with_the_law_and_with_each_other(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    assert FINE.count(old) == 1
    assert faults(tmp_path, FINE.replace(old, new)) == expected


def test_a_server_loads_rules_that_do_not_follow_the_conventions(tmp_path: Path) -> None:
    old_release = FINE.replace("[S] ", "")
    assert faults(tmp_path, old_release, strict=False) == []
    assert len(faults(tmp_path, old_release)) == 6
