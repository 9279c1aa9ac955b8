"""Build the ClaimResponse of a settlement that the hospital made at the insurance, the answer to its claim for a visit.

Its id is the id of the visit and the position among the settlements that the hospital reported. The totals are the
shares of the medical fee, under the codes of the price components of an Invoice.
"""

from backend.services.medical_credit.model.visit import Visit
from backend.store.time import from_ms
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.representation import Json, format_instant, with_meta
from integrations.his.fhir.resources import PRICE_COMPONENT, money


def claim_response(context: RequestContext, visit: Visit, position: int) -> Json:
    """Return the ClaimResponse of a settlement that the hospital reported; positions count from 1."""
    settlement = visit.hospital_settlements()[position - 1]
    split = settlement.split
    numbers = {"settlement": split.settlement_id, "registration": settlement.registration}
    claim_type = {"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "institutional"}
    patient = {"system": context.system("patient"), "value": context.patient_pseudonym(visit.person)}
    shares = {
        "medical-fee": split.medfee_fen,
        "fund": split.fund_fen,
        "hospital": split.hospital_part_fen,
        "own-account": split.account_fen,
        "family-account": split.family_account_fen,
        "cash": split.cash_fen,
    }
    resource: Json = {
        "resourceType": "ClaimResponse",
        "id": f"{visit.id}-{position}",
        "identifier": [{"system": context.system(name), "value": value} for name, value in numbers.items() if value],
        "status": "cancelled" if position <= len(visit.cancelled_settlements) else "active",
        "type": {"coding": [claim_type]},
        "use": "claim",
        "patient": {"type": "Patient", "identifier": patient},
        "created": format_instant(settlement.settled_at or settlement.at),
        "insurer": {"display": "医疗保险 · the medical insurance"},
        "request": {"type": "Claim", "identifier": {"system": context.system("visit"), "value": visit.number}},
        "outcome": "complete",
        "total": [
            {"category": {"coding": [{"system": PRICE_COMPONENT, "code": code}]}, "amount": money(amount_fen)}
            for code, amount_fen in shares.items()
        ],
    }
    return with_meta(resource, from_ms(visit.changed_ms))


def settlement_position(visit: Visit, settlement_id: str) -> int | None:
    """Return the position of a settlement among those that the hospital reported, from 1."""
    ids = [one.split.settlement_id for one in visit.hospital_settlements()]
    return ids.index(settlement_id) + 1 if settlement_id in ids else None
