"""Handlers for operators and approvers: reconcile a hospital's day, repair its differences, check emergencies."""

from collections.abc import Sequence
from datetime import date

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from backend.city.audit_log import Act, new_act, record_act, with_acts
from backend.city.conflict_of_interest import ConflictOfInterest, refuse_own_case
from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable, answer_required
from backend.paylater import repairs
from backend.paylater.details import RepairSelection
from backend.paylater.problems import NotAccepted, SamePerson
from backend.security.identity import CitizenRequest, role_guard
from backend.services.medical_credit.api.consent_schemas import EmergencyAccessDetails, EmergencyAccessList
from backend.services.medical_credit.api.schemas import (
    HospitalFile,
    ReconciliationDetails,
    ReconciliationList,
    reconciliation_details,
    reconciliation_summary,
)
from backend.services.medical_credit.model.emergency_access import EmergencyAccess
from backend.services.medical_credit.model.hospital_file import InvalidFile
from backend.services.medical_credit.model.reconciliation import Reconciliation
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.reconciliation import (
    find_hospital,
    find_reconciliation,
    our_records,
    reconcile,
    repair_saga,
    update_reconciliation,
)
from backend.store import Order
from backend.store.time import from_ms

NEWEST = Order("at_ms", "descending")

operator, approver = role_guard("operator"), role_guard("approver")

PAGE = 31


@put("/v1/reconciliations/{hospital:str}/{day:str}", guards=[operator], problems=(InvalidFile, UpstreamUnavailable))
async def reconcile_day(
    data: JSONBody[HospitalFile],
    request: CitizenRequest,
    city: NamedDependency[City],
    hospital: FromPath[str],
    day: FromPath[date],
) -> ReconciliationDetails:
    """Compare a hospital's file of a day with our visits, the insurance and the bank. It can be repeated."""
    act = _day_act(city, request, "medical_credit.day_reconciled", hospital, day)
    with answer_required(
        zh="医保或银行暂无应答，请1分钟后再试。",
        en="The insurance or the bank does not answer; please try again in a minute.",
    ):
        return reconciliation_details(await reconcile(city, await find_hospital(city, hospital), day, data.file, act))


@get("/v1/reconciliations/{hospital:str}", guards=[operator])
async def list_reconciliations(
    city: NamedDependency[City], hospital: FromPath[str], cursor: FromQuery[str | None] = None
) -> ReconciliationList:
    """List the reconciled days of a hospital, newest first."""
    newest = Order("day", "descending")
    page = await city.store.find(Reconciliation, {"hospital": hospital}, order=newest, cursor=cursor, limit=PAGE)
    return ReconciliationList([reconciliation_summary(one) for one in page.documents], page.cursor)


@get("/v1/reconciliations/{hospital:str}/{day:str}", guards=[operator])
async def show_reconciliation(
    request: CitizenRequest, city: NamedDependency[City], hospital: FromPath[str], day: FromPath[date]
) -> ReconciliationDetails:
    """Show the reconciliation of a hospital's day."""
    found = await find_reconciliation(city, hospital, day)
    await record_act(city, _day_act(city, request, "medical_credit.day_read", hospital, day))
    return reconciliation_details(found)


@get("/v1/reconciliations/{hospital:str}/{day:str}/file", guards=[operator], media_type="text/csv")
async def export_our_records(
    request: CitizenRequest, city: NamedDependency[City], hospital: FromPath[str], day: FromPath[date]
) -> Response[str]:
    """Export our records of a hospital's day in the format of its file."""
    await record_act(city, _day_act(city, request, "medical_credit.records_exported", hospital, day))
    text = await our_records(city, await find_hospital(city, hospital), day)
    return Response(text, media_type="text/csv", headers={"Cache-Control": "no-store"})


@post(
    "/v1/reconciliations/{hospital:str}/{day:str}/acceptances",
    guards=[operator],
    status_code=200,
    problems=(NotAccepted, ConflictOfInterest),
)
async def accept_repairs(
    data: JSONBody[RepairSelection],
    request: CitizenRequest,
    city: NamedDependency[City],
    hospital: FromPath[str],
    day: FromPath[date],
) -> ReconciliationDetails:
    """Accept the proposed repairs of differences; another person must approve them."""
    acts = await _repair_acts(city, request, "medical_credit.repair_accepted", hospital, day, data.differences)
    found = await update_reconciliation(
        city,
        hospital,
        day,
        lambda found, now: with_acts(repairs.accept_repairs(found, data.differences, request.user, now), acts),
    )
    return reconciliation_details(found)


@post(
    "/v1/reconciliations/{hospital:str}/{day:str}/approvals",
    guards=[approver],
    status_code=200,
    problems=(NotAccepted, SamePerson, ConflictOfInterest),
)
async def approve_repairs(
    data: JSONBody[RepairSelection],
    request: CitizenRequest,
    city: NamedDependency[City],
    hospital: FromPath[str],
    day: FromPath[date],
) -> ReconciliationDetails:
    """Approve repairs that another person accepted; they are applied at once, each once."""
    acts = await _repair_acts(city, request, "medical_credit.repair_approved", hospital, day, data.differences)
    found = await update_reconciliation(
        city,
        hospital,
        day,
        lambda found, now: with_acts(repairs.approve_repairs(found, data.differences, request.user, now), acts),
    )
    return reconciliation_details(await repair_saga.run(city, found) or found)


@get("/v1/emergency-accesses", guards=[operator])
async def list_emergency_accesses(
    city: NamedDependency[City], hospital: FromQuery[str | None] = None, cursor: FromQuery[str | None] = None
) -> EmergencyAccessList:
    """List the emergencies in which hospitals used pay later without the person's consent, newest first."""
    wanted = {} if hospital is None else {"hospital": hospital}
    page = await city.store.find(EmergencyAccess, wanted, order=NEWEST, cursor=cursor, limit=PAGE)
    found = [
        EmergencyAccessDetails(
            one.hospital,
            from_ms(one.at_ms),
            one.purpose,
            one.about if one.purpose == "visit" else None,
        )
        for one in page.documents
    ]
    return EmergencyAccessList(found, page.cursor)


def _day_act(city: City, request: CitizenRequest, action: str, hospital: str, day: date) -> Act:
    return new_act(city, request.user, "operator", action, f"{hospital} {day}")


async def _repair_acts(
    city: City, request: CitizenRequest, action: str, hospital: str, day: date, differences: Sequence[str]
) -> list[Act]:
    """Return the act of each repair, about the person whose bill it changes. Raises ConflictOfInterest."""
    found = await find_reconciliation(city, hospital, day)
    visit_of = {one.id: one.visit for one in found.differences if one.id in differences}
    visits = await city.store.get_many(Visit, sorted(set(visit_of.values())))
    for visit in visits.values():
        refuse_own_case(request.user, visit.person)
    role = "approver" if action.endswith("approved") else "operator"
    return [
        new_act(city, request.user, role, action, difference, person=visits[visit].person if visit in visits else "")
        for difference, visit in visit_of.items()
    ]
