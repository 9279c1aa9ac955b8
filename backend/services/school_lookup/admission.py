"""What the rules say of a child before a catchment: its batch, its place within it, and what would change both."""

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
from backend.services.school_lookup.catchments import Catchments
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

AGE, MIGRANT, POINTS = "school_lookup.age", "school_lookup.migrant", "school_lookup.points"
TIES, DOCUMENTS = "school_lookup.ties", "school_lookup.documents"
SCHOOL_YEARS = 16
"""Further ahead than this no child waits for school."""

Rank = tuple[Any, ...]
Admission = Literal["catchment", "points", "late", "lottery"]


class Reason(Struct, frozen=True, gc=False):
    """A rule that spoke: its word, why, and what would change it."""

    word: str
    because: Text
    remedy: Text | None = None


class Decided(Struct, frozen=True, gc=False):
    """A child before one catchment. `rank` is the smaller the better; of two children the smaller goes first."""

    facts: AdmissionFacts
    verdict: Verdict
    ties: Verdict
    rank: Rank

    @property
    def is_taken(self) -> bool:
        """Tell whether the catchment may take the child."""
        return self.verdict.result != "none"

    @property
    def batch(self) -> int | None:
        """Give the number of the batch, if the child is in one."""
        return batch_of(self.verdict)

    @property
    def admission(self) -> Admission:
        """Give by what way the child comes to the school."""
        ways: dict[str, Admission] = {"placed": "points", "late": "late"}
        return ways.get(self.verdict.result, "catchment")


def batch_of(verdict: Verdict) -> int | None:
    """Give the number of the batch that a verdict names, if it names one."""
    word: str = verdict.result
    return int(word.removeprefix("batch_")) if word.startswith("batch_") else None


class Change(Struct, frozen=True, gc=False):
    """Something that would put a child in another batch: what, and in which then; None was or is in no batch."""

    change: Text
    school: str
    from_batch: int | None
    to_batch: int | None


class Migration(Struct, frozen=True, gc=False):
    """What the rules say of a family that is registered outside the city: what it lacks, and its points.

    The higher parent's points count, the official ones where they are known.
    """

    lacking: tuple[Reason, ...]
    points: int
    points_are_official: bool


def migration_of(rulebook: Rulebook, catchments: Catchments, family: Family) -> Migration:
    """Decide on the parents of a migrant family."""
    at, zone = catchments.application_begins, catchments.time_zone
    parents = tuple(_parent_facts(parent, zone) for parent in family.parents)
    verdict = rulebook.evaluate(MIGRANT, MigrantFacts(catchments.heading.year, parents), at)
    official = [parent.points for parent in family.parents if parent.points is not None]
    estimated = [cast("int", rulebook.evaluate(POINTS, parent, at).result) for parent in parents]
    return Migration(reasons_of(rulebook, verdict), max(official or estimated or [0]), bool(official))


def _parent_facts(parent: Parent, zone: ZoneInfo) -> ParentFacts:
    days = (parent.permit_since, parent.insured_since, parent.employed_since)
    return ParentFacts(*(None if day is None else midnight(day, zone) for day in days))


def reasons_of(rulebook: Rulebook, verdict: Verdict) -> tuple[Reason, ...]:
    """Give every rule that spoke in a verdict that collects, in the order of the rules."""
    return _reasons(rulebook, verdict.module, verdict.at, verdict.fired)


@lru_cache(maxsize=1_000)
def _reasons(rulebook: Rulebook, module: str, at: datetime, fired: tuple[str, ...]) -> tuple[Reason, ...]:
    rules = {rule.id: rule for rule in rulebook.in_force(module, at)}
    return tuple(Reason(str(rules[name].then), rules[name].because, rules[name].remedy) for name in fired)


# ── age ──


class Beginning(Struct, frozen=True, gc=False):
    """The stage that a child would begin this year, if any, why, and otherwise the next year in which it may."""

    stage: Stage | None
    because: Text
    remedy: Text | None
    next_year: int | None


def beginning_of(rulebook: Rulebook, catchments: Catchments, child: Child) -> Beginning:
    """Decide which stage a child begins: the one that is asked for, or the one that its age allows."""
    stages: tuple[Stage, ...] = STAGES if child.stage is None else (child.stage,)
    facts = AgeFacts(stages[0], catchments.heading.year, midnight(child.born_on, catchments.time_zone), child.deferred)
    at = catchments.application_begins
    verdicts = dict[Stage, Verdict]()
    for stage in stages:
        verdicts[stage] = verdict = rulebook.evaluate(AGE, replace(facts, stage=stage), at)
        if verdict.result == "admissible":
            return Beginning(stage, verdict.because, None, None)
    refused = verdicts[stages[-1] if verdicts[stages[0]].result == "too_old" else stages[0]]
    later = (
        facts.year + years
        for years in range(1, SCHOOL_YEARS)
        for stage in stages
        if rulebook.evaluate(AGE, replace(facts, stage=stage, year=facts.year + years), at).result == "admissible"
    )
    return Beginning(None, refused.because, refused.remedy, next(later, None))


