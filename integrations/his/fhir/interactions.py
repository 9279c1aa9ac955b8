"""Carrying out one interaction: read, search, create or update."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from fhir.resources.R4B.account import Account
from fhir.resources.R4B.chargeitem import ChargeItem
from fhir.resources.R4B.coverageeligibilityrequest import CoverageEligibilityRequest
from fhir.resources.R4B.encounter import Encounter
from fhir.resources.R4B.paymentnotice import PaymentNotice
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from backend.i18n import Text
from backend.problems import FieldError, MethodNotAllowed, NotFound
from integrations.his.fhir import kinds as fhir_kinds
from integrations.his.fhir.capability_statement import INTERACTIONS
from integrations.his.fhir.charges import change_charge_item, read_charge_item, read_enquiry, read_payment_notice
from integrations.his.fhir.exchange import Answer, Asked, Desk, Json, Letter, matches, nothing_here
from integrations.his.fhir.outcome import MAX_ISSUES, InvalidResource, PreconditionFailed
from integrations.his.fhir.plain_charge import is_plain_charge
from integrations.his.fhir.query import read_query
from integrations.his.fhir.reading import (
    Change,
    Read,
    change_account,
    change_encounter,
    read_account,
    read_encounter,
)
from integrations.his.fhir.search import find, search
from integrations.his.fhir.writing import enquire, write

ENQUIRY = "CoverageEligibilityRequest"
MODELS: Mapping[str, type[BaseModel]] = {
    "Account": Account,
    "ChargeItem": ChargeItem,
    "CoverageEligibilityRequest": CoverageEligibilityRequest,
    "Encounter": Encounter,
    "PaymentNotice": PaymentNotice,
}
READERS: Mapping[str, Read] = {
    "Account": read_account,
    "ChargeItem": read_charge_item,
    "Encounter": read_encounter,
    "PaymentNotice": read_payment_notice,
}
CHANGES: Mapping[str, Change] = {
    "Account": change_account,
    "ChargeItem": change_charge_item,
    "Encounter": change_encounter,
}
_WHAT: Mapping[tuple[str, bool], Letter] = {
    ("GET", True): "r",
    ("GET", False): "s",
    ("POST", False): "c",
    ("PUT", True): "u",
}


async def perform(desk: Desk, asked: Asked) -> Answer:
    """Carry out an interaction. Raises the Problem of what cannot be done."""
    letter = permit(desk, asked)
    if letter == "r":
        return await _read(desk, asked)
    if letter == "s":
        query = read_query(desk, asked.kind, asked.query, strict=asked.strict, secret=asked.secret)
        return Answer(200, await search(desk, query))
    body = resource_of(asked)
    if letter == "u":
        change = replace(CHANGES[asked.kind](desk, asked.id or "", body, {}), if_match=asked.if_match)
        written = (await write(desk, [(None, change)]))[0]
        return Answer(200, fhir_kinds.shown_of(asked.kind, desk, written.visit, written.id))
    return await _create(desk, asked, body)


def permit(desk: Desk, asked: Asked) -> Letter:
    """Give what an interaction does. Raises NotFound, MethodNotAllowed or NotAllowed for what cannot or may not be."""
    letters = INTERACTIONS.get(asked.kind)
    if letters is None:
        raise NotFound(Text(zh="没有这类资源。", en=f"Resources of the type {asked.kind[:64]!r} are not kept here."))
    letter = _WHAT.get((asked.method, asked.id is not None))
    if letter is None or letter not in letters:
        raise MethodNotAllowed(Text(zh="此处不支持该操作。", en="This cannot be done with resources of this type."))
    desk.demand(asked.kind, letter)
    return letter


def resource_of(asked: Asked) -> Json:
    """Give the resource that was sent. Raises InvalidResource, with the FHIRPath of each fault."""
    body = asked.body
    if body is None or body.get("resourceType") != asked.kind:
        raise _invalid([FieldError(f"{asked.kind}", f"The body must be a resource of the type {asked.kind}.")])
    if asked.id is not None and body.get("id") != asked.id:
        raise _invalid([FieldError(f"{asked.kind}.id", "The id in the resource must be that in the URL.")])
    if asked.kind == "ChargeItem" and is_plain_charge(body):
        return body
    try:
        MODELS[asked.kind].model_validate(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ISSUES]
        raise _invalid([FieldError(_path(asked.kind, fault["loc"]), fault["msg"][:300]) for fault in faults]) from None
    except RecursionError:
        raise _invalid([FieldError(asked.kind, "The resource is nested too deeply.")]) from None
    return body


def _path(kind: str, steps: tuple[int | str, ...]) -> str:
    path = kind
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path[:200]


def _invalid(errors: list[FieldError]) -> InvalidResource:
    text = Text(zh="资源不符合 FHIR R4。", en="This is no such resource as FHIR R4 has it.")
    return InvalidResource(text, errors=tuple(errors))


async def _read(desk: Desk, asked: Asked) -> Answer:
    resource = await fhir_kinds.read(desk, asked.kind, asked.id or "")
    if resource is None:
        raise nothing_here()
    if asked.if_none_match is not None and matches(asked.if_none_match, resource):
        return Answer(304, resource)
    return Answer(200, resource)


async def _create(desk: Desk, asked: Asked, body: Json) -> Answer:
    if asked.kind == ENQUIRY:
        known = await existing(desk, asked)
        if known is not None:
            return _created(desk, known, new=False)
        answer, new = await enquire(desk, read_enquiry(desk, body, {}))
        return _created(desk, fhir_kinds.ELIGIBILITY[ENQUIRY](desk, answer), new=new)
    wanted = READERS[asked.kind](desk, body, {})
    if asked.if_none_exist is not None:
        known = await existing(desk, asked, wanted.visit)
        if known is not None:
            return _created(desk, known, new=False)
    written = (await write(desk, [(None, wanted)]))[0]
    resource = fhir_kinds.shown_of(asked.kind, desk, written.visit, written.id)
    assert resource is not None, "what was written can be shown"
    return _created(desk, resource, new=written.new)


def _created(desk: Desk, resource: Json, *, new: bool) -> Answer:
    location = f"{desk.base}/{resource['resourceType']}/{resource['id']}"
    return Answer(201 if new else 200, resource, location)


async def existing(desk: Desk, asked: Asked, within: str | None = None) -> Json | None:
    """Give the one resource that `If-None-Exist` finds, if any. Raises PreconditionFailed where it finds several."""
    if asked.if_none_exist is None:
        return None
    pairs = parse_qsl(asked.if_none_exist.removeprefix(f"{asked.kind}?").removeprefix("?"), keep_blank_values=True)
    if not pairs:
        raise PreconditionFailed(Text(zh="If-None-Exist 没有条件。", en="If-None-Exist asks for nothing."))
    query = read_query(desk, asked.kind, pairs, strict=True, secret=True)
    found = await find(desk, replace(query, count=2, counts_only=False), within)
    if len(found.resources) > 1 or found.cursor is not None:
        raise PreconditionFailed(Text(zh="有多个资源符合条件。", en="More than one resource matches."))
    if not found.resources:
        return None
    return await fhir_kinds.read(desk, asked.kind, found.resources[0]["id"])
