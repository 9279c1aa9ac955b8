"""Assemble the result of a lookup: every school that may admit each child of a family, why, and possible changes."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from msgspec import UNSET, Struct

from backend.i18n import Text
from backend.problems import FieldError
from backend.rulebook import Rulebook
from backend.services.school_lookup.addresses import Address
from backend.services.school_lookup.admission import (
    AdmissionDecision,
    MigrantEligibility,
    Rank,
    StageDecision,
    admission_facts,
    changes_of,
    decide,
    decide_stage,
    fired_rules,
    migrant_eligibility_of,
)
from backend.services.school_lookup.api.schemas import (
    CatchmentCandidate,
    ChildResult,
    IneligibleSchool,
    LookupResult,
    PlaceDetails,
    SchoolChoice,
    address_as_read,
    district_details,
)
from backend.services.school_lookup.district import District, SchoolDetails, SchoolOutlook
from backend.services.school_lookup.facts import STAGES, AdmissionFacts, Home, Stage
from backend.services.school_lookup.family import Child, Family
from backend.services.school_lookup.geocoding import (
    Candidate,
    Certainty,
    Place,
    candidates_of,
    is_swapped,
    places_of,
    unread,
)
from backend.services.school_lookup.model import OutsideCity, UnknownAddress
from backend.services.school_lookup.plan import Catchment, School
from backend.services.school_lookup.rule_modules import DOCUMENTS


class _Located(Struct, frozen=True, gc=False):
    """The places of a family in one district: the candidates of each, by its pointer."""

    district: District
    places: dict[str, Place]
    candidates: dict[str, dict[Stage, list[Candidate]]]
    migrant_eligibility: MigrantEligibility | None


def look_up(rulebook: Rulebook, districts: Sequence[District], family: Family) -> LookupResult:
    """Look up the schools of a family in the plans of one year, at least one.

    Raises UnknownAddress and OutsideCity if a place that should be in one of the districts was not found.
    """
    places, decisions, located = _located(rulebook, districts, family)
    children = [
        _child_result(rulebook, located, family, child, decision)
        for child, decision in zip(family.children, decisions, strict=True)
    ]
    return LookupResult(
        [district_details(one.district) for one in located],
        [_place_details(place, located) for place in places],
        children,
        _shared(children),
        next((one.migrant_eligibility for one in located if one.migrant_eligibility is not None), None),
        rulebook.digest,
    )


class Application(Struct, frozen=True, gc=False):
    """A child's application to a catchment: the rule module that decides it, its facts, and the day that counts."""

    child: int
    catchment: str
    module: str
    facts: AdmissionFacts
    at: datetime


def applications_of(rulebook: Rulebook, districts: Sequence[District], family: Family) -> Iterator[Application]:
    """Yield the applications of a family's children to every catchment that its places may be in.

    Raises what `look_up` raises.
    """
    _, decisions, located = _located(rulebook, districts, family)
    for number, (child, decision) in enumerate(zip(family.children, decisions, strict=True)):
        for one in located if decision.stage is not None else ():
            assert decision.stage is not None
            for option in _options(rulebook, one, family, child, decision.stage):
                district = one.district
                yield Application(
                    number, option.catchment.id, district.batches, option.decision.facts, district.application_start
                )


# ── places ──


def _located(
    rulebook: Rulebook, districts: Sequence[District], family: Family
) -> tuple[list[Place], list[StageDecision], list[_Located]]:
    """Return the places of a family, the stage of each child, and the districts in which a place may be."""
    places = list(places_of(family, {name for one in districts for name in one.heading.districts}))
    decisions = [decide_stage(rulebook, districts[0], child) for child in family.children]
    stages: list[Stage] = [stage for stage in STAGES if any(one.stage == stage for one in decisions)]
    located = [_locate(rulebook, one, stages, places, family) for one in districts]
    _check_found(places, stages, located)
    return (
        places,
        decisions,
        [one for one in located if any(any(found.values()) for found in one.candidates.values())] or located[:1],
    )


def _locate(
    rulebook: Rulebook, district: District, stages: Sequence[Stage], places: Sequence[Place], family: Family
) -> _Located:
    candidates = dict[str, dict[Stage, list[Candidate]]]()
    for place in places:
        if district.may_contain(place.address.district, place.surroundings.city):
            same = next((one.pointer for one in places if one.pointer in candidates and one.is_same_as(place)), None)
            candidates[place.pointer] = (
                {stage: candidates_of(district, stage, place) for stage in stages} if same is None else candidates[same]
            )
    eligibility = None if family.registration.in_city else migrant_eligibility_of(rulebook, district, family)
    return _Located(district, {place.pointer: place for place in places}, candidates, eligibility)


