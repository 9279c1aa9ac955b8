"""Evaluate the rules for a child: its stage, its batch in a catchment, its rank in the batch, and possible changes."""

from collections.abc import Iterator
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook import Rulebook, Verdict
from backend.rulebook.language.temporal import midnight
from backend.services.school_lookup.district import District
from backend.services.school_lookup.facts import (
    STAGES,
    AdmissionFacts,
    AgeFacts,
    Home,
    MigrantFacts,
    ParentFacts,
    Registration,
    Stage,
)
from backend.services.school_lookup.family import Child, Family, Parent
from backend.services.school_lookup.plan import Heading
from backend.services.school_lookup.rule_modules import AGE, MIGRANT, POINTS, TIES

MAX_YEARS_AHEAD = 16
"""The number of years in which the next possible year of entry is searched."""

Rank = tuple[Any, ...]
AdmissionRoute = Literal["catchment", "points", "late", "lottery"]


class FiredRule(Struct, frozen=True, gc=False):
    """A rule that fired: its result, the reason, and what would change it."""

    result: str
    because: Text
    remedy: Text | None = None


class AdmissionDecision(Struct, frozen=True, gc=False):
    """The decision on a child's application to one catchment; the child with the smaller `rank` goes first."""

    facts: AdmissionFacts
    verdict: Verdict
    ties: Verdict
    rank: Rank

    @property
    def is_eligible(self) -> bool:
        """Return whether a school of the catchment may admit the child."""
        return self.verdict.result != "none"

    @property
    def batch(self) -> int | None:
        """Return the number of the batch, or None if the child is in none."""
        return batch_of(self.verdict)

    @property
    def admission(self) -> AdmissionRoute:
        """Return the route by which the child is admitted."""
        routes: dict[str, AdmissionRoute] = {"placed": "points", "late": "late"}
        return routes.get(self.verdict.result, "catchment")


def batch_of(verdict: Verdict) -> int | None:
    """Return the number of the batch that a verdict names, or None."""
    result: str = verdict.result
    return int(result.removeprefix("batch_")) if result.startswith("batch_") else None


class Change(Struct, frozen=True, gc=False):
    """A change of the facts that would put a child in a better batch; None means in no batch."""

    change: Text
    school: str
    from_batch: int | None
    to_batch: int | None


class MigrantEligibility(Struct, frozen=True, gc=False):
    """The eligibility of a family that is registered outside the city: the conditions it does not meet, and its points.

    The points are those of the parent with more points, and the official ones if they are known.
    """

    missing: tuple[FiredRule, ...]
    points: int
    points_are_official: bool


def migrant_eligibility_of(rulebook: Rulebook, district: District, family: Family) -> MigrantEligibility:
    """Return the eligibility of a family that is registered outside the city."""
    at, time_zone = district.application_start, district.time_zone
    parents = tuple(_parent_facts(parent, time_zone) for parent in family.parents)
    verdict = rulebook.evaluate(MIGRANT, MigrantFacts(district.heading.year, parents), at)
    official = [parent.points for parent in family.parents if parent.points is not None]
    estimated = [cast("int", rulebook.evaluate(POINTS, parent, at).result) for parent in parents]
    return MigrantEligibility(fired_rules(rulebook, verdict), max(official or estimated or [0]), bool(official))


def _parent_facts(parent: Parent, time_zone: ZoneInfo) -> ParentFacts:
    days = (parent.permit_since, parent.insured_since, parent.employed_since)
    return ParentFacts(*(None if day is None else midnight(day, time_zone) for day in days))


def fired_rules(rulebook: Rulebook, verdict: Verdict) -> tuple[FiredRule, ...]:
    """Return the rules that fired in a verdict of the strategy `collect`, in the order of the module."""
    return _fired_rules(rulebook, verdict.module, verdict.at, verdict.fired)


@lru_cache(maxsize=1_000)
def _fired_rules(rulebook: Rulebook, module: str, at: datetime, fired: tuple[str, ...]) -> tuple[FiredRule, ...]:
    rules = {rule.id: rule for rule in rulebook.in_force(module, at)}
    return tuple(FiredRule(str(rules[name].then), rules[name].because, rules[name].remedy) for name in fired)


# ── age ──


class StageDecision(Struct, frozen=True, gc=False):
    """The stage that a child enters this year, with the reason; or None, with the next year in which it may enter."""

    stage: Stage | None
    because: Text
    remedy: Text | None
    next_year: int | None


def decide_stage(rulebook: Rulebook, district: District, child: Child) -> StageDecision:
    """Decide which stage a child enters: the requested one, or the one that its age allows."""
    stages: tuple[Stage, ...] = STAGES if child.stage is None else (child.stage,)
    facts = AgeFacts(stages[0], district.heading.year, midnight(child.born_on, district.time_zone), child.deferred)
    at = district.application_start
    verdicts = dict[Stage, Verdict]()
    for stage in stages:
        verdicts[stage] = verdict = rulebook.evaluate(AGE, replace(facts, stage=stage), at)
        if verdict.result == "admissible":
            return StageDecision(stage, verdict.because, None, None)
    rejected = verdicts[stages[-1] if verdicts[stages[0]].result == "too_old" else stages[0]]
    later = (
        facts.year + years
        for years in range(1, MAX_YEARS_AHEAD)
        for stage in stages
        if rulebook.evaluate(AGE, replace(facts, stage=stage, year=facts.year + years), at).result == "admissible"
    )
    return StageDecision(None, rejected.because, rejected.remedy, next(later, None))


