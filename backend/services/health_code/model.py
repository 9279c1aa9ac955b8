"""Health records, venue visits, and the pure decisions about them.

The current colour is never stored: the rules decide it on every read. A record holds the facts, and the history of
colours, each with the time at which it began.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from itertools import islice
from typing import ClassVar, Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest, Problem
from backend.rulebook import Rulebook, Verdict
from backend.services.health_code.facts import HealthFacts, LabTest
from backend.services.health_code.reports import Event, Report, append_reports, derive_facts
from backend.services.health_code.rule_modules import COLOUR
from backend.store import Document, Index, ShardKey
from backend.store.retention import Period, Retention
from backend.store.time import instants, to_the_millisecond

RED = "red"

MAX_HISTORY = 200
MAX_VERDICT_CHANGES = 200
"""The maximum number of verdict changes that are followed to find the next change of colour."""

EARLIEST = datetime.fromisoformat("2015-01-01T00:00:00+00:00")
"""Reports with earlier times are refused as typing errors."""


class ColourChange(Struct, frozen=True, gc=False):
    """From `at` on the code has had this colour, by this rule and for this reason, in the rulebook of this digest."""

    at: datetime
    colour: str
    rule: str
    because: Text
    rulebook: str


class HealthRecord(Document, kw_only=True):
    """A person's health record; its `id` is that of the Person.

    `code_id` identifies the person in QR codes; it is random, one of 2^72, so that no two are the same. `history` has
    the newest change last and is never empty.
    """

    collection: ClassVar[str] = "health_records"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("code_id",)),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each person with a health code, or about whom was reported",
        ends="when the account is closed and nothing reported affects a colour; it holds at most 50 facts of each kind",
        names="a person",
    )

    code_id: str
    facts: HealthFacts
    history: tuple[ColourChange, ...]
    reports: tuple[Report, ...] = ()


ReceiptState = Literal["accepted", "proposed", "rejected", "expired", "withdrawn"]


class Proposal(Struct, frozen=True):
    """Who proposed an event that a second person must approve, and why it needs one.

    `account` and `person` are the ids of the proposer, `source` that of their ReportingSource. `withdraws` is the id of
    the event that would be withdrawn.
    """

    account: str
    person: str
    source: str
    at: datetime
    kind: str
    reason: Literal["kind", "bulk", "own"]
    withdraws: str | None = None


class HealthEventReceipt(AuditedDocument, kw_only=True):
    """The receipt of an event; its `id` is the digest of the source and the event's id.

    `payload` is the digest of the event's content, `person` the id of the Person concerned. The receipt is `applied`
    once the person's record contains the event. Until then it holds the work to do, the `event` (with the identity of
    its `sample`) or the id of the event that it `withdraws`, and is due for a sweep at `due_ms`; sending the event
    again completes it too.

    An event that needs a second person has a `proposal`, and is accepted or rejected by them. While it waits, since
    `proposed_ms`, it is due at the end of that time.
    """

    collection: ClassVar[str] = "health_event_receipts"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index((), ordered="due_ms"),
        Index((), ordered="proposed_ms"),
        Index(("withdraws",)),
        UNLOGGED,
        Index((), ordered="received_ms"),
        Index(("person",)),
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each reported event",
        ends="when no source repeats the event any more; a report in force can still be withdrawn",
        names="a person",
        field="received_ms",
        periods=(Period(date(2020, 2, 11), 730, "[A] a source repeats an event within two years"),),
    )

    payload: str
    person: str
    applied: bool = False
    event: Event | None = None
    sample: str | None = None
    withdraws: str | None = None
    due_ms: int | None = None
    state: ReceiptState = "accepted"
    proposal: Proposal | None = None
    proposed_ms: int | None = None
    received_ms: int | None = None


class VenueVisit(Document, kw_only=True):
    """A code scanned at a venue; its `id` is derived from venue and code, so that a code is valid there once.

    `person` is the id of the Person, for contact tracing; `gate` the account that scanned. All visits to a venue are on
    one shard, so that they are unique by their scan ids as well.
    """

    collection: ClassVar[str] = "visits"
    shard_key: ClassVar[ShardKey] = {"venue": 1}
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("venue", "scan_id"), unique=True),
        Index(("venue",), ordered="at_ms"),
        Index(("person",), ordered="at_ms"),
        Index((), ordered="at_ms"),
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each scan at a gate",
        ends="when contacts are no longer traced",
        names="a person",
        field="at_ms",
        periods=(
            Period(
                date(2020, 2, 11),
                30,
                "[A] contacts of 14 days are traced, and reports may be 16 days late",
            ),
        ),
    )

    venue: str
    scan_id: str
    person: str
    at_ms: int
    outcome: Literal["valid", "superseded"]
    colour: str
    gate: str


class ScanReservation(Document, kw_only=True):
    """The reservation of a scan id at a venue for one VenueVisit, which earlier editions stored beside the visit.

    None is added any more: the visits themselves are unique by scan id.
    """

    collection: ClassVar[str] = "scan_claims"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="at_ms"),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each scan at a gate in earlier editions",
        ends="with the scan",
        names="nobody",
        field="at_ms",
        periods=(Period(date(2020, 2, 11), 30, "as for the scan"),),
    )

    visit: str
    at_ms: int | None = None


class EventInFuture(Problem):
    """A reported time is in the future."""

    status, title = 422, "Event in the future"


class NotInIsolation(Problem):
    """The person is not in isolation, so no check-in is due."""

    status, title = 409, "Not in isolation"


class EventIdReused(Problem):
    """An event with the same source and id, but another content, was reported before."""

    status, title = 409, "Event id reused"


class NothingToWithdraw(Problem):
    """The source reported no such event of this person, or it was withdrawn before."""

    status, title = 409, "Nothing to withdraw"


class VenueNotAssigned(Problem):
    """The caller's account is not assigned to this venue."""

    status, title = 403, "Venue not assigned"


