"""A qualification that a person declared, and the answer of the registry about it."""

import hashlib
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from backend.services.talent_code.facts import Degree, Pay, Post, Prize, Title

Qualification = Prize | Title | Degree | Post | Pay
EvidenceState = Literal["declared", "confirmed", "refuted", "unconfirmed"]


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
