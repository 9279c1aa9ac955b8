"""What hospitals charge, what was paid at the counter, and what they ask about a person."""

from collections.abc import Callable, Sequence
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.commands import Adjustment, Charge, Command, Credit
from backend.services.medical_credit.model.visit import Line, Visit
from integrations.his import mapping
from integrations.his.fhir.exchange import Desk, Json, nothing_here
from integrations.his.fhir.outcome import unprocessable
from integrations.his.fhir.reading import (
    Change,
    Read,
    Write,
    amount_of,
    at_paths,
    instant_in,
    known_visit,
    wrong_status,
)
from integrations.his.fhir.references import References, Target, dicts, follow, identifier_of, patient_of, visit_of
from integrations.his.fhir.resources import place_of_line, place_of_payment


class Enquiry(Struct, frozen=True):
    """What is asked about a person, under the hospital's `number` for the request, if it has one."""

    number: str | None
    id_number: str
    kind: VisitKind


# ── ChargeItem ──


def _new_charge_item(desk: Desk, body: Json, references: References) -> Write:
    if body.get("status") not in ("billable", "billed"):
        raise wrong_status("ChargeItem")
    if body.get("factorOverride") not in (None, 1):
        raise unprocessable("ChargeItem.factorOverride", Text(zh="不支持系数。", en="Tell the total price instead."))
    line = mapping.name_of(identifier_of(body, desk.system("charge")), "line")
    target = visit_of(desk, body, ("context", "account"), references, "ChargeItem")
    charge = _charge(desk, body, line)
    who = patient_of(desk, body.get("subject"), body, "ChargeItem.subject")
    parts = dicts(body, "partOf")
    if len(parts) > 1:
        raise unprocessable("ChargeItem.partOf", Text(zh="只能指向一个收费项。", en="It is part of one charge."))
    of = follow(desk, parts[0], ("ChargeItem",), references, "ChargeItem.partOf") if parts else None

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = known_visit(visit)
        who.must_be_patient_of(desk, known)
        return [charge if isinstance(charge, Charge) or of is None else replace(charge, of=_line_named(known, of))]

    def id_(visit: Visit) -> str:
        return f"{visit.id}-{place_of_line(visit, line)}"

    return Write(
        kind="ChargeItem",
        visit=target.visit,
        number=target.number,
        commands=commands,
        id=id_,
        line=line,
        patient=who.id_number,
    )


def _charge(desk: Desk, body: Json, line: str) -> Charge | Credit | Adjustment:
    """Give what a ChargeItem charges; which charge it is a part of is filled in when that is known."""
    price = amount_of(cast("Json", body.get("priceOverride") or {}), "ChargeItem.priceOverride")
    coding = next((one for one in dicts(body.get("code"), "coding") if one.get("code")), cast("Json", {}))
    text = cast("Json", body.get("code") or {}).get("text") or coding.get("display")
    period = cast("Json", body.get("occurrencePeriod") or {})
    told = body.get("occurrenceDateTime") or period.get("end") or period.get("start") or body.get("enteredDate")
    at = instant_in(desk, told, "at") or desk.now
    adjusts = str(body.get("overrideReason", "")).strip().lower() == "adjustment"
    if not dicts(body, "partOf"):
        return mapping.charge(line, coding.get("code"), text, price, at)
    if adjusts:
        return mapping.adjustment(line, line, price, at, text)
    if mapping.fen_of(price) >= 0:
        raise unprocessable(
            "ChargeItem.priceOverride.value",
            Text(
                zh="退费金额须小于零。", en='A credit is below zero; a correction has the overrideReason "adjustment".'
            ),
        )
    return mapping.credit(line, line, price, at, text)


def _line_named(visit: Visit, of: Target) -> str:
    """Give the name of the line that `partOf` leads to; whether it is a charge is judged where it is told."""
    if of.line is not None and visit.line(of.line) is not None:
        return of.line
    if of.visit != visit.id or not 1 <= of.place <= len(visit.lines):
        raise unprocessable(
            "ChargeItem.partOf", Text(zh="没有所指的收费项。", en="The visit holds no such charge."), "not-found"
        )
    return visit.lines[of.place - 1].id


