"""Putting the answer together: every school that may take each child of a family, why, and what would change it."""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from backend.problems import FieldError
from backend.rulebook import Rulebook
from backend.services.school_lookup.addresses import Address
from backend.services.school_lookup.admission import (
    DOCUMENTS,
    Admission,
    Beginning,
    Change,
    Decided,
    Migration,
    Rank,
    Reason,
    admission_facts,
    beginning_of,
    changes_of,
    decide,
    migration_of,
    reasons_of,
)
from backend.services.school_lookup.catchments import Catchments, SchoolShown, Seats, Standing
from backend.services.school_lookup.chance import Chance
from backend.services.school_lookup.facts import STAGES, AdmissionFacts, Home, Stage
from backend.services.school_lookup.family import Child, Family
from backend.services.school_lookup.geocoding import (
    Candidate,
    Certainty,
    Place,
    candidates_of,
    is_swapped,
    places_of,
)
from backend.services.school_lookup.model import AddressUnknown, OutsideTheCity
from backend.services.school_lookup.plan import Calendar, School, Zone


class SchoolChoice(Struct, frozen=True, gc=False):
    """A school that may take the child: by which way, in which batch and why, and how it stands among others there.

    `certainty` says how sure it is that the places lie in its catchment, `doubts` why it is not surer. `ties` are what
    counts within the batch; `chance` is None where the past tells nothing.
    """

    school: SchoolShown
    certainty: Certainty
    doubts: list[Text]
    admission: Admission
    batch: int | None
    rule: str
    because: Text
    remedy: Text | None
    ties: tuple[Reason, ...]
    seats: Seats
    chance: Chance | None


class NotHere(Struct, frozen=True, gc=False):
    """A school in whose catchment the family has a place, and why it does not take the child."""

    school: str
    name: str
    because: Text


class ChildAnswer(Struct, frozen=True, gc=False):
    """What was found for one child, the best school first; no `stage` where it begins school in another year."""

    stage: Stage | None
    because: Text
    remedy: Text | None
    next_year: int | None
    schools: list[SchoolChoice]
    not_here: list[NotHere]
    would_change: list[Change]
    documents: tuple[Reason, ...]


class CandidateShown(Struct, frozen=True, gc=False):
    """A catchment that a place belongs to, or may belong to."""

    district: str
    stage: Stage
    zone: str
    school: str
    certainty: Certainty
    reason: Text | None
    boundary_metres: int | None


class PlaceShown(Struct, frozen=True, gc=False):
    """How a place of the request was understood, and the catchments it may belong to for the children's stages.

    Without any it lies in no district whose plan is published, or no child begins school this year.
    """

    pointer: str
    understood: Address
    catchments: list[CandidateShown]


class DistrictShown(Struct, frozen=True, gc=False):
    """The plan that was read; `edition` is its digest. `invented`: nothing of it is real."""

    district: str
    code: str
    year: int
    edition: str
    source: str
    invented: bool
    calendar: Calendar


class LookupAnswer(Struct, frozen=True, gc=False):
    """The answer to a lookup. `shared_schools` may take every child of the family; `migration` is for migrants only."""

    districts: list[DistrictShown]
    places: list[PlaceShown]
    children: list[ChildAnswer]
    shared_schools: list[SchoolShown]
    migration: Migration | None
    rulebook: str


class _Located(Struct, frozen=True, gc=False):
    """Where the places of a family lie in one district: the candidates of each, by its pointer."""

    catchments: Catchments
    places: dict[str, Place]
    candidates: dict[str, dict[Stage, list[Candidate]]]
    migration: Migration | None


def answer(rulebook: Rulebook, districts: Sequence[Catchments], family: Family) -> LookupAnswer:
    """Answer a lookup by the plans of one year, of which there is one at least.

    Raises AddressUnknown and OutsideTheCity where a place should lie in one of the districts but was not found.
    """
    places = list(places_of(family))
    beginnings = [beginning_of(rulebook, districts[0], child) for child in family.children]
    stages: list[Stage] = [stage for stage in STAGES if any(begins.stage == stage for begins in beginnings)]
    located = [_locate(rulebook, one, stages, places, family) for one in districts]
    _refuse_unfound(places, stages, located)
    located = [one for one in located if any(any(found.values()) for found in one.candidates.values())] or located[:1]
    children = [
        _child_answer(rulebook, located, family, child, begins)
        for child, begins in zip(family.children, beginnings, strict=True)
    ]
    return LookupAnswer(
        [shown(one.catchments) for one in located],
        [_place_shown(place, located) for place in places],
        children,
        _shared(children),
        next((one.migration for one in located if one.migration is not None), None),
        rulebook.digest,
    )


