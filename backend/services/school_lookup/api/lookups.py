"""The public route of lookups: which schools may admit the children of a family."""

from litestar import Request, post
from litestar.datastructures import State
from litestar.params import JSONBody

from backend.city.explanations import (
    TooManyExplanations,
    VerdictExplanation,
    explanation_of,
    explanation_worker,
)
from backend.city.person import known_person
from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable, answer_required
from backend.i18n import Text, preferred_language
from backend.problems import FieldError, InvalidRequest, NotFound, NotSignedIn
from backend.security.identity import StepUpRequired, admit_citizen, public
from backend.services.school_lookup.api.schemas import LookupRequest, LookupResult, SchoolExplanationRequest
from backend.services.school_lookup.district import District
from backend.services.school_lookup.editions import districts_of
from backend.services.school_lookup.family import Family, contradictions_of
from backend.services.school_lookup.lookup import applications_of, look_up
from backend.services.school_lookup.model import (
    InvalidFamily,
    NoRegisteredChildren,
    NoSchoolPlan,
    OutsideCity,
    UnknownAddress,
)
from backend.services.school_lookup.ports import FamilyRegister
from backend.web.fast_paths import city_of

AnyRequest = Request[object, object, State]


_PROBLEMS = (
    InvalidFamily,
    NoRegisteredChildren,
    NoSchoolPlan,
    NotSignedIn,
    OutsideCity,
    StepUpRequired,
    UnknownAddress,
    UpstreamUnavailable,
)


@post("/v1/school-lookups", guards=[public], status_code=200, problems=_PROBLEMS)
async def look_up_schools(data: JSONBody[LookupRequest], request: AnyRequest) -> LookupResult:
    """Return the schools that may admit the children of a family, with batch and reason.

    Anyone may ask; nothing is stored. With `use_my_records`, a signed-in citizen agrees that the family is read from
    the city's registers instead of being entered.
    """
    city = city_of(request)
    districts, family = await _checked(data, request, city)
    return look_up(city.rulebook, districts, family)


@post(
    "/v1/school-lookups/explanations",
    guards=[public],
    status_code=200,
    problems=(*_PROBLEMS, NotFound, TooManyExplanations),
)
async def explain_school(data: JSONBody[SchoolExplanationRequest], request: AnyRequest) -> VerdictExplanation:
    """Explain the batch of one child in one catchment of a lookup, and the smallest way to a better one.

    Anyone may ask; nothing is stored. `catchment` is one of those that the lookup names for a place.
    """
    city = city_of(request)
    districts, family = await _checked(data, request, city)
    wanted = (data.child, data.catchment)
    applications = applications_of(city.rulebook, districts, family)
    found = next((one for one in applications if (one.child, one.catchment) == wanted), None)
    if found is None:
        raise NotFound(
            zh="该孩子没有这个学区的查询结果。", en="The lookup has no result of this child for this catchment."
        )
    explanation = await explanation_worker.explain(city, found.module, found.facts, found.at)
    return explanation_of(city, explanation, preferred_language(request.headers.get("accept-language", "")))


async def _checked(data: LookupRequest, request: AnyRequest, city: City) -> tuple[list[District], Family]:
    """Return the plans of the year, and the family without contradictions."""
    plans = await districts_of(city, data.year)
    districts = [district for district in plans if district.batches in city.rulebook.modules]  # else it is not usable
    if not districts:
        raise _no_plan(data.year)
    family = await _family(data, request, city)
    errors = tuple(contradictions_of(family, city.today()))
    if errors:
        raise InvalidFamily(
            Text(
                zh="填写的信息有矛盾，请核对标出的各项后再提交。",
                en="Some of the information is contradictory; check the fields that are listed.",
            ),
            errors=errors,
        )
    return districts, family


def _no_plan(year: int | None) -> NoSchoolPlan:
    chinese, english = ("", "") if year is None else (f"{year}年的", f" of {year}")
    return NoSchoolPlan(
        Text(
            zh=f"{chinese}学区划分尚未公布，请在区教育局公布后再查。",
            en=f"The catchments{english} are not published yet; search again once the education bureau has done so.",
        )
    )


async def _family(data: LookupRequest, request: AnyRequest, city: City) -> Family:
    if (data.family is None) != data.use_my_records:
        detail = "Provide either the family, or your consent to use your records, but not both."
        raise InvalidRequest(
            Text(zh="请填写家庭信息，或同意使用登记信息，两者选一。", en=detail), errors=(FieldError("", detail),)
        )
    if data.family is not None:
        return data.family
    person = await known_person(city.store, admit_citizen(request))
    with answer_required(
        zh="登记信息暂时无法查询，请手动填写，或稍后再试。",
        en="The city's registers do not answer; enter the family yourself, or try again later.",
    ):
        family = await city.port(FamilyRegister).family(city.encryption.read(person, "id_number"))
    if family is None:
        raise NoRegisteredChildren(
            Text(
                zh="没有查到您子女的登记信息，请手动填写。",
                en="The city's registers have no record of your children; enter the family yourself.",
            )
        )
    return family
