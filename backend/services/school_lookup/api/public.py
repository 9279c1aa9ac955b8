"""What everybody may ask: which school a child goes to; and the plans that this rests on, as maps and tables."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody
from msgspec import Struct

from backend.city.person import Person
from backend.city.service import City
from backend.city.upstream import UpstreamTimeout, UpstreamUnavailable
from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest, NotAllowed, NotSignedIn
from backend.security.identity import admit_citizen, public
from backend.services.school_lookup.catchments import Catchments
from backend.services.school_lookup.editions import plans_of
from backend.services.school_lookup.facts import Year
from backend.services.school_lookup.family import Family, contradictions_of
from backend.services.school_lookup.lookup import DistrictShown, LookupAnswer, answer, shown
from backend.services.school_lookup.maps import past_csv, schools_csv, schools_geojson, zones_geojson
from backend.services.school_lookup.model import (
    AddressUnknown,
    InvalidFamily,
    NoSchoolPlan,
    NothingRegistered,
    OutsideTheCity,
)
from backend.services.school_lookup.plan import DistrictCode, Plan
from backend.services.school_lookup.ports import FamilyRegister
from backend.web.fast_paths import city_of

AnyRequest = Request[object, object, State]
IfNoneMatch = Annotated[str | None, HeaderParameter(name="If-None-Match", max_length=1_000)]
GEOJSON, CSV = "application/geo+json", "text/csv"
UNCHANGED = {304: ResponseSpec(None, description="What the caller has is still what counts")}


class Lookup(Struct, frozen=True, forbid_unknown_fields=True):
    """Either the `family` as it is typed, or the caller's consent to read it from the city's registers.

    `year` is that of the admission, the newest one that is published where it is not said. Nothing of it is stored.
    """

    family: Family | None = None
    use_my_records: bool = False
    year: Year | None = None


@post(
    "/v1/school-lookups",
    guards=[public],
    status_code=200,
    problems=(
        AddressUnknown,
        InvalidFamily,
        NoSchoolPlan,
        NotAllowed,
        NotSignedIn,
        NothingRegistered,
        OutsideTheCity,
        UpstreamUnavailable,
    ),
)
async def look_up_schools(data: JSONBody[Lookup], request: AnyRequest) -> LookupAnswer:
    """Tell which schools may take the children of a family, in which batch, and why.

    Anybody may ask, and nothing is stored. With `use_my_records` a signed-in citizen agrees to have the family read
    from the city's registers, so that nothing is typed twice.
    """
    city = city_of(request)
    districts = await plans_of(city, data.year)
    if not districts:
        raise NoSchoolPlan(Text(zh="该年度的学区划分尚未公布。", en="No plan of this year was published yet."))
    family = await _family(data, request, city)
    errors = tuple(contradictions_of(family, city.today()))
    if errors:
        raise InvalidFamily(
            Text(zh="填写的信息有矛盾，请核对。", en="What was said cannot all be true."), errors=errors
        )
    return answer(city.rulebook, districts, family)


async def _family(asked: Lookup, request: AnyRequest, city: City) -> Family:
    if (asked.family is None) != asked.use_my_records:
        detail = "Give the family, or agree to have your records used: one of both."
        raise InvalidRequest(
            Text(zh="请填写家庭信息，或同意使用登记信息。", en=detail), errors=(FieldError("", detail),)
        )
    if asked.family is not None:
        return asked.family
    profile = await city.store.get(Person, admit_citizen(request))
    assert profile is not None, "a citizen has a Profile"
    try:
        family = await city.port(FamilyRegister).family(city.encryption.decrypt(profile.id_number))
    except UpstreamTimeout as error:
        raise UpstreamUnavailable(
            Text(zh="登记信息暂不可用，请手动填写。", en="The registers do not answer now; type the family instead."),
            headers={"Retry-After": "60"},
        ) from error
    if family is None:
        raise NothingRegistered(
            Text(
                zh="没有查到您的子女登记信息，请手动填写。",
                en="The registers know no children of yours; type the family.",
            )
        )
    return family


# ── plans ──


@get("/v1/school-plans", guards=[public])
async def list_plans(city: NamedDependency[City], year: FromQuery[Year | None] = None) -> list[DistrictShown]:
    """List the plans of a year, or of the newest that is published."""
    return [shown(one) for one in await plans_of(city, year)]


@get(
    "/v1/school-plans/{code:str}/{year:int}/schools.geojson",
    guards=[public],
    media_type=GEOJSON,
    responses=UNCHANGED,
    problems=(NoSchoolPlan,),
)
async def show_schools_map(
    code: FromPath[DistrictCode], year: FromPath[Year], city: NamedDependency[City], if_none_match: IfNoneMatch = None
) -> Response[bytes]:
    """Give the schools of a district as GeoJSON points."""
    return await _file(city, code, year, if_none_match, GEOJSON, schools_geojson)


@get(
    "/v1/school-plans/{code:str}/{year:int}/zones.geojson",
    guards=[public],
    media_type=GEOJSON,
    responses=UNCHANGED,
    problems=(NoSchoolPlan,),
)
async def show_zones_map(
    code: FromPath[DistrictCode], year: FromPath[Year], city: NamedDependency[City], if_none_match: IfNoneMatch = None
) -> Response[bytes]:
    """Give the zones of a district as GeoJSON; the address ranges among their properties are the authority."""
    return await _file(city, code, year, if_none_match, GEOJSON, zones_geojson)


@get(
    "/v1/school-plans/{code:str}/{year:int}/schools.csv",
    guards=[public],
    media_type=CSV,
    responses=UNCHANGED,
    problems=(NoSchoolPlan,),
)
async def show_schools_table(
    code: FromPath[DistrictCode], year: FromPath[Year], city: NamedDependency[City], if_none_match: IfNoneMatch = None
) -> Response[bytes]:
    """Give the schools of a district and their seats as CSV."""
    return await _file(city, code, year, if_none_match, CSV, schools_csv)


@get(
    "/v1/school-plans/{code:str}/{year:int}/past-batches.csv",
    guards=[public],
    media_type=CSV,
    responses=UNCHANGED,
    problems=(NoSchoolPlan,),
)
async def show_past_table(
    code: FromPath[DistrictCode], year: FromPath[Year], city: NamedDependency[City], if_none_match: IfNoneMatch = None
) -> Response[bytes]:
    """Give how many applied and were admitted in the past years, by school and batch, as CSV."""
    return await _file(city, code, year, if_none_match, CSV, past_csv)


async def _file(
    city: City, code: str, year: int, if_none_match: str | None, media_type: str, write: Callable[[Plan], bytes]
) -> Response[bytes]:
    found = next((one for one in await plans_of(city, year) if one.heading.code == code), None)
    if found is None:
        raise NoSchoolPlan(Text(zh="没有该区该年度的学区划分。", en="No plan of this district and year was published."))
    etag = f'"{found.edition[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "public, max-age=60"}
    if if_none_match is not None and _names(if_none_match, etag):
        return Response(b"", status_code=304, headers=headers, media_type=media_type)
    return Response(_written(found, write), headers=headers, media_type=media_type)


@lru_cache(maxsize=64)
def _written(found: Catchments, write: Callable[[Plan], bytes]) -> bytes:
    return write(found.plan)


def _names(if_none_match: str, etag: str) -> bool:
    """Tell whether an If-None-Match names this ETag (RFC 9110, 13.1.2: weak and strong ones are the same here)."""
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in named or etag in named
