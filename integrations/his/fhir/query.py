"""Reading a search: its parameters, the dates in them, and the links that lead from page to page."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from backend.i18n import Text
from backend.problems import FieldError
from backend.security.field_encryption import UndecryptableField
from integrations.his import mapping
from integrations.his.fhir.exchange import Desk, Json
from integrations.his.fhir.outcome import InvalidSearch

COUNT, MAX_COUNT = 20, 100
MAX_VALUES = 100

ParameterType = Literal["token", "reference", "date"]
PARAMETERS: dict[str, dict[str, ParameterType]] = {
    "Encounter": {
        "identifier": "token",
        "status": "token",
        "class": "token",
        "date": "date",
        "account": "reference",
        "patient.identifier": "token",
    },
    "Account": {"identifier": "token", "status": "token", "patient.identifier": "token"},
    "ChargeItem": {
        "identifier": "token",
        "context": "reference",
        "context.identifier": "token",
        "account": "reference",
        "account.identifier": "token",
    },
    "Invoice": {
        "identifier": "token",
        "status": "token",
        "date": "date",
        "account": "reference",
        "account.identifier": "token",
        "patient.identifier": "token",
    },
    "PaymentNotice": {"identifier": "token", "request": "reference", "request.identifier": "token"},
    "CoverageEligibilityRequest": {"identifier": "token", "created": "date"},
    "CoverageEligibilityResponse": {"identifier": "token", "request": "reference", "created": "date"},
    "PaymentReconciliation": {"identifier": "token", "created": "token"},
}
"""What can be searched by, beside what `parameters_of` adds."""

_ALIASES = {
    "subject.identifier": "patient.identifier",
    "encounter": "context",
    "encounter.identifier": "context.identifier",
}
_RESULT = ("_count", "_sort", "_summary", "_total", "_format", "_pretty", "_elements", "_page")
_SORTS = ("date", "-date", "_lastUpdated", "-_lastUpdated")
SECRET = "patient.identifier"  # noqa: S105  a parameter that never stands in a URL


class Query(Struct, frozen=True):
    """What is searched for: every name must match one of its values, each time it is given."""

    kind: str
    given: tuple[tuple[str, tuple[str, ...]], ...]
    count: int = COUNT
    sort: str = ""
    counts_only: bool = False
    cursor: str | None = None
    person: str | None = None

    def values(self, name: str) -> Sequence[tuple[str, ...]]:
        """Give the values of a parameter, once for each time it was given."""
        return [values for given, values in self.given if given == name]


class _Sealed(Struct, frozen=True):
    hospital: str
    query: Query


def read_query(desk: Desk, kind: str, pairs: Iterable[tuple[str, str]], *, strict: bool, secret: bool) -> Query:
    """Read a search's parameters. Raises InvalidSearch; names that are not known matter only where it is `strict`."""
    known = parameters_of(kind)
    given: list[tuple[str, tuple[str, ...]]] = []
    said: dict[str, str] = {}
    for name, value in pairs:
        plain = _plain(name)
        if plain in _RESULT:
            said[plain] = value
        elif plain in known:
            if plain == SECRET and not secret:
                raise invalid(name, Text(zh="请用 POST _search 提交证件号。", en="Send this by POST to _search."))
            given.append((plain, _split(value, name)))
        elif strict or plain.partition(":")[0] in known:
            raise invalid(name, Text(zh="未知的查询参数。", en="This parameter is not known here."), "not-supported")
    if "_page" in said:
        return _page(desk, kind, said["_page"])
    sort = said.get("_sort", "")
    if sort and (sort not in _SORTS or kind not in ("Encounter", "Account", "Invoice")):
        if strict:
            raise invalid("_sort", Text(zh="不支持该排序。", en="This order is not known here."), "not-supported")
        sort = ""
    count = _count(said.get("_count", ""))
    return Query(kind, tuple(given), count or COUNT, sort, count == 0 or said.get("_summary") == "count")


def parameters_of(kind: str) -> dict[str, ParameterType]:
    """Give the parameters of a kind of resources, with those that many kinds have."""
    common: dict[str, ParameterType] = {"_id": "token"}
    if kind in ("Encounter", "Account", "Invoice"):
        common["_lastUpdated"] = "date"
    return PARAMETERS[kind] | common


def _plain(name: str) -> str:
    """Give the name of a parameter; `subject:identifier` and `patient.identifier` are the same."""
    plain = name.replace(":Patient.", ".").replace(":Encounter.", ".").replace(":Account.", ".")
    if plain.endswith(":identifier"):
        plain = plain.removesuffix(":identifier") + ".identifier"
    return _ALIASES.get(plain, plain)


def _split(value: str, name: str) -> tuple[str, ...]:
    values = [re.sub(r"\\([,|$\\])", r"\1", one) for one in re.split(r"(?<!\\),", value)]
    if len(values) > MAX_VALUES or not all(values):
        raise invalid(name, Text(zh="参数值为空或过多。", en=f"A parameter has 1 to {MAX_VALUES} values."))
    return tuple(values)


