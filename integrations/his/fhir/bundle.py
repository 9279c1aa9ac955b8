"""Process bundles: a batch performs each entry on its own, a transaction all entries or none (within one visit)."""

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar, cast
from urllib.parse import parse_qsl, unquote

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import EditConflict, FieldError, Problem
from backend.store import Conflict
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import business_identifier, objects_in
from integrations.his.fhir.interactions import (
    CREATE_PARSERS,
    ELIGIBILITY_REQUEST,
    UPDATE_PARSERS,
    Interaction,
    InteractionResult,
    authorize,
    find_existing,
    perform,
    validated_resource,
)
from integrations.his.fhir.operation_outcome import (
    InvalidResource,
    operation_outcome,
    success_outcome,
    unprocessable,
)
from integrations.his.fhir.references import VISIT_RESOURCE_TYPES, References, ReferenceTarget, visit_target
from integrations.his.fhir.representation import Json, etag
from integrations.his.fhir.resource_lookup import find_in_visit
from integrations.his.fhir.visit_writes import YIELD_EVERY, VisitWrite, apply_writes

T = TypeVar("T")

MAX_ENTRIES = 1_000
_CREATION_ORDER = ("Encounter", "Account", "ChargeItem", "ClaimResponse", "PaymentNotice")
"""The order in which resources are created: a visit before its account, charges, settlements and payments."""


class Entry(Struct, frozen=True):
    """An entry of a bundle: its index, its `fullUrl` and its interaction."""

    index: int
    full_url: str
    interaction: Interaction


class ResponseOptions(Struct, frozen=True):
    """How to answer: the `return` preference of `Prefer`, the language, and the request id for OperationOutcomes."""

    return_preference: str
    language: str
    request_id: str


async def process_bundle(context: RequestContext, body: Json, options: ResponseOptions) -> Json:
    """Process a batch or transaction and return the response Bundle, in the order of the entries.

    Raises InvalidResource, and for a transaction the Problem of the first entry that fails.
    """
    bundle_type = body.get("type")
    if body.get("resourceType") != "Bundle" or bundle_type not in ("batch", "transaction"):
        raise _invalid("Bundle.type", "The body must be a Bundle of type batch or transaction.")
    entries = body.get("entry", [])
    if not isinstance(entries, list) or len(cast("list[object]", entries)) > MAX_ENTRIES:
        raise _invalid("Bundle.entry", f"A bundle has at most {MAX_ENTRIES:,} entries.")
    listed = cast("list[object]", entries)
    if bundle_type == "transaction":
        parsed = [_parse_entry(context, index, one) for index, one in enumerate(listed)]
        response_entries = [_response_entry(result, options) for result in await _process_transaction(context, parsed)]
    else:
        response_entries = [
            await _process_batch_entry(context, index, one, options) for index, one in enumerate(listed)
        ]
    bundle: Json = {"resourceType": "Bundle", "type": f"{bundle_type}-response"}
    return bundle | {"entry": response_entries} if response_entries else bundle


def _parse_entry(context: RequestContext, index: int, raw: object) -> Entry:
    """Return an entry. Raises InvalidResource."""
    entry = cast("Json", raw) if isinstance(raw, dict) else {}
    request = entry.get("request")
    request = cast("Json", request) if isinstance(request, dict) else {}
    texts = {name: request.get(name) for name in ("method", "url", "ifMatch", "ifNoneMatch", "ifNoneExist")}
    url, method, full_url = texts["url"], texts["method"], entry.get("fullUrl", "")
    optional = (texts["ifMatch"], texts["ifNoneMatch"], texts["ifNoneExist"])
    if not isinstance(url, str) or not isinstance(method, str) or not isinstance(full_url, str):
        raise _invalid("Bundle.entry.request", "An entry needs a request with a method and a url.", index)
    if not all(text is None or isinstance(text, str) for text in optional):
        raise _invalid("Bundle.entry.request", "The conditions of a request must be strings.", index)
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


def _invalid(expression: str, detail: str, index: int | None = None) -> InvalidResource:
    text = Text(zh="Bundle格式不正确，请按所列元素修正。", en=detail)
    problem = InvalidResource(text, errors=(FieldError(expression, detail),))
    if index is not None:
        problem.members["entry"] = index
    return problem


# ── batch ──


async def _process_batch_entry(context: RequestContext, index: int, raw: object, options: ResponseOptions) -> Json:
    """Perform one entry; its Problem becomes its response, and the other entries are still performed."""
    if index % YIELD_EVERY == 0:
        await asyncio.sleep(0)
    try:
        return _response_entry(await perform(context, _parse_entry(context, index, raw).interaction), options)
    except Problem as problem:
        return _error_entry(problem, options)
    except Conflict:
        text = Text(zh="请重试：该资源刚被更改。", en="The resource was changed by another request; try again.")
        return _error_entry(EditConflict(text), options)


def _error_entry(problem: Problem, options: ResponseOptions) -> Json:
    response = {
        "status": _status(problem.status),
        "outcome": operation_outcome(problem, options.language, options.request_id),
    }
    return {"response": response}


# ── transaction ──


