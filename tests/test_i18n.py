import pytest

from backend.i18n import preferred_language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "zh"),
        ("en-GB,en;q=0.9", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh;q=0.2, en;q=0.7", "en"),
        ("fr, de", "zh"),
        ("en;q=nonsense", "zh"),
    ],
)
def test_a_citizen_is_answered_in_the_language_that_the_browser_prefers(header: str, language: str) -> None:
    assert preferred_language(header) == language
