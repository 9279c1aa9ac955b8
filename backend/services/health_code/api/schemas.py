"""Requests and responses of the health code."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from backend.city.id_number import RESIDENT_CARD, DocumentKind, TypedIdNumber
from backend.i18n import Text
from backend.problems import FieldError
from backend.services.health_code.code import Shape
from backend.services.health_code.facts import Contact, Entry, Instant, Stay, SymptomKind
from backend.services.health_code.reports import Event, Withdrawal
from backend.services.health_code.rule_modules import Colour
from backend.services.health_code.sources import CaseId, SourceKind, SourceName

ScanOutcome = Literal[
    "valid", "expired", "clock_differs", "unreadable", "unknown_key", "forged", "replayed", "superseded"
]


class PcrTest(Struct, frozen=True, gc=False):
    """The PCR test that was sampled last, and its age in whole hours."""

    result: Literal["positive", "negative", "awaiting"]
    sampled_at: datetime
    reported_at: datetime | None
    hours: int


class Decoration(Struct, frozen=True, gc=False):
    """Shown next to the colour, without effect on it: a gold frame for vaccination, and the latest PCR test."""

    frame: Literal["none", "gold"]
    latest_pcr: PcrTest | None


class HealthCode(Struct, frozen=True, gc=False):
    """A person's code as of now.

    `because` is the reason for the colour, `remedy` what turns it green again. The code has had its colour `since`, and
    becomes `changes_to` at `changes_at` if nothing is reported. `payload` is the content of the QR image; it is valid
    until `expires_at`.
    """

    colour: Colour
    label: Text
    shape: Shape
    rule: str
    because: Text
    remedy: Text | None
    since: datetime
    changes_at: datetime | None
    changes_to: Colour | None
    decoration: Decoration
    payload: str
    issued_at: datetime
    expires_at: datetime
    rulebook: str


class PastColour(Struct, frozen=True):
    """A colour that the code had from `at` on, and the rule that decided it."""

    at: datetime
    colour: Colour
    label: Text
    rule: str
    because: Text
    rulebook: str


class ColourHistory(Struct, frozen=True):
    """The colours of a person's code, newest first, at most 200."""

    colours: list[PastColour]


class HealthDeclarationRequest(Struct, forbid_unknown_fields=True):
    """A person's health declaration: current symptoms, or an empty list; contacts, stays in risk areas and entries."""

    symptoms: Annotated[list[SymptomKind], Meta(max_length=7)]
    contacts: Annotated[list[Contact], Meta(max_length=20)] = []
    stays: Annotated[list[Stay], Meta(max_length=20)] = []
    entries: Annotated[list[Entry], Meta(max_length=20)] = []


class ScanRequest(Struct, forbid_unknown_fields=True):
    """A code scanned at a venue. The scanner generates `scan_id`; repeating it returns the first answer.

    `with_name` requests the masked name of the holder of a valid code, to compare with an identity document.
    """

    payload: Annotated[str, Meta(min_length=1, max_length=2_000)]
    venue: Annotated[str, Meta(min_length=1, max_length=64)]
    scan_id: Annotated[str, Meta(min_length=8, max_length=64)]
    with_name: bool = False


class Verification(Struct, frozen=True):
    """The result of a scan. `colour` is the person's current colour, if the code identifies a person.

    Let people in only if `admit` is true; `message` says what else to do. If the city's records are unreachable, only
    the code was verified, as by an offline scanner: the colour is the one it was issued with, whether it was used
    before is unknown, and the visit is not `recorded`.

    `name` is the masked name, if it was requested and the code is valid. `clock_difference_seconds` is how far the code
    was issued after now, if the clocks differ.
    """

    outcome: ScanOutcome
    admit: bool
    message: Text
    colour: Colour | None = None
    label: Text | None = None
    shape: Shape | None = None
    recorded: bool = True
    name: str | UnsetType = UNSET
    clock_difference_seconds: int | UnsetType = UNSET


class OfflineScan(Struct, forbid_unknown_fields=True):
    """A code that a scanner verified without network at `scanned_at`, under a `scan_id` of its own."""

    scan_id: Annotated[str, Meta(min_length=8, max_length=64)]
    payload: Annotated[str, Meta(min_length=1, max_length=2_000)]
    scanned_at: Instant


class OfflineScans(Struct, forbid_unknown_fields=True):
    """The scans that waited at a venue for the network, in any order."""

    venue: Annotated[str, Meta(min_length=1, max_length=64)]
    scans: Annotated[list[OfflineScan], Meta(min_length=1, max_length=200)]


class OfflineScanResult(Struct, frozen=True):
    """The result of one scan, as it would have been at its time; it is `recorded` if it is a visit to the venue.

    `outcome` is that of a verification, or `scan_id_reused` (the scan id was used for another code) or `out_of_period`
    (it was scanned more than seven days ago, or after now). `colour` is what the person's colour was by the facts that
    are known now.
    """

    scan_id: str
    outcome: ScanOutcome | Literal["scan_id_reused", "out_of_period"]
    recorded: bool
    colour: Colour | None = None


