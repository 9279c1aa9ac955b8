"""Identity cases: a number that passes to another account, and names and numbers that officers correct."""

from datetime import date, datetime
from enum import StrEnum
from typing import ClassVar, Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.problems import Problem
from backend.store import Index
from backend.store.retention import Period, Retention
from backend.store.time import to_ms

IDENTITY_OFFICER = "identity_officer"


class CaseKind(StrEnum):
    """What a case decides: to whom a number belongs, how a name is written, or which number is right."""

    TAKEOVER = "takeover"
    NAME = "name"
    NUMBER = "number"


CaseState = Literal["open", "approved", "done", "refused"]
"""`approved`: decided, and being put into effect."""


class Vote(Struct, frozen=True):
    """What one officer decided. `reason` is encrypted; `person` is the officer's own, so that two are two people."""

    account: str
    person: str
    approves: bool
    reason: str
    at: datetime


class IdentityCase(AuditedDocument, kw_only=True):
    """The number of `person` passes to `account`, or `person` is corrected.

    `name` is the name that was proved or is proposed, encrypted. `votes` are empty if an identity that was proved in
    person took the number from one that was not. `due_ms` is when a sweep puts an approved case into effect.
    """

    collection: ClassVar[str] = "identity_cases"
    indexes: ClassVar[tuple[Index, ...]] = (
        UNLOGGED,
        Index((), ordered="due_ms"),
        Index(("state",), ordered="opened_ms"),
        Index(("account", "state"), ordered="opened_ms"),
        Index(("account",), ordered="opened_ms"),
        Index((), ordered="opened_ms"),
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each number that passes to another account, and each correction of an identity",
        ends="five years after it was opened",
        names="a person",
        field="opened_ms",
        periods=(Period(date(2016, 1, 1), 1_827, "[A] as long as a decision on a person can be contested"),),
    )

    kind: CaseKind
    account: str
    person: str
    opened_ms: int
    state: CaseState = "open"
    name: str | None = None
    holder: str | None = None
    votes: tuple[Vote, ...] = ()
    due_ms: int | None = None


class CaseClosed(Problem):
    """The case is already decided."""

    status, title = 409, "Case closed"


class OwnIdentityCase(Problem):
    """An officer does not decide on their own identity, nor twice on the same case."""

    status, title = 409, "Own case"


def approve_at_once(case: IdentityCase) -> IdentityCase:
    """Return a case that nobody need decide."""
    return replace(case, state="approved", due_ms=case.opened_ms)


def decide(case: IdentityCase, vote: Vote, concerned: frozenset[str]) -> IdentityCase:
    """Return a case with the vote of one more officer: two approve, one refuses.

    `concerned` are the ids of all people and accounts whom the case is about. Raises CaseClosed and OwnIdentityCase.
    """
    if case.state != "open":
        raise CaseClosed(zh="该事项已有处理结果。", en="The case is already decided.")
    if concerned & {vote.account, vote.person}:
        raise OwnIdentityCase(zh="涉及本人的事项，由其他工作人员办理。", en="The case is about you.")
    if any(vote.account == other.account or vote.person == other.person for other in case.votes):
        raise OwnIdentityCase(zh="该事项须由另一名工作人员复核。", en="Another person must decide as well.")
    votes = (*case.votes, vote)
    if not vote.approves:
        return replace(case, votes=votes, state="refused")
    if len(votes) < 2:  # noqa: PLR2004  two people
        return replace(case, votes=votes)
    return replace(case, votes=votes, state="approved", due_ms=to_ms(vote.at))


def contested(case: IdentityCase) -> IdentityCase:
    """Return a case that officers must decide after all."""
    return replace(case, state="open", due_ms=None)


def put_into_effect(case: IdentityCase) -> IdentityCase:
    """Return a case of which nothing is left to do."""
    return replace(case, state="done", due_ms=None)
