"""Build the FHIR R4 resources of a visit and of eligibility answers.

A visit is an Encounter, an Account and an Invoice with the same id. Its lines are ChargeItems and its payments at the
counter are PaymentNotices; their ids are the id of the visit and their position in it. The resources are plain
dictionaries, because the models of `fhir.resources` take a hundred times as long; tests validate every resource.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.i18n import Text, decimal_yuan
from backend.services.medical_credit.model.hospital import EligibilityAnswer
from backend.services.medical_credit.model.hospital_settlement import awaited_text
from backend.services.medical_credit.model.visit import CounterPayment, Line, Visit
from backend.store.time import from_ms
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.identifiers import identifier_json
from integrations.his.fhir.representation import Json, format_instant, with_meta
from integrations.his.fhir.subsetting import subsetted
from integrations.his.mapping import ACT_CODES

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
PRICE_COMPONENT = "urn:chengma:price-component"
SETTLEMENT_NUMBER = "urn:chengma:fhir:settlement"
"""The extension of an Invoice with the insurance's number of the settlement (setl_id)."""

INSURER: Json = {"display": "城市先看病后付费 · the city's pay-later scheme"}


def encounter(context: RequestContext, visit: Visit) -> Json:
    """Return the Encounter of a visit."""
    status = "finished" if visit.closed_at is not None else "in-progress"
    code, display = ACT_CODES[visit.kind]
    return with_meta(
        {
            "resourceType": "Encounter",
            "id": visit.id,
            "identifier": _identifier(context, "visit", visit.number),
            "status": "cancelled" if visit.cancelled_at is not None else status,
            "class": {"system": ACT_CODE, "code": code, "display": display},
            "subject": _patient(context, visit),
            "period": _period(visit),
            "account": [{"reference": f"Account/{visit.id}"}],
            "serviceProvider": {"display": context.hospital.name},
        },
        _changed_at(visit),
        visit.transitions,
    )


def account(context: RequestContext, visit: Visit) -> Json:
    """Return the Account of a visit; it is inactive once no more charges are expected."""
    return with_meta(
        {
            "resourceType": "Account",
            "id": visit.id,
            "identifier": _identifier(context, "visit", visit.number),
            "status": account_status(visit, context.city.now()),  # a write sets times after the request began
            "type": {"coding": [{"system": ACT_CODE, "code": "PBILLACCT", "display": "patient billing account"}]},
            "subject": [_patient(context, visit)],
            "servicePeriod": _period(visit),
        },
        _changed_at(visit),
        visit.transitions,
    )


def account_status(visit: Visit, now: datetime) -> str:
    """Return the status of the Account of a visit."""
    if visit.cancelled_at is not None:
        return "entered-in-error"
    return "inactive" if visit.settle_at is not None and visit.settle_at <= now else "active"


def charge_item(context: RequestContext, visit: Visit, position: int) -> Json:
    """Return the ChargeItem of a line; positions count from 1."""
    line = visit.lines[position - 1]
    resource: Json = {
        "resourceType": "ChargeItem",
        "id": f"{visit.id}-{position}",
        "identifier": _identifier(context, "charge", line.id),
        "status": charge_status(visit, position),
        "code": {"text": line.title or line.code or line.kind},
        "subject": _patient(context, visit),
        "context": {"reference": f"Encounter/{visit.id}"},
        "account": [{"reference": f"Account/{visit.id}"}],
        "occurrenceDateTime": format_instant(line.at),
        "priceOverride": money(line.amount_fen),
    }
    if line.code:
        resource["code"] = {"coding": [{"system": context.system("code"), "code": line.code}], **resource["code"]}
    if line.of is not None:
        resource["partOf"] = [{"reference": f"ChargeItem/{visit.id}-{line_position(visit, line.of)}"}]
        resource["overrideReason"] = line.kind
    corrections = sum(one.of == line.id for one in visit.lines)
    return with_meta(resource, _changed_at(visit), visit.transitions, visit.attempts, corrections)


def charge_status(visit: Visit, position: int) -> str:
    """Return the status of a line: credited in full, free, billed, or billable."""
    line = visit.lines[position - 1]
    if line.of is None and visit.net_fen(line.id) == 0:
        is_free = line.amount_fen == 0 and not any(one.of == line.id for one in visit.lines)
        return "not-billable" if is_free else "entered-in-error"
    is_settled = visit.settlement is not None and position <= visit.settlement.line_count
    return "billed" if is_settled and visit.bill is not None else "billable"


def line_position(visit: Visit, line_id: str) -> int | None:
    """Return the position of a line in its visit, from 1. Searches from the end, where the line usually is."""
    for position in range(len(visit.lines), 0, -1):
        if visit.lines[position - 1].id == line_id:
            return position
    return None


