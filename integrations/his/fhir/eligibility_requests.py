"""Parse and answer CoverageEligibilityRequests: may this person pay later, and up to how much?"""

import secrets
from collections.abc import Callable
from typing import cast

from msgspec import Struct

from backend.city.audit_log import Act, new_act, with_act
from backend.city.id_number import IdentityDocument, parse_id_number
from backend.city.person import document_of, find_person, known_person
from backend.i18n import Text
from backend.problems import Problem
from backend.security.identity import Caller
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.hospital_access import PatientRequest, eligible_fen
from backend.services.medical_credit.model.desk_token import DeskToken, PatientKeys, desk_token_id
from backend.services.medical_credit.model.hospital import (
    EligibilityAnswer,
    eligibility_id,
)
from backend.services.medical_credit.model.visit import plain_number
from backend.store import Duplicate
from backend.store.time import to_ms
from integrations.his import mapping
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import locate_errors, objects_in, unsupported_status
from integrations.his.fhir.identifiers import parse_identifier
from integrations.his.fhir.operation_outcome import RequestChanged, name_element, unprocessable
from integrations.his.fhir.references import References, parse_patient
from integrations.his.fhir.representation import Json


class EligibilityRequest(Struct, frozen=True):
    """A request about a person and a kind of visit; `number` is the hospital's own, if it sent one."""

    number: str | None
    keys: PatientKeys
    visit_kind: VisitKind


def _parse_eligibility_request(context: RequestContext, resource: Json, _references: References) -> EligibilityRequest:
    if resource.get("status") != "active":
        raise unsupported_status("CoverageEligibilityRequest")
    patient = parse_patient(context, resource.get("patient"), resource, "CoverageEligibilityRequest.patient")
    keys, number = patient.keys(), parse_identifier(context.hospital, resource, "eligibility")
    categories = [cast("Json", one.get("category") or {}) for one in objects_in(resource, "item")]
    codes = [str(coding.get("code")) for category in categories for coding in objects_in(category, "coding")]
    kinds: set[VisitKind] = {mapping.visit_kind(code) for code in codes}
    if len(kinds) > 1:
        raise unprocessable(
            "CoverageEligibilityRequest.item",
            Text(zh="一次只能查询一种就诊类别。", en="Send one class of visit per request."),
        )
    kind: VisitKind = kinds.pop() if kinds else "outpatient"
    return EligibilityRequest(number, keys, kind)


_PATHS = {
    "visit": "CoverageEligibilityRequest.identifier",
    "patient": "CoverageEligibilityRequest.patient",
    "class": "CoverageEligibilityRequest.item.category",
}
parse_eligibility_request: Callable[[RequestContext, Json, References], EligibilityRequest] = locate_errors(
    _parse_eligibility_request, _PATHS
)


async def answer_eligibility_request(
    context: RequestContext, request: EligibilityRequest
) -> tuple[EligibilityAnswer, bool]:
    """Return the stored answer to a request, and whether it is new.

    A request that is repeated under its number gets its first answer again. Raises InvalidIdNumber, or
    DeskTokensRefused, at the patient.
    """
    try:
        return await _answer(context, request)
    except Problem as problem:
        name_element(problem, "CoverageEligibilityRequest")
        raise


async def _answer(context: RequestContext, request: EligibilityRequest) -> tuple[EligibilityAnswer, bool]:
    city, keys = context.city, request.keys
    key = secrets.token_hex(16) if request.number is None else eligibility_id(context.hospital.id, request.number)
    if keys.document is not None:
        document = parse_id_number(keys.document.number, city.today(), kind=keys.document.kind)
        keys = PatientKeys(document, keys.desk_token)
    known = await city.store.get(EligibilityAnswer, key) if request.number is not None else None
    if known is not None:
        return _check_same(context, known, keys, request.visit_kind), False
    asked = PatientRequest(keys, request.visit_kind, "eligibility", key)
    available_fen = await eligible_fen(city, context.hospital, asked)
    patient = keys.document or await _holder(context, keys.desk_token)
    answer = EligibilityAnswer(
        id=key,
        hospital=context.hospital.id,
        number=request.number,
        plain_number=None if request.number is None else plain_number(request.number),
        patient=context.patient_pseudonym(f"id number {patient}"),
        kind=request.visit_kind,
        created_at=context.now,
        created_ms=to_ms(context.now),
        expires_ms=to_ms(context.now + EligibilityAnswer.retention.length(context.now)),
        eligible=available_fen is not None,
        available_fen=available_fen or 0,
        desk_token=_sole_token(context, keys),
    )
    act = await _act(context, answer.id, patient)
    try:
        return await city.store.insert(with_act(answer, act)), True
    except Duplicate:
        known = await city.store.get(EligibilityAnswer, key)
        return _check_same(context, known or answer, keys, request.visit_kind), False


async def _holder(context: RequestContext, code: str | None) -> IdentityDocument | None:
    """Return the identity document of the person who shows a desk token to this hospital, if it is right."""
    city = context.city
    token = None if code is None else await city.store.get(DeskToken, desk_token_id(city.encryption, code))
    if token is None or token.hospital != context.hospital.id:
        return None
    return document_of(city.encryption, await known_person(city.store, token.person))


def _sole_token(context: RequestContext, keys: PatientKeys) -> str | None:
    """Return the id of the desk token by which alone a request names the patient."""
    alone = keys.document is None and keys.desk_token is not None
    return desk_token_id(context.city.encryption, keys.desk_token or "") if alone else None


async def _act(context: RequestContext, answer: str, document: IdentityDocument | None) -> Act:
    """Return the act of the hospital, which the person sees, if the city knows them."""
    city = context.city
    person = None if document is None else await find_person(city.store, city.encryption, document)
    caller = Caller(f"hospital:{context.hospital.id}", "")
    found = "" if person is None else person.id
    return new_act(city, caller, "hospital", "medical_credit.eligibility_asked", answer, person=found)


def _check_same(
    context: RequestContext, known: EligibilityAnswer, keys: PatientKeys, kind: VisitKind
) -> EligibilityAnswer:
    """Return the known answer. Raises RequestChanged if it was about another person or class of visit."""
    token = _sole_token(context, keys)
    patient = known.patient if token is not None else context.patient_pseudonym(f"id number {keys.document}")
    if (known.patient, known.desk_token, known.kind) != (patient, token, kind):
        raise RequestChanged(
            Text(
                zh="请换一个资格查询号：此号已用于查询其他患者或其他就诊类别。",
                en="Use another identifier: this one belongs to a request about another patient or class of visit.",
            )
        )
    return known
