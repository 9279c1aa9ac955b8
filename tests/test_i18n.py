"""What citizens read: languages, dates and amounts."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from backend.i18n import Text, date_text, decimal_yuan, preferred_language, yuan

HANGZHOU = ZoneInfo("Asia/Shanghai")


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


def test_a_sentence_takes_values_in_its_own_language() -> None:
    sentence = Text(zh="{title}{yuan}元已发放。", en="{yuan} yuan were paid: {title}.")
    filled_in = sentence.format(yuan="2,500", title=Text(zh="租房补贴", en="Rent subsidy"))
    assert filled_in == Text(zh="租房补贴2,500元已发放。", en="2,500 yuan were paid: Rent subsidy.")


@pytest.mark.parametrize(
    ("at", "with_year", "text"),
    [
        (datetime(2026, 12, 5, 12, 0, tzinfo=UTC), False, Text(zh="12月5日20:00", en="5 December at 20:00")),
        (datetime(2026, 3, 2, 1, 5, 59, tzinfo=UTC), False, Text(zh="3月2日09:05", en="2 March at 09:05")),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), False, Text(zh="1月1日", en="1 January")),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), True, Text(zh="2027年1月1日", en="1 January 2027")),
        (datetime(2026, 12, 31, 16, 1, tzinfo=UTC), True, Text(zh="2027年1月1日00:01", en="1 January 2027 at 00:01")),
        (datetime(2026, 3, 2, 8, 0, tzinfo=HANGZHOU), False, Text(zh="3月2日08:00", en="2 March at 08:00")),
    ],
)
def test_a_date_is_read_in_the_time_of_the_city_and_without_a_time_at_midnight(
    at: datetime, with_year: bool, text: Text
) -> None:
    assert date_text(at, HANGZHOU, with_year=with_year) == text


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
