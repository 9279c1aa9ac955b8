"""The roles of staff: one operator proposes them, another approves, and one can take them away.

The proposals are part of the account that they are for, so that a role, its proposal and the act that grants it are one
write. Roles are in force while the account's identity is proved in person; staff may be entered before that.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.i18n import Text
from backend.problems import Problem
from backend.security.identity import Caller, Role
from backend.services.account.model.account import Account, Proposal, standing_of
from backend.store import Index
from backend.store.retention import Retention
from backend.store.time import to_ms

PROPOSAL_LIFETIME = timedelta(days=7)
"""How long a proposal waits for its approval. [A]"""
MAX_PROPOSALS = 8
MAX_VENUES = 50


class OwnGrant(Problem):
    """Another operator must decide: it is the caller's own proposal, or a role of their own."""

    status, title_zh = 409, "需由他人办理"


class ExclusiveRoles(Problem):
    """Nobody may have both roles at once."""

    status, title_zh = 409, "角色互斥"


class GrantExpired(Problem):
    """The proposal has expired; propose it again."""

    status, title_zh = 409, "提议已过期"


class GrantNotFound(Problem):
    """There is no such proposal, or it was decided before."""

    status, title, title_zh = 404, "Grant not found", "没有找到该提议"


class TooManyRoles(Problem):
    """The account has too many venues or open proposals."""

    status, title_zh = 409, "数量超限"


class Grant(Struct, frozen=True):
    """Roles and venues that are given to an account or taken from it."""

    roles: tuple[Role, ...] = ()
    venues: tuple[str, ...] = ()


def propose(account: Account, proposal: Proposal, caller: Caller, exclusive: Collection[frozenset[str]]) -> Account:
    """Return an account with one more proposal. The same proposal again changes nothing.

    Raises OwnGrant, ExclusiveRoles or TooManyRoles.
    """
    if is_own(account, caller):
        raise own_grant()
    _check_exclusive((*account.roles, *proposal.roles), exclusive)
    waiting = _waiting(account, proposal.proposed_at)
    if any(one.roles == proposal.roles and one.venues == proposal.venues for one in waiting):
        return account
    if len(waiting) >= MAX_PROPOSALS or len({*account.venues, *proposal.venues}) > MAX_VENUES:
        raise TooManyRoles(zh="该账户的场所或待批提议过多。", en="The account has too many venues or open proposals.")
    return with_proposals(account, (*waiting, proposal))


def find_proposal(account: Account, proposal_id: str) -> Proposal:
    """Return a proposal. Raises GrantNotFound."""
    found = next((one for one in account.proposals if one.id == proposal_id), None)
    if found is None:
        raise grant_not_found()
    return found


def approve(
    account: Account, proposal_id: str, caller: Caller, now: datetime, exclusive: Collection[frozenset[str]]
) -> Account:
    """Return an account with the roles and venues of a proposal that another person made.

    Raises GrantNotFound, GrantExpired, OwnGrant or ExclusiveRoles.
    """
    proposal = find_proposal(account, proposal_id)
    if proposal.expires_at <= now:
        raise GrantExpired(zh="该提议已过期，请重新提议。", en="The proposal has expired; please propose it again.")
    same_account = proposal.proposed_by == caller.account_id
    if same_account or _same_person(proposal.proposed_by_person, caller) or is_own(account, caller):
        raise own_grant()
    roles = tuple(dict.fromkeys((*account.roles, *proposal.roles)))
    _check_exclusive(roles, exclusive)
    granted = replace(
        account,
        roles=roles,
        venues=tuple(dict.fromkeys((*account.venues, *proposal.venues))),
        staff_since_ms=account.staff_since_ms or to_ms(now),
    )
    return without_proposal(granted, proposal_id)


def withdraw(account: Account, grant: Grant) -> Account:
    """Return an account without some roles and venues, and without proposals for them."""
    roles = tuple(role for role in account.roles if role not in grant.roles)
    venues = tuple(venue for venue in account.venues if venue not in grant.venues)
    proposals = tuple(one for one in account.proposals if not {*grant.roles, *grant.venues} & {*one.roles, *one.venues})
    if (roles, venues, proposals) == (account.roles, account.venues, account.proposals):
        return account
    since_ms = account.staff_since_ms if roles or venues else None
    return with_proposals(replace(account, roles=roles, venues=venues, staff_since_ms=since_ms), proposals)


