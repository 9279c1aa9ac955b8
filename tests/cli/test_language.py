"""The language of the commands of rule authors."""

import pytest

from backend.cli.language import language, say
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


def test_a_sentence_within_a_sentence_is_said_in_the_same_language(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHENGMA_LANGUAGE", "zh")
    say(Text(zh="未证明主张：{why}", en="Not proved: {why}"), why=Text(zh="没有求解器", en="no solver"))
    assert capsys.readouterr().out == "未证明主张：没有求解器\n"
