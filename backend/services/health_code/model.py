"""A person's health record, the visits that gates record, and what is decided about them.

No colour is stored as the truth: it is decided by the rules whenever it is asked for. A record keeps the facts, and the
history of colours to the second at which each began.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import ClassVar, Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest, Problem
from backend.rulebook import Rulebook, Verdict
from backend.services.health_code.facts import HealthFacts, LabTest
from backend.services.health_code.reports import Event, Report, facts_of, remember
from backend.store import Document, Index
from backend.store.time import instants, to_the_millisecond

COLOUR = "health_code.colour"
FRAME = "health_code.frame"

MAX_HISTORY = 200
MAX_COLOUR_CHANGES = 200
"""How many changes of the verdict are followed in search of a change of the colour."""

EARLIEST = datetime.fromisoformat("2015-01-01T00:00:00+00:00")
"""Nothing that happened before is taken as a health report: it is a slip of the pen."""


class ColourChange(Struct, frozen=True, gc=False):
    """From `at` on the code has had this colour, by this rule and for this reason, in the rulebook of this digest."""

    at: datetime
    colour: str
    rule: str
    because: Text
    rulebook: str


class HealthRecord(Document, kw_only=True):
    """What the health code knows of a person; its `id` is that of their Profile.

    `code_id` stands for the person in QR codes; it is drawn by chance from 2^72, so that no two are the same.
    `history` has the newest flip last and is never empty.
    """

    collection: ClassVar[str] = "health_records"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("code_id",)),)

    code_id: str
    facts: HealthFacts
    history: tuple[ColourChange, ...]
    reports: tuple[Report, ...] = ()


class HealthEventReceipt(Document, kw_only=True):
    """That an event of a source was taken; its `id` is the digest of the source and the event's id.

    `payload` is the digest of what the event said, `person` whom it is about. It is `applied` once it stands in the
    person's record. Until then it holds what is to be applied, `said` or the id of the event that it `withdraws`, and
    falls due at `due_ms` to a sweep; whoever sends the event again finishes it as well.
    """

    collection: ClassVar[str] = "health_event_receipts"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="due_ms"),)

    payload: str
    person: str
    applied: bool = False
    said: Event | None = None
    withdraws: str | None = None
    due_ms: int | None = None


class Visit(Document, kw_only=True):
    """A code that was shown at a venue; its `id` follows from the venue and the code, so a code counts there once.

    `person` leads to the Profile, for tracing contacts.
    """

    collection: ClassVar[str] = "visits"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("venue",), ordered="at_ms"),
        Index(("person",), ordered="at_ms"),
    )

    venue: str
    scan_id: str
    person: str
    at_ms: int
    outcome: Literal["valid", "superseded"]
    colour: str
    gate: str


class ScanClaim(Document, kw_only=True):
    """That a scan id was used at a venue, for this Visit and no other; its `id` follows from the two.

    A unique index of the visits would say the same, but only where all visits of the city lie on one shard.
    """

    collection: ClassVar[str] = "scan_claims"

    visit: str


class EventInFuture(Problem):
    """An instant lies in the future, where nothing can have happened yet."""

    status, title = 422, "Event in the future"


class NotInIsolation(Problem):
    """There is no isolation for which to check in."""

    status, title = 409, "Not in isolation"


class EventChanged(Problem):
    """An event with the same source and id was reported before, and said something else."""

    status, title = 409, "Event changed"


class NothingToWithdraw(Problem):
    """The source reported no such event of this person, or it was withdrawn before."""

    status, title = 409, "Nothing to withdraw"


class VenueNotYours(Problem):
    """The caller does not stand at this venue's gate."""

    status, title = 403, "Not your venue"


class ScanChanged(Problem):
    """The same scan id was sent before with another code."""

    status, title = 409, "Scan changed"


def begin_record(
    profile_id: str, code_id: str, born_at: datetime | None, rulebook: Rulebook, now: datetime
) -> HealthRecord:
    """Make the record of a person of whom nothing was reported yet."""
    facts = HealthFacts(born_at=born_at)
    verdict = rulebook.evaluate(COLOUR, facts, now)
    return HealthRecord(id=profile_id, code_id=code_id, facts=facts, history=(_flip(verdict, now),))


def tells(flip: ColourChange, verdict: Verdict) -> bool:
    """Tell that a flip says what the verdict says."""
    return flip.colour == verdict.result and flip.rule == verdict.rule


