"""Handlers for hospitals' own systems, with the token of SMART Backend Services: reconcile their days themselves."""

from datetime import date
from typing import cast

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from backend.city.audit_log import Act, new_act, record_act
from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable, answer_required
from backend.problems import BodyTooLarge, FieldError, InvalidRequest, UnsupportedMediaType
from backend.security.identity import Access, CitizenRequest, role_guard
from backend.security.rate_limits import Budget, Charge
from backend.services.medical_credit.api.hospital_schemas import (
    FiledDay,
    HospitalDay,
    HospitalDayList,
    filed_day,
    hospital_day,
    hospital_day_summary,
)
from backend.services.medical_credit.hospital_caller import calling_hospital, missing_scope
from backend.services.medical_credit.model.hospital import DAYS_READ, DAYS_WRITE, Hospital
from backend.services.medical_credit.model.hospital_file import ENCODINGS, InvalidFile, decode_file
from backend.services.medical_credit.model.reconciliation import Reconciliation, reconciliation_id
from backend.services.medical_credit.reconciliation import find_reconciliation, our_records, reconcile
from backend.store import Order

hospital = role_guard("hospital")

PAGE = 31
MAX_FILE_BYTES = 50_000_000
DAY_FILES = Budget("day-files", 60, 3_600)
MEDIA_TYPES = ("text/csv", "application/csv", "text/plain", "application/octet-stream", "application/vnd.ms-excel", "")


@put(
    "/v1/hospital/days/{day:str}/file",
    guards=[hospital],
    request_max_body_size=MAX_FILE_BYTES,
    problems=(InvalidFile, UpstreamUnavailable, BodyTooLarge, UnsupportedMediaType),
)
async def upload_file_of_day(request: CitizenRequest, city: NamedDependency[City], day: FromPath[date]) -> FiledDay:
    """Compare the hospital's own file of a day with the city's records, and return the differences.

    The body is the CSV file, at most 50 MB, in UTF-8 or GBK; a `charset` of the Content-Type decides, otherwise UTF-8
    is tried first. It can be repeated: another file of the day replaces the first, and the response says so.
    """
    own = await _connected_hospital(request, city, DAYS_WRITE)
    if day > city.today():
        error = FieldError("day", "The day has not begun.", "该日尚未开始。")
        raise InvalidRequest(zh="不能提交将来日期的文件。", en="The day is in the future.", errors=(error,))
    access = cast("Access", request.app.state.access)
    await access.admission.spend(request.scope, [Charge(DAY_FILES, own.id)])
    file = decode_file(await request.body(), _charset(request))
    before = await city.store.get(Reconciliation, reconciliation_id(own.id, day))
    with answer_required(
        zh="医保或银行暂无应答，请1分钟后再试。",
        en="The insurance or the bank does not answer; please try again in a minute.",
    ):
        found = await reconcile(city, own, day, file, _act(city, request, "medical_credit.day_reconciled", own, day))
    return filed_day(found, before)


@get("/v1/hospital/days", guards=[hospital])
async def list_own_days(
    request: CitizenRequest, city: NamedDependency[City], cursor: FromQuery[str | None] = None
) -> HospitalDayList:
    """List the reconciled days of the hospital, newest first."""
    own = await _connected_hospital(request, city, DAYS_READ)
    newest = Order("day", "descending")
    page = await city.store.find(Reconciliation, {"hospital": own.id}, order=newest, cursor=cursor, limit=PAGE)
    return HospitalDayList([hospital_day_summary(one) for one in page.documents], page.cursor)


@get("/v1/hospital/days/{day:str}", guards=[hospital])
async def show_own_day(request: CitizenRequest, city: NamedDependency[City], day: FromPath[date]) -> HospitalDay:
    """Show the differences of a day of the hospital, each with a sentence and its state."""
    own = await _connected_hospital(request, city, DAYS_READ)
    return hospital_day(await find_reconciliation(city, own.id, day))


@get("/v1/hospital/days/{day:str}/records", guards=[hospital], media_type="text/csv")
async def export_records_of_day(
    request: CitizenRequest, city: NamedDependency[City], day: FromPath[date]
) -> Response[str]:
    """Export the city's records of a day of the hospital in the format of its file."""
    own = await _connected_hospital(request, city, DAYS_READ)
    await record_act(city, _act(city, request, "medical_credit.records_exported", own, day))
    text = await our_records(city, own, day)
    return Response(text, media_type="text/csv", headers={"Cache-Control": "no-store"})


async def _connected_hospital(request: CitizenRequest, city: City, scope: str) -> Hospital:
    """Return the calling hospital. Raises NotSignedIn if it is not connected, or NotAllowed without the scope."""
    found = await calling_hospital(city, request.user)
    if scope not in request.user.scopes:
        raise missing_scope(scope)
    return found


def _charset(request: CitizenRequest) -> str | None:
    """Return the encoding that the Content-Type names, or None. Raises UnsupportedMediaType."""
    media_type, parameters = request.content_type
    charset = parameters.get("charset", "").strip('"').lower() or None
    if media_type.lower() not in MEDIA_TYPES or (charset is not None and charset not in ENCODINGS):
        raise UnsupportedMediaType(
            zh="请以text/csv提交，编码须为UTF-8或GBK。", en="Send the file as text/csv, in UTF-8 or GBK."
        )
    return charset


def _act(city: City, request: CitizenRequest, action: str, own: Hospital, day: date) -> Act:
    return new_act(city, request.user, "hospital", action, f"{own.id} {day}")
