"""Parse search parameters: names, values, dates and page links."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import FieldError
from backend.security.field_encryption import UndecryptableField
from backend.store.place import Place
from backend.store.time import to_ms
from integrations.his import mapping
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.operation_outcome import InvalidSearch
from integrations.his.fhir.representation import Json

DEFAULT_COUNT, MAX_COUNT = 20, 100
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
    "ClaimResponse": {"identifier": "token", "request": "reference", "request.identifier": "token"},
    "PaymentNotice": {"identifier": "token", "request": "reference", "request.identifier": "token"},
    "CoverageEligibilityRequest": {"identifier": "token", "created": "date"},
    "CoverageEligibilityResponse": {"identifier": "token", "request": "reference", "created": "date"},
    "PaymentReconciliation": {"identifier": "token", "created": "date"},
}
"""The search parameters of each resource type, apart from those that `parameters_of` adds."""

_ALIASES = {
    "subject.identifier": "patient.identifier",
    "encounter": "context",
    "encounter.identifier": "context.identifier",
}
_RESULT = ("_count", "_sort", "_summary", "_total", "_format", "_pretty", "_elements", "_page")
_IGNORED = ("_contained", "_containedType", "_include", "_maxresults", "_revinclude", "_score")
"""Result parameters that are not supported. A client that is not strict gets the same resources without them.

