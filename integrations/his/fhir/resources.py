"""What hospitals are shown of their visits, as FHIR R4 resources.

A visit is shown as an Encounter, an Account and an Invoice with the same id; its lines are ChargeItems and what was
paid at the counter are PaymentNotices, whose ids are the visit's and their place in it. Written as plain dictionaries:
the models of `fhir.resources` would take a hundred times as long, and the tests hold every resource to them.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from backend.i18n import Text
from backend.services.medical_credit.model.connection import EligibilityAnswer
from backend.services.medical_credit.model.visit import Line, Visit
from integrations.his.fhir.exchange import Desk, Json, instant, stamped
from integrations.his.mapping import ACT_CODES

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
INSURER: Json = {"display": "城市先看病后付费 · pay-later scheme of the city"}


def encounter(desk: Desk, visit: Visit) -> Json:
    """Show a visit."""
    status = "finished" if visit.closed_at is not None else "in-progress"
    code, display = ACT_CODES[visit.kind]
    return stamped(
        {
            "resourceType": "Encounter",
            "id": visit.id,
            "identifier": _identifier(desk, "visit", visit.number),
            "status": "cancelled" if visit.cancelled_at is not None else status,
            "class": {"system": ACT_CODE, "code": code, "display": display},
            "subject": _patient(desk, visit),
            "period": _period(visit),
            "account": [{"reference": f"Account/{visit.id}"}],
            "serviceProvider": {"display": desk.hospital.name},
        },
        _changed_at(visit),
    )


def account(desk: Desk, visit: Visit) -> Json:
    """Show the account that came with a visit; it is inactive once no charge is expected any more."""
    return stamped(
        {
            "resourceType": "Account",
            "id": visit.id,
            "identifier": _identifier(desk, "visit", visit.number),
            "status": account_status(visit, desk.now),
            "type": {"coding": [{"system": ACT_CODE, "code": "PBILLACCT", "display": "patient billing account"}]},
            "subject": [_patient(desk, visit)],
            "servicePeriod": _period(visit),
        },
        _changed_at(visit),
    )


def account_status(visit: Visit, now: datetime) -> str:
    """Tell how far an account is."""
    if visit.cancelled_at is not None:
        return "entered-in-error"
    return "inactive" if visit.settle_at is not None and visit.settle_at <= now else "active"


def charge_item(desk: Desk, visit: Visit, place: int) -> Json:
    """Show a line of a visit; places count from 1."""
    line = visit.lines[place - 1]
    resource: Json = {
        "resourceType": "ChargeItem",
        "id": f"{visit.id}-{place}",
        "identifier": _identifier(desk, "charge", line.id),
        "status": charge_status(visit, place),
        "code": {"text": line.title or line.code or line.kind},
        "subject": _patient(desk, visit),
        "context": {"reference": f"Encounter/{visit.id}"},
        "account": [{"reference": f"Account/{visit.id}"}],
        "occurrenceDateTime": instant(line.at),
        "priceOverride": money(line.amount_fen),
    }
    if line.code:
        resource["code"] = {"coding": [{"system": desk.system("code"), "code": line.code}], **resource["code"]}
    if line.of is not None:
        resource["partOf"] = [{"reference": f"ChargeItem/{visit.id}-{place_of_line(visit, line.of)}"}]
        resource["overrideReason"] = line.kind
    return stamped(resource, _changed_at(visit))


def charge_status(visit: Visit, place: int) -> str:
    """Tell what became of a line: all taken back, on a bill, or to be billed."""
    line = visit.lines[place - 1]
    if line.of is None and visit.net_fen(line.id) == 0:
        return "entered-in-error"
    settled = visit.settlement is not None and place <= visit.settlement.line_count
    return "billed" if settled and visit.bill is not None else "billable"


def place_of_line(visit: Visit, line_id: str) -> int | None:
    """Give the place of a line in its visit, counted from 1; the latest are the ones that are asked for."""
    for place in range(len(visit.lines), 0, -1):
        if visit.lines[place - 1].id == line_id:
            return place
    return None


def payment_notice(desk: Desk, visit: Visit, place: int) -> Json:
    """Show what was paid at the counter."""
    paid = visit.counter_payments[place - 1]
    identifier = _identifier(desk, "payment", paid.id)
    return stamped(
        {
            "resourceType": "PaymentNotice",
            "id": f"{visit.id}-{place}",
            "identifier": identifier,
            "status": "active",
            "request": {"reference": f"Invoice/{visit.id}"},
            "created": instant(paid.at),
            "payment": {"identifier": identifier[0]},
            "paymentDate": paid.at.astimezone(desk.zone).date().isoformat(),
            "recipient": {"display": desk.hospital.name},
            "amount": money(paid.amount_fen),
        },
        _changed_at(visit),
    )


def place_of_payment(visit: Visit, payment: str) -> int | None:
    """Give the place of a payment at the counter, counted from 1."""
    places = range(1, len(visit.counter_payments) + 1)
    return next((place for place in places if visit.counter_payments[place - 1].id == payment), None)


# ── the invoice ──


def invoice_status(visit: Visit) -> str:
    """Tell how far a bill is: a draft until it is made, or made anew; balanced once it is paid."""
    match visit.stage():
        case "open" | "closing":
            return "draft"
        case "billed":
            return "issued"
        case "paid":
            return "balanced"
        case "cancelling" | "cancelled":
            return "cancelled"


def invoice(desk: Desk, visit: Visit, *, whole: bool = True) -> Json:
    """Show the one bill of a visit, and why the patient pays what they pay; not `whole` is without its lines."""
    status = invoice_status(visit)
    resource: Json = {
        "resourceType": "Invoice",
        "id": visit.id,
        "identifier": _identifier(desk, "visit", visit.number),
        "status": status,
        "subject": _patient(desk, visit),
        "account": {"reference": f"Account/{visit.id}"},
        "issuer": {"display": desk.hospital.name},
        "totalGross": money(visit.total_fen()),
    }
    if status in ("issued", "balanced") and visit.settlement is not None and visit.bill is not None:
        split = visit.settlement.split
        resource["date"] = instant(visit.bill.issued_at)
        resource["totalPriceComponent"] = _components(visit)
        resource["totalNet"] = money(visit.bill.cash_fen)
        resource["totalGross"] = money(split.medfee_fen)
    if whole and visit.lines:
        resource["lineItem"] = [_line_item(visit, place, line) for place, line in enumerate(visit.lines, 1)]
    made = stamped(resource, _billed_at(visit))
    if not whole and visit.lines:
        made["meta"]["tag"] = [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
        ]
    return made


def _line_item(visit: Visit, place: int, line: Line) -> Json:
    kind = "base" if line.of is None else ("deduction" if line.amount_fen <= 0 else "surcharge")
    component = {"type": kind, "amount": money(abs(line.amount_fen))}
    return {
        "sequence": place,
        "chargeItemReference": {"reference": f"ChargeItem/{visit.id}-{place}"},
        "priceComponent": [component],
    }


def _components(visit: Visit) -> list[Json]:
    """Explain the copay: the base less the deductions is the net, which the informational parts then divide."""
    assert visit.settlement is not None
    assert visit.bill is not None
    split, bill = visit.settlement.split, visit.bill
    parts = [
        ("base", "medical-fee", Text(zh="医疗费总额", en="medical fee"), split.medfee_fen),
        ("deduction", "fund", Text(zh="医保基金支付", en="insurance fund"), split.fund_fen),
        ("deduction", "hospital", Text(zh="医院负担", en="hospital's part"), split.hospital_part_fen),
        ("deduction", "own-account", Text(zh="个人账户支付", en="own account"), split.account_fen),
        ("deduction", "family-account", Text(zh="家庭共济支付", en="family account"), split.family_account_fen),
        ("informational", "cash", Text(zh="个人现金支付", en="cash"), bill.cash_fen),
        ("informational", "credit", Text(zh="先看病后付费", en="covered by credit"), bill.covered_fen),
        ("informational", "exception", Text(zh="急诊例外，分期", en="emergency, by instalments"), bill.exception_fen),
        ("informational", "counter", Text(zh="窗口支付", en="at the counter"), bill.counter_fen),
        ("informational", "paid", Text(zh="已付", en="paid to the city"), visit.paid_fen()),
    ]
    return [
        {
            "type": kind,
            "code": {
                "coding": [{"system": "urn:chengma:price-component", "code": code, "display": said.en}],
                "text": said.zh,
            },
            "amount": money(amount_fen),
        }
        for kind, code, said, amount_fen in parts
        if kind == "base" or amount_fen or code in ("fund", "cash")
    ]


# ── eligibility ──


def eligibility_request(desk: Desk, answer: EligibilityAnswer) -> Json:
    """Show what was asked."""
    resource: Json = {
        "resourceType": "CoverageEligibilityRequest",
        "id": answer.id,
        "status": "active",
        "purpose": ["benefits"],
        "patient": {"type": "Patient", "identifier": _patient_identifier(desk, answer.patient)},
        "created": instant(answer.created_at),
        "provider": {"display": desk.hospital.name},
        "insurer": INSURER,
        "item": [{"category": _category(answer)}],
    }
    if answer.number is not None:
        resource["identifier"] = _identifier(desk, "eligibility", answer.number)
    return stamped(resource, answer.created_at)


def eligibility_response(desk: Desk, answer: EligibilityAnswer) -> Json:
    """Show whether a person could pay later, and up to how much; neither why nor by which score."""
    benefit: Json = {
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/benefit-type", "code": "benefit"}]}
    }
    benefit["allowedMoney"] = money(answer.available_fen)
    resource: Json = {
        "resourceType": "CoverageEligibilityResponse",
        "id": answer.id,
        "status": "active",
        "purpose": ["benefits"],
        "patient": {"type": "Patient", "identifier": _patient_identifier(desk, answer.patient)},
        "created": instant(answer.created_at),
        "request": {"reference": f"CoverageEligibilityRequest/{answer.id}"},
        "outcome": "complete",
        "insurer": INSURER,
        "insurance": [
            {
                "coverage": {"display": "先看病后付费 · see the doctor, pay later"},
                "inforce": answer.eligible,
                "item": [{"category": _category(answer), "benefit": [benefit]}],
            }
        ],
    }
    if answer.number is not None:
        resource["identifier"] = _identifier(desk, "eligibility", answer.number)
    return stamped(resource, answer.created_at)


def _category(answer: EligibilityAnswer) -> Json:
    code, display = ACT_CODES[answer.kind]
    return {"coding": [{"system": ACT_CODE, "code": code, "display": display}]}


# ── parts ──


def money(amount_fen: int) -> Json:
    """Write an amount with both decimal places."""
    return {"value": Decimal(amount_fen).scaleb(-2), "currency": "CNY"}


def _identifier(desk: Desk, what: str, value: str) -> list[Json]:
    return [{"system": desk.system(what), "value": value}]


def _patient(desk: Desk, visit: Visit) -> Json:
    return {"type": "Patient", "identifier": _patient_identifier(desk, desk.patient(visit.person))}


def _patient_identifier(desk: Desk, patient: str) -> Json:
    return {"system": desk.system("patient"), "value": patient}


def _period(visit: Visit) -> Json:
    period: dict[str, Any] = {"start": instant(visit.opened_at)}
    if visit.closed_at is not None and visit.closed_at >= visit.opened_at:
        period["end"] = instant(visit.closed_at)
    return period


def _changed_at(visit: Visit) -> datetime:
    return datetime.fromtimestamp(visit.changed_ms / 1_000, UTC)


def _billed_at(visit: Visit) -> datetime:
    """Give when the bill or what was paid of it changed last."""
    moments = [_changed_at(visit)]
    moments.extend([visit.bill.issued_at] if visit.bill is not None else [])
    moments.extend(one.answered_at for one in (*visit.payments, *visit.refunds) if one.answered_at is not None)
    return max(moments)