def _count(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise invalid("_count", Text(zh="须为非负整数。", en="This must be a whole number."))
    return min(int(text), MAX_COUNT)


def invalid(name: str, text: Text, code: str = "invalid") -> InvalidSearch:
    """Say what is wrong with a parameter."""
    return InvalidSearch(text, errors=(FieldError(name, f"{name}: {text.en}"),), issue=code)


def token(value: str) -> str:
    """Give the code of `system|code`; a hospital has one system for each thing, so it is not compared."""
    return value.rpartition("|")[2]


# ── links ──


def _page(desk: Desk, kind: str, text: str) -> Query:
    try:
        sealed = msgspec.json.decode(desk.city.encryption.decrypt(text), type=_Sealed)
    except (UndecryptableField, msgspec.MsgspecError, UnicodeError) as error:
        raise invalid("_page", Text(zh="分页链接无效。", en="No link of ours leads here.")) from error
    if sealed.hospital != desk.hospital.id or sealed.query.kind != kind:
        raise invalid("_page", Text(zh="分页链接无效。", en="No link of ours leads here."))
    return sealed.query


def links(desk: Desk, query: Query, following: Query | None) -> list[Json]:
    """Give the links of a page: to itself, with the parameters that counted, and to the next one, if any.

    The next one is sealed, so that no person can be read from it.
    """
    shown = [(name, ",".join(map(_escaped, values))) for name, values in query.given if name != SECRET]
    shown.extend([("_sort", query.sort)] if query.sort else [])
    shown.append(("_count", "0" if query.counts_only else str(query.count)))
    found = [{"relation": "self", "url": f"{desk.base}/{query.kind}?{urlencode(shown)}"}]
    if following is not None:
        sealed = desk.city.encryption.encrypt(msgspec.json.encode(_Sealed(desk.hospital.id, following)).decode())
        found.append({"relation": "next", "url": f"{desk.base}/{query.kind}?{urlencode({'_page': sealed})}"})
    return found


def _escaped(value: str) -> str:
    return re.sub(r"([,\\])", r"\\\1", value)


# ── dates ──

_DATE = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb)?([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(T.*)?)?)?", re.ASCII)


class Span(Struct, frozen=True):
    """What a date in a search means, in epoch milliseconds: from `low` to before `high`, seen by the `prefix`."""

    prefix: str
    low: int
    high: int

    def holds(self, at: int) -> bool:
        """Tell whether an instant matches."""
        match self.prefix:
            case "ne":
                return not self.low <= at < self.high
            case "gt" | "sa":
                return at >= self.high
            case "lt" | "eb":
                return at < self.low
            case "ge":
                return at >= self.low
            case "le":
                return at < self.high
            case _:
                return self.low <= at < self.high

    def bounds(self) -> tuple[int | None, int | None]:
        """Give the half-open interval in which all that matches lies; None leaves an end open."""
        match self.prefix:
            case "ne":
                return None, None
            case "gt" | "sa":
                return self.high, None
            case "lt" | "eb":
                return None, self.low
            case "ge":
                return self.low, None
            case "le":
                return None, self.high
            case _:
                return self.low, self.high


def span_of(name: str, text: str, zone: ZoneInfo) -> Span:
    """Read a date of a search, such as `ge2026-01` or `2026-01-31T08:30+08:00`. Raises InvalidSearch."""
    found = _DATE.fullmatch(text.replace(" ", "+"))
    wrong = invalid(name, Text(zh="不是有效的日期。", en="This is no date such as ge2026-01-31."))
    if found is None:
        raise wrong
    prefix, year, month, day, time = found.groups()
    try:
        low = mapping.instant_of(f"{year}-{month or '01'}-{day or '01'}{time or ''}", zone, "at")
    except mapping.Unmappable as error:
        raise wrong from error
    if time is not None:
        plain = re.sub(r"(Z|[+-]\d{2}:\d{2})$", "", time)
        high = low + (
            timedelta(milliseconds=1) if "." in plain else timedelta(seconds=1 if plain.count(":") > 1 else 60)
        )
    elif day is not None:
        high = _midnight(low, zone, timedelta(days=1))
    elif month is not None:
        high = _first_of_next(low, zone, months=1)
    else:
        high = _first_of_next(low, zone, months=12)
    return Span(prefix or "eq", _ms(low), _ms(high))


def _midnight(low: datetime, zone: ZoneInfo, later: timedelta) -> datetime:
    return (low.astimezone(zone).replace(tzinfo=None) + later).replace(tzinfo=zone)


def _first_of_next(low: datetime, zone: ZoneInfo, months: int) -> datetime:
    local = low.astimezone(zone)
    count = local.year * 12 + local.month - 1 + months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=zone)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1_000)
