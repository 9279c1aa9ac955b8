"""Parse ChargeItems into charges, credits and adjustments of their visit."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import cast

from msgspec.structs import replace

from backend.i18n import Text
from backend.services.medical_credit.model.commands import Command
from backend.services.medical_credit.model.visit import Explanation, Line, Visit, split_identifier
from integrations.his import mapping
from integrations.his.explanations import CATALOGUE, build_explanation
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import (
    instant_in,
    locate_errors,
    money_value,
    objects_in,
    unsupported_status,
)
from integrations.his.fhir.identifiers import contradicts, require_identifier
from integrations.his.fhir.operation_outcome import resource_not_found, unprocessable
from integrations.his.fhir.references import (
    References,
    ReferenceTarget,
    parse_patient,
    resolve_reference,
    resolve_visit,
)
from integrations.his.fhir.representation import Json
from integrations.his.fhir.resources import line_position
from integrations.his.fhir.visit_writes import CreateParser, UpdateParser, VisitWrite, existing_visit

_PRICE = "ChargeItem.priceOverride"


def _parse_new_charge_item(context: RequestContext, resource: Json, references: References) -> VisitWrite:
    if resource.get("status") not in ("billable", "billed"):
        raise unsupported_status("ChargeItem")
    if resource.get("factorOverride") not in (None, 1):
        text = Text(zh="请直接填写总价，不支持系数。", en="Send the total price; factors are not supported.")
        raise unprocessable("ChargeItem.factorOverride", text)
    line_id = require_identifier(context.hospital, resource, "charge")
    target = resolve_visit(context, resource, ("context", "account"), references, "ChargeItem")
    charge = replace(_parse_price(context, resource, split_identifier(line_id)[1]), id=line_id)
    patient = parse_patient(context, resource.get("subject"), resource, "ChargeItem.subject")
    parents = objects_in(resource, "partOf")
    if len(parents) > 1:
        text = Text(zh="只能引用一条费用明细。", en="A ChargeItem can be part of one charge only.")
        raise unprocessable("ChargeItem.partOf", text)
    parent = (
        resolve_reference(context, parents[0], ("ChargeItem",), references, "ChargeItem.partOf") if parents else None
    )

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = existing_visit(visit)
        if charge.kind == "charge" or parent is None:
            return [charge]
        return [replace(charge, of=_referenced_line(known, parent))]

    def resource_id(visit: Visit) -> str:
        return f"{visit.id}-{line_position(visit, line_id)}"

    return VisitWrite(
        resource_type="ChargeItem",
        visit_id=target.visit_id,
        visit_number=target.visit_number,
        commands=commands,
        resource_id=resource_id,
        patient=patient,
    )


def _parse_price(context: RequestContext, resource: Json, line_id: str) -> Line:
    """Return the line of a ChargeItem; the charge that it is part of is filled in when the visit is known."""
    price = _price(resource)
    codings = [one for one in objects_in(resource.get("code"), "coding") if one.get("code")]
    codings.sort(key=lambda one: one.get("system") == CATALOGUE)
    coding = codings[0] if codings else cast("Json", {})
    text = cast("Json", resource.get("code") or {}).get("text") or coding.get("display")
    period = cast("Json", resource.get("occurrencePeriod") or {})
    occurrence = resource.get("occurrenceDateTime") or period.get("end") or period.get("start")
    at = instant_in(context, occurrence or resource.get("enteredDate"), "occurred_at") or context.now
    is_adjustment = str(resource.get("overrideReason", "")).strip().lower() == "adjustment"
    if not objects_in(resource, "partOf"):
        charge = mapping.build_charge(line_id, coding.get("code"), text, price, at)
        return replace(charge, explanation=_explanation(resource, codings))
    if is_adjustment:
        return mapping.build_adjustment(line_id, line_id, price, at, text)
    if mapping.fen_from_yuan(price) >= 0:
        raise unprocessable(
            f"{_PRICE}.value",
            Text(
                zh="退费金额须小于零；差额调整请将overrideReason填为adjustment。",
                en='The amount of a credit must be below zero; an adjustment needs the overrideReason "adjustment".',
            ),
        )
    return mapping.build_credit(line_id, line_id, price, at, text)


def _explanation(resource: Json, codings: Sequence[Json]) -> Explanation | None:
    """Return what a ChargeItem says of a charge besides its amount."""
    performers = [cast("Json", one.get("actor") or {}) for one in objects_in(resource, "performer")]
    return build_explanation(
        quantity=cast("Json", resource.get("quantity") or {}).get("value"),
        catalogue_code=next((one.get("code") for one in codings if one.get("system") == CATALOGUE), None),
        department=_name_of(cast("Json", resource.get("performingOrganization") or {})),
        doctor=next(map(_name_of, performers), None),
    )


def _name_of(reference: Json) -> object:
    """Return the identifier of a reference, or else its text."""
    return cast("Json", reference.get("identifier") or {}).get("value") or reference.get("display")


def _price(resource: Json) -> Decimal | int | None:
    return money_value(cast("Json", resource.get("priceOverride") or {}), _PRICE)


def _referenced_line(visit: Visit, target: ReferenceTarget) -> str:
    """Return the id of the line that `partOf` references; the visit itself checks whether it is a charge."""
    line_id = target.line_id
    if target.position:
        is_here = target.visit_id == visit.id and target.position <= len(visit.lines)
        found = visit.lines[target.position - 1].id if is_here else None
        line_id = found if line_id in (None, found) else None
    if line_id is None or visit.line(line_id) is None:
        raise unprocessable(
            "ChargeItem.partOf",
            Text(zh="没有找到所引用的费用明细。", en="The visit has no such charge."),
            "not-found",
        )
    return line_id


def _parse_charge_item_update(
    context: RequestContext, item_id: str, resource: Json, _references: References
) -> VisitWrite:
    visit_id, _, position = item_id.rpartition("-")
    is_withdrawn = resource.get("status") == "entered-in-error"
    price_fen = None if is_withdrawn else mapping.fen_from_yuan(_price(resource))
    patient = parse_patient(context, resource.get("subject"), resource, "ChargeItem.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = existing_visit(visit)
        line = _line_at(known, position)
        if not is_withdrawn:
            _check_unchanged(context, line, resource, price_fen)
            return []
        if line.of is not None:
            raise unprocessable(
                "ChargeItem.status",
                Text(
                    zh="退费和差额调整不能撤销，请再做一笔差额调整。",
                    en="A credit or adjustment cannot be withdrawn; send another adjustment.",
                ),
                "business-rule",
            )
        left_fen = known.net_fen(line.id)
        corrections = sum(one.of == line.id for one in known.lines)
        if left_fen <= 0 and (corrections or line.amount_fen):
            return []
        credit_id = f"chengma-void-{position}-{corrections + 1}"
        return [Line(credit_id, "credit", "", line.title, -left_fen, context.now, line.id)]

    return VisitWrite(
        resource_type="ChargeItem",
        visit_id=visit_id,
        commands=commands,
        resource_id=lambda _visit: item_id,
        patient=patient,
    )


def _line_at(visit: Visit, position: str) -> Line:
    if not re.fullmatch("[1-9][0-9]{0,5}", position) or int(position) > len(visit.lines):
        raise resource_not_found()
    return visit.lines[int(position) - 1]


def _check_unchanged(context: RequestContext, line: Line, resource: Json, price_fen: int | None) -> None:
    """Raise Unprocessable for another price, code or identifier: corrections must be visible as lines of their own."""
    codes = [one.get("code") for one in objects_in(resource.get("code"), "coding")]
    code_differs = line.code and codes and line.code not in codes
    if price_fen != line.amount_fen or code_differs or contradicts(context.hospital, resource, "charge", line.id):
        raise unprocessable(
            "ChargeItem",
            Text(
                zh="费用明细不能直接修改，请用退费或差额调整。",
                en="A charge cannot be changed; send a credit or an adjustment.",
            ),
            "business-rule",
        )


_PATHS = {
    "visit": "ChargeItem.context",
    "patient": "ChargeItem.subject",
    "line": "ChargeItem.identifier",
    "original_line": "ChargeItem.partOf",
    "code": "ChargeItem.code.coding.code",
    "title": "ChargeItem.code.text",
    "amount": "ChargeItem.priceOverride.value",
    "occurred_at": "ChargeItem.occurrence",
}
parse_new_charge_item: CreateParser = locate_errors(_parse_new_charge_item, _PATHS)
parse_charge_item_update: UpdateParser = locate_errors(_parse_charge_item_update, _PATHS)