def without_proposal(account: Account, proposal_id: str) -> Account:
    """Return an account without one of its proposals. Raises GrantNotFound."""
    gone = find_proposal(account, proposal_id)
    return with_proposals(account, tuple(one for one in account.proposals if one is not gone))


def without_expired(account: Account, now: datetime) -> Account:
    """Return an account without expired proposals."""
    waiting = _waiting(account, now)
    return account if waiting == account.proposals else with_proposals(account, waiting)


def with_proposals(account: Account, proposals: tuple[Proposal, ...]) -> Account:
    """Return an account with these proposals, which a sweep finds by the first end."""
    first = min((to_ms(one.expires_at) for one in proposals), default=None)
    return replace(account, proposals=proposals, proposal_expires_ms=first)


def is_own(account: Account, caller: Caller) -> bool:
    """Return whether an account is the caller's own, or another one of the same person."""
    return account.id == caller.account_id or _same_person(account.citizen_id, caller)


def own_grant() -> OwnGrant:
    """Return the Problem for deciding on one's own proposal or role."""
    return OwnGrant(
        zh="不能审批本人的提议，也不能为本人授权，请由另一位管理员办理。",
        en="You cannot approve your own proposal or decide on your own roles; another operator must do so.",
    )


def grant_not_found() -> GrantNotFound:
    """Return the Problem for a proposal that does not exist."""
    return GrantNotFound(
        Text(zh="没有找到该提议，可能已经处理。", en="There is no such proposal; it may have been decided.")
    )


def exclusive_pair(roles: Iterable[str], exclusive: Collection[frozenset[str]]) -> tuple[str, str] | None:
    """Return two of the roles that exclude each other, in order, or None."""
    present = frozenset(roles)
    pairs = sorted(sorted(pair) for pair in exclusive if pair <= present)
    return (pairs[0][0], pairs[0][1]) if pairs else None


def _check_exclusive(roles: Iterable[str], exclusive: Collection[frozenset[str]]) -> None:
    pair = exclusive_pair(roles, exclusive)
    if pair is not None:
        raise ExclusiveRoles(
            zh=f"角色“{pair[0]}”与“{pair[1]}”不能由同一人担任。",
            en=f"Nobody may have the roles {pair[0]!r} and {pair[1]!r} at once.",
            roles=pair,
        )


def _waiting(account: Account, now: datetime) -> tuple[Proposal, ...]:
    return tuple(one for one in account.proposals if one.expires_at > now)


def _same_person(citizen_id: str | None, caller: Caller) -> bool:
    return citizen_id is not None and citizen_id == caller.citizen_id


class OperatorRoster(AuditedDocument, kw_only=True):
    """Everybody who was made an operator and was not removed, by account; there is one such document.

    An account enters the roster before it becomes an operator, and leaves it before it ceases to be one. So the
    removal of an operator finds all others here, and of several removals at once each sees the one before.
    `complete` says that the first two operators, who are entered on the city's machine, have their role.
    `demonstration` marks a city whose staff is invented.
    """

    collection: ClassVar[str] = "operator_rosters"
    indexes: ClassVar[tuple[Index, ...]] = (UNLOGGED,)
    retention: ClassVar[Retention] = Retention(
        grows_with="nothing: there is one",
        ends="never: it holds the present operators",
        names="nobody",
    )

    operators: tuple[str, ...]
    complete: bool = True
    demonstration: bool = False


class LastOperators(Problem):
    """Two operators must remain, because grants need two people."""

    status, title_zh = 409, "至少保留两名管理员"


ROSTER, OPERATOR = "operators", "operator"
MIN_OPERATORS = 2


def with_operator(roster: OperatorRoster, account_id: str) -> OperatorRoster:
    """Return the roster with an account."""
    if account_id in roster.operators:
        return roster
    return replace(roster, operators=(*roster.operators, account_id))


def without_operator(roster: OperatorRoster, account_id: str, others: Iterable[Account]) -> OperatorRoster:
    """Return the roster without an account. Raises LastOperators unless two of the `others` are operators now."""
    present = [one for one in others if one.id != account_id and OPERATOR in standing_of(one).roles]
    if len(present) < MIN_OPERATORS:
        raise LastOperators(
            zh="授权须由两人办理，至少保留两名已当面核验身份的管理员。",
            en="Grants need two people, so two operators whose identity is proved in person must remain.",
        )
    return replace(roster, operators=tuple(one for one in roster.operators if one != account_id))
