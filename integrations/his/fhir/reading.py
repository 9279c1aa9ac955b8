"""What hospitals' resources say: each becomes the Commands that bring a visit to what it describes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from msgspec import Struct

from backend.i18n import Text
from backend.services.medical_credit.model.commands import (
    CancelVisit,
    ChangeVisit,
    CloseVisit,
    Command,
    ReopenVisit,
)
from backend.services.medical_credit.model.problems import UnknownVisit
from backend.services.medical_credit.model.visit import Visit
from integrations.his import mapping
from integrations.his.fhir.exchange import Desk, Json
from integrations.his.fhir.outcome import Unprocessable, unmapped, unprocessable
from integrations.his.fhir.references import (
    References,
    dicts,
    identifier_of,
    patient_of,
    target_of_number,
)
from integrations.his.fhir.resources import account_status

ESTIMATE = "urn:chengma:fhir:estimated-share"
"""The extension of an Encounter in which a hospital tells what it expects the patient to pay."""

RUNNING = ("planned", "arrived", "triaged", "in-progress", "onleave")
CALLED_OFF = ("cancelled", "entered-in-error")


class Write(Struct, frozen=True):
    """What a resource asks to be done to the visit of this id.

    `commands` gives what is to be told of the visit as it stands, `id` the resource's id once that is done. `patient`
    is the ID number of whom the resource speaks, where that must be the visit's own patient.
    """

    kind: str
    visit: str
    commands: Callable[[Visit | None], Sequence[Command]]
    id: Callable[[Visit], str]
    number: str = ""
    line: str | None = None
    patient: str | None = None
    if_match: str | None = None


Read = Callable[[Desk, Json, References], Write]
Change = Callable[[Desk, str, Json, References], Write]


def at_paths(read: Callable[..., Any], paths: Mapping[str, str]) -> Callable[..., Any]:
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
        raise wrong_status("Encounter")
    number = mapping.name_of(identifier_of(body, desk.system("visit")), "visit")
    period = cast("Json", body.get("period") or {})
    opened_at = instant_in(desk, period.get("start"), "opened_at") or desk.now
    class_ = cast("Json", body.get("class") or {}).get("code")
    who = patient_of(desk, body.get("subject"), body, "Encounter.subject")
    if who.id_number is None:
        raise mapping.missing("patient")
    opening = mapping.open_visit(who.id_number, class_, opened_at, _estimate(body))
    closed_at = instant_in(desk, period.get("end"), "closed_at") or desk.now

    def commands(visit: Visit | None) -> Sequence[Command]:
        ends = visit is None and status == "finished"
        return [opening, CloseVisit(closed_at)] if ends else [opening]

    target = target_of_number(desk, number)
    return Write(kind="Encounter", visit=target.visit, number=number, commands=commands, id=_visit_id)


def _changed_encounter(desk: Desk, visit_id: str, body: Json, _references: References) -> Write:
    status = str(body.get("status"))
    if status not in (*RUNNING, *CALLED_OFF, "finished"):
        raise wrong_status("Encounter")
    kind = mapping.kind_of(cast("Json", body.get("class") or {}).get("code"))
    period = cast("Json", body.get("period") or {})
    opened_at, ended_at = (
        instant_in(desk, period.get("start"), "opened_at"),
        instant_in(desk, period.get("end"), "closed_at"),
    )
    who = patient_of(desk, body.get("subject"), body, "Encounter.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = known_visit(visit)
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
            return amount_of(cast("Json", extension.get("valueMoney") or {}), "Encounter.extension.valueMoney")
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
        raise wrong_status("Account")
    period = cast("Json", body.get("servicePeriod") or {})
    ended_at = instant_in(desk, period.get("end"), "closed_at")
    who = patient_of(desk, (dicts(body, "subject") or [None])[0], body, "Account.subject")

    def commands(visit: Visit | None) -> Sequence[Command]:
        known = known_visit(visit)
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


# ── parts ──


def known_visit(visit: Visit | None) -> Visit:
    """Give the visit that must be there. Raises UnknownVisit."""
    if visit is None:
        raise UnknownVisit(Text(zh="没有该就诊记录。", en="There is no such visit."))
    return visit


def _visit_id(visit: Visit) -> str:
    return visit.id


def _must_be_named(desk: Desk, visit: Visit, body: Json, kind: str) -> None:
    if identifier_of(body, desk.system("visit")) not in (None, visit.number):
        raise unprocessable(f"{kind}.identifier", Text(zh="就诊号不能更改。", en="The number of a visit stays."))


def wrong_status(kind: str) -> Unprocessable:
    """Give the Problem for a status that means nothing here."""
    text = Text(zh="此处不支持该状态。", en="This status has no meaning here.")
    return unprocessable(f"{kind}.status", text, "not-supported")


def amount_of(money: Json, path: str) -> Decimal | int | None:
    """Give the value of a Money at a FHIRPath, in yuan. Raises Unprocessable for another currency."""
    if money.get("currency") not in (None, "CNY"):
        raise unprocessable(f"{path}.currency", Text(zh="金额须为人民币。", en="Amounts are in CNY."))
    value = money.get("value")
    assert value is None or isinstance(value, Decimal | int), "the model has looked at it"
    return value


def instant_in(desk: Desk, text: object, where: mapping.Where) -> datetime | None:
    """Give the instant that a resource tells, if it does. Raises Unmappable."""
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
read_encounter: Read = at_paths(_new_encounter, _ENCOUNTER)
change_encounter: Change = at_paths(_changed_encounter, _ENCOUNTER)
read_account: Read = at_paths(_new_account, _ACCOUNT)
change_account: Change = at_paths(_changed_account, _ACCOUNT)
