"""Process bundles: a batch performs each entry on its own, a transaction all entries or none."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.operations.load_shedding import unavailable
from backend.problems import EditConflict, InternalError, Problem
from backend.services.medical_credit.model.visit import Visit
from backend.store import Conflict, StoreUnavailable
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import objects_in
from integrations.his.fhir.entries import Entry, for_entry, invalid_bundle, parse_entry, with_entry
from integrations.his.fhir.identifiers import identifier_in
from integrations.his.fhir.interactions import (
    CREATE_PARSERS,
    ELIGIBILITY_REQUEST,
    UPDATE_PARSERS,
    Interaction,
    InteractionResult,
    authorize,
    find_existing,
    perform,
    resolve_update,
    validated_resource,
    visit_of,
)
from integrations.his.fhir.meaning import require_plain_meaning
from integrations.his.fhir.operation_outcome import (
    operation_outcome,
    resource_not_found,
    success_outcome,
    unprocessable,
)
from integrations.his.fhir.patient_entries import is_patient, patient_response, with_patients
from integrations.his.fhir.references import (
    VISIT_RESOURCE_TYPES,
    References,
    ReferenceTarget,
    resolve_reference,
    visit_target,
)
from integrations.his.fhir.representation import Json, etag
from integrations.his.fhir.resource_lookup import find_in_visit, read_resource, visit_id_in
from integrations.his.fhir.visit_writes import YIELD_EVERY, VisitWrite, apply_writes

_log = logging.getLogger("chengma.fhir")

MAX_ENTRIES = 1_000
_CREATION_ORDER = ("Encounter", "Account", "ChargeItem", "ClaimResponse", "PaymentNotice")
"""The order in which resources are created: a visit before its account, charges, settlements and payments."""


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
        raise invalid_bundle("Bundle.type", "The body must be a Bundle of type batch or transaction.")
    require_plain_meaning({name: value for name, value in body.items() if name != "entry"}, "Bundle")
    entries = body.get("entry", [])
    if not isinstance(entries, list) or len(cast("list[object]", entries)) > MAX_ENTRIES:
        raise invalid_bundle("Bundle.entry", f"A bundle has at most {MAX_ENTRIES:,} entries.")
    listed = cast("list[object]", entries)
    if bundle_type == "transaction":
        parsed = [parse_entry(context, index, one) for index, one in enumerate(listed)]
        response_entries = await _process_transaction(context, parsed, options)
    else:
        response_entries = [
            await _process_batch_entry(context, index, one, options) for index, one in enumerate(listed)
        ]
    bundle: Json = {"resourceType": "Bundle", "type": f"{bundle_type}-response"}
    return bundle | {"entry": response_entries} if response_entries else bundle


# ── batch ──


async def _process_batch_entry(context: RequestContext, index: int, raw: object, options: ResponseOptions) -> Json:
    """Perform one entry; its Problem becomes its response, and the other entries are still performed."""
    if index % YIELD_EVERY == 0:
        await asyncio.sleep(0)
    try:
        return _response_entry(await perform(context, parse_entry(context, index, raw).interaction), options)
    except Problem as problem:
        return _error_entry(index, problem, options)
    except Conflict:
        text = Text(zh="请重试：该资源刚被更改。", en="The resource was changed by another request; try again.")
        return _error_entry(index, EditConflict(text), options)
    except StoreUnavailable:
        return _error_entry(index, unavailable(), options)
    except Exception:  # noqa: BLE001  the other entries are performed, whatever was unexpected about this one
        _log.exception("entry %d of a batch failed; the other entries are performed", index)
        text = Text(zh="系统出错，已自动记录，请稍后再试。", en="An error occurred on our side and was logged.")
        return _error_entry(index, InternalError(text), options)


def _error_entry(index: int, problem: Problem, options: ResponseOptions) -> Json:
    problem.members["entry"] = index
    response = {
        "status": _status(problem.status),
        "outcome": operation_outcome(problem, options.language, options.request_id),
    }
    return {"response": response}


# ── transaction ──


async def _process_transaction(
    context: RequestContext, all_entries: Sequence[Entry], options: ResponseOptions
) -> list[Json]:
    """Perform all entries and return their responses: creates first, then updates, then reads."""
    entries = with_patients(all_entries)
    for entry in entries:
        for_entry(entry, lambda interaction: authorize(context, interaction))
    reads = [entry for entry in entries if entry.interaction.method == "GET"]
    for entry in reads:
        await _check_search(context, entry)
    resolved = await _resolve(context, [entry for entry in entries if entry not in reads])
    writes = [(entry.index, _parse_write(context, entry, resolved)) for entry in resolved.writes]

    async def check_reads(visits: Mapping[str, Visit]) -> None:
        for entry in reads:
            if entry.interaction.resource_id is not None and not await _will_exist(context, entry.interaction, visits):
                raise with_entry(entry, resource_not_found())

    results: dict[int, InteractionResult] = {}
    done = await apply_writes(context, writes, check_reads)
    for count, ((index, write), written) in enumerate(zip(writes, done, strict=True), 1):
        if count % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        resource = find_in_visit(write.resource_type, context, written.visit, written.resource_id)
        is_create = index in resolved.creates
        location = f"{context.base}/{write.resource_type}/{written.resource_id}" if is_create else None
        results[index] = InteractionResult(201 if is_create and written.changed else 200, resource, location)
    for index, resource in resolved.known.items():
        location = f"{context.base}/{resource['resourceType']}/{resource['id']}"
        results[index] = InteractionResult(200, resource, location)
    responses = {index: _response_entry(result, options) for index, result in results.items()}
    responses |= {entry.index: patient_response(options.language) for entry in all_entries if is_patient(entry)}
    for entry in reads:
        responses[entry.index] = await _read_entry(context, entry, options)
    return [responses[entry.index] for entry in all_entries]


async def _check_search(context: RequestContext, entry: Entry) -> None:
    """Raise the Problem of a search, which would fail after the writes as well."""
    if entry.interaction.resource_id is None:
        try:
            await perform(context, entry.interaction)
        except Problem as problem:
            raise with_entry(entry, problem) from None


async def _will_exist(context: RequestContext, interaction: Interaction, visits: Mapping[str, Visit]) -> bool:
    """Return whether the resource of a read exists now or after the writes, of which `visits` are the result."""
    resource_type, resource_id = interaction.resource_type, interaction.resource_id or ""
    visit = visits.get(visit_id_in(resource_type, resource_id))
    if visit is not None and find_in_visit(resource_type, context, visit, resource_id) is not None:
        return True
    return await read_resource(context, resource_type, resource_id) is not None


async def _read_entry(context: RequestContext, entry: Entry, options: ResponseOptions) -> Json:
    """Perform a read after the writes are stored; a Problem, although it was checked before, is only its response."""
    try:
        return _response_entry(await perform(context, entry.interaction), options)
    except Problem as problem:
        return _error_entry(entry.index, problem, options)


def _creation_rank(entry: Entry) -> tuple[int, bool]:
    """Return the sort key of a create; a credit comes after its charge."""
    resource_type = entry.interaction.resource_type
    rank = _CREATION_ORDER.index(resource_type) if resource_type in _CREATION_ORDER else len(_CREATION_ORDER)
    return rank, bool(objects_in(entry.interaction.resource, "partOf"))


class _Resolved(Struct, frozen=True):
    """The writes of a transaction, in order, as creates and updates by id.

    `references` are the targets of the `fullUrl`s, `creates` the entries that create, `updates` those that were sent as
    updates, and `known` by entry the resources that `ifNoneExist` found, which are not written.
    """

    writes: list[Entry]
    creates: set[int]
    updates: set[int]
    references: dict[str, ReferenceTarget]
    known: dict[int, Json]


async def _resolve(context: RequestContext, entries: Sequence[Entry]) -> _Resolved:
    """Resolve the identities of all entries: creates in the order in which they are performed, then updates by id."""
    updates = {entry.index for entry in entries if entry.interaction.method == "PUT"}
    found = _Resolved([], set(), updates, {}, {})
    conditional = [entry for entry in entries if entry.interaction.resource_id is None]
    for entry in sorted(conditional, key=_creation_rank):
        if entry.interaction.resource_type == ELIGIBILITY_REQUEST:
            text = Text(
                zh="资格查询请单独提交，或放入batch。",
                en="Send an eligibility request on its own, or in a batch.",
            )
            raise with_entry(entry, unprocessable(ELIGIBILITY_REQUEST, text, "not-supported"))
        await _resolve_conditional(context, entry, found)
    for entry in entries:
        if entry.interaction.resource_id is not None:
            _add_update(context, entry, found)
    found.writes.sort(key=lambda entry: entry.interaction.method == "PUT")
    return found


async def _resolve_conditional(context: RequestContext, entry: Entry, found: _Resolved) -> None:
    """Resolve a create, or an update that names its resource by search criteria."""
    resource = for_entry(entry, validated_resource)
    existing = await _find_existing(context, entry, resource, found.references)
    if entry.interaction.method == "PUT":
        resolved = for_entry(entry, lambda one: resolve_update(context, one, existing))
        entry = replace(entry, interaction=resolved)
        if existing is not None:
            _add_update(context, entry, found)
            return
    elif existing is not None:
        found.known[entry.index] = existing
        _add_target(entry, _existing_target(context, existing), found)
        return
    found.writes.append(entry)
    found.creates.add(entry.index)
    _add_target(entry, _new_target(context, entry.interaction.resource_type, resource), found)


def _add_update(context: RequestContext, entry: Entry, found: _Resolved) -> None:
    found.writes.append(entry)
    resource_type = entry.interaction.resource_type
    if entry.full_url.startswith("urn:") and resource_type in (*VISIT_RESOURCE_TYPES, "ChargeItem"):
        reference = {"reference": f"{resource_type}/{entry.interaction.resource_id}"}
        path = f"{resource_type}.id"
        target = for_entry(entry, lambda _: resolve_reference(context, reference, (resource_type,), {}, path))
        _add_target(entry, target, found)


def _add_target(entry: Entry, target: ReferenceTarget | None, found: _Resolved) -> None:
    """Let the other entries reference this one by its `fullUrl`."""
    if entry.full_url and target is not None:
        if entry.full_url in found.references:
            raise invalid_bundle("Bundle.entry.fullUrl", "Two entries have the same fullUrl.", entry.index)
        found.references[entry.full_url] = target


async def _find_existing(context: RequestContext, entry: Entry, resource: Json, references: References) -> Json | None:
    """Return the resource that a conditional create or update finds, or None."""
    interaction = entry.interaction
    if interaction.method == "POST" and interaction.if_none_exist is None:
        return None
    try:
        return await find_existing(context, interaction, visit_of(context, interaction, resource, references))
    except Problem as problem:
        raise with_entry(entry, problem) from None


def _new_target(context: RequestContext, resource_type: str, resource: Json) -> ReferenceTarget | None:
    """Return the target of references to a resource that is about to be created."""
    if resource_type in VISIT_RESOURCE_TYPES:
        number = identifier_in(context.hospital, resource, "visit")
        return None if number is None else visit_target(context, number, resource_type)
    line_id = identifier_in(context.hospital, resource, "charge") if resource_type == "ChargeItem" else None
    return None if line_id is None else ReferenceTarget(resource_type, "", line_id=line_id)


def _existing_target(context: RequestContext, resource: Json) -> ReferenceTarget:
    resource_type, resource_id = resource["resourceType"], resource["id"]
    if resource_type in VISIT_RESOURCE_TYPES:
        return ReferenceTarget(resource_type, resource_id, identifier_in(context.hospital, resource, "visit") or "")
    return ReferenceTarget(resource_type, "", line_id=identifier_in(context.hospital, resource, "charge"))


def _parse_write(context: RequestContext, entry: Entry, resolved: _Resolved) -> VisitWrite:
    interaction, references = entry.interaction, resolved.references
    try:
        resource = validated_resource(interaction)
        if interaction.resource_id is None:
            write = CREATE_PARSERS[interaction.resource_type](context, resource, references)
        else:
            parse_update = UPDATE_PARSERS[interaction.resource_type]
            write = parse_update(context, interaction.resource_id, resource, references)
        is_update = entry.index in resolved.updates
        return replace(write, if_match=interaction.if_match if is_update else None, once=is_update)
    except Problem as problem:
        raise with_entry(entry, problem) from None


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
