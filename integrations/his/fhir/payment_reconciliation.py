"""A reconciled day as a PaymentReconciliation: the amount that the city pays for each visit, and open differences."""

from decimal import Decimal
from typing import Any

from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.reconciliation import Difference, Reconciliation
from integrations.his.fhir.identifiers import identifier_json
from integrations.his.mapping import yuan_from_fen

MAX_NOTES = 100
PAYMENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/payment-type", "code": "payment"}]}


def payment_reconciliation(reconciliation: Reconciliation, hospital: Hospital) -> dict[str, Any]:
    """Return the resource. Its outcome is `partial` while differences are open, and `complete` afterwards."""
    open_differences = reconciliation.open_differences()
    count = len(open_differences)
    disposition = "There are no open differences." if not count else f"Open differences: {count}."
    notes = [_note(one) for one in open_differences[:MAX_NOTES]]
    resource: dict[str, Any] = {
        "resourceType": "PaymentReconciliation",
        "id": reconciliation.id,
        "meta": {"versionId": str(reconciliation.revision), "lastUpdated": _instant(reconciliation)},
        "identifier": [identifier_json(hospital.id, "day", reconciliation.day)],
        "status": "active",
        "period": {"start": reconciliation.day, "end": reconciliation.day},
        "created": _instant(reconciliation),
        "outcome": "complete" if not open_differences else "partial",
        "disposition": disposition,
        "paymentDate": reconciliation.day,
        "paymentAmount": _money(reconciliation.totals.payout_fen),
    }
    details = [
        {
            "identifier": identifier_json(hospital.id, "visit", one.number),
            "type": PAYMENT,
            "request": {"reference": f"Invoice/{one.visit}"},
            "date": reconciliation.day,
            "amount": _money(one.payout_fen),
        }
        for one in reconciliation.visits
    ]
    lists = {"detail": details, "processNote": notes}  # FHIR has no empty lists
    return resource | {name: listed for name, listed in lists.items() if listed}


def _note(one: Difference) -> dict[str, str]:
    told = one.detail.en if one.detail is not None else f"visit {one.number}, {one.subject}"
    return {"type": "display", "text": f"{one.kind}: {told}"}


def _money(amount_fen: int) -> dict[str, Decimal | str]:
    return {"value": yuan_from_fen(amount_fen), "currency": "CNY"}


def _instant(reconciliation: Reconciliation) -> str:
    return reconciliation.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
