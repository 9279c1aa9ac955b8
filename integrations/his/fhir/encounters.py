"""Parse Encounters and Accounts into commands to their visit."""

from collections.abc import Sequence
from decimal import Decimal
from typing import cast

from msgspec.structs import replace

from backend.i18n import Text
from backend.services.medical_credit.model.commands import (
    CancelVisit,
    ChangeVisit,
    CloseVisit,
    Command,
    ReopenVisit,
)
from backend.services.medical_credit.model.visit import Visit
from integrations.his import mapping
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import (
    instant_in,
    locate_errors,
    money_value,
    objects_in,
    unsupported_status,
)
from integrations.his.fhir.identifiers import contradicts, require_identifier
from integrations.his.fhir.operation_outcome import unprocessable
from integrations.his.fhir.references import References, parse_patient, visit_target
from integrations.his.fhir.representation import Json
from integrations.his.fhir.resources import account_status
from integrations.his.fhir.visit_writes import CreateParser, UpdateParser, VisitWrite, existing_visit, visit_id_of

ESTIMATE = "urn:chengma:fhir:estimated-share"
"""The extension of an Encounter with the hospital's estimate of the patient's share."""

IN_PROGRESS = ("arrived", "triaged", "in-progress", "onleave")
CANCELLED = ("cancelled", "entered-in-error")


# ── Encounter ──


def _parse_new_encounter(context: RequestContext, resource: Json, _references: References) -> VisitWrite:
    status = str(resource.get("status"))
    _check_begun(status)
    if status not in (*IN_PROGRESS, "finished"):
        raise unsupported_status("Encounter")
    number = require_identifier(context.hospital, resource, "visit")
    period = cast("Json", resource.get("period") or {})
    opened_at = instant_in(context, period.get("start"), "opened_at") or context.now
    class_ = cast("Json", resource.get("class") or {}).get("code")
    patient = parse_patient(context, resource.get("subject"), resource, "Encounter.subject")
    opening = mapping.build_open_visit(patient.keys(), class_, opened_at, _estimate(resource))
    closed_at = instant_in(context, period.get("end"), "closed_at") or context.now

    def commands(visit: Visit | None) -> Sequence[Command]:
        is_over = visit is None and status == "finished"
        return [opening, CloseVisit(closed_at)] if is_over else [opening]

    return VisitWrite(
        resource_type="Encounter",
        visit_id=visit_target(context, number).visit_id,
        visit_number=number,
        commands=commands,
        resource_id=visit_id_of,
        patient=patient,
    )


