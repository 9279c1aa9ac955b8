"""The language of the commands of rule authors."""

import re

import click
import pytest
from click.testing import CliRunner

from backend.cli.language import AuthorGroup, language, say
from backend.cli.rules import rules
from backend.i18n import Text


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CHENGMA_LANGUAGE": "zh", "LC_ALL": "en_GB.UTF-8"}, "zh"),
        ({"CHENGMA_LANGUAGE": "en", "LC_ALL": "zh_CN.UTF-8"}, "en"),
        ({"CHENGMA_LANGUAGE": "", "LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "C.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_CN.GBK", "LANG": "de_DE.UTF-8"}, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({}, "en"),
    ],
    ids=[
        "the setting is Chinese",
        "the setting is English",
        "an empty setting",
        "LC_ALL before the others",
        "an empty variable is not set",
        "Taiwan",
        "a third language",
        "no locale",
    ],
)
def test_the_setting_decides_then_the_locale_then_english(environment: dict[str, str], expected: str) -> None:
    assert language(environment) == expected


def commands() -> dict[str, click.Command]:
    """Return every command of rule authors by its name, the group itself included."""
    context = click.Context(rules)
    found = {name: rules.get_command(context, name) for name in rules.list_commands(context)}
    return {"": rules, **{name: command for name, command in found.items() if command is not None}}


def help_of(name: str, chosen: str) -> str:
    found = CliRunner().invoke(rules, [name, "--help"] if name else ["--help"], env={"CHENGMA_LANGUAGE": chosen})
    assert found.exit_code == 0, found.output
    return found.output


HAN = re.compile("[\u4e00-\u9fff]")


@pytest.mark.parametrize("name", commands())
def test_a_command_has_its_help_in_chinese_and_in_english(name: str) -> None:
    chinese, english = help_of(name, "zh"), help_of(name, "en")
    assert chinese.startswith("用法：")
    assert "选项:" in chinese
    assert "Show this message" not in chinese
    assert not HAN.search(english)
    for line in chinese.splitlines()[1:]:
        words = [word for word in line.split("  ") if word.strip()]
        assert not words or HAN.search(words[-1]) or is_name_alone(words), line


def is_name_alone(words: list[str]) -> bool:
    """Return whether a line of a help has only the names of an option or a command, whose help is in the next line."""
    return len(words) == 1 and re.match(r"\s*(-|[a-z]+$)", words[0]) is not None


@pytest.mark.parametrize("name", [name for name in commands() if name])
def test_each_option_of_a_command_is_described_in_both_languages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = commands()[name]
    context = click.Context(command)
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        for chosen, is_chinese in (("zh", True), ("en", False)):
            monkeypatch.setenv("CHENGMA_LANGUAGE", chosen)
            record = option.get_help_record(context)
            assert record is not None
            assert record[1], record[0]
            assert bool(HAN.search(record[1])) == is_chinese, record


@pytest.mark.parametrize(
    ("words", "chinese", "english"),
    [
        (["diff", "rules"], "缺少", "Missing argument"),
        (["check", "one", "two"], "多余的参数", "unexpected extra argument"),
        (["chek"], "没有命令 chek", "No such command"),
        (["check", "--wach"], "没有选项 --wach，是否应为 --watch？", "No such option"),
        (["export", "m", "--as", "prolog"], "只能是：cel-policy、certlogic", "is not one of"),
        (["replay", "rules", "--since", "2020/1/1"], "须写日期，如 2020-02-11", "does not match"),
        (["explain", "m", "--at", "noon"], "的值不正确", "Invalid value"),
    ],
    ids=[
        "an argument is missing",
        "a further argument",
        "an unknown command",
        "an unknown option",
        "an unknown choice",
        "a wrong day",
        "a wrong instant",
    ],
)
def test_wrong_words_after_a_command_are_named_in_the_language_of_the_author(
    words: list[str], chinese: str, english: str
) -> None:
    for chosen, expected in (("zh", chinese), ("en", english)):
        found = CliRunner().invoke(rules, words, env={"CHENGMA_LANGUAGE": chosen})
        assert found.exit_code == 2
        assert expected in found.output
        assert ("错误：" in found.output) == (chosen == "zh")


def test_a_sentence_within_a_sentence_is_said_in_the_same_language(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHENGMA_LANGUAGE", "zh")
    say(Text(zh="未证明主张：{why}", en="Not proved: {why}"), why=Text(zh="没有求解器", en="no solver"))
    assert capsys.readouterr().out == "未证明主张：没有求解器\n"


def test_a_number_in_a_sentence_keeps_its_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHENGMA_LANGUAGE", "en")
    say(Text(zh="{seconds:.0f}秒", en="{seconds:.0f} s"), seconds=2.4)
    assert capsys.readouterr().out == "2 s\n"


def test_errors_of_other_parts_and_an_aborted_question_are_said_in_the_language_of_the_author() -> None:
    @click.group(cls=AuthorGroup)
    def office() -> None:
        pass

    @office.command()
    def fail() -> None:
        raise click.ClickException("您的账号没有此项权限。")

    @office.command()
    def ask() -> None:
        click.confirm("批准？", abort=True)

    failed, aborted = (
        CliRunner().invoke(office, [name], input="n\n", env={"CHENGMA_LANGUAGE": "zh"}) for name in ("fail", "ask")
    )
    assert (failed.exit_code, failed.output) == (1, "错误：您的账号没有此项权限。\n")
    assert (aborted.exit_code, aborted.output.splitlines()[-1]) == (1, "已中止，未作任何改动。")
