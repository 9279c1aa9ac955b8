"""Let authors check drafts and submit releases of rules."""

import asyncio

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.releases import read_pointer
from backend.city.service import City
from backend.rulebook.diff import diff_rulebooks
from backend.security.identity import CitizenRequest, role_guard
from backend.services.rules.api.schemas import (
    CheckedRules,
    ReleaseSubmission,
    ReleaseSummary,
    RulesToCheck,
    release_summary,
)
from backend.services.rules.model import InvalidRules, OtherClaims
from backend.services.rules.releases import check_rules, submit_release

author = role_guard("author")


@post("/v1/rulebook-checks", guards=[author], status_code=200, problems=(InvalidRules,))
async def check_draft(data: JSONBody[RulesToCheck], city: NamedDependency[City]) -> CheckedRules:
    """Check all rule modules of a draft as `chengma rules check` does, and compare them with the rules in force.

    The claims about them are checked as well, but not proved. Nothing is stored.
    """
    rulebook = await check_rules(city, data.files, data.claims)
    return CheckedRules(rulebook.digest, await asyncio.to_thread(diff_rulebooks, city.rulebook, rulebook))


@post("/v1/rulebook-releases", guards=[author], problems=(InvalidRules, OtherClaims))
async def submit_rules(
    data: JSONBody[ReleaseSubmission], request: CitizenRequest, city: NamedDependency[City]
) -> ReleaseSummary:
    """Submit all rule modules as a release, which another person may then approve and put in force.

    They are checked as `chengma rules check` does. A release is immutable and named by the digest of its modules;
    modules that are one already keep its author, note and claims, and other claims are refused. The server then makes
    the review that the approver reads, and proves the claims in it.
    """
    release = await submit_release(city, request.user, data.files, data.claims, data.note)
    return release_summary(release, await read_pointer(city.store), city.now())