def _parse_encounter_update(
    context: RequestContext, visit_id: str, resource: Json, _references: References
) -> VisitWrite:
    status = str(resource.get("status"))
    _check_begun(status)
    if status not in (*IN_PROGRESS, *CANCELLED, "finished"):
        raise unsupported_status("Encounter")
    kind = mapping.visit_kind(cast("Json", resource.get("class") or {}).get("code"))
    period = cast("Json", resource.get("period") or {})
    opened_at = instant_in(context, period.get("start"), "opened_at")
    ended_at = instant_in(context, period.get("end"), "closed_at")
    patient = parse_patient(context, resource.get("subject"), resource, "Encounter.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = existing_visit(visit)
        _check_number(context, known, resource, "Encounter")
        if status in CANCELLED:
            return [CancelVisit()]
        found: list[Command] = []
        change = ChangeVisit(kind if kind != known.kind else None, opened_at if opened_at != known.opened_at else None)
        if patient.document is not None:
            number, of = patient.document.number, patient.document.kind
            change = replace(change, id_number=number, document_kind=of)
        if change != ChangeVisit():
            found.append(change)
        if status == "finished":
            if known.closed_at is None:
                found.append(CloseVisit(ended_at or context.now))
            elif ended_at not in (None, known.closed_at):
                raise unprocessable(
                    "Encounter.period.end",
                    Text(
                        zh="请先重新打开就诊，再更改结束时间。",
                        en="Reopen the visit first to change the end of its period.",
                    ),
                )
        elif known.closed_at is not None or known.cancelled_at is not None:
            found.append(ReopenVisit())
        return found

    return VisitWrite(
        resource_type="Encounter", visit_id=visit_id, commands=commands, resource_id=visit_id_of, patient=patient
    )


def _check_begun(status: str) -> None:
    """Raise Unprocessable for a visit that is only planned: credit is held from its beginning."""
    if status == "planned":
        raise unprocessable(
            "Encounter.status",
            Text(
                zh="预约的就诊请在患者到院后再登记，状态填arrived或in-progress。",
                en="Send a planned visit when the patient has come, with status arrived or in-progress.",
            ),
            "not-supported",
        )


def _estimate(resource: Json) -> Decimal | int | None:
    for extension in objects_in(resource, "extension"):
        if extension.get("url") == ESTIMATE:
            return money_value(cast("Json", extension.get("valueMoney") or {}), "Encounter.extension.valueMoney")
    return None


# ── Account ──


def _parse_new_account(context: RequestContext, resource: Json, references: References) -> VisitWrite:
    number = require_identifier(context.hospital, resource, "visit")
    subject = (objects_in(resource, "subject") or [None])[0]
    patient = parse_patient(context, subject, resource, "Account.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        if visit is None:
            raise unprocessable(
                "Account.identifier",
                Text(
                    zh="请先登记就诊（Encounter）；账户随就诊自动建立。",
                    en="Create the Encounter first; its Account is created with it.",
                ),
                "not-found",
            )
        return []

    del references
    return VisitWrite(
        resource_type="Account",
        visit_id=visit_target(context, number).visit_id,
        visit_number=number,
        commands=commands,
        resource_id=visit_id_of,
        patient=patient,
    )


def _parse_account_update(
    context: RequestContext, visit_id: str, resource: Json, _references: References
) -> VisitWrite:
    status = str(resource.get("status"))
    if status not in ("active", "inactive", "entered-in-error"):
        raise unsupported_status("Account")
    period = cast("Json", resource.get("servicePeriod") or {})
    ended_at = instant_in(context, period.get("end"), "closed_at")
    subject = (objects_in(resource, "subject") or [None])[0]
    patient = parse_patient(context, subject, resource, "Account.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = existing_visit(visit)
        _check_number(context, known, resource, "Account")
        if status == account_status(known, context.now):
            return []
        if status == "entered-in-error":
            return [CancelVisit()]
        if status == "inactive":
            return [CloseVisit(known.closed_at or ended_at or context.now, final=True)]
        return [ReopenVisit()]

    return VisitWrite(
        resource_type="Account",
        visit_id=visit_id,
        commands=commands,
        resource_id=visit_id_of,
        patient=patient,
    )


def _check_number(context: RequestContext, visit: Visit, resource: Json, resource_type: str) -> None:
    if contradicts(context.hospital, resource, "visit", visit.number):
        text = Text(zh="就诊号不能更改。", en="The visit number cannot be changed.")
        raise unprocessable(f"{resource_type}.identifier", text)


_ENCOUNTER_PATHS = {
    "visit": "Encounter.identifier",
    "patient": "Encounter.subject",
    "class": "Encounter.class",
    "opened_at": "Encounter.period.start",
    "closed_at": "Encounter.period.end",
    "estimate": "Encounter.extension.valueMoney.value",
}
_ACCOUNT_PATHS = {
    "visit": "Account.identifier",
    "patient": "Account.subject",
    "closed_at": "Account.servicePeriod.end",
}
parse_new_encounter: CreateParser = locate_errors(_parse_new_encounter, _ENCOUNTER_PATHS)
parse_encounter_update: UpdateParser = locate_errors(_parse_encounter_update, _ENCOUNTER_PATHS)
parse_new_account: CreateParser = locate_errors(_parse_new_account, _ACCOUNT_PATHS)
parse_account_update: UpdateParser = locate_errors(_parse_account_update, _ACCOUNT_PATHS)
