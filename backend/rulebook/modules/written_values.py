"""What people write for a value out of habit, such as `70岁`, `1,200元`, `2026年1月1日` or `是`, and its right form."""

import re
from datetime import date
from decimal import Decimal

from backend.i18n import Text
from backend.rulebook.language.habits import half_width

_TRUE = ("yes", "on", "y", "true", "是", "有", "真", "对")
_FALSE = ("no", "off", "n", "false", "否", "无", "没有", "假", "错")
_DATE = re.compile(r"(\d{4})\s*[-/.年–—−]?\s*(\d{1,2})\s*[-/.月–—−]?\s*(\d{1,2})\s*[日号]?")
_TIME = re.compile(r"[T\s]*(\d{1,2}):(\d\d)(?::(\d\d))?\s*(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE)
_QUANTITY = re.compile(r"(-?\d[\d,_]*(?:\.\d+)?)\s*([十百千]?[万亿]|[十百千])?\s*([^\d\s]*)")
_SCALES = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "十万": 10**5, "百万": 10**6, "千万": 10**7, "亿": 10**8}
_SPANS = {
    "天": "d", "日": "d", "day": "d", "days": "d", "d": "d", "小时": "h", "h": "h", "hour": "h", "hours": "h",
    "分钟": "m", "分": "m", "m": "m", "min": "m", "秒": "s", "秒钟": "s", "s": "s",
}  # fmt: skip
_DAYS = {"周": 7, "星期": 7, "w": 7, "week": 7, "weeks": 7, "月": 30, "个月": 30, "month": 30, "months": 30,
         "年": 365, "y": 365, "year": 365, "years": 365}  # fmt: skip
_ESTIMATES = ("月", "个月", "month", "months", "年", "y", "year", "years")
_YUAN = ("元", "块", "yuan", "rmb", "￥", "¥")


def form_of_value(written: str) -> Text | None:
    """Return how to write a value that is written otherwise, or None if nobody can know what it means."""
    text = half_width(written.strip()).strip()
    if text.lower() in _TRUE:
        return _write("true")
    if text.lower() in _FALSE:
        return _write("false")
    day = form_of_day(text)
    if day is not None:
        return Text(
            zh=f"日期作为值写成时刻 {day}T00:00:00+08:00", en=f"a day as a value is the instant {day}T00:00:00+08:00"
        )
    match = _QUANTITY.fullmatch(text.lstrip("¥$"))
    if match is None:
        return None
    number = Decimal(re.sub(r"[,_]", "", match[1])) * _SCALES.get(match[2] or "", 1)
    plain, unit = f"{number.normalize():f}", match[3].lower()
    if unit in _YUAN or text[0] == "¥":
        return _write(f"{plain} yuan")
    if unit in _SPANS and number == int(number):
        return _write(plain + _SPANS[unit])
    if unit in _DAYS:
        days = f"{(number * _DAYS[unit]).normalize():f}d"
        if unit in _ESTIMATES:
            return Text(
                zh=f"年、月长短不一，请写明天数，如 {days}",
                en=f"years and months differ in length: write the days, such as {days}",
            )
        return _write(days)
    if unit in ("%", "‰"):
        return Text(zh=f"百分比只写数字：{plain}", en=f"a percentage is the number alone: {plain}")
    return _write(plain) if unit == "" or len(unit) <= 2 else None  # noqa: PLR2004  a measure word, such as 岁 or 周岁


def form_of_day(written: str) -> str | None:
    """Return a day that is written otherwise, such as 2026年1月1日, as 2026-01-01; None if it is not a day."""
    match = _DATE.fullmatch(half_width(written.strip()))
    try:
        return date(*(int(part) for part in match.groups())).isoformat() if match is not None else None
    except ValueError:
        return None


def form_of_instant(written: str) -> str | None:
    """Return an instant without its time or offset, such as 2026-01-01 8:00, in full; None if it is not one."""
    text = half_width(written.strip())
    day = re.match(_DATE, text)
    if day is None or form_of_day(day[0]) is None:
        return None
    rest = text[day.end() :]
    time = _TIME.fullmatch(rest)
    if time is None:
        return f"{form_of_day(day[0])}T00:00:00+08:00" if not rest.strip() else None
    hours, minutes, seconds, offset = time.groups()
    offset = "+08:00" if offset is None else offset.upper()
    return f"{form_of_day(day[0])}T{int(hours):02}:{minutes}:{seconds or '00'}{offset}"


def is_impossible_day(written: str) -> bool:
    """Return whether this has the form of a day that the calendar lacks, such as 2026-02-30."""
    return re.fullmatch(r"\d{4}-\d\d-\d\d", written) is not None and form_of_day(written) is None


def _write(form: str) -> Text:
    return Text(zh=f"请写 `{form}`", en=f"write `{form}`")
