"""Reports of health officers and citizens, and the facts derived from them.

Facts are never edited: they are derived again from all reports. So a withdrawn report leaves no trace in them, and
reports that arrive in the wrong order result in the same facts.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple, replace

from backend.services.health_code.facts import (
    MAX_CHECK_INS,
    MAX_FACTS,
    Case,
    Contact,
    Country,
    Declaration,
    Dose,
    Entry,
    FalseStatement,
    HealthFacts,
    Instant,
    Isolation,
    LabTest,
    MissedMassTest,
    Stay,
    Symptom,
    SymptomKind,
)
from backend.store.time import instants

Draft = dict[str, list[Any]]
"""The facts during derivation, under the field names of HealthFacts, and `check_ins`."""

T = TypeVar("T")

MAX_REPORTS = 200
"""The maximum number of official reports in a record, and of the person's own reports."""


class CaseReported(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="case"):
    """The person has been a case `since` then."""

    status: Literal["confirmed", "suspected", "asymptomatic"]
    since: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["cases"].append(Case(self.status, self.since))


class CaseEnded(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="case_ended"):
    """A doctor discharged the person, or ruled out the suspicion; it ends every case that began before."""

    at: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["cases"] = [_ended(case, self.at) for case in facts["cases"]]


class ContactReported(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="contact"):
    """The person was in contact with a case, last at `at`."""

    level: Literal["close", "secondary", "nearby"]
    at: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["contacts"].append(Contact(self.level, self.at))


class SampleTested(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="test"):
    """A test was taken; a later report of the same sample replaces an earlier one.

    `sample_id` identifies the sample at its source. Without it, tests of one kind and source that were sampled at one
    instant are the same sample.
    """

    test: Literal["pcr", "antigen"]
    result: Literal["positive", "negative", "awaiting"]
    sampled_at: Instant
    reported_at: Instant | None = None
    sample_id: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["tests"].append(LabTest(self.test, self.result, self.sampled_at, self.reported_at))


class StayReported(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="stay"):
    """The person was, or is, in a risk area; a later report of the same stay replaces an earlier one."""

    risk: Literal["high", "medium", "low"]
    entered_at: Instant
    left_at: Instant | None = None

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        _append_unique(
            facts["stays"], Stay(self.risk, self.entered_at, self.left_at), key_fields=("risk", "entered_at")
        )


class EntryReported(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="entry"):
    """The person entered from abroad."""

    country: Country
    entered_at: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["entries"].append(Entry(self.country, self.entered_at))


class IsolationOrdered(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="isolation"):
    """The person must isolate, or have their health observed at home."""

    place: Literal["central", "home", "observation"]
    began_at: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["isolations"].append(Isolation(self.place, self.began_at))


class IsolationEnded(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="isolation_ended"):
    """The person was released from every isolation that had begun."""

    at: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["isolations"] = [_released(isolation, self.at) for isolation in facts["isolations"]]


class DoseGiven(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="vaccination"):
    """The person was given a dose of vaccine."""

    at: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["doses"].append(Dose(self.at))


class MassTestMissed(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="missed_mass_test"):
    """The person missed a round of mass testing that closed at `at`."""

    at: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["missed_mass_tests"].append(MissedMassTest(self.at))


class FalseStatementFound(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="false_statement"):
    """An officer found a declaration of the person to be untrue."""

    at: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["false_statements"].append(FalseStatement(self.at))


class Withdrawal(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="withdrawal"):
    """The source withdraws its earlier event with the id `of`."""

    of: Annotated[str, Meta(min_length=1, max_length=100)]


Event = (
    CaseReported
    | CaseEnded
    | ContactReported
    | SampleTested
    | StayReported
    | EntryReported
    | IsolationOrdered
    | IsolationEnded
    | DoseGiven
    | MassTestMissed
    | FalseStatementFound
)
"""What a health officer may report about a person."""


class HealthDeclared(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="declaration"):
    """The person declared these symptoms, or none."""

    at: Instant
    symptoms: tuple[SymptomKind, ...]

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["declarations"].append(Declaration(self.at, well=not self.symptoms))
        facts["symptoms"].extend(Symptom(kind, self.at) for kind in self.symptoms)


class CheckedIn(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="check_in"):
    """The person checked in from isolation, on the day that began in the city at `day`."""

    at: Instant
    day: Instant

    def apply_to(self, facts: Draft) -> None:
        """Apply the event to the facts."""
        facts["check_ins"].append(self)


