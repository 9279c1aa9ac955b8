"""The values in HL7 v2 messages that must be exact: money, instants, ids."""

import re
from datetime import datetime, timedelta, timezone, tzinfo

from backend.text import Text
from integrations.his.hl7v2_error import Hl7Error, Place

ID_AT_MOST = 64

_YUAN = re.compile(r"([+-]?)([0-9]{1,10})(?:\.([0-9]{1,2}))?", re.ASCII)
_TIME = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?)?"
    r"(?:([+-])([0-9]{2})([0-5][0-9]))?",
    re.ASCII,
)


def yuan_to_fen(text: str, place: Place) -> int:
    """Give an amount in yuan, of at most ten digits and two decimal places, in fen. Raises Hl7Error 101 or 102.

    A third decimal place is an error even where it is a zero: nobody here rounds.
    """
    found = _YUAN.fullmatch(text)
    if found is None:
        raise _wrong(text, place, Text(zh="不是至多两位小数的金额（元）", en="is no amount in yuan with two places"))
    sign, yuan, fen = found.groups()
    amount_fen = int(yuan) * 100 + int((fen or "").ljust(2, "0"))
    return -amount_fen if sign == "-" else amount_fen


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


def read_id(text: str, place: Place, *, at_most: int = ID_AT_MOST) -> str:
    """Give an id without spaces around it. Raises Hl7Error 101 where it is empty, 102 where it is too long."""
    plain = text.strip()
    if not plain or len(plain) > at_most or not plain.isprintable():
        said = Text(zh=f"不是至多 {at_most} 个字符的标识", en=f"is no id of at most {at_most} characters")
        raise _wrong(plain, place, said)
    return plain


def _wrong(text: str, place: Place, said: Text) -> Hl7Error:
    """Say what is wrong at a place, without the value: it may be personal."""
    if not text:
        return Hl7Error(place, "101", Text(zh=f"缺少必填的 {place}", en=f"{place} is required"))
    return Hl7Error(place, "102", Text(zh=f"{place} {said.zh}", en=f"{place} {said.en}"))
