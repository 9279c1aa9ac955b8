"""Find the resource that an id names, in a visit or in the store."""

from collections.abc import Sequence

from backend.services.medical_credit.model.hospital import EligibilityAnswer, eligibility_id
from backend.services.medical_credit.model.reconciliation import Reconciliation
from backend.services.medical_credit.model.visit import Visit, visit_id
from integrations.his.fhir.claim_response import claim_response
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.identifiers import Token
from integrations.his.fhir.payment_reconciliation import payment_reconciliation
from integrations.his.fhir.references import VISIT_RESOURCE_TYPES
from integrations.his.fhir.representation import Json
from integrations.his.fhir.resources import (
    account,
    charge_item,
    eligibility_request,
    eligibility_response,
    encounter,
    invoice,
    payment_notice,
)

ELIGIBILITY_RESOURCES = {
    "CoverageEligibilityRequest": eligibility_request,
    "CoverageEligibilityResponse": eligibility_response,
}
RECONCILIATION = "PaymentReconciliation"
_VISIT_RESOURCES = {"Encounter": encounter, "Account": account, "Invoice": invoice}


def visit_id_in(resource_type: str, resource_id: str) -> str:
    """Return the id of the visit to which a resource belongs."""
    return resource_id if resource_type in VISIT_RESOURCE_TYPES else resource_id.rpartition("-")[0]


def find_in_visit(resource_type: str, context: RequestContext, visit: Visit, resource_id: str) -> Json | None:
    """Return the resource of a visit with this id, or None."""
    if resource_type in _VISIT_RESOURCES:
        return _VISIT_RESOURCES[resource_type](context, visit) if visit.id == resource_id else None
    visit_id, _, suffix = resource_id.rpartition("-")
    if visit_id != visit.id or not suffix.isdecimal() or not suffix.isascii() or len(suffix) > len("10000"):
        return None
    position = int(suffix)
    if suffix != str(position) or position < 1:
        return None
    if resource_type == "ClaimResponse":
        is_known = position <= len(visit.hospital_settlements())
        return claim_response(context, visit, position) if is_known else None
    if resource_type == "ChargeItem":
        return charge_item(context, visit, position) if position <= len(visit.lines) else None
    return payment_notice(context, visit, position) if position <= len(visit.counter_payments) else None


async def read_resource(context: RequestContext, resource_type: str, resource_id: str) -> Json | None:
    """Return one of the hospital's own resources, or None; resources of other hospitals are not found."""
    store = context.city.store
    if resource_type in ELIGIBILITY_RESOURCES:
        answer = await store.get(EligibilityAnswer, resource_id)
        if answer is None or not _is_own(context, answer):
            return None
        return ELIGIBILITY_RESOURCES[resource_type](context, answer)
    if resource_type == RECONCILIATION:
        day = await store.get(Reconciliation, resource_id)
        return payment_reconciliation(day, context.hospital) if day is not None and _is_own(context, day) else None
    visit = await store.get(Visit, visit_id_in(resource_type, resource_id))
    if visit is None or not _is_own(context, visit):
        return None
    return find_in_visit(resource_type, context, visit, resource_id)


async def ids_with(
    context: RequestContext, kind: type[Visit] | type[EligibilityAnswer], tokens: Sequence[Token]
) -> set[str]:
    """Return the ids of the visits or eligibility requests with one of these identifiers."""
    hospital, found = context.hospital, set[str]()
    for token in tokens:
        if kind is Visit:
            found.add(visit_id(hospital.id, hospital.identifier("visit", token.value, token.system or "")))
        else:
            number = hospital.identifier("eligibility", token.value, token.system or "")
            found.add(eligibility_id(hospital.id, number))
        if token.system is None:
            others = {"hospital": hospital.id, "plain_number": token.value}
            found.update(one.id for one in (await context.city.store.find(kind, others)).documents)
    return found


def _is_own(context: RequestContext, document: Visit | EligibilityAnswer | Reconciliation) -> bool:
    return document.hospital == context.hospital.id
