"""Sources of health events, and the accounts that may report for each.

A laboratory reports tests and names their samples; a register reports what it records and names its cases; an office
reports what its officers find. So every event is traced to a sample, to a case, or to a person.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.city.service import City
from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest, NotFound, Problem
from backend.security.identity import Caller
from backend.services.health_code.reports import (
    CaseEnded,
    CaseReported,
    ContactReported,
    DoseGiven,
    EntryReported,
    Event,
    IsolationEnded,
    IsolationOrdered,
    MassTestMissed,
    SampleTested,
    StayReported,
    Withdrawal,
)
from backend.store import Document, Index
from backend.store.retention import Retention

SourceKind = Literal["laboratory", "register", "office"]
SourceName = Annotated[str, Meta(min_length=1, max_length=64)]
CaseId = Annotated[str, Meta(min_length=1, max_length=100)]

REPORTABLE: Mapping[SourceKind, tuple[type[Struct], ...]] = {
    "laboratory": (SampleTested, Withdrawal),
    "register": (
        CaseReported,
        CaseEnded,
        ContactReported,
        StayReported,
        EntryReported,
        IsolationOrdered,
        IsolationEnded,
        DoseGiven,
        MassTestMissed,
        Withdrawal,
    ),
}
"""The events of each kind of source. An office reports all, most of them with a second person."""

MAX_EVENTS_PER_DAY: Mapping[SourceKind, int] = {"laboratory": 200_000, "register": 50_000, "office": 2_000}
MAX_DECISIVE_PER_DAY: Mapping[SourceKind, int] = {"laboratory": 500, "register": 500, "office": 50}
"""How many events, and how many decisive ones, a source reports in a day of the city without a second person.

Assumed, in force from 29 November 2026. A laboratory of Hangzhou's mass tests of 2022 reported some hundred thousand
results in a day. Five hundred people who turn red by the word of one source in a day is an outbreak, a mistake or an
attack; a second person looks at the next ones. Operators set other bounds for a source.
"""

CHANGE_LIFETIME = timedelta(days=7)
"""How long a proposed change of a source waits for a second operator. Assumed, in force from 29 November 2026."""


class SourceNotAssigned(Problem):
    """The caller's account does not report for this source."""

    status, title_zh = 403, "账号未绑定该来源"


class EventNotReportable(Problem):
    """A source of this kind does not report such events."""

    status, title_zh = 422, "该来源不能报告此类事件"


class SecondPersonRequired(Problem):
    """A decision is up to another person than the one who proposed it or whom it concerns."""

    status, title_zh = 409, "须由他人审核"


class SourceChange(Struct, frozen=True):
    """A change of a source that an operator proposed: what the source is after it, and by whom and when."""

    id: str
    kind: SourceKind
    accounts: tuple[str, ...]
    sample_ids: bool
    events_per_day: int | None
    decisive_per_day: int | None
    operator: str
    person: str
    at: datetime


class ReportingSource(AuditedDocument, kw_only=True):
    """A source of health events; its `id` is the keyed hash of its name. It has no kind before its first approval.

    A laboratory without `sample_ids` knows no ids of samples: its tests are identified by their kind and instant.
    """

    collection: ClassVar[str] = "reporting_sources"
    indexes: ClassVar[tuple[Index, ...]] = (UNLOGGED, Index((), ordered="name"))
    retention: ClassVar[Retention] = Retention(
        grows_with="each laboratory, register and office that reports",
        ends="never: it says who could report what; an account is removed from it",
        names="nobody",
    )

    name: str
    kind: SourceKind | None = None
    accounts: tuple[str, ...] = ()
    sample_ids: bool = True
    events_per_day: int | None = None
    decisive_per_day: int | None = None
    proposed: SourceChange | None = None


class ReportCount(Document, kw_only=True):
    """How many events a source has reported on a day without a second person; deleted after `expires_ms`."""

    collection: ClassVar[str] = "report_counts"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each source and day", ends="two days later", names="nobody", ends_at="expires_ms"
    )

    expires_ms: int
    events: int = 0
    decisive: int = 0


def source_id(city: City, name: str) -> str:
    """Return the id of the source of this name."""
    return city.encryption.digest("reporting-source", name)


async def sources_of(city: City, caller: Caller, names: Collection[str]) -> dict[str, ReportingSource]:
    """Return those of the named sources for which the caller's account reports."""
    ids = {name: source_id(city, name) for name in names}
    found = await city.store.get_many(ReportingSource, list(ids.values()))
    return {
        name: source
        for name, key in ids.items()
        if (source := found.get(key)) is not None and source.kind is not None and caller.account_id in source.accounts
    }


