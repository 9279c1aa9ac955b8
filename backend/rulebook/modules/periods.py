"""Dated values: in force from one day until another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from backend.i18n import Text
from backend.rulebook.source import Location, SourceFile


@dataclass(frozen=True)
class DatedValue:
    """A parameter's value, or terms, in force in [since, until); None leaves an end open.

    `articles` are those that it encodes, such as order_2020/1.
    """

    since: date | None
    until: date | None
    value: Any
    source: str
    location: Location
    articles: tuple[str, ...] = ()


def in_force(since: date | None, until: date | None, day: date) -> bool:
    """Return whether `day` is within [since, until)."""
    return (since is None or since <= day) and (until is None or day < until)


def value_on(values: Sequence[DatedValue], day: date) -> DatedValue | None:
    """Return the value in force on a day, or None."""
    return next((value for value in values if in_force(value.since, value.until, day)), None)


def resolve_periods(name: str, dated: Sequence[DatedValue], file: SourceFile) -> tuple[DatedValue, ...]:
    """Return the values with their ends: each ends when the next begins, unless it ends earlier.

    Adds a fault to the file if they overlap or are out of order.
    """
    values: list[DatedValue] = []
    for position, value in enumerate(dated):
        following = dated[position + 1] if position + 1 < len(dated) else None
        until = value.until
        if following is not None:
            begin = following.since
            if begin is None or (value.since is not None and begin <= value.since):
                message = Text(
                    zh=f"“{name}”的值没有按日期先后排列",
                    en=f"the values of {name!r} are not in the order of their dates",
                )
                file.fault(
                    following.location, message, Text(zh="请按日期先后排列", en="write the earliest first"), "R021"
                )
                return ()
            if until is not None and until > begin:
                message = Text(zh=f"{begin} 当天“{name}”有两个值", en=f"two values of {name!r} are in force on {begin}")
                file.fault(
                    following.location,
                    message,
                    Text(zh="请更正 `until` 或 `from`", en="correct `until` or `from`"),
                    "R021",
                )
            until = min(until or begin, begin)
        values.append(replace(value, until=until))
    return tuple(values)
