"""The entries of a bundle, and the place of an entry in its faults."""

from collections.abc import Callable
from typing import TypeVar, cast
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from backend.i18n import Text
from backend.problems import FieldError, Problem
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.interactions import Interaction
from integrations.his.fhir.meaning import require_plain_meaning
from integrations.his.fhir.operation_outcome import InvalidResource
from integrations.his.fhir.representation import Json

T = TypeVar("T")


class Entry(Struct, frozen=True):
    """An entry of a bundle: its index, its `fullUrl` and its interaction."""

    index: int
    full_url: str
    interaction: Interaction


def parse_entry(context: RequestContext, index: int, raw: object) -> Entry:
    """Return an entry. Raises InvalidResource."""
    entry = cast("Json", raw) if isinstance(raw, dict) else {}
    try:
        require_plain_meaning({name: value for name, value in entry.items() if name != "resource"}, "Bundle.entry")
    except Problem as problem:
        problem.members["entry"] = index
        raise
    request = entry.get("request")
    request = cast("Json", request) if isinstance(request, dict) else {}
    texts = {name: request.get(name) for name in ("method", "url", "ifMatch", "ifNoneMatch", "ifNoneExist")}
    url, method, full_url = texts["url"], texts["method"], entry.get("fullUrl", "")
    optional = (texts["ifMatch"], texts["ifNoneMatch"], texts["ifNoneExist"])
    if not isinstance(url, str) or not isinstance(method, str) or not isinstance(full_url, str):
        raise invalid_bundle("Bundle.entry.request", "An entry needs a request with a method and a url.", index)
    if not all(text is None or isinstance(text, str) for text in optional):
        raise invalid_bundle("Bundle.entry.request", "The conditions of a request must be strings.", index)
    path, _, query = url.removeprefix(context.base).removeprefix("/").partition("?")
    resource_type, _, rest = path.partition("/")
    resource = entry.get("resource")
    interaction = Interaction(
        method=method.upper(),
        resource_type=resource_type,
        resource_id=unquote(rest) or None,
        parameters=tuple(parse_qsl(query, keep_blank_values=True)),
        resource=cast("Json", resource) if isinstance(resource, dict) else None,
        if_match=texts["ifMatch"],
        if_none_match=texts["ifNoneMatch"],
        if_none_exist=texts["ifNoneExist"],
    )
    return Entry(index, full_url, interaction)


def invalid_bundle(expression: str, detail: str, index: int | None = None) -> InvalidResource:
    """Return the Problem for a bundle that is not well formed."""
    text = Text(zh="Bundle格式不正确，请按所列元素修正。", en=detail)
    problem = InvalidResource(text, errors=(FieldError(expression, detail),))
    if index is not None:
        problem.members["entry"] = index
    return problem


def with_entry(entry: Entry, problem: Problem) -> Problem:
    """Return a Problem with the entry that has it."""
    problem.members["entry"] = entry.index
    return problem


def for_entry(entry: Entry, work: Callable[[Interaction], T]) -> T:
    """Return the result of `work`; a Problem that it raises gets the index of the entry."""
    try:
        return work(entry.interaction)
    except Problem as problem:
        raise with_entry(entry, problem) from None
