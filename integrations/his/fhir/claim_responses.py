"""Parse ClaimResponses into reports of what the hospital settled, or cancelled, at the insurance."""

from collections.abc import Sequence
from decimal import Decimal
from typing import cast

from backend.i18n import Text
from backend.services.medical_credit.model.commands import Command
from backend.services.medical_credit.model.visit import Visit
from integrations.his import mapping
from integrations.his.fhir.claim_response import settlement_position
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import (
    instant_in,
    locate_errors,
    money_value,
    objects_in,
    unsupported_status,
)
from integrations.his.fhir.operation_outcome import resource_not_found, unprocessable
from integrations.his.fhir.references import (
    VISIT_RESOURCE_TYPES,
    References,
    ReferenceTarget,
    parse_patient,
    resolve_reference,
)
from integrations.his.fhir.representation import Json
from integrations.his.fhir.visit_writes import CreateParser, UpdateParser, VisitWrite, existing_visit
from integrations.his.mapping import Element
from integrations.his.settlements import build_cancellation, build_settlement

_TOTALS: dict[str, Element] = {
    "medical-fee": "medical_fee",
    "fund": "fund",
    "hospital": "hospital_part",
    "own-account": "account",
    "family-account": "family_account",
    "cash": "cash",
}
"""The element of each code of `total.category`."""


def _parse_new_claim_response(context: RequestContext, resource: Json, references: References) -> VisitWrite:
    if resource.get("status") != "active" or resource.get("outcome") != "complete":
        raise unsupported_status("ClaimResponse")
    settlement_id = mapping.parse_identifier(_settlement_id(context, resource), "settlement")
    target = _visit_of(context, resource, references)
    patient = parse_patient(context, resource.get("patient"), resource, "ClaimResponse.patient")
    at = instant_in(context, resource.get("created"), "settled_at") or context.now
    report = build_settlement(settlement_id, _registration(context, resource), _amounts(resource), at)

    def commands(visit: Visit | None) -> Sequence[Command]:
        existing_visit(visit)
        return [report]

    def resource_id(visit: Visit) -> str:
        return f"{visit.id}-{settlement_position(visit, settlement_id)}"

    return VisitWrite(
        resource_type="ClaimResponse",
        visit_id=target.visit_id,
        visit_number=target.visit_number,
        commands=commands,
        resource_id=resource_id,
        patient=patient,
    )


def _visit_of(context: RequestContext, resource: Json, references: References) -> ReferenceTarget:
    """Return the visit that `request` names, by the number of the claim or by a reference to a visit's resource."""
    request = cast("Json", resource.get("request") or {})
    if "reference" not in request and "identifier" in request:
        request = {"identifier": request["identifier"]}  # of the claim, which has the number of its visit
    return resolve_reference(context, request, VISIT_RESOURCE_TYPES, references, "ClaimResponse.request")


def _settlement_id(context: RequestContext, resource: Json) -> str | None:
    """Return the insurance's number of the settlement (setl_id): the identifier in its system, or else the first."""
    found = [one for one in objects_in(resource, "identifier") if one.get("system") != context.system("registration")]
    ours = [one for one in found if one.get("system") == context.system("settlement")]
    return next((str(one["value"]) for one in (*ours, *found) if one.get("value")), None)


def _registration(context: RequestContext, resource: Json) -> str | None:
    """Return the insurance's number of the registration (mdtrt_id), the identifier in a system of its own."""
    system = context.system("registration")
    found = (one.get("value") for one in objects_in(resource, "identifier") if one.get("system") == system)
    return next((one for one in found if isinstance(one, str)), None)


def _amounts(resource: Json) -> dict[Element, Decimal | int | None]:
    found: dict[Element, Decimal | int | None] = {}
    for number, total in enumerate(objects_in(resource, "total")):
        path = f"ClaimResponse.total[{number}]"
        codes = [str(coding.get("code")) for coding in objects_in(total.get("category"), "coding")]
        element: Element | None = next((_TOTALS[code] for code in codes if code in _TOTALS), None)
        if element is None or element in found:
            names = ", ".join(_TOTALS)
            raise unprocessable(
                f"{path}.category",
                Text(
                    zh=f"须为以下编码之一，且不重复：{names}。", en=f"This must be one of {names}, each at most once."
                ),
            )
        found[element] = money_value(cast("Json", total.get("amount") or {}), f"{path}.amount")
    return found


def _parse_claim_response_update(
    context: RequestContext, resource_id: str, resource: Json, _references: References
) -> VisitWrite:
    status, (visit_id, _, suffix) = resource.get("status"), resource_id.rpartition("-")
    if status not in ("active", "cancelled"):
        raise unsupported_status("ClaimResponse")
    position = int(suffix) if suffix.isdecimal() and suffix.isascii() and len(suffix) <= len("100") else 0
    patient = parse_patient(context, resource.get("patient"), resource, "ClaimResponse.patient")

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = existing_visit(visit)
        if not 1 <= position <= len(known.hospital_settlements()):
            raise resource_not_found()
        settlement = known.hospital_settlements()[position - 1]
        is_cancelled = position <= len(known.cancelled_settlements)
        if status == "cancelled":
            return [build_cancellation(settlement.split.settlement_id)]
        if is_cancelled:
            text = Text(
                zh="结算已撤销，请报送新的结算。",
                en="This settlement was cancelled; report the new settlement as a ClaimResponse of its own.",
            )
            raise unprocessable("ClaimResponse.status", text)
        settled_at = settlement.settled_at or settlement.at
        report = build_settlement(
            settlement.split.settlement_id, settlement.registration, _amounts(resource), settled_at
        )
        return [report]

    return VisitWrite(
        resource_type="ClaimResponse",
        visit_id=visit_id,
        commands=commands,
        resource_id=lambda _visit: resource_id,
        patient=patient,
    )


_PATHS = {
    "visit": "ClaimResponse.request",
    "patient": "ClaimResponse.patient",
    "settlement": "ClaimResponse.identifier",
    "registration": "ClaimResponse.identifier",
    "settled_at": "ClaimResponse.created",
    **{element: f"ClaimResponse.total.where(category.coding.code = '{code}')" for code, element in _TOTALS.items()},
}
parse_new_claim_response: CreateParser = locate_errors(_parse_new_claim_response, _PATHS)
parse_claim_response_update: UpdateParser = locate_errors(_parse_claim_response_update, _PATHS)
