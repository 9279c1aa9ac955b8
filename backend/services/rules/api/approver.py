"""Let approvers put the releases of others in force."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath

from backend.city.service import City
from backend.security.identity import CitizenRequest, role_guard
from backend.services.rules.api.schemas import ReleaseSummary, release_summary
from backend.services.rules.model import OwnRelease, UnusableRelease
from backend.services.rules.releases import approve_release

approver = role_guard("approver")


@post(
    "/v1/rulebook-releases/{digest:str}/activations",
    guards=[approver],
    status_code=200,
    problems=(OwnRelease, UnusableRelease),
)
async def activate_rules(request: CitizenRequest, city: NamedDependency[City], digest: FromPath[str]) -> ReleaseSummary:
    """Put a release that another person submitted in force; every process uses it within seconds.

    The city must be able to use it. An earlier release is put in force again in the same way.
    """
    return release_summary(await approve_release(city, request.user, digest), digest)