def check_reportable(
    source: ReportingSource, event: Event | Withdrawal, case_id: str | UnsetType, pointer: str
) -> None:
    """Check that a source of its kind reports this event and names its sample or case.

    Raises EventNotReportable or InvalidRequest.
    """
    assert source.kind is not None, "only approved sources report"
    kinds = REPORTABLE.get(source.kind)
    if kinds is None or isinstance(event, Withdrawal):
        return
    if not isinstance(event, kinds):
        raise EventNotReportable(
            zh="该来源不能报告此类事件，请由有权单位报告。",
            en="This source does not report events of this kind; the authority in charge must report it.",
        )
    if isinstance(event, SampleTested):
        if event.sample_id is UNSET and source.sample_ids:
            raise _unnamed(f"{pointer}/event/sample_id", "a laboratory names the sample", "检测机构须填写样本编号")
    elif case_id is UNSET:
        raise _unnamed(f"{pointer}/case_id", "a register names its case", "登记机构须填写案例编号")


def _unnamed(pointer: str, english: str, chinese: str) -> InvalidRequest:
    return InvalidRequest(
        Text(
            zh="缺少样本或案例编号，请补充后重新报告。",
            en="The id of the sample or case is missing; add it and report the event again.",
        ),
        errors=(FieldError(pointer, english, chinese),),
    )


def is_decisive(event: Event | Withdrawal) -> bool:
    """Return whether an event alone may turn a code red, or end what keeps it red."""
    match event:
        case SampleTested(_, result):
            return result == "positive"
        case StayReported(risk):
            return risk == "high"
        case EntryReported() | DoseGiven() | MassTestMissed():
            return False
        case _:
            return True


def count_new_events(
    count: ReportCount, source: ReportingSource, events: Sequence[Event | Withdrawal]
) -> tuple[ReportCount, list[bool]]:
    """Count new events of a source on a day; return the count, and for each event whether it is within the bounds.

    Events beyond a bound are not counted: they need a second person.
    """
    assert source.kind is not None, "only approved sources report"
    max_events = source.events_per_day or MAX_EVENTS_PER_DAY[source.kind]
    max_decisive = source.decisive_per_day or MAX_DECISIVE_PER_DAY[source.kind]
    total, decisive = count.events, count.decisive
    within: list[bool] = []
    for event in events:
        counts = is_decisive(event)
        fits = total < max_events and decisive + counts <= max_decisive
        within.append(fits)
        total, decisive = total + fits, decisive + (fits and counts)
    if total == count.events:
        return count, within
    return replace(count, events=total, decisive=decisive), within


def propose_change(source: ReportingSource, change: SourceChange) -> ReportingSource:
    """Return a source with a proposed change, which replaces one that was proposed before."""
    return replace(source, proposed=change)


def approve_change(source: ReportingSource, change_id: str, caller: Caller, now: datetime) -> ReportingSource:
    """Return a source after another operator approved a change. Raises NotFound or SecondPersonRequired."""
    change = source.proposed
    if change is None or change.id != change_id or now >= change.at + CHANGE_LIFETIME:
        raise NotFound(
            Text(
                zh="没有待审核的变更，可能已被更新或已过期，请刷新后重试。",
                en="There is no such change; it may have been replaced or have expired. Load the list again.",
            )
        )
    added = set(change.accounts) - set(source.accounts)
    if caller.citizen_id in (None, change.person) or caller.account_id in (change.operator, *added):
        raise second_person_required()
    return replace(
        source,
        kind=change.kind,
        accounts=change.accounts,
        sample_ids=change.sample_ids,
        events_per_day=change.events_per_day,
        decisive_per_day=change.decisive_per_day,
        proposed=None,
    )


def without_account(source: ReportingSource, account: str) -> ReportingSource:
    """Return a source for which an account no longer reports, also not by a change that was proposed before."""
    proposed = source.proposed
    if proposed is not None and account in proposed.accounts:
        proposed = None
    if account not in source.accounts and proposed is source.proposed:
        return source
    return replace(source, accounts=tuple(one for one in source.accounts if one != account), proposed=proposed)


def second_person_required() -> SecondPersonRequired:
    """Return the Problem for a person who decides on what they proposed or on what concerns them."""
    return SecondPersonRequired(
        zh="须由另一名与此事无关的工作人员审核。",
        en="Another person, whom it does not concern, must decide.",
    )
