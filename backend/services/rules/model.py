"""What protects the law of the city: what passes every check, a second person who saw what it does, and a dated act.

A release is submitted by its author, reviewed by the server against the release in force, approved by another person
who saw that review, and activated. What was approved against one release is not approved against another.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from msgspec import Struct

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.city.releases import RulebookPointer, RulebookRelease
from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest, Problem
from backend.rulebook.source import Fault
from backend.security.identity import Caller
from backend.store import Document, Index
from backend.store.retention import Retention
from backend.store.time import to_ms

MAX_FAULTS = 100
MAX_AHEAD = timedelta(days=366)
"""How far ahead an activation may be scheduled."""

REVIEW_KEPT = timedelta(days=730)

PartName = Literal["diff", "proof", "preview", "replay"]
PARTS: tuple[PartName, ...] = ("diff", "proof", "preview", "replay")
"""What an approver sees: what changed, what the prover says, who changes now, and who would have changed."""


class InvalidRules(Problem):
    """The rule modules have faults; `errors` has each with its file, line and column. Nothing was stored."""

    status, title_zh = 422, "规则有误"


class OtherClaims(Problem):
    """The same rules are a release already, with other claims. A release never changes, so nothing was stored."""

    status, title_zh = 409, "主张与已提交的不同"


class OwnRelease(Problem):
    """The caller submitted this release; another person must approve it and put it in force."""

    status, title_zh = 409, "需要他人批准"


class UnusableRelease(Problem):
    """The services of this edition cannot use the release; `errors` says why. The rules in force stay."""

    status, title_zh = 409, "该版规则不可用"


class ReviewPending(Problem):
    """The review of the release against the one in force is not made yet; ask for it again in some seconds."""

    status, title_zh = 409, "审查材料尚未生成"


class ReviewOutdated(Problem):
    """The review that the caller saw is not that of this release against the one in force now."""

    status, title_zh = 409, "审查材料已过期"


class ReviewIncomplete(Problem):
    """Parts of the review could not be made, which `errors` names; the approver acknowledges each with a reason."""

    status, title_zh = 409, "审查材料不完整"


class NotApproved(Problem):
    """Nobody approved the release against the one that is in force now, and it was never in force itself."""

    status, title_zh = 409, "尚未批准"


class ActivationScheduled(Problem):
    """Another activation is scheduled; it must take effect, or be cancelled, before the next one."""

    status, title_zh = 409, "已有待施行的规则"


class NothingScheduled(Problem):
    """No activation of this release is scheduled, or its instant has come."""

    status, title_zh = 409, "没有待施行的规则"


class ReviewPart(Struct, frozen=True):
    """A part of a review: its `report`, in JSON, with the SHA-256 of it as `digest`; or why it could not be made."""

    name: PartName
    report: str = ""
    digest: str = ""
    failure: Text | None = None


class RulebookReview(Document, kw_only=True):
    """What the server found out about a release against another one, both by digest.

    Its parts are made in the background; until then it is due at `due_ms`.
    """

    collection: ClassVar[str] = "rulebook_reviews"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="due_ms"), Index((), ordered="expires_ms"))
    retention: ClassVar[Retention] = Retention(
        grows_with="each release, and each other one in force against which it is reviewed",
        ends="two years later; approvals keep its digest",
        names="nobody",
        ends_at="expires_ms",
    )

    release: str
    compared_with: str
    requested: datetime
    expires_ms: int
    due_ms: int | None = None
    made: datetime | None = None
    parts: tuple[ReviewPart, ...] = ()

    @property
    def digest(self) -> str:
        """Return the SHA-256 of what an approver sees: both releases, and each part or why there is none."""
        parts = [[part.name, part.digest, part.failure and part.failure.en] for part in self.parts]
        return hashlib.sha256(json.dumps([self.release, self.compared_with, parts]).encode()).hexdigest()


class SeenPart(Struct, frozen=True):
    """A part that an approver saw, by its digest, or the reason for which they did without it."""

    name: PartName
    digest: str
    acknowledged: str = ""


class RulebookApproval(AuditedDocument, kw_only=True):
    """Who approved a release against the one then in force, when, and what they saw. It never changes.

    `approver` and `approver_person` are the ids of their account and of their Person, `review` is the review's digest.
    """

    collection: ClassVar[str] = "rulebook_approvals"
    indexes: ClassVar[tuple[Index, ...]] = (UNLOGGED, Index(("release",)))
    retention: ClassVar[Retention] = Retention(
        grows_with="each approval of a release",
        ends="never: it is the ground on which rules were put in force",
        names="nobody",
    )

    release: str
    compared_with: str
    approver: str
    approver_person: str
    at: datetime
    review: str
    seen: tuple[SeenPart, ...]


def review_id(release: str, compared_with: str) -> str:
    """Return the id of the review, and of the approval, of a release against another."""
    return f"{release}:{compared_with}"


def new_review(release: str, compared_with: str, now: datetime) -> RulebookReview:
    """Return a review whose parts are still to be made."""
    return RulebookReview(
        id=review_id(release, compared_with),
        release=release,
        compared_with=compared_with,
        requested=now,
        due_ms=to_ms(now),
        expires_ms=to_ms(now + REVIEW_KEPT),
    )


def refuse_own_release(caller: Caller, release: RulebookRelease) -> None:
    """Refuse to let its author approve a release or put it in force, from whichever account. Raises OwnRelease."""
    own_person = caller.citizen_id is not None and caller.citizen_id == release.author_person
    if own_person or caller.account_id == release.author:
        raise OwnRelease(
            zh="该版规则由您提交，须由另一人批准后施行。",
            en="You submitted this release; another person must approve it and put it in force.",
        )


def check_seen(review: RulebookReview | None, seen: str, acknowledged: Mapping[PartName, str]) -> tuple[SeenPart, ...]:
    """Return what an approver saw of the review against the release in force, from the digest that they state.

    Raises ReviewPending, ReviewOutdated, or ReviewIncomplete for a part without a report and without a reason.
    """
    if review is None or review.made is None:
        raise ReviewPending(
            zh="本系统正在生成该版规则与现行规则的审查材料，请稍后查看并批准。",
            en="The review of this release against the one in force is being made; read it soon, then approve.",
        )
    if review.digest != seen:
        raise ReviewOutdated(
            zh="您看到的审查材料不是该版规则与现行规则的最新比较，请重新查看后批准。",
            en="The review that you saw is not that of this release against the one in force; please read it again.",
            review=review.digest,
            compared_with=review.compared_with,
        )
    errors = tuple(
        FieldError(f"/acknowledged/{part.name}", part.failure.en, part.failure.zh)
        for part in review.parts
        if part.failure is not None and not acknowledged.get(part.name)
    )
    if errors:
        raise ReviewIncomplete(
            zh="部分审查材料未能生成；如仍要批准，请逐项说明理由。",
            en="Parts of the review could not be made; to approve all the same, give a reason for each.",
            errors=errors,
        )
    return tuple(
        SeenPart(part.name, part.digest, "" if part.failure is None else acknowledged[part.name])
        for part in review.parts
    )


def check_instant(at: datetime | None, now: datetime) -> None:
    """Check that an activation is scheduled for the future, and for a year at most. Raises InvalidRequest."""
    if at is not None and not now < at <= now + MAX_AHEAD:
        raise InvalidRequest(
            zh="施行时间须晚于现在，且不超过一年。",
            en="An activation is scheduled for a later instant, at most a year ahead.",
            errors=(FieldError("/at", "is not within the next year", "不在今后一年之内"),),
        )


def was_in_force(pointer: RulebookPointer, digest: str) -> bool:
    """Return whether a release was in force before, so that it may be put in force again without another review.

    The edition from before the first activation was.
    """
    return digest == pointer.initial or any(activation.digest == digest for activation in pointer.past)


def not_approved(*, otherwise: bool) -> NotApproved:
    """Return the Problem of a release that nobody approved, or that was approved `otherwise`: against another one."""
    if otherwise:
        return NotApproved(
            zh="批准之后现行规则已经改变，请重新查看审查材料并批准。",
            en="Other rules were put in force since this release was approved; read its review and approve it again.",
        )
    return NotApproved(
        zh="该版规则尚未批准，不能施行。",
        en="Nobody approved this release, so it cannot be put in force.",
    )


def errors_of(faults: Sequence[Fault], pointer_prefix: str = "") -> tuple[FieldError, ...]:
    """Return the faults as errors of a Problem, each at its file and as authors read it, the first 100."""
    return tuple(
        FieldError(
            pointer_prefix + fault.path.replace("~", "~0").replace("/", "~1"),
            str(fault),
            fault.in_language("zh"),
        )
        for fault in faults[:MAX_FAULTS]
    )
