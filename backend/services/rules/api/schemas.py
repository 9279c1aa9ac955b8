"""Requests and responses about releases of rules."""

from datetime import datetime
from itertools import zip_longest
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from backend.city.releases import MAX_WORDS, MIN_WORDS, RulebookPointer, RulebookRelease
from backend.i18n import Text
from backend.rulebook.diff import RulebookDiff
from backend.services.rules.model import PartName, RulebookApproval, RulebookReview

MAX_FILES = 500
RulePath = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,4}\.yaml$",
        max_length=330,
        description="the path of a rule module below the folder of rules, such as `health_code/colour.yaml`",
    ),
]
Files = Annotated[dict[RulePath, str], Meta(min_length=1, max_length=MAX_FILES)]
ClaimsPath = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,4}\.claims\.yaml$",
        max_length=337,
        description="the path of the claims about a rule module, such as `health_code/colour.claims.yaml`",
    ),
]
Claims = Annotated[dict[ClaimsPath, str], Meta(max_length=MAX_FILES)]
Note = Annotated[
    str, Meta(min_length=MIN_WORDS, max_length=MAX_WORDS, description="why the rules change; names nobody")
]
Reason = Annotated[
    str, Meta(min_length=MIN_WORDS, max_length=MAX_WORDS, description="why the part can be done without; names nobody")
]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]


class RulesToCheck(Struct, forbid_unknown_fields=True):
    """All rule modules of a draft and the claims about them, as text by path. Nothing is stored."""

    files: Files
    claims: Claims = {}


class CheckedRules(Struct, frozen=True):
    """A draft without faults: its digest, and what it changes in meaning against the rules in force."""

    digest: Digest
    diff: RulebookDiff


class ReleaseSubmission(Struct, forbid_unknown_fields=True):
    """All rule modules of the city, as text by path, and why they change. A release is always whole.

    `claims` say what must be true of everybody under these rules; the review proves those about changed modules.
    """

    files: Files
    note: Note
    claims: Claims = {}


class ApprovalRequest(Struct, forbid_unknown_fields=True):
    """What the approver saw: the digest of the review, and a reason for each part that could not be made."""

    review: Digest
    acknowledged: dict[PartName, Reason] = {}


class ActivationRequest(Struct, forbid_unknown_fields=True):
    """When the release is put in force: at once without `at`, or at that later instant."""

    at: Annotated[datetime, Meta(tz=True)] | None = None


class ReleaseSummary(Struct, frozen=True):
    """A release, named by its digest. `author` is the account that submitted it, null for the city's own machine.

    `scheduled` is the instant at which it will be in force, if it was activated for a later one.
    """

    digest: Digest
    published: datetime
    author: str | None
    note: str
    in_force: bool
    scheduled: datetime | None


class ReleaseDetails(Struct, frozen=True):
    """A release with the text of each rule module and of its author's claims, by module, and when it was in force."""

    digest: Digest
    published: datetime
    author: str | None
    note: str
    in_force: bool
    scheduled: datetime | None
    periods: "list[ActivationPeriod]"
    files: dict[str, str]
    claims: dict[str, str]


class ReleaseList(Struct, frozen=True):
    """Releases, the newest first, and the cursor of the next page."""

    releases: list[ReleaseSummary]
    cursor: str | None


class ActivationPeriod(Struct, frozen=True):
    """A release was in force from an instant `until` another one; null if no other one follows.

    `account` activated it, null for the city's own machine. One whose `since` is in the future is scheduled. `since` is
    null for the rules from before the first activation.
    """

    digest: Digest
    since: datetime | None
    until: datetime | None
    account: str | None


class ActivationLog(Struct, frozen=True):
    """Which release was, is and will be in force when, the newest first: the last hundred."""

    activations: list[ActivationPeriod]


class PartOfReview(Struct, frozen=True):
    """A part of a review: its report with the SHA-256 of it, or in `failure` why it could not be made."""

    name: PartName
    digest: Digest | None
    failure: Text | None
    report: dict[str, Any] | None


class Approval(Struct, frozen=True):
    """Who approved a release, when, and for which reasons they did without parts of the review."""

    account: str
    at: datetime
    review: Digest
    acknowledged: dict[str, str]


class Review(Struct, frozen=True):
    """What the server found out about a release against the one in force (`compared_with`).

    While it is being made, `made` and `digest` are null. An approval names the `digest`.
    """

    release: Digest
    compared_with: Digest
    requested: datetime
    made: datetime | None
    digest: Digest | None
    parts: list[PartOfReview]
    approval: Approval | None


def release_summary(release: RulebookRelease, pointer: RulebookPointer, now: datetime) -> ReleaseSummary:
    """Return a release as it is listed."""
    in_force, scheduled = _standing(release, pointer, now)
    author = release.author or None
    return ReleaseSummary(release.id, release.published, author, release.note, in_force, scheduled)


def release_details(release: RulebookRelease, pointer: RulebookPointer, now: datetime) -> ReleaseDetails:
    """Return a release with its rule modules."""
    in_force, scheduled = _standing(release, pointer, now)
    log = activation_log(pointer).activations
    periods = [one for one in log if one.digest == release.id and (one.since is None or one.since <= now)]
    author = release.author or None
    return ReleaseDetails(
        release.id,
        release.published,
        author,
        release.note,
        in_force,
        scheduled,
        periods,
        release.files,
        release.claims,
    )


def activation_log(pointer: RulebookPointer) -> ActivationLog:
    """Return the activations with their ends, the newest first."""
    entries = [*pointer.past, *([] if pointer.scheduled is None else [pointer.scheduled])]
    ends = [one.since for one in entries[1:]]
    found = [
        ActivationPeriod(one.digest, one.since, until, one.account or None)
        for one, until in zip_longest(entries, ends, fillvalue=None)
        if one is not None
    ]
    if pointer.initial and entries:
        found.insert(0, ActivationPeriod(pointer.initial, None, entries[0].since, None))
    return ActivationLog(found[::-1])


def approval_of(approval: RulebookApproval) -> Approval:
    """Return an approval as it is shown."""
    acknowledged = {part.name: part.acknowledged for part in approval.seen if part.acknowledged}
    return Approval(approval.approver, approval.at, approval.review, acknowledged)


def review_details(review: RulebookReview, approval: RulebookApproval | None) -> Review:
    """Return a review with its parts, as the approver reads them."""
    parts = [
        PartOfReview(
            part.name, part.digest or None, part.failure, msgspec.json.decode(part.report) if part.report else None
        )
        for part in review.parts
    ]
    return Review(
        review.release,
        review.compared_with,
        review.requested,
        review.made,
        review.digest if review.made is not None else None,
        parts,
        None if approval is None else approval_of(approval),
    )


def _standing(release: RulebookRelease, pointer: RulebookPointer, now: datetime) -> tuple[bool, datetime | None]:
    current, pending = pointer.in_force(now), pointer.pending(now)
    scheduled = pending.since if pending is not None and pending.digest == release.id else None
    return current is not None and current.digest == release.id, scheduled
