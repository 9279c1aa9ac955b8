"""The request and response bodies of the school lookup."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from backend.i18n import Text
from backend.services.school_lookup import addresses
from backend.services.school_lookup.admission import AdmissionRoute, Change, FiredRule, MigrantEligibility
from backend.services.school_lookup.chance import Chance
from backend.services.school_lookup.district import District, SchoolDetails, Seats
from backend.services.school_lookup.facts import Stage, Year
from backend.services.school_lookup.family import MAX_CHILDREN, Family
from backend.services.school_lookup.geocoding import Certainty
from backend.services.school_lookup.plan import Calendar


class LookupRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Either the `family` as entered, or the caller's consent to read it from the city's registers.

    `year` is the year of admission; it defaults to the newest one with a published plan. Nothing is stored.
    """

    family: Family | None = None
    use_my_records: bool = False
    year: Year | None = None


class SchoolExplanationRequest(LookupRequest, frozen=True, forbid_unknown_fields=True):
    """A lookup, the number of one of its children, from 0, and a catchment of its result."""

    child: Annotated[int, Meta(ge=0, le=MAX_CHILDREN - 1)] = 0
    catchment: Annotated[str, Meta(max_length=200)] = ""


class SchoolChoice(Struct, frozen=True, gc=False):
    """A school that may admit the child: the route, the batch, and the reason.

    `certainty` says how certain it is that the places are in its catchment; `doubts` lists the reasons for doubt.
    `ties` are the criteria within the batch; `chance` is None if there are no past admissions to compare with.
    """

    school: SchoolDetails
    certainty: Certainty
    doubts: list[Text]
    admission: AdmissionRoute
    batch: int | None
    rule: str
    because: Text
    remedy: Text | None
    ties: tuple[FiredRule, ...]
    seats: Seats
    chance: Chance | None


class IneligibleSchool(Struct, frozen=True, gc=False):
    """A school that does not admit the child although the family has a place in its catchment, and the reason."""

    school: str
    name: str
    because: Text


class ChildResult(Struct, frozen=True, gc=False):
    """The result for one child, the best school first; no `stage` if the child does not enter school this year."""

    stage: Stage | None
    because: Text
    remedy: Text | None
    next_year: int | None
    schools: list[SchoolChoice]
    ineligible_schools: list[IneligibleSchool]
    possible_changes: list[Change]
    documents: tuple[FiredRule, ...]


class CatchmentCandidate(Struct, frozen=True, gc=False):
    """A catchment that a place belongs to, or may belong to."""

    district: str
    stage: Stage
    catchment: str
    school: str
    certainty: Certainty
    reason: Text | None
    boundary_metres: int | None


class Address(Struct, frozen=True, gc=False):
    """An address as it was read; None for parts that it does not have. A building is a number or a letter, as written.

    `unparsed` is the text that was not understood. The parts that few addresses have are left out of the others: `area`
    is a name such as 开发区 that is no district, `letter` the 甲 of 7号甲, `sublane` the 3 of 12弄3支弄, `group` the 3
    of 和平村3组, `last_number` the 9 of 7至9号; `number_in_community` says that the number is not one of the road.
    """

    district: str | None = None
    road: str | None = None
    lane: int | None = None
    number: int | None = None
    annex: int | None = None
    community: str | None = None
    building: str | None = None
    unit: int | None = None
    room: int | None = None
    unparsed: str = ""
    area: str | UnsetType = UNSET
    sublane: int | UnsetType = UNSET
    last_number: int | UnsetType = UNSET
    letter: str | UnsetType = UNSET
    group: int | UnsetType = UNSET
    number_in_community: bool | UnsetType = UNSET


def address_as_read(address: addresses.Address) -> Address:
    """Return the parts of an address for a response."""
    parts = {name: getattr(address, name) for name in address.__struct_fields__}
    return Address(**{name: part for name, part in parts.items() if part is not None and part is not False})


class PlaceDetails(Struct, frozen=True, gc=False):
    """A place of the request as it was parsed, and the catchments it may belong to for the children's stages.

    Without catchments, the place is in no district with a published plan, or no child enters school this year.
    `doubts`, which is sent in the first case only, says so.
    """

    pointer: str
    parsed: Address
    catchments: list[CatchmentCandidate]
    doubts: list[Text] | UnsetType = UNSET


class DistrictDetails(Struct, frozen=True, gc=False):
    """The plan that was used; `edition` is its digest. `synthetic` marks a plan that is not real."""

    district: str
    code: str
    year: int
    edition: str
    source: str
    synthetic: bool
    calendar: Calendar


class LookupResult(Struct, frozen=True, gc=False):
    """The result of a lookup. `shared_schools` may admit every child; `migrant_eligibility` is for migrants only."""

    districts: list[DistrictDetails]
    places: list[PlaceDetails]
    children: list[ChildResult]
    shared_schools: list[SchoolDetails]
    migrant_eligibility: MigrantEligibility | None
    rulebook: str


def district_details(district: District) -> DistrictDetails:
    """Return the details of a district's plan."""
    heading = district.heading
    return DistrictDetails(
        heading.district,
        heading.code,
        heading.year,
        district.edition,
        heading.source,
        heading.synthetic,
        heading.calendar,
    )