# ── batch ──


def decide(rulebook: Rulebook, district: District, facts: AdmissionFacts) -> AdmissionDecision:
    """Decide on a child's application to a catchment."""
    verdict, order = _evaluate_batch(rulebook, district, facts)
    ties = rulebook.evaluate(TIES, facts, district.application_start)
    return AdmissionDecision(facts, verdict, ties, (order, *_tie_rank(facts, ties)))


def _evaluate_batch(rulebook: Rulebook, district: District, facts: AdmissionFacts) -> tuple[Verdict, int]:
    """Return the verdict on the batch, and its position in the order in which batches are admitted."""
    verdict = rulebook.evaluate(district.batches, facts, district.application_start)
    results = cast("tuple[str, ...]", rulebook.modules[district.batches].result)
    return verdict, results.index(verdict.result)


def _tie_rank(facts: AdmissionFacts, ties: Verdict) -> Rank:
    """Return a child's rank within its batch, by the criteria of Gongshu 2018 in their order [V]."""
    share = max((home.parents_percent for home in facts.homes if home.place == "catchment"), default=0)
    since = facts.registration.since.timestamp() if "registration" in ties.result and facts.registration else 0.0
    return (since, "pupil_on_property" in ties.result, "registered_apart" in ties.result, -share)


def admission_facts(
    family: Family,
    child: Child,
    stage: Stage,
    time_zone: ZoneInfo,
    *,
    registered_here: bool,
    homes: tuple[Home, ...],
    eligible: bool,
) -> AdmissionFacts:
    """Return the facts that the rules may read of a child's application to one catchment."""
    registration = None
    if family.registration.in_city and child.registered_since is not None:
        registration = Registration(
            "catchment" if registered_here else "city",
            midnight(child.registered_since, time_zone),
            family.registration.parents,
        )
    return AdmissionFacts(
        stage,
        midnight(child.born_on, time_zone),
        registration,
        homes,
        "eligible" if eligible else "lacking",
        child.deferred,
    )


# ── possible changes ──


def changes_of(rulebook: Rulebook, district: District, school: str, decision: AdmissionDecision) -> Iterator[Change]:
    """Yield each single change that would put the child in a better batch of this catchment."""
    for text, changed in _alternatives(decision.facts, district):
        verdict, order = _evaluate_batch(rulebook, district, changed)
        if order < decision.rank[0]:
            yield Change(text, school, decision.batch, batch_of(verdict))


def _alternatives(facts: AdmissionFacts, district: District) -> Iterator[tuple[Text, AdmissionFacts]]:
    day, start = district.heading.calendar.application_from, district.application_start
    registration = facts.registration
    lives_here = any(home.place == "catchment" for home in facts.homes)
    if registration is None:
        if facts.migrant == "lacking":
            yield _migrant(district.heading.year - 1), replace(facts, migrant="eligible")
    elif registration.place == "city" and lives_here:
        yield _by_day(day), replace(facts, registration=Registration("catchment", start, "all"))
    elif registration.place == "catchment":
        if registration.since > start:
            yield _by_day(day), replace(facts, registration=replace(registration, since=start))
        if registration.parents != "all":
            yield _TOGETHER, replace(facts, registration=replace(registration, parents="all"))
        if registration.since > facts.born_at:
            yield _AT_BIRTH, replace(facts, registration=replace(registration, since=facts.born_at))
    elsewhere = tuple(home for home in facts.homes if home.place == "city" and home.parents_percent)
    if elsewhere:
        others = tuple(home for home in facts.homes if home not in elsewhere)
        yield _no_other_home(district.heading), replace(facts, homes=others)


_TOGETHER = Text(zh="父母双方与孩子的户籍在同一处", en="Both parents are registered together with the child")
_AT_BIRTH = Text(
    zh="假如孩子出生时即落户于此（已不能改变，仅供了解）",
    en="If the child had been registered here since birth (this cannot be changed; for information only)",
)


def _migrant(year: int) -> Text:
    return Text(
        zh=f"父母双方持有居住证，且至少一方参保、一方有劳动合同或营业执照，均在{year}年8月31日（含）前办妥",
        en=(
            "Both parents hold residence permits, at least one has social insurance and one an employment contract or "
            f"business licence, all by 31 August {year}"
        ),
    )


def _no_other_home(heading: Heading) -> Text:
    names = "、".join((heading.district, *heading.city_districts))
    return Text(
        zh=f"假如父母在{names}没有其他住房（以不动产登记为准，仅供了解）",
        en=f"If the parents had no other home in {names} (as in the property register; for information only)",
    )


def _by_day(day: date) -> Text:
    return Text(
        zh=f"户籍在{day.year}年{day.month}月{day.day}日（含）前已迁入学区",
        en=f"The child is registered in the catchment by {day}",
    )
