"""A hospital's day as a PaymentReconciliation: what the city pays it, visit by visit, and what still differs."""

from decimal import Decimal
from typing import Any

from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.reconciliation import Reconciliation
from integrations.his.mapping import yuan_of

PAYMENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/payment-type", "code": "payment"}]}


def payment_reconciliation(found: Reconciliation, hospital: Hospital) -> dict[str, Any]:
    """Give the resource. It is `complete` once no break is open, and `partial` before."""
    left = found.open_differences()
    said = "All sides agree." if not left else f"{len(left)} breaks are open."
    return {
        "resourceType": "PaymentReconciliation",
        "id": found.id,
        "meta": {"versionId": str(found.revision), "lastUpdated": _instant(found)},
        "identifier": [{"system": f"urn:chengma:hospital:{hospital.id}:day", "value": found.day}],
        "status": "active",
        "period": {"start": found.day, "end": found.day},
        "created": _instant(found),
        "outcome": "complete" if not left else "partial",
        "disposition": said,
        "paymentDate": found.day,
        "paymentAmount": _money(found.totals.payout_fen),
        "detail": [
            {
                "identifier": {"system": f"urn:chengma:hospital:{hospital.id}:visit", "value": one.number},
                "type": PAYMENT,
                "request": {"reference": f"Invoice/{one.visit}"},
                "date": found.day,
                "amount": _money(one.payout_fen),
            }
            for one in found.visits
        ],
        "processNote": [
            {"type": "display", "text": f"{one.kind}: visit {one.number}, {one.subject}"} for one in left[:100]
        ],
    }


def _money(fen: int) -> dict[str, Decimal | str]:
    return {"value": yuan_of(fen), "currency": "CNY"}


def _instant(found: Reconciliation) -> str:
    return found.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
