"""Money and other figures: how authors write them in YAML, and how texts for citizens name them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from backend.i18n import Text, date_text, yuan

AMOUNT_SUFFIX = "_fen"
"""What the name of an amount of money ends in: it is a whole number of fen."""

_MONEY = re.compile(r"(-?)(\d{1,3}(?:_\d{3})+|\d{1,13})(?:\.(\d\d))? (yuan|fen)")
_COUNTED_IN_WAN = 10_000 * 100
_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@dataclass(frozen=True)
class Unit:
    """A unit of whole numbers or durations: the words after a figure, in English for one and for several."""

    zh: str
    one: str
    several: str

    def of(self, number: int) -> Text:
        """Return a number with the unit, such as 7天 and 7 days."""
        words = self.one if abs(number) == 1 else self.several
        return Text(zh=f"{number:,}{self.zh}", en=f"{number:,} {words}".rstrip())


YUAN = "yuan"
UNITS: Mapping[str, Unit] = {
    YUAN: Unit("元", "yuan", "yuan"),
    "minutes": Unit("分钟", "minute", "minutes"),
    "hours": Unit("小时", "hour", "hours"),
    "days": Unit("天", "day", "days"),
    "months": Unit("个月", "month", "months"),
    "years": Unit("年", "year", "years"),
    "age": Unit("周岁", "", ""),
    "percent": Unit("%", "percent", "percent"),
    "persons": Unit("人", "person", "persons"),
    "times": Unit("次", "time", "times"),
    "points": Unit("分", "point", "points"),
    "homes": Unit("套", "home", "homes"),
}
"""The units that a parameter may have. In English an age is a bare number: "from the age of 70"."""

_SPANS = {"days": _DAY, "hours": _HOUR, "minutes": _MINUTE}


def fen_of(text: str) -> int | None:
    """Return the fen of an amount such as `1_200_000 yuan`, `0.50 yuan` or `50 fen`; None for anything else."""
    found = _MONEY.fullmatch(text)
    if found is None or (found[3] and found[4] == "fen"):
        return None
    number = int(found[2].replace("_", ""))
    fen = number * 100 + int(found[3] or 0) if found[4] == YUAN else number
    return -fen if found[1] else fen


def money_text(fen: int) -> str:
    """Return an amount as authors write it, such as `1_200_000 yuan` or `0.50 yuan`; the opposite of `fen_of`."""
    return f"{yuan(fen).replace(',', '_')} yuan"


def is_money(name: str, unit: str | None = None) -> bool:
    """Return whether a fact, term or parameter of this name and unit is an amount of money."""
    return unit == YUAN or (unit is None and name.endswith(AMOUNT_SUFFIX))


def without_unit(name: str, number: int) -> tuple[Text, Text]:
    """Return the message and the fix for a number that stands where an amount is expected."""
    message = Text(zh=f"“{name}”是金额，请写明单位", en=f"{name!r} is an amount: write its unit")
    return message, Text(zh=f"写作 {number} yuan；分写作 {number} fen", en=f"`{number} yuan`, or `{number} fen`")


def figure_text(value: Any, unit: str | None, zone: ZoneInfo, *, bare: bool = False) -> Text:  # noqa: ANN401  any value of the language
    """Return a figure as a text names it: 1,200元, 7天, 50%, 2026年1月1日; `bare` leaves out the unit.

    An amount of money has no sign: the sentence says whether it is added or deducted.
    """
    if isinstance(value, timedelta):
        return _span_text(value, unit, bare=bare)
    if isinstance(value, datetime):
        return date_text(value, zone, with_year=True)
    if isinstance(value, tuple):
        items = [figure_text(item, unit, zone, bare=bare) for item in cast("tuple[Any, ...]", value)]
        return Text(zh="、".join(item.zh for item in items), en=", ".join(item.en for item in items))
    if type(value) is int and unit == YUAN:
        amount = yuan(abs(value))
        return Text(zh=amount, en=amount) if bare else Text(zh=_chinese_yuan(abs(value)), en=f"{amount} yuan")
    if type(value) is int and unit is not None and not bare:
        return UNITS[unit].of(value)
    plain = f"{value:,}" if type(value) is int and unit is not None else str(value)
    return Text(zh=plain, en=plain)


def _chinese_yuan(fen: int) -> str:
    """Return an amount as Chinese texts write it: from 10万元, whole ten thousands are counted."""
    whole = fen >= _COUNTED_IN_WAN * 10 and fen % _COUNTED_IN_WAN == 0
    return f"{fen // _COUNTED_IN_WAN:,}万元" if whole else f"{yuan(fen)}元"


def _span_text(span: timedelta, unit: str | None, *, bare: bool) -> Text:
    fitting = next((name for name, size in _SPANS.items() if not span % size), "minutes")
    name = unit if unit in _SPANS and not span % _SPANS[unit] else fitting
    number = span // _SPANS[name]
    return Text(zh=f"{number:,}", en=f"{number:,}") if bare else UNITS[name].of(number)