def shown(catchments: Catchments) -> DistrictShown:
    """Show which plan this is."""
    head = catchments.heading
    return DistrictShown(
        head.district, head.code, head.year, catchments.edition, head.source, head.invented, head.calendar
    )


# ── places ──


def _locate(
    rulebook: Rulebook, catchments: Catchments, stages: Sequence[Stage], places: Sequence[Place], family: Family
) -> _Located:
    candidates = dict[str, dict[Stage, list[Candidate]]]()
    for place in places:
        if catchments.is_named(place.address.district):
            same = next((one.pointer for one in places if one.pointer in candidates and one.is_at(place)), None)
            candidates[place.pointer] = (
                {stage: candidates_of(catchments.atlases[stage], place) for stage in stages}
                if same is None
                else candidates[same]
            )
    migration = None if family.registration.in_city else migration_of(rulebook, catchments, family)
    return _Located(catchments, {place.pointer: place for place in places}, candidates, migration)


def _refuse_unfound(places: Sequence[Place], stages: Sequence[Stage], located: Sequence[_Located]) -> None:
    for place in places:
        if is_swapped(place):
            raise OutsideTheCity(
                Text(
                    zh="经度和纬度可能填反了。", en="Longitude and latitude look swapped: longitude is about 120 here."
                ),
                errors=(FieldError(f"{place.pointer}/point", "Longitude and latitude look swapped."),),
            )
        reads = [one for one in located if place.pointer in one.candidates]
        if not reads or all(any(one.candidates[place.pointer][stage] for one in reads) for stage in stages):
            continue
        if place.point is not None and not any(one.catchments.covers(place.point) for one in located):
            raise OutsideTheCity(
                Text(zh="该位置不在已公布学区的范围内。", en="The point lies in no district whose plan is published."),
                errors=(FieldError(f"{place.pointer}/point", "This lies in no district whose plan is published."),),
            )
        raise _unknown(place, reads)


def _unknown(place: Place, reads: Sequence[_Located]) -> AddressUnknown:
    known = any(atlas.knows(place.address) for one in reads for atlas in one.catchments.atlases.values())
    detail = Text(
        zh="没有找到该路或小区，请核对地址，或在地图上选点。",
        en="No catchment names this road or community; check it, or give a point on the map.",
    )
    if known:
        detail = Text(
            zh="此路或小区存在，但没有学区包含该门牌号，请核对。",
            en="The road or community is known, but no catchment has this number; check it.",
        )
    errors = (FieldError(f"{place.pointer}/address", detail.en),)
    return AddressUnknown(detail, errors=errors, understood=place.address)


def _place_shown(place: Place, located: Sequence[_Located]) -> PlaceShown:
    found = [
        CandidateShown(
            one.catchments.heading.code,
            stage,
            candidate.zone.id,
            candidate.zone.school,
            candidate.certainty,
            candidate.reason,
            candidate.boundary_metres,
        )
        for one in located
        for stage, candidates in one.candidates.get(place.pointer, {}).items()
        for candidate in candidates
    ]
    return PlaceShown(place.pointer, place.address, found)


# ── children ──


class _Option(Struct, frozen=True, gc=False):
    """A child before one catchment, and which places speak for it."""

    located: _Located
    zone: Zone
    support: list[Candidate]
    decided: Decided

    @property
    def school(self) -> School:
        return self.located.catchments.schools[self.zone.school]

    def order(self) -> Rank:
        """Give what schools are ordered by: those that are sure first, then by rank."""
        return (self.certainty() == "possible", *self.decided.rank, self.zone.id)

    def certainty(self) -> Certainty:
        said = {one.certainty for one in self.support}
        return "possible" if "possible" in said else "by_map" if "by_map" in said else "certain"