def catch_up(record: HealthRecord, rulebook: Rulebook, now: datetime) -> HealthRecord:
    """Bring a record's history up to `now`, with each flip at the instant at which it came.

    Where another rulebook has changed the answer, nobody can say when, and the flip counts from now.
    """
    history = list(record.history)
    current = rulebook.evaluate(COLOUR, record.facts, now)
    for verdict in islice(rulebook.timeline(COLOUR, record.facts, history[-1].at), MAX_COLOUR_CHANGES):
        if verdict.at > now or (verdict.at == record.history[-1].at and not tells(history[-1], verdict)):
            break
        if not tells(history[-1], verdict):
            history.append(_flip(verdict, verdict.at))
    if not tells(history[-1], current) and history[-1].at <= now:
        history.append(_flip(current, now))
    return replace(record, history=tuple(history[-MAX_HISTORY:]))


def take_reports(record: HealthRecord, reports: Iterable[Report], rulebook: Rulebook, now: datetime) -> HealthRecord:
    """Add reports to a record, and the flip that follows from them."""
    return _with_reports(record, remember(record.reports, reports), rulebook, now)


def withdraw_report(record: HealthRecord, key: str, rulebook: Rulebook, now: datetime) -> HealthRecord:
    """Take an officer's report back, and note the flip that follows."""
    return _with_reports(record, tuple(report for report in record.reports if report.key != key), rulebook, now)


def _with_reports(record: HealthRecord, reports: tuple[Report, ...], rulebook: Rulebook, now: datetime) -> HealthRecord:
    before = catch_up(record, rulebook, now)
    facts = facts_of(record.facts.born_at, reports)
    verdict = rulebook.evaluate(COLOUR, facts, now)
    history = before.history if tells(before.history[-1], verdict) else (*before.history, _flip(verdict, now))
    return replace(before, facts=facts, reports=reports, history=history[-MAX_HISTORY:])


def _flip(verdict: Verdict, at: datetime) -> ColourChange:
    return ColourChange(to_the_millisecond(at), verdict.result, verdict.rule, verdict.because, verdict.rulebook)


def coloured_since(history: Sequence[ColourChange]) -> datetime:
    """Give the instant since which the colour has been what it is now, whatever the rule."""
    since = history[-1]
    for flip in reversed(history):
        if flip.colour != since.colour:
            break
        since = flip
    return since.at


def next_colour(facts: HealthFacts, verdict: Verdict, rulebook: Rulebook) -> tuple[datetime, str] | None:
    """Give when the colour changes next if nothing is reported, and to which; None if it never does."""
    if verdict.changes_at is None:
        return None
    for later in islice(rulebook.timeline(COLOUR, facts, verdict.at), MAX_COLOUR_CHANGES):
        if later.result != verdict.result:
            return later.at, later.result
    return None


def latest_pcr(facts: HealthFacts) -> LabTest | None:
    """Give the PCR test that was sampled last, of those with a result."""
    for test in reversed(facts.tests):
        if test.kind == "pcr" and test.result != "awaiting":
            return test
    return None


def refuse_impossible(said: Iterable[tuple[str, Struct]], now: datetime) -> None:
    """Refuse reports of what cannot have happened; each comes with the JSON pointer at which it stands in the body.

    Raises EventInFuture, or InvalidRequest for instants before 2015 or in the wrong order.
    """
    future: list[FieldError] = []
    wrong: list[FieldError] = []
    for pointer, report in said:
        named = list(instants(report))
        for name, at in named:
            if at > now:
                future.append(FieldError(f"{pointer}/{name}", "lies in the future"))
            elif at < EARLIEST:
                wrong.append(FieldError(f"{pointer}/{name}", "lies before 2015"))
        if len(named) > 1 and named[1][1] < named[0][1]:
            wrong.append(FieldError(f"{pointer}/{named[1][0]}", f"lies before {named[0][0]}"))
    if future:
        raise EventInFuture(
            Text(zh="申报的时间在未来，请核对。", en="What is reported lies in the future; please check the time."),
            errors=tuple(future),
        )
    if wrong:
        raise InvalidRequest(
            Text(zh="申报的时间有误，请核对。", en="What is reported has a wrong time; please check it."),
            errors=tuple(wrong),
        )
