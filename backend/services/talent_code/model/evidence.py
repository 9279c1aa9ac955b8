"""A qualification that a person declared, and the answer of the registry about it."""

import hashlib
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backend.services.talent_code.facts import Degree, Pay, Post, Prize, Title

Qualification = Prize | Title | Degree | Post | Pay
EvidenceState = Literal["declared", "confirmed", "refuted", "unconfirmed"]
Outcome = Literal["confirmed", "refuted", "pending"]
"""What a registry answers about evidence; `pending`: it has not decided yet, or does not answer."""

MIN_CHECK_INTERVAL = timedelta(seconds=10)
MAX_CHECK_INTERVAL = timedelta(hours=6)
"""A registry that did not answer is queried again after the minimum; the interval doubles up to the maximum."""


class Evidence(Struct, frozen=True, gc=False):
    """A declared qualification and the result of checking it with the registry.

    `recheck` requests another check of confirmed evidence, which stays valid meanwhile. The next check is due at
    `check_at`; a registry that did not answer, or has not decided, is queried again then.
    """

    id: str
    qualification: Qualification
    declared_at: datetime
    check_at: datetime
    state: EvidenceState = "declared"
    confirmed_at: datetime | None = None
    answered_at: datetime | None = None
    recheck: bool = False
    failures: int = 0

    def needs_check(self) -> bool:
        """Return True if a registry must be queried about it."""
        return self.state == "declared" or self.recheck

    def after(self, outcome: Outcome, now: datetime, registry_days: int) -> "Evidence":
        """Return the evidence after a registry's answer.

        A post that was confirmed before and is refuted now has ended meanwhile: earlier decisions based on it stay
        right. If no answer comes, checks stop after `registry_days`: confirmed evidence then stays confirmed, and
        declared evidence becomes unconfirmed.
        """
        if outcome == "pending":
            wait = min(MIN_CHECK_INTERVAL * 2 ** min(self.failures, 12), MAX_CHECK_INTERVAL)
            stops = self.state == "declared" and now - self.declared_at >= timedelta(days=registry_days)
            state = "unconfirmed" if stops else self.state
            return replace(self, state=state, failures=self.failures + 1, check_at=now + wait)
        answered = replace(self, answered_at=now, recheck=False, failures=0)
        if outcome == "confirmed":
            return replace(answered, state="confirmed", confirmed_at=self.confirmed_at or now)
        post = self.qualification
        if isinstance(post, Post) and self.confirmed_at is not None:
            return replace(answered, qualification=replace(post, until=post.until or now))
        return replace(answered, state="refuted")


def evidence_id(person: str, qualification: Qualification) -> str:
    """Return the id of a person's qualification; declaring the same again gives the same id."""
    return hashlib.sha256(person.encode() + b"\n" + msgspec.json.encode(qualification)).hexdigest()[:20]


def happened_at(qualification: Qualification, zone: ZoneInfo) -> datetime:
    """Return the instant from which a qualification exists: its award, its start, or the end of its year."""
    match qualification:
        case Prize() | Degree():
            return qualification.awarded_at
        case Title():
            return qualification.granted_at
        case Post():
            return qualification.since
        case Pay():
            return year_end(qualification.year, zone)


def year_end(year: int, zone: ZoneInfo) -> datetime:
    """Return the midnight that ends a calendar year of the city."""
    return datetime(year + 1, 1, 1, tzinfo=zone)