class ScanIdReused(Problem):
    """The same scan id was sent before with another code."""

    status, title = 409, "Scan id reused"


def new_record(
    person_id: str, code_id: str, born_at: datetime | None, rulebook: Rulebook, now: datetime
) -> HealthRecord:
    """Return the record of a person about whom nothing has been reported."""
    facts = HealthFacts(born_at=born_at)
    verdict = rulebook.evaluate(COLOUR, facts, now)
    return HealthRecord(id=person_id, code_id=code_id, facts=facts, history=(_colour_change(verdict, now),))


def same_decision(change: ColourChange, verdict: Verdict) -> bool:
    """Return whether a change of colour and a verdict have the same colour and rule."""
    return change.colour == verdict.result and change.rule == verdict.rule


def update_history(record: HealthRecord, rulebook: Rulebook, now: datetime) -> HealthRecord:
    """Return a record with its history up to `now`, each change at the instant at which it took effect.

    If the current verdict differs because another rulebook was activated, the change is dated now. Returns the same
    record if its history is complete.
    """
    history = list(record.history)
    current = rulebook.evaluate(COLOUR, record.facts, now)
    for verdict in islice(rulebook.timeline(COLOUR, record.facts, history[-1].at), MAX_VERDICT_CHANGES):
        if verdict.at > now or (verdict.at == record.history[-1].at and not same_decision(history[-1], verdict)):
            break
        if not same_decision(history[-1], verdict):
            history.append(_colour_change(verdict, verdict.at))
    if not same_decision(history[-1], current) and history[-1].at <= now:
        history.append(_colour_change(current, now))
    if len(history) == len(record.history):
        return record
    return replace(record, history=tuple(history[-MAX_HISTORY:]))


