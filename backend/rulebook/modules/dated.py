"""What the law says from one day until another, and what follows upon it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from backend.rulebook.source import Place, SourceFile


@dataclass(frozen=True)
class Dated:
    """A parameter's value, or terms, in force from `since` until before `until`; None leaves an end open."""

    since: date | None
    until: date | None
    value: Any
    source: str
    place: Place


def in_force(since: date | None, until: date | None, day: date) -> bool:
    """Tell whether the half-open interval [since, until) of days holds `day`."""
    return (since is None or since <= day) and (until is None or day < until)


def dated_on(values: Sequence[Dated], day: date) -> Dated | None:
    """Give the one of succeeding values that is in force on a day, or None."""
    return next((value for value in values if in_force(value.since, value.until, day)), None)


def succession(name: str, dated: Sequence[Dated], file: SourceFile) -> tuple[Dated, ...]:
    """Let each value end where the next begins, unless it ends before. What is out of order is noted in the file."""
    values: list[Dated] = []
    for position, value in enumerate(dated):
        following = dated[position + 1] if position + 1 < len(dated) else None
        until = value.until
        if following is not None:
            begin = following.since
            if begin is None or (value.since is not None and begin <= value.since):
                file.fault(following.place, f"the values of {name!r} are not in the order of their dates")
                return ()
            if until is not None and until > begin:
                file.fault(following.place, f"two values of {name!r} are in force on {begin}")
            until = min(until or begin, begin)
        values.append(replace(value, until=until))
    return tuple(values)
