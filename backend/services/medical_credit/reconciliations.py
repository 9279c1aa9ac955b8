"""What operators and approvers do with a hospital's day: compare, look, accept repairs, approve them."""

from datetime import date, datetime
from typing import Annotated

from litestar import Request, Response, get, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from backend.city.service import City
from backend.city.upstream import UpstreamTimeout, UpstreamUnavailable
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import AccessClaims, Caller, role_guard
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import InvalidFile
from backend.services.medical_credit.model.reconciliation import Break, Handling, Reconciliation, Totals
from backend.services.medical_credit.reconciliation_page import reconciliation_page
from backend.services.medical_credit.reconciling import (
    NotAccepted,
    SamePerson,
    accept,
    approve,
    find_reconciliation,
    our_side,
    reconcile,
)
from backend.store import Order

StaffRequest = Request[Caller, AccessClaims, State]
PAGE = 31
operator = role_guard("operator")
approver = role_guard("approver")
_POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}


class HospitalFile(Struct, forbid_unknown_fields=True):
    """A hospital's file of a day: the text of the CSV."""

    file: Annotated[str, Meta(min_length=1, max_length=50_000_000)]


class Chosen(Struct, forbid_unknown_fields=True):
    """The ids of breaks."""

    breaks: Annotated[list[Annotated[str, Meta(max_length=32)]], Meta(min_length=1, max_length=500)]


class BreakShown(Struct, frozen=True):
    """A difference, and what became of it."""

    found: Break
    handling: Handling


class DayShown(Struct, frozen=True):
    """A hospital's day: its sums, and what differs. `left_out` counts breaks that were too many to keep."""

    hospital: str
    day: str
    made_at: datetime
    totals: Totals
    open_breaks: int
    breaks: list[BreakShown]
    left_out: int


class DayInList(Struct, frozen=True):
    """A hospital's day in short."""

    day: str
    visits: int
    breaks: int
    open_breaks: int


class Days(Struct, frozen=True):
    """A hospital's days, newest first, and the cursor of the next page; none after the last."""

    days: list[DayInList]
    cursor: str | None


@put(
    "/v1/reconciliations/{hospital:str}/{day:date}",
    guards=[operator],
    problems=(InvalidFile, UpstreamUnavailable),
)
async def reconcile_day(
    data: JSONBody[HospitalFile], city: NamedDependency[City], hospital: FromPath[str], day: FromPath[date]
) -> DayShown:
    """Compare a hospital's file of a day with our visits, the insurance and the bank. It may be done again."""
    try:
        return _shown(await reconcile(city, await _hospital(city, hospital), day, data.file))
    except UpstreamTimeout as error:
        raise UpstreamUnavailable(
            Text(zh="医保或银行暂无应答，请稍后再试。", en="Insurance or bank do not answer now; try again later."),
            headers={"Retry-After": "60"},
        ) from error


@get("/v1/reconciliations/{hospital:str}", guards=[operator])
async def list_days(city: NamedDependency[City], hospital: FromPath[str], cursor: FromQuery[str | None] = None) -> Days:
    """List the days of a hospital that were compared, newest first."""
    newest = Order("day", "descending")
    page = await city.store.find(Reconciliation, {"hospital": hospital}, order=newest, cursor=cursor, limit=PAGE)
    return Days(
        [DayInList(one.day, one.totals.visits, len(one.breaks), len(one.open_breaks())) for one in page.documents],
        page.cursor,
    )


@get("/v1/reconciliations/{hospital:str}/{day:date}", guards=[operator])
async def show_day(city: NamedDependency[City], hospital: FromPath[str], day: FromPath[date]) -> DayShown:
    """Show a hospital's day."""
    return _shown(await find_reconciliation(city, hospital, day))


@get("/v1/reconciliations/{hospital:str}/{day:date}/page", guards=[operator], media_type="text/html")
async def show_page(city: NamedDependency[City], hospital: FromPath[str], day: FromPath[date]) -> Response[str]:
    """Show a hospital's day as a page for people."""
    found = await find_reconciliation(city, hospital, day)
    page = reconciliation_page(found, await _hospital(city, hospital))
    return Response(page, media_type="text/html", headers=_POLICY)


@get("/v1/reconciliations/{hospital:str}/{day:date}/file", guards=[operator], media_type="text/csv")
async def show_our_side(city: NamedDependency[City], hospital: FromPath[str], day: FromPath[date]) -> Response[str]:
    """Give our side of a day in the form of the hospital's file."""
    text = await our_side(city, await _hospital(city, hospital), day)
    return Response(text, media_type="text/csv", headers={"Cache-Control": "no-store"})


@post(
    "/v1/reconciliations/{hospital:str}/{day:date}/acceptances",
    guards=[operator],
    status_code=200,
    problems=(NotAccepted,),
)
async def accept_repairs(
    data: JSONBody[Chosen],
    request: StaffRequest,
    city: NamedDependency[City],
    hospital: FromPath[str],
    day: FromPath[date],
) -> DayShown:
    """Accept the proposed repairs of breaks; another person approves them."""
    return _shown(await accept(city, hospital, day, data.breaks, request.user.account_id))


@post(
    "/v1/reconciliations/{hospital:str}/{day:date}/approvals",
    guards=[approver],
    status_code=200,
    problems=(NotAccepted, SamePerson),
)
async def approve_repairs(
    data: JSONBody[Chosen],
    request: StaffRequest,
    city: NamedDependency[City],
    hospital: FromPath[str],
    day: FromPath[date],
) -> DayShown:
    """Approve repairs that another person accepted; they are carried out at once, each once."""
    return _shown(await approve(city, hospital, day, data.breaks, request.user.account_id))


async def _hospital(city: City, code: str) -> Hospital:
    found = await city.store.get(Hospital, code)
    if found is None:
        raise NotFound(Text(zh="没有该医院。", en="There is no such hospital."))
    return found


def _shown(found: Reconciliation) -> DayShown:
    return DayShown(
        found.hospital,
        found.day,
        found.made_at,
        found.totals,
        len(found.open_breaks()),
        [BreakShown(one, found.handling(one.id)) for one in found.breaks],
        found.left_out,
    )