class OfflineScanResults(Struct, frozen=True):
    """One result for each scan, in the same order."""

    results: list[OfflineScanResult]


class HealthEvent(Struct, forbid_unknown_fields=True):
    """An event that `source` reports, under its own `id`, about the person with this identity document.

    `case_id` identifies the case, or another record, in the register that reports it.
    """

    source: SourceName
    id: Annotated[str, Meta(min_length=1, max_length=100)]
    id_number: TypedIdNumber
    event: Event | Withdrawal
    document_kind: DocumentKind = RESIDENT_CARD
    case_id: CaseId | UnsetType = UNSET


AnyEvent = Annotated[Raw, Meta(extra_json_schema={"anyOf": [{"$ref": "#/components/schemas/HealthEvent"}, {}]})]
"""An event that is read separately, so that an ill-formed one is refused and the others are applied."""


class HealthEventBatch(Struct, forbid_unknown_fields=True):
    """Events in the order in which they became known, each a HealthEvent; only what is not one is refused."""

    events: Annotated[list[AnyEvent], Meta(min_length=1, max_length=500)]


class EventRejection(Struct, frozen=True):
    """Why an event was not applied: the members of a Problem."""

    type: str
    title: str
    detail: Text
    errors: tuple[FieldError, ...]


class EventResult(Struct, frozen=True):
    """The result of one event.

    It was `applied`, or is `repeated` (applied before), or `proposed` (it waits for a second person), or in `conflict`
    with an earlier event of the same id, or was `refused`. `source` and `id` are empty if the event has none that can
    be read.
    """

    source: str
    id: str
    outcome: Literal["applied", "repeated", "conflict", "refused", "proposed"]
    problem: EventRejection | None = None


class EventResults(Struct, frozen=True):
    """One result for each event, in the same order."""

    results: list[EventResult]


class ReportDecisions(Struct, forbid_unknown_fields=True):
    """The ids of proposals that are approved or rejected."""

    ids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=500)]


class DecisionResult(Struct, frozen=True):
    """The result of one decision: `decided`, or `refused` with the members of a Problem."""

    id: str
    outcome: Literal["decided", "refused"]
    problem: EventRejection | None = None


class DecisionResults(Struct, frozen=True):
    """One result for each proposal, in the same order."""

    results: list[DecisionResult]


class ProposalSummary(Struct, frozen=True):
    """An event that waits for a second person; a withdrawal has no `event`.

    It needs one because of its `kind`, because it is one of many (`bulk`), or because it is about its reporter (`own`).
    """

    id: str
    source: str
    kind: str
    reason: Literal["kind", "bulk", "own"]
    proposed_at: datetime
    expires_at: datetime
    event: Event | None = None


class ProposalList(Struct, frozen=True):
    """Proposals, oldest first, and the cursor of the next page; None after the last page."""

    proposals: list[ProposalSummary]
    cursor: str | None


class ProposalDetails(Struct, frozen=True):
    """A proposal and whom it is about: the masked number of their document, and their masked name if it is known."""

    proposal: ProposalSummary
    id_number: str
    name: str | None


class SourceChangeRequest(Struct, forbid_unknown_fields=True):
    """What a source should become: its kind, all accounts that report for it, and its bounds per day.

    A laboratory without `sample_ids` knows no ids of samples. Bounds that are missing are the usual ones of its kind.
    """

    name: SourceName
    kind: SourceKind
    accounts: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=200)]
    sample_ids: bool = True
    events_per_day: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    decisive_per_day: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class SourceApproval(Struct, forbid_unknown_fields=True):
    """The proposed change of a source that the caller has seen."""

    name: SourceName
    change: Annotated[str, Meta(min_length=1, max_length=64)]


class SourceRemoval(Struct, forbid_unknown_fields=True):
    """An account that must no longer report for a source."""

    name: SourceName
    account: Annotated[str, Meta(min_length=1, max_length=64)]


class ProposedSource(Struct, frozen=True):
    """A change of a source that another operator must approve before `expires_at`."""

    change: str
    kind: SourceKind
    accounts: tuple[str, ...]
    sample_ids: bool
    events_per_day: int | None
    decisive_per_day: int | None
    proposed_at: datetime
    expires_at: datetime


class SourceSummary(Struct, frozen=True):
    """A source of health events; it has no kind, and reports nothing, before its first approval."""

    name: str
    kind: SourceKind | None
    accounts: tuple[str, ...]
    sample_ids: bool
    events_per_day: int | None
    decisive_per_day: int | None
    proposed: ProposedSource | None


class SourceList(Struct, frozen=True):
    """Sources by name, and the cursor of the next page; None after the last page."""

    sources: list[SourceSummary]
    cursor: str | None
