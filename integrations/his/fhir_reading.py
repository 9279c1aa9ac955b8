"""What hospitals' resources say: each becomes the Commands that bring a visit to what it describes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.commands import (
    Adjustment,
    CancelVisit,
    ChangeVisit,
    Charge,
    CloseVisit,
    Command,
    Credit,
    ReopenVisit,
)
from backend.services.medical_credit.model.problems import UnknownVisit
from backend.services.medical_credit.model.visit import Line, Visit
from backend.text import Text
from integrations.his import mapping
from integrations.his.fhir_desk import Desk, Json, nothing_here
from integrations.his.fhir_outcome import unmapped, unprocessable
from integrations.his.fhir_references import (
    References,
    Target,
    dicts,
    follow,
    identifier_of,
    patient_of,
    target_of_number,
    visit_of,
)
from integrations.his.fhir_resources import account_status, place_of_line, place_of_payment

ESTIMATE = "urn:chengma:fhir:estimated-share"
"""The extension of an Encounter in which a hospital tells what it expects the patient's own share to be."""

RUNNING = ("planned", "arrived", "triaged", "in-progress", "onleave")
CALLED_OFF = ("cancelled", "entered-in-error")


class Write(Struct, frozen=True):
    """What a resource asks to be done to the visit of this id.

    `commands` gives what is to be told of the visit as it stands, `id` the resource's id once that is done. `patient` is
    the ID number of whom the resource speaks, where that must be the visit's own patient.
    """

    kind: str
    visit: str
    commands: Callable[[Visit | None], Sequence[Command]]
    id: Callable[[Visit], str]
    number: str = ""
    line: str | None = None
    patient: str | None = None
    if_match: str | None = None


class Enquiry(Struct, frozen=True):
    """What is asked about a person, under the hospital's `number` for the request, if it has one."""

    number: str | None
    id_number: str
    kind: VisitKind


Read = Callable[[Desk, Json, References], Write]
Change = Callable[[Desk, str, Json, References], Write]


def _at_paths(read: Callable[..., Any], paths: Mapping[str, str]) -> Callable[..., Any]:
    """Say of a reader where in its resource stands what cannot be mapped."""

    def read_at_paths(*arguments: Any) -> Any:  # noqa: ANN401  as `read` has them
        try:
            return read(*arguments)
        except mapping.Unmappable as error:
            raise unmapped(error, paths[error.where]) from error

    return read_at_paths


# ── Encounter ──


def _new_encounter(desk: Desk, body: Json, _references: References) -> Write:
    status = str(body.get("status"))
    if status not in (*RUNNING, "finished"):
        raise _status("Encounter")
    number = mapping.name_of(identifier_of(body, desk.system("visit")), "visit")
    period = cast("Json", body.get("period") or {})
    opened_at = _at(desk, period.get("start"), "opened_at") or desk.now
    class_ = cast("Json", body.get("class") or {}).get("code")
    who = patient_of(desk, body.get("subject"), body, "Encounter.subject")
    if who.id_number is None:
        raise mapping.missing("patient")
    opening = mapping.open_visit(who.id_number, class_, opened_at, _estimate(body))
    closed_at = _at(desk, period.get("end"), "closed_at") or desk.now

    def commands(visit: Visit | None) -> Sequence[Command]:
        ends = visit is None and status == "finished"
        return [opening, CloseVisit(closed_at)] if ends else [opening]

    target = target_of_number(desk, number)
    return Write(kind="Encounter", visit=target.visit, number=number, commands=commands, id=_visit_id)


