"""Instants as HL7 v2 writes them."""

import re
from datetime import datetime, timedelta, timezone, tzinfo

from backend.i18n import Text
from integrations.his.hl7v2.error import Hl7Error, Place

_TIME = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?)?"
    r"(?:([+-])([0-9]{2})([0-5][0-9]))?",
    re.ASCII,
)


def read_time(text: str, place: Place, zone: tzinfo) -> datetime:
    """Give the instant of YYYYMMDD[HH[MM[SS[.S+]]]][+/-ZZZZ]; one without an offset is in `zone`.

    What is left out is zero. Raises Hl7Error 101 or 102.
    """
    wrong = Text(zh="不是有效的日期时间", en="is no date and time, such as 20260131093000+0800")
    found = _TIME.fullmatch(text)
    if found is None:
        raise _wrong(text, place, wrong)
    *numbers, fraction, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        at = timezone(-offset if sign == "-" else offset) if sign else zone
        return datetime(year, month, day, hour, minute, second, int((fraction or "").ljust(6, "0")), at)
    except ValueError:  # there is no 31 April, and no offset of a day
        raise _wrong(text, place, wrong) from None


def _wrong(text: str, place: Place, said: Text) -> Hl7Error:
    """Say what is wrong at a place, without the value: it may be personal."""
    if not text:
        return Hl7Error(place, "101", Text(zh=f"缺少必填的 {place}", en=f"{place} is required"))
    return Hl7Error(place, "102", Text(zh=f"{place} {said.zh}", en=f"{place} {said.en}"))