def _changed_charge_item(desk: Desk, item_id: str, body: Json, _references: References) -> Write:
    visit_id, _, place = item_id.rpartition("-")
    status = body.get("status")
    who = patient_of(desk, body.get("subject"), body, "ChargeItem.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = known_visit(visit)
        line = _line_at(known, place)
        who.must_be_patient_of(desk, known)
        if status != "entered-in-error":
            _must_say_the_same(desk, line, body)
            return []
        if line.of is not None:
            raise unprocessable(
                "ChargeItem.status",
                Text(zh="退费和调整不能撤销。", en="A credit or adjustment stays; make another adjustment."),
                "business-rule",
            )
        left_fen = known.net_fen(line.id)
        if left_fen <= 0:
            return []
        times = sum(one.of == line.id for one in known.lines)
        return [Credit(f"chengma-void-{place}-{times + 1}", line.id, left_fen, desk.now, line.title)]

    return Write(kind="ChargeItem", visit=visit_id, commands=commands, id=lambda _visit: item_id, patient=who.id_number)


def _line_at(visit: Visit, place: str) -> Line:
    if not place.isdecimal() or not 1 <= int(place[:6]) <= len(visit.lines) or str(int(place)) != place:
        raise nothing_here()
    return visit.lines[int(place) - 1]


def _must_say_the_same(desk: Desk, line: Line, body: Json) -> None:
    """Refuse another price, code or name: what was charged is taken back or adjusted, so that anybody sees it."""
    price_fen = mapping.fen_of(amount_of(cast("Json", body.get("priceOverride") or {}), "ChargeItem.priceOverride"))
    codes = [one.get("code") for one in dicts(body.get("code"), "coding")]
    named = identifier_of(body, desk.system("charge"))
    if price_fen != line.amount_fen or (line.code and codes and line.code not in codes) or named not in (None, line.id):
        raise unprocessable(
            "ChargeItem",
            Text(
                zh="收费项不能修改，请退费或调整。",
                en="A charge stays as it was told; tell a credit or an adjustment of it.",
            ),
            "business-rule",
        )


# ── PaymentNotice, CoverageEligibilityRequest ──


def _new_payment_notice(desk: Desk, body: Json, references: References) -> Write:
    if body.get("status") != "active":
        raise wrong_status("PaymentNotice")
    name = mapping.name_of(identifier_of(body, desk.system("payment")), "payment")
    target = visit_of(desk, body, ("request",), references, "PaymentNotice")
    amount = amount_of(cast("Json", body.get("amount") or {}), "PaymentNotice.amount")
    mapping.positive_fen_of(amount)
    at = instant_in(desk, body.get("created"), "at") or desk.now
    paid = mapping.paid_at_counter(name, amount, at)

    def commands(visit: Visit | None) -> Sequence[Command]:
        known_visit(visit)
        return [paid]

    def id_(visit: Visit) -> str:
        return f"{visit.id}-{place_of_payment(visit, name)}"

    return Write(kind="PaymentNotice", visit=target.visit, number=target.number, commands=commands, id=id_)


def _enquiry(desk: Desk, body: Json, _references: References) -> Enquiry:
    if body.get("status") != "active":
        raise wrong_status("CoverageEligibilityRequest")
    who = patient_of(desk, body.get("patient"), body, "CoverageEligibilityRequest.patient")
    if who.id_number is None:
        raise mapping.missing("patient")
    named = identifier_of(body, desk.system("eligibility"))
    number = None if named is None else mapping.name_of(named, "visit")
    categories = [cast("Json", one.get("category") or {}) for one in dicts(body, "item")]
    codes = [str(coding.get("code")) for category in categories for coding in dicts(category, "coding")]
    kinds: set[VisitKind] = {mapping.kind_of(code) for code in codes}
    if len(kinds) > 1:
        raise unprocessable(
            "CoverageEligibilityRequest.item",
            Text(zh="一次询问一种就诊类别。", en="Ask about one class of visit at a time."),
        )
    kind: VisitKind = kinds.pop() if kinds else "outpatient"
    return Enquiry(number, who.id_number, kind)


_CHARGE_ITEM = {
    "visit": "ChargeItem.context",
    "patient": "ChargeItem.subject",
    "line": "ChargeItem.identifier",
    "of": "ChargeItem.partOf",
    "code": "ChargeItem.code",
    "title": "ChargeItem.code.text",
    "amount": "ChargeItem.priceOverride.value",
    "at": "ChargeItem.occurrence",
}
_PAYMENT_NOTICE = {
    "visit": "PaymentNotice.request",
    "payment": "PaymentNotice.identifier",
    "amount": "PaymentNotice.amount.value",
    "at": "PaymentNotice.created",
}
_ENQUIRY = {
    "visit": "CoverageEligibilityRequest.identifier",
    "patient": "CoverageEligibilityRequest.patient",
    "class": "CoverageEligibilityRequest.item.category",
}

read_charge_item: Read = at_paths(_new_charge_item, _CHARGE_ITEM)
change_charge_item: Change = at_paths(_changed_charge_item, _CHARGE_ITEM)
read_payment_notice: Read = at_paths(_new_payment_notice, _PAYMENT_NOTICE)
read_enquiry: Callable[[Desk, Json, References], Enquiry] = at_paths(_enquiry, _ENQUIRY)