class Report(Struct, frozen=True, omit_defaults=True):
    """An event in a person's record. `key` is that of the receipt; None if the person reported it themselves.

    `sample` identifies the sample of a test, by its source and the id there; it is None in reports of earlier editions.
    """

    event: Event | HealthDeclared | CheckedIn
    key: str | None = None
    sample: str | None = None


def append_reports(reports: Sequence[Report], new: Iterable[Report]) -> tuple[Report, ...]:
    """Add reports, and discard the oldest when there are too many.

    Official reports and the person's own have separate limits, so that nothing a person declares displaces an official
    report.
    """
    official: list[Report] = []
    own: list[Report] = []
    for report in (*reports, *new):
        (own if report.key is None else official).append(report)
    return (*_bounded(official, MAX_REPORTS, _event), *_bounded(own, MAX_REPORTS, _event))


def _event(report: Report) -> Struct:
    return report.event


def _bounded(items: Sequence[T], limit: int, event: Callable[[T], Struct]) -> list[T]:
    """Return the items without the oldest of the most frequent kind, and of its most frequent severity.

    So years of tests never displace the one report that keeps a person red, nor negative tests a positive one.
    """
    if len(items) <= limit:
        return list(items)
    kinds: dict[type, dict[tuple[str, ...], list[tuple[datetime, int]]]] = {}
    for place, item in enumerate(items):
        severities = kinds.setdefault(type(event(item)), {})
        severities.setdefault(_severity(event(item)), []).append((_happened_at(event(item)), place))
    groups = [[sorted(group, reverse=True) for group in severities.values()] for severities in kinds.values()]
    discarded: set[int] = set()
    while len(items) - len(discarded) > limit:
        most_frequent = max(groups, key=lambda kind: sum(map(len, kind)))
        largest = max(map(len, most_frequent))
        oldest = min((group for group in most_frequent if len(group) == largest), key=lambda group: group[-1])
        discarded.add(oldest.pop()[1])
    return [item for place, item in enumerate(items) if place not in discarded]


def _severity(event: Struct) -> tuple[str, ...]:
    """Return what distinguishes events of one kind, such as the level of a contact."""
    return tuple(value for value in astuple(event) if isinstance(value, str))


def derive_facts(born_at: datetime | None, reports: Sequence[Report]) -> HealthFacts:
    """Derive the facts from the reports."""
    # The two sources are separate, so that a person's declaration never changes what an officer reported.
    official, own = _draft(), _draft()
    for report in sorted(_latest_of_samples(reports), key=lambda report: _happened_at(report.event)):
        report.event.apply_to(own if report.key is None else official)
    check_ins = own.pop("check_ins")
    official["isolations"] = [_checked_in(isolation, check_ins) for isolation in official["isolations"]]
    return HealthFacts(born_at=born_at, **{name: _merged(official[name], own[name]) for name in own})


def _latest_of_samples(reports: Sequence[Report]) -> list[Report]:
    """Return the reports without those of a sample that was reported again later; awaiting replaces no result."""
    latest: dict[object, Report] = {}
    for place, report in enumerate(reports):
        match report.event:
            case SampleTested(test, result, sampled_at):
                sample = report.sample or (test, sampled_at)
                if sample not in latest or result != "awaiting":
                    latest[sample] = report
            case _:
                latest[place] = report
    return list(latest.values())


def _draft() -> Draft:
    return {name: [] for name in ("check_ins", *HealthFacts.__struct_fields__) if name != "born_at"}


def _happened_at(event: Struct) -> datetime:
    return next(at for _, at in instants(event))


def _ended(case: Case, at: datetime) -> Case:
    return replace(case, ended_at=at) if case.ended_at is None and case.since <= at else case


def _released(isolation: Isolation, at: datetime) -> Isolation:
    return replace(isolation, released_at=at) if isolation.released_at is None else isolation


def _append_unique(facts: list[Any], fact: Struct, key_fields: tuple[str, ...]) -> None:
    """Append a fact, and remove earlier ones with the same values in `key_fields`."""
    facts[:] = [old for old in facts if any(getattr(old, name) != getattr(fact, name) for name in key_fields)]
    facts.append(fact)


def _checked_in(isolation: Isolation, check_ins: Sequence[CheckedIn]) -> Isolation:
    days = {check_in.day for check_in in check_ins if check_in.at >= isolation.began_at}
    return replace(isolation, check_ins=tuple(sorted(days)[-MAX_CHECK_INS:]))


def _merged(official: list[Any], own: list[Any]) -> tuple[Any, ...]:
    bounded = [fact for facts in (official, own) for fact in _bounded(facts, MAX_FACTS, lambda fact: fact)]
    return tuple(sorted(bounded, key=_happened_at))
