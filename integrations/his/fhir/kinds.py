"""Which resource of a visit an id names."""

from backend.services.medical_credit.model.connection import EligibilityAnswer
from backend.services.medical_credit.model.reconciliation import Reconciliation
from backend.services.medical_credit.model.visit import Visit
from integrations.his.fhir.exchange import Desk, Json
from integrations.his.fhir.reconciliation import payment_reconciliation
from integrations.his.fhir.references import OF_A_VISIT
from integrations.his.fhir.resources import (
    account,
    charge_item,
    eligibility_request,
    eligibility_response,
    encounter,
    invoice,
    payment_notice,
)

ELIGIBILITY = {
    "CoverageEligibilityRequest": eligibility_request,
    "CoverageEligibilityResponse": eligibility_response,
}
RECONCILIATION = "PaymentReconciliation"
_WHOLE = {"Encounter": encounter, "Account": account, "Invoice": invoice}


def visit_id_of(kind: str, resource_id: str) -> str:
    """Give the id of the visit in which a resource lies."""
    return resource_id if kind in OF_A_VISIT else resource_id.rpartition("-")[0]


def shown_of(kind: str, desk: Desk, visit: Visit, resource_id: str) -> Json | None:
    """Show what of a visit has this id, or None."""
    if kind in _WHOLE:
        return _WHOLE[kind](desk, visit) if visit.id == resource_id else None
    visit_id, _, place = resource_id.rpartition("-")
    if visit_id != visit.id or not place.isdecimal() or not place.isascii() or len(place) > len("10000"):
        return None
    number = int(place)
    if place != str(number) or number < 1:
        return None
    if kind == "ChargeItem":
        return charge_item(desk, visit, number) if number <= len(visit.lines) else None
    return payment_notice(desk, visit, number) if number <= len(visit.counter_payments) else None


async def read(desk: Desk, kind: str, resource_id: str) -> Json | None:
    """Read a resource of the hospital's own by its id; another's is not there."""
    store = desk.city.store
    if kind in ELIGIBILITY:
        answer = await store.get(EligibilityAnswer, resource_id)
        return ELIGIBILITY[kind](desk, answer) if answer is not None and _own(desk, answer) else None
    if kind == RECONCILIATION:
        day = await store.get(Reconciliation, resource_id)
        return payment_reconciliation(day, desk.hospital) if day is not None and _own(desk, day) else None
    visit = await store.get(Visit, visit_id_of(kind, resource_id))
    return shown_of(kind, desk, visit, resource_id) if visit is not None and _own(desk, visit) else None


def _own(desk: Desk, document: Visit | EligibilityAnswer | Reconciliation) -> bool:
    return document.hospital == desk.hospital.id
