"""Let operators look up accounts."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import role_guard
from backend.services.account.accounts import find_account
from backend.services.account.api.schemas import AccountLookupRequest, AccountSummary
from backend.services.account.model.account import InvalidPhone, parse_phone

operator = role_guard("operator")


@post("/v1/accounts/lookups", guards=[operator], status_code=200, problems=(InvalidPhone, NotFound))
async def look_up_account(data: JSONBody[AccountLookupRequest], city: NamedDependency[City]) -> AccountSummary:
    """Look up an account by its phone, which is in the body and never in a URL."""
    account = await find_account(city, parse_phone(data.phone, city.settings.phone_region))
    if account is None:
        raise _no_account()
    return AccountSummary(account.id, account.roles, account.venues)


def _no_account() -> NotFound:
    return NotFound(Text(zh="没有找到该账户，请核对手机号或账户编号。", en="No such account; check the phone or id."))