def _changed_encounter(desk: Desk, visit_id: str, body: Json, _references: References) -> Write:
    status = str(body.get("status"))
    if status not in (*RUNNING, *CALLED_OFF, "finished"):
        raise _status("Encounter")
    kind = mapping.kind_of(cast("Json", body.get("class") or {}).get("code"))
    period = cast("Json", body.get("period") or {})
    opened_at, ended_at = _at(desk, period.get("start"), "opened_at"), _at(desk, period.get("end"), "closed_at")
    who = patient_of(desk, body.get("subject"), body, "Encounter.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = _known(visit)
        _must_be_named(desk, known, body, "Encounter")
        who.must_be_patient_of(desk, known)
        if status in CALLED_OFF:
            return [CancelVisit()]
        told: list[Command] = []
        change = ChangeVisit(
            kind if kind != known.kind else None,
            opened_at if opened_at != known.opened_at else None,
            who.id_number,
        )
        if change != ChangeVisit():
            told.append(change)
        if status == "finished":
            if known.closed_at is None:
                told.append(CloseVisit(ended_at or desk.now))
            elif ended_at not in (None, known.closed_at):
                raise unprocessable(
                    "Encounter.period.end",
                    Text(zh="就诊结束时间不能更改。", en="The end of a visit stays; reopen the visit first."),
                )
        elif known.closed_at is not None or known.cancelled_at is not None:
            told.append(ReopenVisit())
        return told

    return Write(kind="Encounter", visit=visit_id, commands=commands, id=_visit_id)


def _estimate(body: Json) -> Decimal | int | None:
    for extension in dicts(body, "extension"):
        if extension.get("url") == ESTIMATE:
            return _amount(cast("Json", extension.get("valueMoney") or {}), "Encounter.extension.valueMoney")
    return None


# ── Account ──


def _new_account(desk: Desk, body: Json, references: References) -> Write:
    number = mapping.name_of(identifier_of(body, desk.system("visit")), "visit")
    who = patient_of(desk, (dicts(body, "subject") or [None])[0], body, "Account.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        if visit is None:
            raise unprocessable(
                "Account.identifier",
                Text(
                    zh="账户随就诊建立，请先登记就诊。",
                    en="An account comes with its visit; create the Encounter first.",
                ),
                "not-found",
            )
        who.must_be_patient_of(desk, visit)
        return []

    del references
    visit_id = target_of_number(desk, number).visit
    return Write(kind="Account", visit=visit_id, number=number, commands=commands, id=_visit_id, patient=who.id_number)


def _changed_account(desk: Desk, visit_id: str, body: Json, _references: References) -> Write:
    status = str(body.get("status"))
    if status not in ("active", "inactive", "entered-in-error"):
        raise _status("Account")
    period = cast("Json", body.get("servicePeriod") or {})
    ended_at = _at(desk, period.get("end"), "closed_at")
    who = patient_of(desk, (dicts(body, "subject") or [None])[0], body, "Account.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = _known(visit)
        _must_be_named(desk, known, body, "Account")
        who.must_be_patient_of(desk, known)
        stands = account_status(known, desk.now)
        if status == stands:
            return []
        if status == "entered-in-error":
            return [CancelVisit()]
        if status == "inactive":
            return [CloseVisit(known.closed_at or ended_at or desk.now, final=True)]
        return [ReopenVisit()]

    return Write(kind="Account", visit=visit_id, commands=commands, id=_visit_id, patient=who.id_number)


# ── ChargeItem ──


def _new_charge_item(desk: Desk, body: Json, references: References) -> Write:
    if body.get("status") not in ("billable", "billed"):
        raise _status("ChargeItem")
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
        known = _known(visit)
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
    price = _amount(cast("Json", body.get("priceOverride") or {}), "ChargeItem.priceOverride")
    coding = next((one for one in dicts(body.get("code"), "coding") if one.get("code")), cast("Json", {}))
    text = cast("Json", body.get("code") or {}).get("text") or coding.get("display")
    period = cast("Json", body.get("occurrencePeriod") or {})
    told = body.get("occurrenceDateTime") or period.get("end") or period.get("start") or body.get("enteredDate")
    at = _at(desk, told, "at") or desk.now
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
        known = _known(visit)
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
    price_fen = mapping.fen_of(_amount(cast("Json", body.get("priceOverride") or {}), "ChargeItem.priceOverride"))
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
        raise _status("PaymentNotice")
    name = mapping.name_of(identifier_of(body, desk.system("payment")), "payment")
    target = visit_of(desk, body, ("request",), references, "PaymentNotice")
    amount = _amount(cast("Json", body.get("amount") or {}), "PaymentNotice.amount")
    mapping.positive_fen_of(amount)
    at = _at(desk, body.get("created"), "at") or desk.now
    paid = mapping.paid_at_counter(name, amount, at)

    def commands(visit: Visit | None) -> Sequence[Command]:
        _known(visit)
        return [paid]

    def id_(visit: Visit) -> str:
        return f"{visit.id}-{place_of_payment(visit, name)}"

    return Write(kind="PaymentNotice", visit=target.visit, number=target.number, commands=commands, id=id_)


def _enquiry(desk: Desk, body: Json, _references: References) -> Enquiry:
    if body.get("status") != "active":
        raise _status("CoverageEligibilityRequest")
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


# ── parts ──


def _known(visit: Visit | None) -> Visit:
    if visit is None:
        raise UnknownVisit(Text(zh="没有该就诊记录。", en="There is no such visit."))
    return visit


def _visit_id(visit: Visit) -> str:
    return visit.id


def _must_be_named(desk: Desk, visit: Visit, body: Json, kind: str) -> None:
    if identifier_of(body, desk.system("visit")) not in (None, visit.number):
        raise unprocessable(f"{kind}.identifier", Text(zh="就诊号不能更改。", en="The number of a visit stays."))


def _status(kind: str) -> Exception:
    text = Text(zh="此处不支持该状态。", en="This status has no meaning here.")
    return unprocessable(f"{kind}.status", text, "not-supported")


def _amount(money: Json, path: str) -> Decimal | int | None:
    if money.get("currency") not in (None, "CNY"):
        raise unprocessable(f"{path}.currency", Text(zh="金额须为人民币。", en="Amounts are in CNY."))
    value = money.get("value")
    assert value is None or isinstance(value, Decimal | int), "the model has looked at it"
    return value


def _at(desk: Desk, text: object, where: mapping.Where) -> datetime | None:
    return None if text is None else mapping.instant_of(str(text), desk.zone, where)


_ENCOUNTER = {
    "visit": "Encounter.identifier",
    "patient": "Encounter.subject",
    "class": "Encounter.class",
    "opened_at": "Encounter.period.start",
    "closed_at": "Encounter.period.end",
    "estimate": "Encounter.extension.valueMoney.value",
}
_ACCOUNT = {"visit": "Account.identifier", "patient": "Account.subject", "closed_at": "Account.servicePeriod.end"}
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

read_encounter: Read = _at_paths(_new_encounter, _ENCOUNTER)
change_encounter: Change = _at_paths(_changed_encounter, _ENCOUNTER)
read_account: Read = _at_paths(_new_account, _ACCOUNT)
change_account: Change = _at_paths(_changed_account, _ACCOUNT)
read_charge_item: Read = _at_paths(_new_charge_item, _CHARGE_ITEM)
change_charge_item: Change = _at_paths(_changed_charge_item, _CHARGE_ITEM)
read_payment_notice: Read = _at_paths(_new_payment_notice, _PAYMENT_NOTICE)
read_enquiry: Callable[[Desk, Json, References], Enquiry] = _at_paths(_enquiry, _ENQUIRY)