def payment_notice(context: RequestContext, visit: Visit, position: int) -> Json:
    """Return the PaymentNotice of a payment at the counter; positions count from 1."""
    paid = visit.counter_payments[position - 1]
    identifier = _identifier(context, "payment", paid.id)
    return with_meta(
        {
            "resourceType": "PaymentNotice",
            "id": f"{visit.id}-{position}",
            "identifier": identifier,
            "status": _payment_status(paid),
            "request": {"reference": f"Invoice/{visit.id}"},
            "created": format_instant(paid.at),
            "payment": {"identifier": identifier[0]},
            "paymentDate": paid.at.astimezone(context.time_zone).date().isoformat(),
            "recipient": {"display": context.hospital.name},
            "amount": money(paid.amount_fen),
        },
        _changed_at(visit),
    )


def _payment_status(paid: CounterPayment) -> str:
    if paid.withdrawn_at is None:
        return "active"
    return "entered-in-error" if paid.mistaken else "cancelled"


def payment_position(visit: Visit, payment: str) -> int | None:
    """Return the position of a payment at the counter, from 1."""
    positions = range(1, len(visit.counter_payments) + 1)
    return next((position for position in positions if visit.counter_payments[position - 1].id == payment), None)


# ── Invoice ──


def invoice_status(visit: Visit) -> str:
    """Return the status of the Invoice: a draft until the bill is issued or reissued, balanced once it is paid."""
    match visit.stage():
        case "open" | "closing":
            return "draft"
        case "billed":
            return "issued"
        case "paid":
            return "balanced"
        case "cancelling" | "cancelled":
            return "cancelled"


def invoice(context: RequestContext, visit: Visit, *, with_lines: bool = True) -> Json:
    """Return the Invoice of a visit, with the components of its price; without its lines unless `with_lines`."""
    status = invoice_status(visit)
    resource: Json = {
        "resourceType": "Invoice",
        "id": visit.id,
        "identifier": _identifier(context, "visit", visit.number),
        "status": status,
        "subject": _patient(context, visit),
        "account": {"reference": f"Account/{visit.id}"},
        "issuer": {"display": context.hospital.name},
        "totalGross": money(visit.total_fen()),
    }
    if status in ("issued", "balanced") and visit.settlement is not None and visit.bill is not None:
        split = visit.settlement.split
        resource["date"] = format_instant(visit.bill.issued_at)
        if split.settlement_id:  # no identifier, because it is not a number of the Invoice, by which one searches
            number = {"system": context.system("settlement"), "value": split.settlement_id}
            resource["extension"] = [{"url": SETTLEMENT_NUMBER, "valueIdentifier": number}]
        resource["totalPriceComponent"] = _components(visit)
        resource["totalNet"] = money(visit.bill.cash_fen)
        resource["totalGross"] = money(split.medfee_fen)
    awaited = awaited_text(visit)
    if awaited is not None:
        resource["note"] = [{"text": f"{awaited.zh} {awaited.en}"}]
    if overpaid_fen := visit.counter_overpaid_fen():
        text = (
            f"患者在窗口多付{decimal_yuan(overpaid_fen)}元，请退还患者。 Give {decimal_yuan(overpaid_fen)} yuan back."
        )
        resource.setdefault("note", []).append({"text": text})
    lines = [_line_item(visit, position, line) for position, line in enumerate(visit.lines, 1)] if with_lines else []
    resource_with_meta = with_meta(resource, _billed_at(visit), *_bill_history(visit))
    if lines:
        resource_with_meta["lineItem"] = lines
    return subsetted(resource_with_meta) if visit.lines and not lines else resource_with_meta


def _bill_history(visit: Visit) -> tuple[int, ...]:
    """Return how often what decides a bill has changed."""
    counter = [one.withdrawn_at is not None for one in visit.counter_payments]
    transfers = len(visit.payments), len(visit.refunds)
    return (
        visit.transitions,
        visit.attempts,
        len(visit.cancelled_settlements),
        len(visit.lines),
        *transfers,
        len(counter),
        sum(counter),
    )


def _line_item(visit: Visit, position: int, line: Line) -> Json:
    kind = "base" if line.of is None else ("deduction" if line.amount_fen <= 0 else "surcharge")
    component = {"type": kind, "amount": money(abs(line.amount_fen))}
    return {
        "sequence": position,
        "chargeItemReference": {"reference": f"ChargeItem/{visit.id}-{position}"},
        "priceComponent": [component],
    }


