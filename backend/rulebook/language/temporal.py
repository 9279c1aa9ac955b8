"""Instants and durations: parsing, and their parts."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backend.i18n import Text
from backend.rulebook.language.arithmetic import remainder, truncated_quotient
from backend.rulebook.language.operation import EvaluationError, Operation, PrecisionError
from backend.rulebook.language.types import INSTANT_RANGE, INT, INT64, MICROSECOND, Type

_OFFSET = re.compile(r"([+-]?)([0-9][0-9]):([0-9][0-9])")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII
)
_UNITS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|ms|h|m|s)", re.ASCII)

TIMESTAMP_PARTS: dict[str, tuple[Callable[[datetime], int], Type]] = {
    "getFullYear": (lambda at: at.year, Type("int", 0, 10_000)),
    "getMonth": (lambda at: at.month - 1, Type("int", 0, 11)),
    "getDate": (lambda at: at.day, Type("int", 1, 31)),
    "getDayOfMonth": (lambda at: at.day - 1, Type("int", 0, 30)),
    "getDayOfWeek": (lambda at: at.isoweekday() % 7, Type("int", 0, 6)),
    "getDayOfYear": (lambda at: at.timetuple().tm_yday - 1, Type("int", 0, 365)),
    "getHours": (lambda at: at.hour, Type("int", 0, 23)),
    "getMinutes": (lambda at: at.minute, Type("int", 0, 59)),
    "getSeconds": (lambda at: at.second, Type("int", 0, 59)),
    "getMilliseconds": (lambda at: at.microsecond // 1000, Type("int", 0, 999)),
}
_DURATION_PARTS: dict[str, Callable[[timedelta], int]] = {
    "getHours": lambda span: truncated_quotient(span // MICROSECOND, 3_600_000_000),
    "getMinutes": lambda span: truncated_quotient(span // MICROSECOND, 60_000_000),
    "getSeconds": lambda span: truncated_quotient(span // MICROSECOND, 1_000_000),
    "getMilliseconds": lambda span: remainder(truncated_quotient(span // MICROSECOND, 1_000), 1_000),
}


@cache
def time_zone(name: str) -> tzinfo:
    """Return the time zone of a name or an offset such as `+08:00`. Raises EvaluationError."""
    offset = _OFFSET.fullmatch(name)
    if offset:
        span = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-span if offset[1] == "-" else span)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise EvaluationError(Text(zh=f"“{name}”不是时区", en=f"{name!r} is not a time zone")) from None


_UTC = Type("string", words=("UTC",))


def part_of(name: str) -> Callable[..., Operation | None]:
    """Return the overload resolver of a part, such as `getHours`, of an instant in a time zone or of a duration."""
    part, result = TIMESTAMP_PARTS[name]

    def evaluate(at: datetime, in_zone: str = "UTC") -> int:
        return part(at.astimezone(time_zone(in_zone)))

    def find(moment: Type, zone: Type = _UTC) -> Operation | None:
        if moment.kind == "duration" and name in _DURATION_PARTS:
            return Operation(INT, _DURATION_PARTS[name])
        if moment.kind != "timestamp" or zone.kind != "string":
            return None
        return Operation(result, evaluate, failure_mode=_zone_failure_mode(zone))

    return find


def _zone_failure_mode(zone: Type) -> Text | None:
    if zone.words is None:
        return Text(zh="时区不是常量", en="its time zone is not a constant")
    try:
        for name in zone.words:
            time_zone(name)
    except EvaluationError as error:
        return error.message
    return None


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a day begins in a time zone, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def duration_text(duration: timedelta) -> str:
    """Return a duration as a rule module writes it, such as 14d, 1h30m or 90.5s; exact, to the microsecond."""
    sign, duration = ("-", -duration) if duration < timedelta() else ("", duration)
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(duration.days, "d"), (hours, "h"), (minutes, "m")]
    text = "".join(f"{number}{unit}" for number, unit in parts if number)
    rest = f"{seconds}.{duration.microseconds:06}".rstrip("0").rstrip(".")
    return sign + (text + (f"{rest}s" if rest != "0" else "") or "0s")


def parse_timestamp(text: str) -> datetime:
    """Parse an RFC 3339 instant, to the microsecond. Raises EvaluationError."""
    match = _RFC3339.fullmatch(text)
    if not match:
        raise EvaluationError(
            Text(
                zh=f"“{text}”不是时刻，时刻应写作 2020-02-11T00:00:00+08:00",
                en=f"{text!r} is not an instant such as 2020-02-11T00:00:00+08:00",
            )
        )
    if len((match[7] or "").rstrip("0")) > 6:  # noqa: PLR2004  digits of a microsecond
        raise PrecisionError(_too_fine(text))
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise EvaluationError(Text(zh=f"“{text}”超出范围", en=f"{text!r} is out of range")) from None


def _too_fine(text: str) -> Text:
    return Text(zh=f"“{text}”的精度高于微秒", en=f"{text!r} is finer than a microsecond")


def parse_instant(text: str) -> datetime:
    """Parse an instant within the range of facts and `now`. Raises EvaluationError."""
    instant = parse_timestamp(text)
    if not INSTANT_RANGE[0] <= instant < INSTANT_RANGE[1]:
        raise EvaluationError(
            Text(zh=f"“{text}”不在1900年至2149年之间", en=f"{text!r} is outside the years 1900 to 2149")
        )
    return instant


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as `12h`, `1h30m` or `-1.5s`, to the microsecond. Raises EvaluationError."""
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    parts = _DURATION_PART.findall(unsigned)
    if unsigned != "0" and (not parts or "".join(number + unit for number, unit in parts) != unsigned):
        raise EvaluationError(
            Text(
                zh=f"“{text}”不是时长，时长如 12h、30m 或 90s", en=f"{text!r} is not a duration such as 12h, 30m or 90s"
            )
        )
    nanoseconds = 0
    for number, unit in parts:
        whole, _, fraction = number.partition(".")
        nanoseconds += int(whole or 0) * _UNITS[unit]
        nanoseconds += int(fraction or 0) * _UNITS[unit] // 10 ** len(fraction)
    if nanoseconds > INT64[1]:
        raise EvaluationError(Text(zh=f"“{text}”超过292年", en=f"{text!r} is longer than 292 years"))
    if nanoseconds % 1_000:
        raise PrecisionError(_too_fine(text))
    span = timedelta(microseconds=nanoseconds // 1_000)
    return -span if text[:1] == "-" else span