# ── batch ──


def decide(rulebook: Rulebook, catchments: Catchments, facts: AdmissionFacts) -> Decided:
    """Decide on a child before a catchment."""
    verdict, place = _batch(rulebook, catchments, facts)
    ties = rulebook.evaluate(TIES, facts, catchments.application_begins)
    return Decided(facts, verdict, ties, (place, *_tie_rank(facts, ties)))


def _batch(rulebook: Rulebook, catchments: Catchments, facts: AdmissionFacts) -> tuple[Verdict, int]:
    """Give the verdict on the batch, and its place in the order in which batches are admitted."""
    verdict = rulebook.evaluate(catchments.batches, facts, catchments.application_begins)
    words = cast("tuple[str, ...]", rulebook.modules[catchments.batches].result)
    return verdict, words.index(verdict.result)


def _tie_rank(facts: AdmissionFacts, ties: Verdict) -> Rank:
    """Give a child's place within its batch, by the criteria in the order of Gongshu 2018 [V]."""
    share = max((home.parents_percent for home in facts.homes if home.place == "catchment"), default=0)
    since = facts.registration.since.timestamp() if "registration" in ties.result and facts.registration else 0.0
    return (since, "pupil_on_property" in ties.result, "registered_apart" in ties.result, -share)


def admission_facts(
    family: Family,
    child: Child,
    stage: Stage,
    zone: ZoneInfo,
    *,
    registered_here: bool,
    homes: tuple[Home, ...],
    eligible: bool,
) -> AdmissionFacts:
    """Put together what the rules may read of a child before one catchment."""
    registration = None
    if family.registration.in_city and child.registered_since is not None:
        registration = Registration(
            "catchment" if registered_here else "city",
            midnight(child.registered_since, zone),
            family.registration.parents,
        )
    return AdmissionFacts(
        stage,
        midnight(child.born_on, zone),
        registration,
        homes,
        "eligible" if eligible else "lacking",
        child.deferred,
    )


# ── what would change the answer ──


def changes_of(rulebook: Rulebook, catchments: Catchments, school: str, decided: Decided) -> Iterator[Change]:
    """Give each single thing that would put the child in a better batch of this catchment."""
    for text, changed in _alternatives(decided.facts, catchments):
        verdict, place = _batch(rulebook, catchments, changed)
        if place < decided.rank[0]:
            yield Change(text, school, decided.batch, batch_of(verdict))


def _alternatives(facts: AdmissionFacts, catchments: Catchments) -> Iterator[tuple[Text, AdmissionFacts]]:
    day, begins = catchments.heading.calendar.application_from, catchments.application_begins
    registration = facts.registration
    lives_here = any(home.place == "catchment" for home in facts.homes)
    if registration is None:
        if facts.migrant == "lacking":
            yield _MIGRANT, replace(facts, migrant="eligible")
    elif registration.place == "city" and lives_here:
        yield _by_day(day), replace(facts, registration=Registration("catchment", begins, "all"))
    elif registration.place == "catchment":
        if registration.since > begins:
            yield _by_day(day), replace(facts, registration=replace(registration, since=begins))
        if registration.parents != "all":
            yield _TOGETHER, replace(facts, registration=replace(registration, parents="all"))
        if registration.since > facts.born_at:
            yield _AT_BIRTH, replace(facts, registration=replace(registration, since=facts.born_at))
    elsewhere = tuple(home for home in facts.homes if home.place == "city" and home.parents_percent)
    if elsewhere:
        yield _NO_OTHER_HOME, replace(facts, homes=tuple(home for home in facts.homes if home not in elsewhere))


_MIGRANT = Text(
    zh="父母在上一年8月31日前办妥居住证、社会保险和劳动合同或营业执照",
    en="Permits, insurance, and a contract or licence held in time",
)
_TOGETHER = Text(zh="父母户籍都与孩子在同一处", en="Both parents registered together with the child")
_AT_BIRTH = Text(zh="孩子出生时即落户于此", en="The child registered here at its birth")
_NO_OTHER_HOME = Text(zh="父母在城区没有其他住房", en="No other home of the parents in the city")


def _by_day(day: date) -> Text:
    return Text(zh=f"在{day}前（含当日）将户籍迁入学区", en=f"A registration here by {day}")
