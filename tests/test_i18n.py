import pytest

from backend.i18n import decimal_yuan, preferred_language, yuan


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


@pytest.mark.parametrize(
    ("fen", "text", "decimal"),
    [
        (0, "0", "0.00"),
        (1, "0.01", "0.01"),
        (50_000, "500", "500.00"),
        (-50_000, "-500", "-500.00"),
        (20_000_000, "200,000", "200000.00"),
        (123_450, "1,234.50", "1234.50"),
        (-123_456_789, "-1,234,567.89", "-1234567.89"),
    ],
)
def test_whole_yuan_have_no_decimals_in_texts_and_two_in_files(fen: int, text: str, decimal: str) -> None:
    assert (yuan(fen), decimal_yuan(fen)) == (text, decimal)