def _components(visit: Visit) -> list[Json]:
    """Return the price components: base minus deductions is the net; credit, exception and counter are its parts."""
    assert visit.settlement is not None
    assert visit.bill is not None
    split, bill = visit.settlement.split, visit.bill
    parts = [
        ("base", "medical-fee", Text(zh="医疗费总额", en="total medical fee"), split.medfee_fen),
        ("deduction", "fund", Text(zh="医保基金支付", en="paid by the insurance fund"), split.fund_fen),
        ("deduction", "hospital", Text(zh="医院负担", en="hospital's share"), split.hospital_part_fen),
        ("deduction", "own-account", Text(zh="个人账户支付", en="paid from the personal account"), split.account_fen),
        (
            "deduction",
            "family-account",
            Text(zh="个人账户共济支付", en="paid from a relative's account"),
            split.family_account_fen,
        ),
        ("informational", "cash", Text(zh="个人现金支出", en="cash share"), bill.cash_fen),
        ("informational", "credit", Text(zh="先看病后付费", en="paid later"), bill.covered_fen),
        (
            "informational",
            "exception",
            Text(zh="急诊例外，分期还款", en="emergency, paid by instalments"),
            bill.exception_fen,
        ),
        ("informational", "counter", Text(zh="应在窗口支付", en="to be paid at the counter"), bill.counter_fen),
        ("informational", "counter-paid", Text(zh="已在窗口支付", en="paid at the counter"), visit.counter_paid_fen()),
        (
            "informational",
            "counter-overpaid",
            Text(zh="窗口多收，请退还患者", en="overpaid at the counter; give it back to the patient"),
            bill.overpaid_at_counter_fen(),
        ),
        ("informational", "paid", Text(zh="已付款", en="paid to the city"), visit.paid_fen()),
    ]
    return [
        {
            "type": kind,
            "code": {
                "coding": [{"system": PRICE_COMPONENT, "code": code, "display": label.en}],
                "text": label.zh,
            },
            "amount": money(amount_fen),
        }
        for kind, code, label, amount_fen in parts
        if kind == "base" or amount_fen or code in ("fund", "cash")
    ]


# ── CoverageEligibilityRequest, CoverageEligibilityResponse ──


def eligibility_request(context: RequestContext, answer: EligibilityAnswer) -> Json:
    """Return the CoverageEligibilityRequest of an answer."""
    resource: Json = {
        "resourceType": "CoverageEligibilityRequest",
        "id": answer.id,
        "status": "active",
        "purpose": ["benefits"],
        "patient": {"type": "Patient", "identifier": _patient_identifier(context, answer.patient)},
        "created": format_instant(answer.created_at),
        "provider": {"display": context.hospital.name},
        "insurer": INSURER,
        "item": [{"category": _category(answer)}],
    }
    if answer.number is not None:
        resource["identifier"] = _identifier(context, "eligibility", answer.number)
    return with_meta(resource, answer.created_at)


def eligibility_response(context: RequestContext, answer: EligibilityAnswer) -> Json:
    """Return the CoverageEligibilityResponse: may the person pay later, and up to how much? Without the reason."""
    benefit: Json = {
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/benefit-type", "code": "benefit"}]}
    }
    benefit["allowedMoney"] = money(answer.available_fen)
    resource: Json = {
        "resourceType": "CoverageEligibilityResponse",
        "id": answer.id,
        "status": "active",
        "purpose": ["benefits"],
        "patient": {"type": "Patient", "identifier": _patient_identifier(context, answer.patient)},
        "created": format_instant(answer.created_at),
        "request": {"reference": f"CoverageEligibilityRequest/{answer.id}"},
        "outcome": "complete",
        "insurer": INSURER,
        "insurance": [
            {
                "coverage": {"display": "先看病后付费 · pay later"},
                "inforce": answer.eligible,
                "item": [{"category": _category(answer), "benefit": [benefit]}],
            }
        ],
    }
    if answer.number is not None:
        resource["identifier"] = _identifier(context, "eligibility", answer.number)
    return with_meta(resource, answer.created_at)


def _category(answer: EligibilityAnswer) -> Json:
    code, display = ACT_CODES[answer.kind]
    return {"coding": [{"system": ACT_CODE, "code": code, "display": display}]}


# ── parts ──


def money(amount_fen: int) -> Json:
    """Return a Money with both decimal places."""
    return {"value": Decimal(amount_fen).scaleb(-2), "currency": "CNY"}


def _identifier(context: RequestContext, kind: str, identifier: str) -> list[Json]:
    return [identifier_json(context.hospital.id, kind, identifier)]


def _patient(context: RequestContext, visit: Visit) -> Json:
    return {"type": "Patient", "identifier": _patient_identifier(context, context.patient_pseudonym(visit.person))}


def _patient_identifier(context: RequestContext, patient: str) -> Json:
    return {"system": context.system("patient"), "value": patient}


def _period(visit: Visit) -> Json:
    period: dict[str, Any] = {"start": format_instant(visit.opened_at)}
    if visit.closed_at is not None and visit.closed_at >= visit.opened_at:
        period["end"] = format_instant(visit.closed_at)
    return period


def _changed_at(visit: Visit) -> datetime:
    return from_ms(visit.changed_ms)


def _billed_at(visit: Visit) -> datetime:
    """Return when the bill, its payments or its refunds changed last."""
    instants = [_changed_at(visit)]
    instants.extend([visit.bill.issued_at] if visit.bill is not None else [])
    instants.extend(one.answered_at for one in (*visit.payments, *visit.refunds) if one.answered_at is not None)
    return max(instants)
