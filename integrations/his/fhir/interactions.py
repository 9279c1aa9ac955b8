"""Perform one FHIR interaction: read, search, create or update."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from fhir.resources.R4B.account import Account
from fhir.resources.R4B.chargeitem import ChargeItem
from fhir.resources.R4B.claimresponse import ClaimResponse
from fhir.resources.R4B.coverageeligibilityrequest import CoverageEligibilityRequest
from fhir.resources.R4B.encounter import Encounter
from fhir.resources.R4B.patient import Patient
from fhir.resources.R4B.paymentnotice import PaymentNotice
from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from backend.i18n import Text
from backend.problems import FieldError, MethodNotAllowed, NotFound
from integrations.his.fhir.capability_statement import INTERACTIONS
from integrations.his.fhir.charge_item_fast_path import is_common_charge_item
from integrations.his.fhir.charge_items import parse_charge_item_update, parse_new_charge_item
from integrations.his.fhir.claim_responses import parse_claim_response_update, parse_new_claim_response
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.eligibility_requests import answer_eligibility_request, parse_eligibility_request
from integrations.his.fhir.encounters import (
    parse_account_update,
    parse_encounter_update,
    parse_new_account,
    parse_new_encounter,
)
from integrations.his.fhir.json_types import find_type_errors
from integrations.his.fhir.meaning import require_plain_meaning
from integrations.his.fhir.operation_outcome import (
    MAX_ISSUES,
    InvalidResource,
    PreconditionFailed,
    resource_not_found,
    unprocessable,
)
from integrations.his.fhir.payment_notices import parse_new_payment_notice, parse_payment_notice_update
from integrations.his.fhir.references import References, resolve_visit
from integrations.his.fhir.representation import Json, matches_etag
from integrations.his.fhir.resource_lookup import ELIGIBILITY_RESOURCES, find_in_visit, read_resource
from integrations.his.fhir.scopes import Permission
from integrations.his.fhir.search import find_page, search
from integrations.his.fhir.search_parameters import parse_read, parse_search
from integrations.his.fhir.subsetting import select_elements
from integrations.his.fhir.visit_writes import CreateParser, UpdateParser, apply_writes

ELIGIBILITY_REQUEST = "CoverageEligibilityRequest"
MODELS: Mapping[str, type[BaseModel]] = {
    "Account": Account,
    "ChargeItem": ChargeItem,
    "ClaimResponse": ClaimResponse,
    "CoverageEligibilityRequest": CoverageEligibilityRequest,
    "Encounter": Encounter,
    "Patient": Patient,
    "PaymentNotice": PaymentNotice,
}
CREATE_PARSERS: Mapping[str, CreateParser] = {
    "Account": parse_new_account,
    "ChargeItem": parse_new_charge_item,
    "ClaimResponse": parse_new_claim_response,
    "Encounter": parse_new_encounter,
    "PaymentNotice": parse_new_payment_notice,
}
UPDATE_PARSERS: Mapping[str, UpdateParser] = {
    "Account": parse_account_update,
    "ChargeItem": parse_charge_item_update,
    "ClaimResponse": parse_claim_response_update,
    "Encounter": parse_encounter_update,
    "PaymentNotice": parse_payment_notice_update,
}
_PERMISSIONS: Mapping[tuple[str, bool], Permission] = {
    ("GET", True): "r",
    ("GET", False): "s",
    ("POST", False): "c",
    ("PUT", True): "u",
    ("PUT", False): "u",
}
"""The permission for each method, without or with a resource id."""


class Interaction(Struct, frozen=True):
    """One interaction: a request of its own, or an entry of a bundle.

    `parameters` are those of a search or read, or the criteria of a conditional update. `in_body` is true if they were
    sent in a body, where personal identifiers are allowed.
    """

    method: str
    resource_type: str
    resource_id: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    resource: Json | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_none_exist: str | None = None
    strict: bool = False
    in_body: bool = False


class InteractionResult(Struct, frozen=True):
    """The HTTP status, the resource or searchset Bundle, and the URL of a resource that was created or found."""

    status: int
    resource: Json | None = None
    location: str | None = None


async def perform(context: RequestContext, interaction: Interaction) -> InteractionResult:
    """Perform an interaction. Raises the Problem of one that is not possible or not permitted."""
    permission = authorize(context, interaction)
    resource_type = interaction.resource_type
    if permission == "r":
        return await _read(context, interaction)
    if permission == "s":
        query = parse_search(
            context, resource_type, interaction.parameters, strict=interaction.strict, in_body=interaction.in_body
        )
        return InteractionResult(200, await search(context, query))
    resource = validated_resource(interaction)
    if permission == "u" and interaction.resource_id is None:
        known = await find_existing(context, interaction, visit_of(context, interaction, resource, {}))
        interaction = resolve_update(context, interaction, known)
        permission, resource = ("c" if known is None else "u"), interaction.resource or resource
    if permission == "u":
        parsed = UPDATE_PARSERS[resource_type](context, interaction.resource_id or "", resource, {})
        write = replace(parsed, if_match=interaction.if_match)
        result = (await apply_writes(context, [(None, write)]))[0]
        return InteractionResult(200, find_in_visit(resource_type, context, result.visit, result.resource_id))
    return await _create(context, interaction, resource)


def authorize(context: RequestContext, interaction: Interaction) -> Permission:
    """Return the permission that an interaction needs. Raises NotFound, MethodNotAllowed or NotAllowed."""
    resource_type = interaction.resource_type
    permissions = INTERACTIONS.get(resource_type)
    if permissions is None:
        raise NotFound(Text(zh="不支持该资源类型。", en=f"The resource type {resource_type[:64]!r} is not supported."))
    permission = _PERMISSIONS.get((interaction.method, interaction.resource_id is not None))
    if permission is None or permission not in permissions:
        raise MethodNotAllowed(
            Text(zh="该资源类型不支持此操作。", en="This resource type does not support this interaction.")
        )
    context.require_scope(resource_type, permission)
    return permission


def validated_resource(interaction: Interaction) -> Json:
    """Return the resource that was sent. Raises InvalidResource with the FHIRPath of each fault."""
    resource, resource_type = interaction.resource, interaction.resource_type
    if resource is None or resource.get("resourceType") != resource_type:
        raise _invalid([FieldError(resource_type, f"The body must be a resource of type {resource_type}.")])
    if interaction.resource_id is not None and resource.get("id") != interaction.resource_id:
        raise _invalid([FieldError(f"{resource_type}.id", "The id of the resource must equal the id in the URL.")])
    if resource_type == "ChargeItem" and is_common_charge_item(resource):
        return resource
    require_plain_meaning(resource, resource_type)
    mistyped = list(find_type_errors(_validated(resource_type, resource), resource, resource_type))[:MAX_ISSUES]
    if mistyped:
        raise _invalid(mistyped)
    return resource


def _validated(resource_type: str, resource: Json) -> BaseModel:
    """Return the model of a resource. Raises InvalidResource."""
    try:
        return MODELS[resource_type].model_validate(resource)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ISSUES]
        raise _invalid(
            [FieldError(_path(resource_type, fault["loc"]), _explained(fault["msg"])) for fault in faults]
        ) from None
    except RecursionError:
        raise _invalid([FieldError(resource_type, "The resource is nested too deeply.")]) from None
    except Exception:  # noqa: BLE001  the models raise KeyError and others, for an unknown contained resource for one
        raise _invalid([FieldError(resource_type, "The resource has an unknown part.")]) from None


def _explained(message: str) -> str:
    """Return what a model says of an element; of a time that it cannot read, what a time needs."""
    if "DateTime" in message:
        return (
            "A date and time needs seconds and a zone, such as 2026-11-24T09:25:00+08:00. "
            "A date without a time needs no zone."
        )
    return message[:300]


def _path(resource_type: str, steps: tuple[int | str, ...]) -> str:
    path = resource_type
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path[:200]


def _invalid(errors: list[FieldError]) -> InvalidResource:
    text = Text(zh="不是有效的FHIR R4资源，请按所列元素逐项修正。", en="This is not a valid FHIR R4 resource.")
    return InvalidResource(text, errors=tuple(errors))


async def _read(context: RequestContext, interaction: Interaction) -> InteractionResult:
    elements = parse_read(interaction.parameters, strict=interaction.strict)
    resource = await read_resource(context, interaction.resource_type, interaction.resource_id or "")
    if resource is None:
        raise resource_not_found()
    if interaction.if_none_match is not None and matches_etag(interaction.if_none_match, resource):
        return InteractionResult(304, resource)
    return InteractionResult(200, select_elements(resource, elements))


async def _create(context: RequestContext, interaction: Interaction, resource: Json) -> InteractionResult:
    resource_type = interaction.resource_type
    if resource_type == ELIGIBILITY_REQUEST:
        known = await find_existing(context, interaction)
        if known is not None:
            return _created(context, known, new=False)
        answer, new = await answer_eligibility_request(context, parse_eligibility_request(context, resource, {}))
        return _created(context, ELIGIBILITY_RESOURCES[ELIGIBILITY_REQUEST](context, answer), new=new)
    write = CREATE_PARSERS[resource_type](context, resource, {})
    if interaction.if_none_exist is not None:
        known = await find_existing(context, interaction, write.visit_id)
        if known is not None:
            return _created(context, known, new=False)
    result = (await apply_writes(context, [(None, write)]))[0]
    created = find_in_visit(resource_type, context, result.visit, result.resource_id)
    assert created is not None, "a written resource is in its visit"
    return _created(context, created, new=result.changed)


def resolve_update(context: RequestContext, interaction: Interaction, known: Json | None) -> Interaction:
    """Return a conditional update as the update of the resource that was found, or as a create if there is none.

    Raises NotAllowed, InvalidResource or Unprocessable.
    """
    resource, resource_type = validated_resource(interaction), interaction.resource_type
    if known is None:
        context.require_scope(resource_type, "c")
        if resource.get("id") is not None:
            text = Text(
                zh="没有符合条件的资源；新资源的id由本系统分配，请不要填写id。",
                en="No resource matches, and this server assigns new ids; send the resource without id.",
            )
            raise unprocessable(f"{resource_type}.id", text, "not-supported")
        return replace(interaction, method="POST", parameters=())
    if resource.get("id", known["id"]) != known["id"]:
        raise _invalid(
            [FieldError(f"{resource_type}.id", "The id of the resource must be that of the one it matches.")]
        )
    return replace(interaction, resource_id=known["id"], parameters=(), resource={**resource, "id": known["id"]})


def visit_of(context: RequestContext, interaction: Interaction, resource: Json, references: References) -> str | None:
    """Return the id of the visit to which the resource of a conditional create or update belongs.

    A conditional update of a resource that a visit is itself needs none.
    """
    resource_type = interaction.resource_type
    if interaction.method == "PUT":
        elements = {"ChargeItem": ("context", "account"), "PaymentNotice": ("request",)}.get(resource_type)
        return elements and resolve_visit(context, resource, elements, references, resource_type).visit_id
    return CREATE_PARSERS[resource_type](context, resource, references).visit_id


def _created(context: RequestContext, resource: Json, *, new: bool) -> InteractionResult:
    location = f"{context.base}/{resource['resourceType']}/{resource['id']}"
    return InteractionResult(201 if new else 200, resource, location)


async def find_existing(context: RequestContext, interaction: Interaction, visit_id: str | None = None) -> Json | None:
    """Return the one resource that matches the criteria of a conditional create (`If-None-Exist`) or update, or None.

    Raises PreconditionFailed if several match.
    """
    resource_type = interaction.resource_type
    if interaction.method == "PUT":
        pairs, in_body = list(interaction.parameters), False
    elif interaction.if_none_exist is not None:
        criteria = interaction.if_none_exist.removeprefix(f"{resource_type}?").removeprefix("?")
        pairs, in_body = parse_qsl(criteria, keep_blank_values=True), True
    else:
        return None
    if not pairs:
        raise PreconditionFailed(
            Text(
                zh="请填写查询条件：条件创建在If-None-Exist中，条件更新在URL中。",
                en="The condition contains no search criteria: send them in If-None-Exist, or in the URL of an update.",
            )
        )
    query = parse_search(context, resource_type, pairs, strict=True, in_body=in_body)
    page = await find_page(context, replace(query, count=2, count_only=False), visit_id)
    if len(page.resources) > 1 or page.cursor is not None:
        raise PreconditionFailed(
            Text(zh="请缩小查询条件：有多个资源符合。", en="More than one resource matches; narrow the criteria.")
        )
    if not page.resources:
        return None
    return await read_resource(context, resource_type, page.resources[0]["id"])
