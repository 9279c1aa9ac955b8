"""HL7 v2 timestamps."""

import re
from datetime import datetime, timedelta, timezone, tzinfo

from backend.i18n import Text
from integrations.his.hl7v2.errors import Hl7Error, Location

_TIME = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?)?"
    r"(?:([+-])([0-9]{2})([0-5][0-9]))?",
    re.ASCII,
)


def parse_timestamp(value: str, location: Location, time_zone: tzinfo) -> datetime:
    """Return the instant of YYYYMMDD[HH[MM[SS[.S+]]]][+/-ZZZZ]; without an offset it is in `time_zone`.

    Missing parts are zero. Raises Hl7Error 101 or 102.
    """
    text = Text(
        zh="须为有效的日期时间，如20260131093000+0800",
        en="must be a date and time, such as 20260131093000+0800",
    )
    found = _TIME.fullmatch(value)
    if found is None:
        raise _error(value, location, text)
    *numbers, fraction, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        at = timezone(-offset if sign == "-" else offset) if sign else time_zone
        return datetime(year, month, day, hour, minute, second, int((fraction or "").ljust(6, "0")), at)
    except ValueError:  # such as 31 April, or an offset of a day
        raise _error(value, location, text) from None


def _error(value: str, location: Location, text: Text) -> Hl7Error:
    """Return the error at a location, without the value, which may be personal."""
    if not value:
        return Hl7Error(location, "101", Text(zh=f"请补充必填的{location}", en=f"{location} is required"))
    return Hl7Error(location, "102", Text(zh=f"{location}{text.zh}", en=f"{location} {text.en}"))
