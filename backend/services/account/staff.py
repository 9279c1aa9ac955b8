"""Grant and withdraw the roles of staff, and enter the first two operators.

Each change of an account is one write, together with the act that the audit log takes over.
"""

import secrets
from collections.abc import Awaitable, Callable
from functools import partial

from backend.city.audit_log import Act, new_act, with_act
from backend.city.service import City
from backend.security.identity import Caller, Role, refuse_unknown_roles
from backend.services.account.accounts import find_or_create_account
from backend.services.account.model import staff
from backend.services.account.model.account import Account, Proposal, parse_phone
from backend.services.account.model.staff import (
    OPERATOR,
    PROPOSAL_LIFETIME,
    ROSTER,
    Grant,
    OperatorRoster,
    grant_not_found,
    with_operator,
    without_operator,
)
from backend.store import Order, Page
from backend.store.paging import find_all
from backend.store.update import insert_or_get, retry_on_conflict, update_document

STAFF = Order("staff_since_ms", at_least=0)
PAGE = 100
MAX_PAGES = 20


async def propose_grant(city: City, caller: Caller, phone: str, grant: Grant, reason: str) -> tuple[Account, Proposal]:
    """Store a proposal for the account of a phone, which is created if there is none; return both.

    Raises InvalidPhone, InvalidRequest, OwnGrant, ExclusiveRoles or TooManyRoles.
    """
    refuse_unknown_roles(grant.roles, city.roles)
    account = await find_or_create_account(city, parse_phone(phone, city.settings.phone_region))
    now = city.now()
    proposal = Proposal(
        id=f"{account.id}.{secrets.token_urlsafe(6)}",
        roles=tuple(dict.fromkeys(grant.roles)),
        venues=tuple(dict.fromkeys(grant.venues)),
        reason=reason,
        proposed_by=caller.account_id,
        proposed_by_person=caller.citizen_id,
        proposed_at=now,
        expires_at=now + PROPOSAL_LIFETIME,
    )
    act = partial(new_act, city, caller, OPERATOR, "account.grant_proposed", reason=_words(city, grant, reason))
    account = await _change(
        city, account.id, lambda one: staff.propose(one, proposal, caller, city.exclusive_roles), act
    )
    return account, next(
        one for one in account.proposals if (one.roles, one.venues) == (proposal.roles, proposal.venues)
    )


async def approve_grant(city: City, caller: Caller, proposal_id: str) -> Account:
    """Give an account the roles and venues that another operator proposed.

    Raises GrantNotFound, GrantExpired, OwnGrant or ExclusiveRoles.
    """
    account = await _proposed(city, proposal_id)
    proposal = staff.find_proposal(account, proposal_id)
    approve = partial(
        staff.approve, proposal_id=proposal_id, caller=caller, now=city.now(), exclusive=city.exclusive_roles
    )
    approve(account)  # refuses before the roster is written
    if OPERATOR in proposal.roles:
        await _update_roster(city, lambda roster: _entered(roster, account.id))
    act = partial(
        new_act, city, caller, OPERATOR, "account.grant_approved", reason=_words(city, proposal, proposal.reason)
    )
    return await _change(city, account.id, approve, act)


async def decline_grant(city: City, caller: Caller, proposal_id: str) -> Account:
    """Remove a proposal. Raises GrantNotFound."""
    account = await _proposed(city, proposal_id)
    act = partial(new_act, city, caller, OPERATOR, "account.grant_declined")
    return await _change(city, account.id, partial(staff.without_proposal, proposal_id=proposal_id), act)


async def withdraw_grant(city: City, caller: Caller, account_id: str, grant: Grant, reason: str) -> Account:
    """Take roles and venues from an account, at once. Raises GrantNotFound or LastOperators."""
    account = await city.store.get(Account, account_id)
    if account is None:
        raise grant_not_found()
    if OPERATOR in grant.roles and OPERATOR in account.roles:
        await _update_roster(city, partial(_left, city, account_id))
    act = partial(new_act, city, caller, OPERATOR, "account.roles_withdrawn", reason=_words(city, grant, reason))
    return await _change(city, account_id, partial(staff.withdraw, grant=grant), act)


async def _proposed(city: City, proposal_id: str) -> Account:
    """Return the account that a proposal is for. Raises GrantNotFound."""
    account = await city.store.get(Account, proposal_id.partition(".")[0])
    if account is None:
        raise grant_not_found()
    return account


async def _change(
    city: City, account_id: str, change: Callable[[Account], Account], act: Callable[[str], Act]
) -> Account:
    """Change an account and record the act in the same write."""

    def changed(account: Account) -> Account:
        after = change(account)
        return account if after is account else with_act(after, act(account.id))

    account = await update_document(city.store, lambda: city.store.get(Account, account_id), changed)
    if account is None:
        raise grant_not_found()
    return account


def _words(city: City, grant: Grant | Proposal, reason: str) -> str:
    """Return what the log says of a grant: its roles and venues, and the keyed hash of the reason."""
    return " ".join((*grant.roles, *grant.venues, city.encryption.digest("reason", reason)))


# ── the roster of operators ──


async def _update_roster(city: City, change: Callable[[OperatorRoster], Awaitable[OperatorRoster]]) -> None:
    """Change the roster of operators; a city that has none yet gets one of its present operators."""

    async def write() -> None:
        roster = await city.store.get(OperatorRoster, ROSTER)
        if roster is None:
            operators = tuple(
                [one.id async for one in find_all(city.store, Account, {}, STAFF) if OPERATOR in one.roles]
            )
            roster = await insert_or_get(city.store, OperatorRoster(id=ROSTER, operators=operators))
        changed = await change(roster)
        if changed is not roster:
            await city.store.replace(changed)

    await retry_on_conflict(write)


async def _entered(roster: OperatorRoster, account_id: str) -> OperatorRoster:
    return with_operator(roster, account_id)


async def _left(city: City, account_id: str, roster: OperatorRoster) -> OperatorRoster:
    operators = await city.store.get_many(Account, roster.operators)
    return without_operator(roster, account_id, operators.values())


# ── lists ──


async def list_staff(city: City, role: Role | None, venue: str | None, cursor: str | None) -> Page[Account]:
    """Return accounts with roles or venues, in the order in which they joined. A page may be short."""
    found: list[Account] = []
    for _ in range(MAX_PAGES):
        page = await city.store.find(Account, {}, order=STAFF, cursor=cursor, limit=PAGE)
        found.extend(
            one
            for one in page.documents
            if (role is None or role in one.roles) and (venue is None or venue in one.venues)
        )
        cursor = page.cursor
        if cursor is None or len(found) >= PAGE:
            break
    return Page(found, cursor)


async def list_proposed(city: City, cursor: str | None) -> Page[Account]:
    """Return accounts with open proposals, the first to expire first."""
    return await city.store.find(Account, {}, order=Order("proposal_expires_ms", at_least=0), cursor=cursor, limit=PAGE)
