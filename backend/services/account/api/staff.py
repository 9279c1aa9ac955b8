"""Let operators propose, approve and withdraw the roles of staff, and let operators and auditors see them."""

from collections.abc import Awaitable

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from backend.city.service import City
from backend.problems import Problem
from backend.security.identity import CitizenRequest, role_guard
from backend.services.account.api.schemas import Venue
from backend.services.account.api.staff_schemas import (
    GrantApprovals,
    GrantDetails,
    GrantList,
    GrantProposal,
    GrantProposals,
    GrantRefusal,
    GrantResult,
    GrantResults,
    StaffList,
    StaffMember,
    Withdrawal,
)
from backend.services.account.model.account import Account, InvalidPhone, Proposal, masked_phone, standing_of
from backend.services.account.model.staff import (
    ExclusiveRoles,
    Grant,
    GrantExpired,
    GrantNotFound,
    LastOperators,
    OwnGrant,
    TooManyRoles,
)
from backend.services.account.staff import (
    approve_grant,
    decline_grant,
    list_proposed,
    list_staff,
    propose_grant,
    withdraw_grant,
)
from backend.store.time import from_ms

operator, overseer = role_guard("operator"), role_guard("operator", "auditor")


@get("/v1/staff", guards=[overseer])
async def show_staff(
    city: NamedDependency[City],
    role: FromQuery[str | None] = None,
    venue: FromQuery[Venue | None] = None,
    cursor: FromQuery[str | None] = None,
) -> StaffList:
    """List who has which roles and venues, in the order in which they joined."""
    page = await list_staff(city, role, venue, cursor)
    return StaffList([_member(city, one) for one in page.documents], page.cursor)


@get("/v1/staff/grants", guards=[overseer])
async def show_grants(city: NamedDependency[City], cursor: FromQuery[str | None] = None) -> GrantList:
    """List the proposals that wait for another operator, the first to expire first."""
    page, now = await list_proposed(city, cursor), city.now()
    waiting = [
        _grant(city, account, one) for account in page.documents for one in account.proposals if one.expires_at > now
    ]
    return GrantList(waiting, page.cursor)


@post("/v1/staff/grants", guards=[operator], problems=(InvalidPhone, OwnGrant, ExclusiveRoles, TooManyRoles))
async def propose_one(
    data: JSONBody[GrantProposal], request: CitizenRequest, city: NamedDependency[City]
) -> GrantDetails:
    """Propose roles and venues for the account of a phone; another operator approves them within seven days.

    A person who has not signed in yet is entered by their phone. The roles are in force once their identity is proved
    in person.
    """
    return _grant(city, *await _propose(city, request, data))


@post("/v1/staff/grants/batches", guards=[operator], status_code=200)
async def propose_many(
    data: JSONBody[GrantProposals], request: CitizenRequest, city: NamedDependency[City]
) -> GrantResults:
    """Propose up to 500 grants. A row that is refused does not keep the others from being stored."""

    async def propose(row: GrantProposal) -> GrantResult:
        _, proposal = await _propose(city, request, row)
        return GrantResult("proposed", proposal.id)

    return GrantResults([await _result(propose(row)) for row in data.grants])


@post(
    "/v1/staff/grants/{grant_id:str}/approval",
    guards=[operator],
    status_code=200,
    problems=(GrantNotFound, GrantExpired, OwnGrant, ExclusiveRoles),
)
async def approve_one(grant_id: FromPath[str], request: CitizenRequest, city: NamedDependency[City]) -> StaffMember:
    """Approve a proposal of another person, for a third person."""
    return _member(city, await approve_grant(city, request.user, grant_id))


@post("/v1/staff/grants/approvals", guards=[operator], status_code=200)
async def approve_many(
    data: JSONBody[GrantApprovals], request: CitizenRequest, city: NamedDependency[City]
) -> GrantResults:
    """Approve up to 500 proposals of other people. A refused one does not keep the others from being approved."""

    async def approve(grant_id: str) -> GrantResult:
        await approve_grant(city, request.user, grant_id)
        return GrantResult("approved", grant_id)

    return GrantResults([await _result(approve(grant_id)) for grant_id in data.grants])


@delete("/v1/staff/grants/{grant_id:str}", guards=[operator], problems=(GrantNotFound,))
async def decline_one(grant_id: FromPath[str], request: CitizenRequest, city: NamedDependency[City]) -> None:
    """Decline a proposal, or take back one's own."""
    await decline_grant(city, request.user, grant_id)


@post(
    "/v1/staff/{account_id:str}/withdrawals",
    guards=[operator],
    status_code=200,
    problems=(GrantNotFound, LastOperators),
)
async def withdraw_roles(
    account_id: FromPath[str], data: JSONBody[Withdrawal], request: CitizenRequest, city: NamedDependency[City]
) -> StaffMember:
    """Take roles and venues from an account, at once; one operator may, but two operators remain.

    Acts and money stop with the answer, scans within five seconds.
    """
    grant = Grant(tuple(data.roles), tuple(data.venues))
    return _member(city, await withdraw_grant(city, request.user, account_id, grant, data.reason))


async def _propose(city: City, request: CitizenRequest, row: GrantProposal) -> tuple[Account, Proposal]:
    return await propose_grant(city, request.user, row.phone, Grant(tuple(row.roles), tuple(row.venues)), row.reason)


async def _result(decided: Awaitable[GrantResult]) -> GrantResult:
    try:
        return await decided
    except Problem as problem:
        refusal = GrantRefusal(problem.type_path(), problem.title, problem.detail, problem.errors)
        return GrantResult("refused", None, refusal)


def _member(city: City, account: Account) -> StaffMember:
    since_ms = account.staff_since_ms
    return StaffMember(
        account=account.id,
        phone=None if account.phone is None else masked_phone(city.encryption.read(account, "phone")),
        roles=account.roles,
        venues=account.venues,
        in_force=standing_of(account).roles == account.roles,
        since=None if since_ms is None else from_ms(since_ms),
    )


def _grant(city: City, account: Account, proposal: Proposal) -> GrantDetails:
    return GrantDetails(
        id=proposal.id,
        account=account.id,
        phone=None if account.phone is None else masked_phone(city.encryption.read(account, "phone")),
        roles=proposal.roles,
        venues=proposal.venues,
        reason=proposal.reason,
        proposed_by=proposal.proposed_by,
        proposed_at=proposal.proposed_at,
        expires_at=proposal.expires_at,
    )