Any other unknown parameter is an error: without it, the search would find more than was asked for.
"""

_SUMMARIES, _TOTALS = ("true", "text", "data", "count", "false"), ("none", "estimate", "accurate")
_SORTS = ("date", "-date", "_lastUpdated", "-_lastUpdated")
PATIENT_IDENTIFIER = "patient.identifier"


class SearchQuery(Struct, frozen=True):
    """A search: each criterion, as often as it is repeated, must match one of its values.

    `total` says which total the client wants, if it says so, and `elements` the elements of each resource. `page` is
    the token of the link that was followed, which `self` repeats.
    """

    resource_type: str
    criteria: tuple[tuple[str, tuple[str, ...]], ...]
    count: int = DEFAULT_COUNT
    sort: str = ""
    count_only: bool = False
    cursor: str | None = None
    person: str | None = None
    total: str = ""
    elements: tuple[str, ...] = ()
    page: str = ""

    def values(self, name: str) -> Sequence[tuple[str, ...]]:
        """Return the values of a parameter, one tuple for each time it occurs."""
        return [values for parameter, values in self.criteria if parameter == name]


class _PageToken(Struct, frozen=True):
    hospital: str
    query: SearchQuery


def parse_search(
    context: RequestContext, resource_type: str, pairs: Iterable[tuple[str, str]], *, strict: bool, in_body: bool
) -> SearchQuery:
    """Return the query. Raises InvalidSearch for parameters that are unknown, and if `strict` for ignored ones."""
    known = parameters_of(resource_type)
    criteria: list[tuple[str, tuple[str, ...]]] = []
    results: dict[str, str] = {}
    for name, value in pairs:
        canonical = _canonical_name(name)
        if canonical in _RESULT:
            results[canonical] = value
        elif canonical in known:
            if canonical == PATIENT_IDENTIFIER and not in_body:
                text = Text(zh="请用POST _search提交身份证号。", en="Send this parameter by POST to _search.")
                raise invalid_parameter(name, text)
            criteria.append((canonical, _split(value, name)))
        elif strict or canonical.partition(":")[0] not in _IGNORED:
            raise _unsupported_parameter(name)
    if "_page" in results:
        return _parse_page_token(context, resource_type, results["_page"])
    count = _count(results.get("_count", ""))
    return SearchQuery(
        resource_type,
        tuple(criteria),
        count or DEFAULT_COUNT,
        _sort(resource_type, results.get("_sort", ""), strict=strict),
        count == 0 or _summary(results, strict=strict) == "count",
        total=_one_of("_total", results.get("_total", ""), _TOTALS),
        elements=_elements(results),
    )


def parse_read(pairs: Iterable[tuple[str, str]], *, strict: bool) -> tuple[str, ...]:
    """Return the elements that a read asks for. Raises InvalidSearch if `strict` for parameters that are ignored."""
    results = dict(pairs)
    for name in results:
        if strict and name not in ("_format", "_pretty", "_elements", "_summary"):
            raise _unsupported_parameter(name)
    if _summary(results, strict=strict) == "count":
        raise _unsupported_parameter("_summary")
    return _elements(results)


def _unsupported_parameter(name: str) -> InvalidSearch:
    text = Text(zh="不支持该查询参数。", en="This search parameter is not supported.")
    if name.partition(":")[0].partition(".")[0] in ("patient", "subject"):
        text = Text(
            zh="请用POST _search以patient.identifier查询患者。",
            en="To search by patient, POST patient.identifier to _search.",
        )
    return invalid_parameter(name[:100], text, "not-supported")


def _sort(resource_type: str, sort: str, *, strict: bool) -> str:
    """Return a supported sort order, or an empty text. Raises InvalidSearch if `strict` for another one."""
    if not sort or (sort in _SORTS and resource_type in ("Encounter", "Account", "Invoice")):
        return sort
    if strict:
        text = Text(zh="不支持该排序方式。", en="This sort order is not supported.")
        raise invalid_parameter("_sort", text, "not-supported")
    return ""


def _summary(results: Mapping[str, str], *, strict: bool) -> str:
    """Return `_summary`. Our resources have no narrative, so `data` is all of them; `true` and `text` are ignored.

    Raises InvalidSearch for another value, and if `strict` for one that is ignored.
    """
    summary = _one_of("_summary", results.get("_summary", ""), _SUMMARIES)
    if strict and summary in ("true", "text"):
        text = Text(zh="不支持该摘要，请用_elements。", en="This summary is not supported; use _elements.")
        raise invalid_parameter("_summary", text, "not-supported")
    return summary


def _elements(results: Mapping[str, str]) -> tuple[str, ...]:
    return _split(results["_elements"], "_elements") if results.get("_elements") else ()


def _one_of(name: str, value: str, values: Sequence[str]) -> str:
    if value and value not in values:
        listed = ", ".join(values)
        raise invalid_parameter(name, Text(zh=f"请填写以下之一：{listed}。", en=f"This must be one of {listed}."))
    return value


def parameters_of(resource_type: str) -> dict[str, ParameterType]:
    """Return the search parameters of a resource type, with those that several types share."""
    common: dict[str, ParameterType] = {"_id": "token"}
    if resource_type in ("Encounter", "Account", "Invoice"):
        common["_lastUpdated"] = "date"
    return PARAMETERS[resource_type] | common


def _canonical_name(name: str) -> str:
    """Return the canonical name of a parameter, such as `patient.identifier` for `subject:identifier`."""
    canonical = name.replace(":Patient.", ".").replace(":Encounter.", ".").replace(":Account.", ".")
    if canonical.endswith(":identifier"):
        canonical = canonical.removesuffix(":identifier") + ".identifier"
    return _ALIASES.get(canonical, canonical)


def _split(value: str, name: str) -> tuple[str, ...]:
    values = [re.sub(r"\\([,|$\\])", r"\1", one) for one in re.split(r"(?<!\\),", value)]
    if len(values) > MAX_VALUES or not all(values):
        raise invalid_parameter(name, Text(zh=f"请填写1至{MAX_VALUES}个参数值。", en=f"Send 1 to {MAX_VALUES} values."))
    return tuple(values)


def _count(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise invalid_parameter("_count", Text(zh="须为非负整数。", en="This must be a non-negative integer."))
    return min(int(text), MAX_COUNT)


def invalid_parameter(name: str, text: Text, code: str = "invalid") -> InvalidSearch:
    """Return the Problem for a parameter."""
    return InvalidSearch(text, errors=(FieldError(name, f"{name}: {text.en}"),), issue=code)


# ── page links ──

_PAGE_LINK = Place("", "fhir", "_page")
"""Page links are not stored; no stored value can be used as one."""


def _parse_page_token(context: RequestContext, resource_type: str, text: str) -> SearchQuery:
    try:
        page_token = msgspec.json.decode(context.city.encryption.decrypt(text, _PAGE_LINK), type=_PageToken)
    except (UndecryptableField, msgspec.MsgspecError, UnicodeError) as error:
        raise invalid_parameter(
            "_page", Text(zh="分页链接无效，请重新查询。", en="This page link is invalid; repeat the search.")
        ) from error
    if page_token.hospital != context.hospital.id or page_token.query.resource_type != resource_type:
        raise invalid_parameter(
            "_page", Text(zh="分页链接无效，请重新查询。", en="This page link is invalid; repeat the search.")
        )
    return replace(page_token.query, page=text)


def page_links(context: RequestContext, query: SearchQuery, next_query: SearchQuery | None) -> list[Json]:
    """Return the links of a page: `self` with the parameters that were applied, and `next` if there is another page.

    The `next` link is encrypted, so that it does not disclose whose resources were searched. It is `self` there.
    """
    self_parameters = [
        (name, ",".join(map(_escaped, values))) for name, values in query.criteria if name != PATIENT_IDENTIFIER
    ]
    self_parameters.extend([("_sort", query.sort)] if query.sort else [])
    self_parameters.extend([("_elements", ",".join(query.elements))] if query.elements else [])
    self_parameters.extend([("_total", query.total)] if query.total else [])
    self_parameters.append(("_count", "0" if query.count_only else str(query.count)))
    if query.page:
        self_parameters = [("_page", query.page)]
    found = [{"relation": "self", "url": f"{context.base}/{query.resource_type}?{urlencode(self_parameters)}"}]
    if next_query is not None:
        page_token = context.city.encryption.encrypt(
            msgspec.json.encode(_PageToken(context.hospital.id, replace(next_query, page=""))).decode(), _PAGE_LINK
        )
        found.append(
            {
                "relation": "next",
                "url": f"{context.base}/{query.resource_type}?{urlencode({'_page': page_token})}",
            }
        )
    return found


def _escaped(value: str) -> str:
    return re.sub(r"([,\\])", r"\\\1", value)


# ── dates ──

_DATE = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb)?([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(T.*)?)?)?", re.ASCII)


class DateRange(Struct, frozen=True):
    """A date parameter, in epoch milliseconds: from `low` until before `high`, compared as the `prefix` says."""

    prefix: str
    low: int
    high: int

    def matches(self, at: int) -> bool:
        """Return whether an instant matches."""
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
        """Return the half-open interval that contains all matches; None leaves an end open."""
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


def parse_search_date(name: str, text: str, time_zone: ZoneInfo) -> DateRange:
    """Return the range of a date, such as `ge2026-01` or `2026-01-31T08:30+08:00`. Raises InvalidSearch."""
    found = _DATE.fullmatch(text.replace(" ", "+"))
    wrong = invalid_parameter(
        name, Text(zh="请填写有效的日期，如ge2026-01-31。", en="This must be a date, such as ge2026-01-31.")
    )
    if found is None:
        raise wrong
    prefix, year, month, day, time = found.groups()
    try:
        low = mapping.parse_instant(f"{year}-{month or '01'}-{day or '01'}{time or ''}", time_zone, "occurred_at")
    except mapping.Unmappable as error:
        raise wrong from error
    if time is not None:
        local = re.sub(r"(Z|[+-]\d{2}:\d{2})$", "", time)
        high = low + (
            timedelta(milliseconds=1) if "." in local else timedelta(seconds=1 if local.count(":") > 1 else 60)
        )
    elif day is not None:
        high = _midnight_after(low, time_zone, timedelta(days=1))
    elif month is not None:
        high = _first_of_next(low, time_zone, months=1)
    else:
        high = _first_of_next(low, time_zone, months=12)
    return DateRange(prefix or "eq", to_ms(low), to_ms(high))


def _midnight_after(low: datetime, time_zone: ZoneInfo, later: timedelta) -> datetime:
    return (low.astimezone(time_zone).replace(tzinfo=None) + later).replace(tzinfo=time_zone)


def _first_of_next(low: datetime, time_zone: ZoneInfo, months: int) -> datetime:
    local = low.astimezone(time_zone)
    count = local.year * 12 + local.month - 1 + months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=time_zone)
