"""Let people see their account."""

from litestar import get
from litestar.di import NamedDependency

from backend.city.service import City
from backend.security.identity import CitizenRequest, signed_in
from backend.services.account.accounts import own_account
from backend.services.account.api.details import details_of
from backend.services.account.api.schemas import AccountDetails
from backend.services.account.model.session import SessionEnded


@get("/v1/me", guards=[signed_in], problems=(SessionEnded,))
async def show_account(request: CitizenRequest, city: NamedDependency[City]) -> AccountDetails:
    """Show the caller's account."""
    return await details_of(city, await own_account(city, request), request.user.level)
