"""Let authors submit releases of rules."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.releases import digest_in_force
from backend.city.service import City
from backend.security.identity import CitizenRequest, role_guard
from backend.services.rules.api.schemas import ReleaseSubmission, ReleaseSummary, release_summary
from backend.services.rules.model import InvalidRules
from backend.services.rules.releases import submit_release

author = role_guard("author")


@post("/v1/rulebook-releases", guards=[author], problems=(InvalidRules,))
async def submit_rules(
    data: JSONBody[ReleaseSubmission], request: CitizenRequest, city: NamedDependency[City]
) -> ReleaseSummary:
    """Submit all rule modules as a release, which another person may then put in force.

    They are checked as `chengma rules check` does. A release is immutable and named by its digest; modules that are one
    already keep its author and note.
    """
    release = await submit_release(city, request.user, data.files, data.note)
    return release_summary(release, await digest_in_force(city.store))
