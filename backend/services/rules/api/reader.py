"""Let authors, approvers and auditors see which rules were submitted, by whom and why, and which were in force when."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from backend.city.releases import read_pointer
from backend.city.service import City
from backend.security.identity import role_guard
from backend.services.rules.api.schemas import (
    ActivationLog,
    ReleaseDetails,
    ReleaseList,
    Review,
    activation_log,
    release_details,
    release_summary,
    review_details,
)
from backend.services.rules.releases import find_release, find_review, list_releases

reader = role_guard("author", "approver", "auditor")


@get("/v1/rulebook-releases", guards=[reader])
async def show_releases(city: NamedDependency[City], cursor: FromQuery[str | None] = None) -> ReleaseList:
    """List the releases, the newest first."""
    page, pointer, now = await list_releases(city, cursor), await read_pointer(city.store), city.now()
    return ReleaseList([release_summary(one, pointer, now) for one in page.documents], page.cursor)


@get("/v1/rulebook-releases/{digest:str}", guards=[reader])
async def show_release(city: NamedDependency[City], digest: FromPath[str]) -> ReleaseDetails:
    """Show a release with the texts of its rule modules and claims, and when it was in force."""
    return release_details(await find_release(city, digest), await read_pointer(city.store), city.now())


@get("/v1/rulebook-releases/{digest:str}/review", guards=[reader])
async def show_review(city: NamedDependency[City], digest: FromPath[str]) -> Review:
    """Show what the server found out about a release against the one in force: diff, proof, preview and replay.

    The server makes the review in the background; until then `made` is null. If another release has been put in force
    since the last review, this requests another one.
    """
    return review_details(*await find_review(city, digest))


@get("/v1/rulebook-activations", guards=[reader])
async def show_activations(city: NamedDependency[City]) -> ActivationLog:
    """Show which release was, is and will be in force when, the newest first.

    A decision names the digest of the rules that made it; this tells when they were in force, and who activated them.
    """
    return activation_log(await read_pointer(city.store))