def apply_reports(record: HealthRecord, reports: Iterable[Report], rulebook: Rulebook, now: datetime) -> HealthRecord:
    """Return a record with reports added, and the colour change that results."""
    return _with_reports(record, append_reports(record.reports, reports), rulebook, now)


def withdraw_report(record: HealthRecord, key: str, rulebook: Rulebook, now: datetime) -> HealthRecord:
    """Return a record without an officer's report, and with the colour change that results."""
    return _with_reports(record, tuple(report for report in record.reports if report.key != key), rulebook, now)


def _with_reports(record: HealthRecord, reports: tuple[Report, ...], rulebook: Rulebook, now: datetime) -> HealthRecord:
    before = update_history(record, rulebook, now)
    facts = derive_facts(record.facts.born_at, reports)
    verdict = rulebook.evaluate(COLOUR, facts, now)
    history = (
        before.history
        if same_decision(before.history[-1], verdict)
        else (*before.history, _colour_change(verdict, now))
    )
    return replace(before, facts=facts, reports=reports, history=history[-MAX_HISTORY:])


def is_red_by(record: HealthRecord, key: str, rulebook: Rulebook, now: datetime) -> bool:
    """Return whether the code is red now and would not be without an official report."""
    if record.history[-1].colour != RED or rulebook.evaluate(COLOUR, record.facts, now).result != RED:
        return False
    others = [report for report in record.reports if report.key != key]
    if len(others) == len(record.reports):
        return False
    return rulebook.evaluate(COLOUR, derive_facts(record.facts.born_at, others), now).result != RED


def _colour_change(verdict: Verdict, at: datetime) -> ColourChange:
    return ColourChange(to_the_millisecond(at), verdict.result, verdict.rule, verdict.because, verdict.rulebook)


def colour_since(history: Sequence[ColourChange]) -> datetime:
    """Return the instant since which the colour has been the same, whatever the rule."""
    since = history[-1]
    for change in reversed(history):
        if change.colour != since.colour:
            break
        since = change
    return since.at


def next_colour(facts: HealthFacts, verdict: Verdict, rulebook: Rulebook) -> tuple[datetime, str] | None:
    """Return when the colour changes next if nothing is reported, and to which; None if it never does."""
    if verdict.changes_at is None:
        return None
    for later in islice(rulebook.timeline(COLOUR, facts, verdict.at), MAX_VERDICT_CHANGES):
        if later.result != verdict.result:
            return later.at, later.result
    return None


def latest_pcr(facts: HealthFacts) -> LabTest | None:
    """Return the PCR test with a result that was sampled last."""
    for test in reversed(facts.tests):
        if test.kind == "pcr" and test.result != "awaiting":
            return test
    return None


def check_plausible(events: Iterable[tuple[str, Struct]], now: datetime) -> None:
    """Check that the times of events are possible; each event comes with its JSON pointer in the body.

    Raises EventInFuture, or InvalidRequest for instants before 2015 or in the wrong order.
    """
    future: list[FieldError] = []
    wrong: list[FieldError] = []
    for pointer, event in events:
        instants_by_name = list(instants(event))
        for name, at in instants_by_name:
            if at > now:
                future.append(FieldError(f"{pointer}/{name}", "is in the future"))
            elif at < EARLIEST:
                wrong.append(FieldError(f"{pointer}/{name}", "is before 2015"))
        if len(instants_by_name) > 1 and instants_by_name[1][1] < instants_by_name[0][1]:
            wrong.append(FieldError(f"{pointer}/{instants_by_name[1][0]}", f"is before {instants_by_name[0][0]}"))
    if future:
        raise EventInFuture(
            Text(zh="填写的时间晚于现在，请核对。", en="The time entered is in the future; please check it."),
            errors=tuple(future),
        )
    if wrong:
        raise InvalidRequest(
            Text(zh="填写的时间有误，请核对。", en="The time entered is wrong; please check it."),
            errors=tuple(wrong),
        )