def _check_found(places: Sequence[Place], stages: Sequence[Stage], located: Sequence[_Located]) -> None:
    for place in places:
        if is_swapped(place):
            detail = Text(
                zh="地图位置有误，请在地图上重新选点。",
                en="The position is wrong: longitude and latitude look swapped. Select the point on the map again.",
            )
            error = FieldError(f"{place.pointer}/point", "Longitude and latitude look swapped.")
            raise OutsideCity(detail, errors=(error,))
        searched = [one for one in located if place.pointer in one.candidates]
        if not searched or all(any(one.candidates[place.pointer][stage] for one in searched) for stage in stages):
            continue
        if place.point is not None and not any(one.district.covers(place.point) for one in located):
            detail = Text(
                zh="该位置所在的区尚未公布学区，或不在本市。请核对位置，或咨询所在区教育局。",
                en=(
                    "The district of this point has not published its catchments, or the point is outside the city. "
                    "Check the point, or ask the education bureau of the district."
                ),
            )
            here = "This point is in no district with a published plan."
            error = FieldError(f"{place.pointer}/point", here, "该位置不在任何已公布学区的区内。")
            raise OutsideCity(detail, errors=(error,))
        raise _unknown(place, searched)


def _unknown(place: Place, searched: Sequence[_Located]) -> UnknownAddress:
    atlases = [atlas for one in searched for atlas in one.district.atlases.values()]
    bureau = searched[0].district.bureau if len(searched) == 1 else "所在区教育局"
    detail = _unknown_name(place.address, bureau)
    if any(atlas.is_known(place.address) for atlas in atlases):
        detail = Text(
            zh=f"有此道路或小区，但没有学区包含该门牌号，请核对门牌号，或咨询{bureau}。",
            en=(
                "The road or community is known, but no catchment contains this door number. Check it, or ask the "
                "district education bureau."
            ),
        )
    if not_understood := unread(place.address, atlases):
        detail = Text(
            zh=f"{detail.zh}地址中的“{not_understood}”无法识别。",
            en=f"{detail.en} The part “{not_understood}” was not understood.",
        )
    errors = (FieldError(f"{place.pointer}/address", detail.en, detail.zh),)
    return UnknownAddress(detail, errors=errors, parsed=address_as_read(place.address))


def _unknown_name(address: Address, bureau: str) -> Text:
    names = [one for one in (address.road, address.community) if one is not None]
    chinese, english = f"“{'、'.join(names)}”" if names else "", ", ".join(names) or "this road or community"
    return Text(
        zh=f"没有找到该道路或小区{chinese}，请核对地址，或在地图上选点；仍查不到的，请咨询{bureau}。",
        en=(
            f"No catchment contains {english}. Check the address, or select a point on the map; otherwise ask the "
            "district education bureau."
        ),
    )


def _place_details(place: Place, located: Sequence[_Located]) -> PlaceDetails:
    found = [
        CatchmentCandidate(
            one.district.heading.code,
            stage,
            candidate.catchment.id,
            candidate.catchment.school,
            candidate.certainty,
            candidate.reason,
            candidate.boundary_metres,
        )
        for one in located
        for stage, candidates in one.candidates.get(place.pointer, {}).items()
        for candidate in candidates
    ]
    is_searched = any(place.pointer in one.candidates for one in located)
    return PlaceDetails(
        place.pointer, address_as_read(place.address), found, UNSET if is_searched else [_elsewhere(place)]
    )


def _elsewhere(place: Place) -> Text:
    name = (place.surroundings.city or "") + (place.address.district or "")
    return Text(
        zh=f"该地址在{name}，这里没有当地的学区划分，没有查询当地学校。如有误，请改正地址后再查；当地学校请咨询当地教育局。",
        en=(
            f"This address is in {name}, whose catchments are not published here, so its schools were not looked up. "
            "If that is wrong, correct the address and search again; for schools there, ask the education bureau there."
        ),
    )


# ── children ──


class _Option(Struct, frozen=True, gc=False):
    """A child's application to one catchment, and the places of the family that may be in it."""

    located: _Located
    catchment: Catchment
    candidates: list[Candidate]
    decision: AdmissionDecision

    @property
    def school(self) -> School:
        return self.located.district.schools[self.catchment.school]

    def order(self) -> Rank:
        """Return the sort key of the schools: certain ones first, then by rank."""
        return (self.certainty() == "possible", *self.decision.rank, self.catchment.id)

    def certainty(self) -> Certainty:
        certainties = {one.certainty for one in self.candidates}
        return "possible" if "possible" in certainties else "by_map" if "by_map" in certainties else "certain"