async def _process_transaction(context: RequestContext, entries: Sequence[Entry]) -> list[InteractionResult]:
    """Perform all entries: creates first, then updates, then reads."""
    for entry in entries:
        _for_entry(entry, lambda interaction: authorize(context, interaction))
    updates = [entry for entry in entries if entry.interaction.method == "PUT"]
    updated = {(entry.interaction.resource_type, entry.interaction.resource_id) for entry in updates}
    if len(updated) < len(updates):
        raise _invalid("Bundle.entry", "A transaction may update each resource only once.")
    creates = sorted((entry for entry in entries if entry.interaction.method == "POST"), key=_creation_rank)
    references, known = await _resolve(context, creates)
    writes = [
        (entry.index, _parse_write(context, entry, references))
        for entry in (*creates, *updates)
        if entry.index not in known
    ]
    results: dict[int, InteractionResult] = {}
    done = await apply_writes(context, writes)
    for count, ((index, write), written) in enumerate(zip(writes, done, strict=True), 1):
        if count % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        resource = find_in_visit(write.resource_type, context, written.visit, written.resource_id)
        is_create = entries[index].interaction.method == "POST"
        location = f"{context.base}/{write.resource_type}/{written.resource_id}" if is_create else None
        results[index] = InteractionResult(201 if is_create and written.changed else 200, resource, location)
    for index, resource in known.items():
        location = f"{context.base}/{resource['resourceType']}/{resource['id']}"
        results[index] = InteractionResult(200, resource, location)
    for entry in entries:
        if entry.interaction.method == "GET":
            results[entry.index] = await perform(context, entry.interaction)
    return [results[entry.index] for entry in entries]


def _creation_rank(entry: Entry) -> tuple[int, bool]:
    """Return the sort key of a create; a credit comes after its charge."""
    resource_type = entry.interaction.resource_type
    rank = _CREATION_ORDER.index(resource_type) if resource_type in _CREATION_ORDER else len(_CREATION_ORDER)
    return rank, bool(objects_in(entry.interaction.resource, "partOf"))


async def _resolve(context: RequestContext, creates: Sequence[Entry]) -> tuple[References, dict[int, Json]]:
    """Return the targets of the `fullUrl`s, and by entry the resources that `ifNoneExist` found."""
    references: dict[str, ReferenceTarget] = {}
    known: dict[int, Json] = {}
    for entry in creates:
        if entry.interaction.resource_type == ELIGIBILITY_REQUEST:
            text = Text(
                zh="资格查询请单独提交，或放入batch。",
                en="Send an eligibility request on its own, or in a batch.",
            )
            raise _with_entry(entry, unprocessable(ELIGIBILITY_REQUEST, text, "not-supported"))
        resource = _for_entry(entry, validated_resource)
        target = _new_target(context, entry.interaction.resource_type, resource)
        if entry.interaction.if_none_exist is not None:
            found = await _find_existing(context, entry, resource, references)
            if found is not None:
                known[entry.index] = found
                target = _existing_target(found)
        if entry.full_url and target is not None:
            if entry.full_url in references:
                raise _invalid("Bundle.entry.fullUrl", "Two entries have the same fullUrl.", entry.index)
            references[entry.full_url] = target
    return references, known


async def _find_existing(context: RequestContext, entry: Entry, resource: Json, references: References) -> Json | None:
    try:
        write = CREATE_PARSERS[entry.interaction.resource_type](context, resource, references)
        return await find_existing(context, entry.interaction, write.visit_id)
    except Problem as problem:
        raise _with_entry(entry, problem) from None


def _new_target(context: RequestContext, resource_type: str, resource: Json) -> ReferenceTarget | None:
    """Return the target of references to a resource that is about to be created."""
    if resource_type in VISIT_RESOURCE_TYPES:
        number = business_identifier(resource, context.system("visit"))
        return None if number is None else visit_target(context, number, resource_type)
    line_id = business_identifier(resource, context.system("charge"))
    is_line = resource_type == "ChargeItem" and line_id is not None
    return ReferenceTarget(resource_type, "", line_id=line_id) if is_line else None


def _existing_target(resource: Json) -> ReferenceTarget:
    resource_type, resource_id = resource["resourceType"], resource["id"]
    if resource_type in VISIT_RESOURCE_TYPES:
        return ReferenceTarget(resource_type, resource_id, resource["identifier"][0]["value"])
    return ReferenceTarget(resource_type, "", line_id=resource["identifier"][0]["value"])


def _parse_write(context: RequestContext, entry: Entry, references: References) -> VisitWrite:
    interaction = entry.interaction
    try:
        resource = validated_resource(interaction)
        if interaction.resource_id is None:
            return CREATE_PARSERS[interaction.resource_type](context, resource, references)
        parse_update = UPDATE_PARSERS[interaction.resource_type]
        write = parse_update(context, interaction.resource_id, resource, references)
        return replace(write, if_match=interaction.if_match)
    except Problem as problem:
        raise _with_entry(entry, problem) from None


def _with_entry(entry: Entry, problem: Problem) -> Problem:
    problem.members["entry"] = entry.index
    return problem


def _for_entry(entry: Entry, work: Callable[[Interaction], T]) -> T:
    """Return the result of `work`; a Problem that it raises gets the index of the entry."""
    try:
        return work(entry.interaction)
    except Problem as problem:
        raise _with_entry(entry, problem) from None


# ── responses ──


def _status(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _response_entry(result: InteractionResult, options: ResponseOptions) -> Json:
    response: Json = {"status": _status(result.status)}
    if result.location is not None:
        response["location"] = result.location
    resource = result.resource
    entry: Json = {"response": response}
    if resource is None or resource["resourceType"] == "Bundle":
        return entry if resource is None else {"resource": resource, **entry}
    response["etag"] = etag(resource)
    response["lastModified"] = resource["meta"]["lastUpdated"]
    if options.return_preference == "OperationOutcome":
        response["outcome"] = success_outcome(Text(zh="处理完成。", en="Done."), options.language)
    elif options.return_preference != "minimal" or result.location is None:
        return {"resource": resource, **entry}
    return entry
