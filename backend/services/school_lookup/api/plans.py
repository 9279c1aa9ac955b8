"""The public routes of plans: those in force, and each as maps and tables."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter

from backend.city.service import City
from backend.i18n import Text
from backend.security.identity import public
from backend.services.school_lookup.api.schemas import DistrictDetails, district_details
from backend.services.school_lookup.district import District
from backend.services.school_lookup.editions import districts_of
from backend.services.school_lookup.facts import Year
from backend.services.school_lookup.maps import catchments_geojson, past_csv, schools_csv, schools_geojson
from backend.services.school_lookup.model import NoSchoolPlan
from backend.services.school_lookup.plan import DistrictCode, Plan

IfNoneMatch = Annotated[str | None, HeaderParameter(name="If-None-Match", max_length=1_000)]
GEOJSON, CSV = "application/geo+json", "text/csv"
NOT_MODIFIED = {304: ResponseSpec(None, description="The caller's copy is current")}


@get("/v1/school-plans", guards=[public])
async def list_plans(city: NamedDependency[City], year: FromQuery[Year | None] = None) -> list[DistrictDetails]:
    """List the plans of a year, or of the newest year with a published plan."""
    return [district_details(one) for one in await districts_of(city, year)]


@get(
    "/v1/school-plans/{code:str}/{year:int}/schools.geojson",
    guards=[public],
    media_type=GEOJSON,
    responses=NOT_MODIFIED,
    problems=(NoSchoolPlan,),
)
async def show_schools_map(
    code: FromPath[DistrictCode], year: FromPath[Year], city: NamedDependency[City], if_none_match: IfNoneMatch = None
) -> Response[bytes]:
    """Return the schools of a district as GeoJSON points."""
    return await _file(city, code, year, if_none_match, GEOJSON, schools_geojson)


@get(
    "/v1/school-plans/{code:str}/{year:int}/catchments.geojson",
    guards=[public],
    media_type=GEOJSON,
    responses=NOT_MODIFIED,
    problems=(NoSchoolPlan,),
)
async def show_catchments_map(
    code: FromPath[DistrictCode], year: FromPath[Year], city: NamedDependency[City], if_none_match: IfNoneMatch = None
) -> Response[bytes]:
    """Return the catchments of a district as GeoJSON; the address ranges in their properties take precedence."""
    return await _file(city, code, year, if_none_match, GEOJSON, catchments_geojson)


@get(
    "/v1/school-plans/{code:str}/{year:int}/schools.csv",
    guards=[public],
    media_type=CSV,
    responses=NOT_MODIFIED,
    problems=(NoSchoolPlan,),
)
async def show_schools_table(
    code: FromPath[DistrictCode], year: FromPath[Year], city: NamedDependency[City], if_none_match: IfNoneMatch = None
) -> Response[bytes]:
    """Return the schools of a district and their places as CSV."""
    return await _file(city, code, year, if_none_match, CSV, schools_csv)


@get(
    "/v1/school-plans/{code:str}/{year:int}/past-batches.csv",
    guards=[public],
    media_type=CSV,
    responses=NOT_MODIFIED,
    problems=(NoSchoolPlan,),
)
async def show_past_table(
    code: FromPath[DistrictCode], year: FromPath[Year], city: NamedDependency[City], if_none_match: IfNoneMatch = None
) -> Response[bytes]:
    """Return the numbers of applications and admissions of past years, by school and batch, as CSV."""
    return await _file(city, code, year, if_none_match, CSV, past_csv)


async def _file(
    city: City, code: str, year: int, if_none_match: str | None, media_type: str, write: Callable[[Plan], bytes]
) -> Response[bytes]:
    district = next((one for one in await districts_of(city, year) if one.heading.code == code), None)
    if district is None:
        raise NoSchoolPlan(
            Text(
                zh=f"该区{year}年的学区划分尚未公布，请在区教育局公布后再查。",
                en=f"The plan of this district for {year} has not been published.",
            )
        )
    etag = f'"{district.edition[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "public, max-age=60"}
    if if_none_match is not None and _matches(if_none_match, etag):
        return Response(b"", status_code=304, headers=headers, media_type=media_type)
    return Response(_written(district, write), headers=headers, media_type=media_type)


@lru_cache(maxsize=64)
def _written(district: District, write: Callable[[Plan], bytes]) -> bytes:
    return write(district.plan)


def _matches(if_none_match: str, etag: str) -> bool:
    """Return whether an If-None-Match contains this ETag (RFC 9110, 13.1.2: weak comparison)."""
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in tags or etag in tags
