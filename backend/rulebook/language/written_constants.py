"""How to write a constant that cannot be read: `duration("70y")`, `duration("P7D")`, `timestamp("2026/1/1")`."""

import re
from decimal import Decimal

from backend.i18n import Text
from backend.rulebook.language.habits import FOR_MONTHS, find_date, for_years, half_width

_UNITS: dict[str, tuple[str, ...]] = {
    "year": ("y", "yr", "yrs", "year", "years", "年", "岁", "周岁", "周年"),
    "month": ("mo", "mon", "month", "months", "个月", "月"),
    "week": ("w", "week", "weeks", "周", "星期"),
    "day": ("d", "day", "days", "天", "日"),
    "hour": ("h", "hr", "hrs", "hour", "hours", "小时", "时"),
    "minute": ("m", "min", "mins", "minute", "minutes", "分钟", "分"),
    "second": ("s", "sec", "secs", "second", "seconds", "秒", "秒钟"),
}
_SECONDS = {"week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
_NAMES = {word: name for name, words in _UNITS.items() for word in words}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-z]+|[\u4e00-\u9fff]+)")
_ISO = re.compile(
    r"p(?:(?P<year>[0-9]+)y)?(?:(?P<month>[0-9]+)m)?(?:(?P<week>[0-9]+)w)?(?:(?P<day>[0-9]+)d)?"
    r"(?:t(?:(?P<hour>[0-9]+)h)?(?:(?P<minute>[0-9]+)m)?(?:(?P<second>[0-9]+)s)?)?"
)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_LONGEST_DAYS = 106_751  # of CEL, 292 years
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60

_A_DURATION = Text(
    zh='写作 `duration("12h")`、`duration("30m")` 或 `duration("90s")`；天数写成小时，如7天为 `duration("168h")`',
    en='write `duration("12h")`, `duration("30m")` or `duration("90s")`; days are hours: 7 days are `duration("168h")`',
)
_AN_INSTANT = Text(
    zh='时刻如 `timestamp("2026-01-01T00:00:00+08:00")`',
    en='an instant is like `timestamp("2026-01-01T00:00:00+08:00")`',
)
_A_TRUTH = Text(zh="是与否写作 true 和 false，不加引号", en="write true or false, without quotes")
_A_NUMBER = Text(zh="只写数字，不加引号", en="write the number alone, without quotes")


def form_of_constant(function: str, value: object) -> Text | None:
    """Return what to write instead of the text that `duration`, `timestamp`, `int`, `double` or `bool` cannot read.

    If that is another text, it has its quotes, so that an editor can put it in its place.
    """
    if not isinstance(value, str):
        return None
    match function:
        case "duration":
            return _duration(value)
        case "timestamp":
            found = find_date(value)
            forms = re.findall(r'"[^"]+"', found.help.en) if found is not None else []
            return _write(forms[0]) if forms else found.help if found is not None else _AN_INSTANT
        case "int" | "double":
            number = half_width(value).replace(",", "").replace("_", "").strip()
            return _write(number) if _NUMBER.fullmatch(number) else _A_NUMBER
        case "bool":
            return _A_TRUTH
        case _:
            return None


def _duration(text: str) -> Text:
    plain = re.sub(r"[\s_]", "", half_width(text)).lower()
    sign = "-" if plain.startswith("-") else ""
    parts = _parts(plain.lstrip("+-"))
    if not parts:
        return _A_DURATION
    if "year" in parts and len(parts) == 1:
        return for_years(parts["year"])
    if parts.keys() & {"year", "month"}:
        return FOR_MONTHS
    seconds = sum((number * _SECONDS[name] for name, number in parts.items()), Decimal())
    if seconds > _LONGEST_DAYS * _DAY:
        limit = f"{_LONGEST_DAYS * 24}h"
        return Text(zh=f"最长为 {limit}", en=f"the longest is {limit}")
    if seconds * 1_000_000 % 1:
        return Text(zh="秒最多写六位小数", en="write at most six decimals of a second")
    form = f'"{sign}{_in_hours(seconds)}"'
    if seconds % _DAY or not seconds or sign:
        return _write(form)
    days = f"{int(seconds) // _DAY}d"
    return Text(
        zh=f"请用值为 {days} 的参数，或写 `{form}`", en=f"use a parameter with the value {days}, or write `{form}`"
    )


def _parts(plain: str) -> dict[str, Decimal]:
    """Return the numbers of a duration by their units, such as 7 days; empty if it has another form."""
    iso = _ISO.fullmatch(plain)
    if iso is not None:
        return {name: Decimal(number) for name, number in iso.groupdict().items() if number}
    found = _PART.findall(plain.replace(",", "."))
    written = "".join(number + unit for number, unit in found)
    names = [_NAMES.get(unit) for _, unit in found]
    if written != plain.replace(",", ".") or len(set(names)) < len(names):
        return {}
    return {name: Decimal(number) for name, (number, _) in zip(names, found, strict=True) if name is not None}


def _in_hours(seconds: Decimal) -> str:
    """Return a duration as the language writes it: 168h, 1h30m, 0.5s."""
    hours, rest = divmod(seconds, _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{number.normalize():f}{unit}" for number, unit in parts if number) or "0s"


def _write(form: str) -> Text:
    return Text(zh=f"请写 `{form}`", en=f"write `{form}`")
