"""Parse PaymentNotices into payments at the hospital's counter, and their withdrawals."""

from collections.abc import Sequence
from typing import cast

from backend.i18n import Text
from backend.services.medical_credit.model.commands import Command, WithdrawCounterPayment
from backend.services.medical_credit.model.visit import CounterPayment, Visit
from integrations.his import mapping
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import (
    instant_in,
    locate_errors,
    money_value,
    unsupported_status,
)
from integrations.his.fhir.identifiers import contradicts, require_identifier
from integrations.his.fhir.operation_outcome import resource_not_found, unprocessable
from integrations.his.fhir.references import References, resolve_visit
from integrations.his.fhir.representation import Json
from integrations.his.fhir.resources import payment_position
from integrations.his.fhir.visit_writes import CreateParser, UpdateParser, VisitWrite, existing_visit

WITHDRAWN = ("cancelled", "entered-in-error")


def _parse_new_payment_notice(context: RequestContext, resource: Json, references: References) -> VisitWrite:
    if resource.get("status") != "active":
        raise unsupported_status("PaymentNotice")
    payment_id = require_identifier(context.hospital, resource, "payment")
    target = resolve_visit(context, resource, ("request",), references, "PaymentNotice")
    at = instant_in(context, resource.get("created"), "occurred_at") or context.now
    payment = CounterPayment(payment_id, _amount_fen(resource), at)

    def commands(visit: Visit | None) -> Sequence[Command]:
        existing_visit(visit)
        return [payment]

    def resource_id(visit: Visit) -> str:
        return f"{visit.id}-{payment_position(visit, payment_id)}"

    return VisitWrite(
        resource_type="PaymentNotice",
        visit_id=target.visit_id,
        visit_number=target.visit_number,
        commands=commands,
        resource_id=resource_id,
    )


def _parse_payment_notice_update(
    context: RequestContext, notice_id: str, resource: Json, _references: References
) -> VisitWrite:
    visit_id, _, position = notice_id.rpartition("-")
    status, amount_fen = resource.get("status"), _amount_fen(resource)
    if status not in ("active", *WITHDRAWN):
        raise unsupported_status("PaymentNotice")

    def commands(visit: Visit | None) -> Sequence[Command]:
        paid = _payment_at(existing_visit(visit), position)
        is_active = status == "active"
        is_other = contradicts(context.hospital, resource, "payment", paid.id)
        if is_other or (is_active and (amount_fen != paid.amount_fen or paid.withdrawn_at is not None)):
            raise unprocessable(
                "PaymentNotice",
                Text(
                    zh="窗口支付不能更改或恢复，请撤销后以新的编号重新报告。",
                    en="A payment cannot be changed or restored; withdraw it, and report another one.",
                ),
                "business-rule",
            )
        return [] if is_active else [WithdrawCounterPayment(paid.id, amount_fen, mistaken=status == "entered-in-error")]

    return VisitWrite(
        resource_type="PaymentNotice", visit_id=visit_id, commands=commands, resource_id=lambda _visit: notice_id
    )


def _payment_at(visit: Visit, position: str) -> CounterPayment:
    names = {str(number): one for number, one in enumerate(visit.counter_payments, 1)}
    if position not in names:
        raise resource_not_found()
    return names[position]


def _amount_fen(resource: Json) -> int:
    amount = money_value(cast("Json", resource.get("amount") or {}), "PaymentNotice.amount")
    return mapping.positive_fen_from_yuan(amount)


_PATHS = {
    "visit": "PaymentNotice.request",
    "payment": "PaymentNotice.identifier",
    "amount": "PaymentNotice.amount.value",
    "occurred_at": "PaymentNotice.created",
}
parse_new_payment_notice: CreateParser = locate_errors(_parse_new_payment_notice, _PATHS)
parse_payment_notice_update: UpdateParser = locate_errors(_parse_payment_notice_update, _PATHS)
