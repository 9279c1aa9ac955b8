"""Facts of a certificate: the values of its JSON at the paths that an imported module reads.

The paths, dates and truth values are those of CertLogic 1.3,
https://github.com/ehn-dcc-development/dgc-business-rules/blob/main/certlogic/specification/README.md
"""

import calendar
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
from msgspec import Struct

from backend.rulebook.language.types import INSTANT_RANGE
from backend.rulebook.modules.declared_facts import DeclaredFact, declared_facts

CLOCK = "external.validationClock"
"""The path of the instant of the decision."""

_PARTIAL = re.compile(r"(\d{4})(?:-(\d\d))?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d?):?(\d\d)?)?", re.ASCII)
_DECEMBER = 12


def facts_from(struct: type[Struct], data: Mapping[str, object]) -> Struct:
    """Return the facts of a module that was imported from CertLogic, from the `data` of a certificate.

    Raises ValueError for a value of another type than the module declares, or a date outside 1900 to 2149.
    """
    found: dict[str, object] = {}
    for fact in declared_facts(struct):
        value = value_at(data, fact.source)
        if fact.type == "bool" and not fact.optional:
            found[fact.name] = bool(value)  # Python and CertLogic hold the same values to be true
        elif value is not None:
            found[fact.name] = _converted(fact, value)
    try:
        return msgspec.convert(found, struct)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def value_at(data: object, path: str) -> object:
    """Return the value at a path such as `payload.v.0.dt`, or None if there is none."""
    for part in path.split("."):
        if isinstance(data, Mapping):
            data = cast("Mapping[str, object]", data).get(part)
        elif isinstance(data, Sequence) and not isinstance(data, str) and part.isdecimal():
            items = cast("Sequence[object]", data)
            data = items[int(part)] if int(part) < len(items) else None
        else:
            return None
    return data


def _converted(fact: DeclaredFact, value: object) -> Any:  # noqa: ANN401  a value of the facts
    if fact.type == "instant":
        return instant_of(value)
    if fact.type == "number" and type(value) is float and value.is_integer():
        return int(value)
    return value


def instant_of(value: object) -> datetime:
    """Return the instant of a date or time of a certificate, to the millisecond; a year or month is its last day.

    Raises ValueError.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a date")  # noqa: TRY004  one error for all that is no date
    instant = _partial(value) or _whole(value)
    if not INSTANT_RANGE[0] <= instant < INSTANT_RANGE[1]:
        raise ValueError(f"{value!r} is outside the years 1900 to 2149")
    return instant


def _partial(text: str) -> datetime | None:
    match = _PARTIAL.fullmatch(text)
    if not match:
        return None
    year, month = int(match[1]), int(match[2] or _DECEMBER)
    if not year or not 1 <= month <= _DECEMBER:
        raise ValueError(f"{text!r} is not a date")
    return datetime(year, month, calendar.monthrange(year, month)[1], tzinfo=UTC)


def _whole(text: str) -> datetime:
    if _DAY.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    match = _INSTANT.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a date")
    local = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    offset = timedelta(hours=int(match[4] or 0), minutes=int(match[5] or 0))
    milliseconds = timedelta(milliseconds=int((match[2] or "").ljust(3, "0")[:3]))
    return local + milliseconds + (offset if match[3] == "-" else -offset)
