"""Parse PaymentNotices into payments at the hospital's counter."""

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from backend.services.medical_credit.model.commands import Command
from backend.services.medical_credit.model.visit import Visit, split_identifier
from integrations.his import mapping
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import (
    instant_in,
    locate_errors,
    money_value,
    unsupported_status,
)
from integrations.his.fhir.identifiers import require_identifier
from integrations.his.fhir.references import References, resolve_visit
from integrations.his.fhir.representation import Json
from integrations.his.fhir.resources import payment_position
from integrations.his.fhir.visit_writes import CreateParser, VisitWrite, existing_visit


def _parse_new_payment_notice(context: RequestContext, resource: Json, references: References) -> VisitWrite:
    if resource.get("status") != "active":
        raise unsupported_status("PaymentNotice")
    payment_id = require_identifier(context.hospital, resource, "payment")
    target = resolve_visit(context, resource, ("request",), references, "PaymentNotice")
    amount = money_value(cast("Json", resource.get("amount") or {}), "PaymentNotice.amount")
    mapping.positive_fen_from_yuan(amount)
    at = instant_in(context, resource.get("created"), "occurred_at") or context.now
    payment = replace(mapping.build_counter_payment(split_identifier(payment_id)[1], amount, at), id=payment_id)

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


_PATHS = {
    "visit": "PaymentNotice.request",
    "payment": "PaymentNotice.identifier",
    "amount": "PaymentNotice.amount.value",
    "occurred_at": "PaymentNotice.created",
}
parse_new_payment_notice: CreateParser = locate_errors(_parse_new_payment_notice, _PATHS)