def _child_answer(
    rulebook: Rulebook, located: Sequence[_Located], family: Family, child: Child, begins: Beginning
) -> ChildAnswer:
    if begins.stage is None:
        return ChildAnswer(None, begins.because, begins.remedy, begins.next_year, [], [], [], ())
    options = sorted(
        (option for one in located for option in _options(rulebook, one, family, child, begins.stage)),
        key=_Option.order,
    )
    best = dict[SchoolShown, _Option]()
    for option in options:
        if option.decided.is_taken:
            best.setdefault(_standing(rulebook, option.located, option.school.id).school, option)
    choices = [_choice(rulebook, option) for option in best.values()]
    choices.extend(
        _lot(rulebook, one, school.id) for one in located for school in one.catchments.private_schools[begins.stage]
    )
    facts = options[0].decided.facts if options else _facts(located[0], family, child, begins.stage, None)
    documents = rulebook.evaluate(DOCUMENTS, facts, located[0].catchments.application_begins)
    return ChildAnswer(
        begins.stage,
        begins.because,
        None,
        None,
        choices,
        [_not_here(option) for option in options if not option.decided.is_taken],
        [
            change
            for option in options
            for change in changes_of(rulebook, option.located.catchments, option.school.id, option.decided)
        ],
        reasons_of(rulebook, documents),
    )


def _options(rulebook: Rulebook, one: _Located, family: Family, child: Child, stage: Stage) -> Iterator[_Option]:
    support = dict[str, list[Candidate]]()
    for found in one.candidates.values():
        for candidate in found[stage]:
            support.setdefault(candidate.zone.id, []).append(candidate)
    for candidates in support.values():
        zone = candidates[0].zone
        facts = _facts(one, family, child, stage, zone)
        yield _Option(one, zone, candidates, decide(rulebook, one.catchments, facts))


def _facts(one: _Located, family: Family, child: Child, stage: Stage, zone: Zone | None) -> AdmissionFacts:
    homes = [
        Home(place, home.parents_percent, home.grandparents_percent, home.pupil)
        for number, home in enumerate(family.homes)
        if (place := _place_of(one, f"/family/homes/{number}", stage, zone)) is not None
    ]
    return admission_facts(
        family,
        child,
        stage,
        one.catchments.time_zone,
        registered_here=_place_of(one, "/family/registration", stage, zone) == "catchment",
        homes=tuple(homes),
        eligible=one.migration is not None and not one.migration.lacking,
    )


def _place_of(one: _Located, pointer: str, stage: Stage, zone: Zone | None) -> Literal["catchment", "city"] | None:
    """Tell whether a place may lie in a zone, or elsewhere in the city; None if it is not in the city at all."""
    found = one.candidates.get(pointer, {}).get(stage, ())
    if any(candidate.zone is zone for candidate in found):
        return "catchment"
    place = one.places.get(pointer)
    return "city" if found or (place is not None and one.catchments.counts(place.address.district)) else None


def _standing(rulebook: Rulebook, one: _Located, school: str) -> Standing:
    return one.catchments.standing(rulebook)[school]


def _choice(rulebook: Rulebook, option: _Option) -> SchoolChoice:
    decided, standing = option.decided, _standing(rulebook, option.located, option.school.id)
    return SchoolChoice(
        standing.school,
        option.certainty(),
        [candidate.reason for candidate in option.support if candidate.reason is not None],
        decided.admission,
        decided.batch,
        decided.verdict.rule,
        decided.verdict.because,
        decided.verdict.remedy,
        reasons_of(rulebook, decided.ties),
        standing.seats,
        None if decided.batch is None else standing.chances.get(decided.batch),
    )


def _lot(rulebook: Rulebook, one: _Located, school: str) -> SchoolChoice:
    standing = _standing(rulebook, one, school)
    return SchoolChoice(
        standing.school,
        "certain",
        [],
        "lottery",
        None,
        "private-school",
        _LOT,
        None,
        (),
        standing.seats,
        standing.chances.get(1),
    )


_LOT = Text(
    zh="民办学校与公办学校同步报名；报名人数超过招生计划的，电脑随机录取，未录取的按户籍类别统筹安排。",
    en=(
        "A private school, applied to at the same time as public ones: more applicants than places are drawn by lot, "
        "and who is not drawn is placed within the same category (2020 [V])."
    ),
)


def _not_here(option: _Option) -> NotHere:
    return NotHere(option.school.id, option.school.name, option.decided.verdict.because)


def _shared(children: Sequence[ChildAnswer]) -> list[SchoolShown]:
    if len(children) == 1:
        return []
    found = [[choice.school for choice in child.schools] for child in children]
    return [school for school in found[0] if all(school in others for others in found[1:])]