def _child_result(
    rulebook: Rulebook, located: Sequence[_Located], family: Family, child: Child, decision: StageDecision
) -> ChildResult:
    stage = decision.stage
    if stage is None:
        return ChildResult(None, decision.because, decision.remedy, decision.next_year, [], [], [], ())
    options = sorted(
        (option for one in located for option in _options(rulebook, one, family, child, stage)),
        key=_Option.order,
    )
    best = dict[SchoolDetails, _Option]()
    for option in options:
        if option.decision.is_eligible:
            best.setdefault(_outlook(rulebook, option.located, option.school.id).school, option)
    choices = [_choice(rulebook, option) for option in best.values()]
    choices.extend(
        _private(rulebook, one, school.id) for one in located for school in one.district.private_schools[stage]
    )
    facts = options[0].decision.facts if options else _facts(located[0], family, child, stage, None)
    documents = rulebook.evaluate(DOCUMENTS, facts, located[0].district.application_start)
    return ChildResult(
        stage,
        decision.because,
        None,
        None,
        choices,
        [_ineligible(option) for option in options if not option.decision.is_eligible],
        [
            change
            for option in options
            for change in changes_of(rulebook, option.located.district, option.school.id, option.decision)
        ],
        fired_rules(rulebook, documents),
    )


def _options(rulebook: Rulebook, one: _Located, family: Family, child: Child, stage: Stage) -> Iterator[_Option]:
    by_catchment = dict[str, list[Candidate]]()
    for found in one.candidates.values():
        for candidate in found[stage]:
            by_catchment.setdefault(candidate.catchment.id, []).append(candidate)
    for candidates in by_catchment.values():
        catchment = candidates[0].catchment
        facts = _facts(one, family, child, stage, catchment)
        yield _Option(one, catchment, candidates, decide(rulebook, one.district, facts))


def _facts(one: _Located, family: Family, child: Child, stage: Stage, catchment: Catchment | None) -> AdmissionFacts:
    homes = [
        Home(place, home.parents_percent, home.grandparents_percent, home.pupil)
        for number, home in enumerate(family.homes)
        if (place := _place_of(one, f"/family/homes/{number}", stage, catchment)) is not None
    ]
    return admission_facts(
        family,
        child,
        stage,
        one.district.time_zone,
        registered_here=_place_of(one, "/family/registration", stage, catchment) == "catchment",
        homes=tuple(homes),
        eligible=one.migrant_eligibility is not None and not one.migrant_eligibility.missing,
    )


def _place_of(
    one: _Located, pointer: str, stage: Stage, catchment: Catchment | None
) -> Literal["catchment", "city"] | None:
    """Return whether a place may be in a catchment, or elsewhere in the city; None if it is outside the city."""
    found = one.candidates.get(pointer, {}).get(stage, ())
    if any(candidate.catchment is catchment for candidate in found):
        return "catchment"
    place = one.places.get(pointer)
    return (
        "city"
        if found or (place is not None and one.district.is_in_city(place.address.district, place.surroundings.city))
        else None
    )


def _outlook(rulebook: Rulebook, one: _Located, school: str) -> SchoolOutlook:
    return one.district.outlooks(rulebook)[school]


def _choice(rulebook: Rulebook, option: _Option) -> SchoolChoice:
    decision, outlook = option.decision, _outlook(rulebook, option.located, option.school.id)
    return SchoolChoice(
        outlook.school,
        option.certainty(),
        [candidate.reason for candidate in option.candidates if candidate.reason is not None],
        decision.admission,
        decision.batch,
        decision.verdict.rule,
        decision.verdict.because,
        decision.verdict.remedy,
        fired_rules(rulebook, decision.ties),
        outlook.seats,
        None if decision.batch is None else outlook.chances.get(decision.batch),
    )


def _private(rulebook: Rulebook, one: _Located, school: str) -> SchoolChoice:
    outlook = _outlook(rulebook, one, school)
    return SchoolChoice(
        outlook.school,
        "certain",
        [],
        "lottery",
        None,
        "private-school",
        _DRAW,
        None,
        (),
        outlook.seats,
        outlook.chances.get(1),
    )


_DRAW = Text(
    zh="民办学校与公办学校同步报名；报名人数超过招生计划的，电脑随机录取，未录取的按户籍类别统筹安排。",
    en=(
        "A private school takes applications at the same time as public ones. If there are more applicants than "
        "places, a draw decides, and children who are not drawn are placed according to their registration category."
    ),
)


def _ineligible(option: _Option) -> IneligibleSchool:
    return IneligibleSchool(option.school.id, option.school.name, option.decision.verdict.because)


def _shared(children: Sequence[ChildResult]) -> list[SchoolDetails]:
    if len(children) == 1:
        return []
    found = [[choice.school for choice in child.schools] for child in children]
    return [school for school in found[0] if all(school in others for others in found[1:])]
