"""Let authors, approvers and auditors see which rules were submitted, by whom and why."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from backend.city.releases import digest_in_force
from backend.city.service import City
from backend.security.identity import role_guard
from backend.services.rules.api.schemas import ReleaseDetails, ReleaseList, release_details, release_summary
from backend.services.rules.releases import find_release, list_releases

reader = role_guard("author", "approver", "auditor")


@get("/v1/rulebook-releases", guards=[reader])
async def show_releases(city: NamedDependency[City], cursor: FromQuery[str | None] = None) -> ReleaseList:
    """List the releases, the newest first."""
    page, in_force = await list_releases(city, cursor), await digest_in_force(city.store)
    return ReleaseList([release_summary(one, in_force) for one in page.documents], page.cursor)


@get("/v1/rulebook-releases/{digest:str}", guards=[reader])
async def show_release(city: NamedDependency[City], digest: FromPath[str]) -> ReleaseDetails:
    """Show a release with the text of its rule modules, as the approver reads them."""
    return release_details(await find_release(city, digest), await digest_in_force(city.store))
