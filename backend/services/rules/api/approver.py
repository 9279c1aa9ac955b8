"""Let approvers approve the releases of others and put them in force, now or later."""

from litestar import delete, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from backend.city.releases import read_pointer
from backend.city.service import City
from backend.problems import InvalidRequest
from backend.security.identity import CitizenRequest, role_guard
from backend.services.rules.api.schemas import (
    ActivationRequest,
    Approval,
    ApprovalRequest,
    ReleaseSummary,
    approval_of,
    release_summary,
)
from backend.services.rules.model import (
    ActivationScheduled,
    NotApproved,
    NothingScheduled,
    OwnRelease,
    ReviewIncomplete,
    ReviewOutdated,
    ReviewPending,
    UnusableRelease,
)
from backend.services.rules.releases import activate, approve_release, cancel

approver = role_guard("approver")


@post(
    "/v1/rulebook-releases/{digest:str}/approvals",
    guards=[approver],
    status_code=200,
    problems=(OwnRelease, ReviewPending, ReviewOutdated, ReviewIncomplete),
)
async def approve_rules(
    data: JSONBody[ApprovalRequest], request: CitizenRequest, city: NamedDependency[City], digest: FromPath[str]
) -> Approval:
    """Approve a release that another person submitted, after its review against the release in force was read.

    The approval names the digest of that review, and holds for no other. It puts nothing in force.
    """
    return approval_of(await approve_release(city, request.user, digest, data.review, data.acknowledged))


@post(
    "/v1/rulebook-releases/{digest:str}/activations",
    guards=[approver],
    status_code=200,
    problems=(OwnRelease, NotApproved, UnusableRelease, ActivationScheduled, InvalidRequest),
)
async def activate_rules(
    data: JSONBody[ActivationRequest], request: CitizenRequest, city: NamedDependency[City], digest: FromPath[str]
) -> ReleaseSummary:
    """Put an approved release in force, at once or at a later instant; every process uses it within seconds.

    It must be approved against the release in force now, and the city must be able to use it. A release that was in
    force before is put in force again in the same way, without another approval.
    """
    release = await activate(city, request.user, digest, data.at)
    return release_summary(release, await read_pointer(city.store), city.now())


@delete(
    "/v1/rulebook-releases/{digest:str}/activations",
    guards=[approver],
    status_code=200,
    problems=(NothingScheduled,),
)
async def cancel_activation(
    request: CitizenRequest, city: NamedDependency[City], digest: FromPath[str]
) -> ReleaseSummary:
    """Cancel the activation of a release that is scheduled for a later instant; the rules in force stay."""
    release = await cancel(city, request.user, digest)
    return release_summary(release, await read_pointer(city.store), city.now())
