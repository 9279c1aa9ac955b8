"""Let operators look up accounts."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.audit_log import new_act, record_act
from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, role_guard
from backend.services.account.accounts import find_account, phone_digest_of
from backend.services.account.api.schemas import AccountLookupRequest, AccountSummary
from backend.services.account.model.account import InvalidPhone, parse_phone

operator = role_guard("operator")


@post("/v1/accounts/lookups", guards=[operator], status_code=200, problems=(InvalidPhone, NotFound))
async def look_up_account(
    data: JSONBody[AccountLookupRequest], request: CitizenRequest, city: NamedDependency[City]
) -> AccountSummary:
    """Look up an account by its phone, which is in the body and never in a URL; its owner sees that it was read."""
    phone = parse_phone(data.phone, city.settings.phone_region)
    account = await find_account(city, phone)
    about = account.id if account is not None else phone_digest_of(city, phone)
    person = account.citizen_id if account is not None else None
    act = new_act(city, request.user, "operator", "account.looked_up", about, person=person or "")
    await record_act(city, act)
    if account is None:
        raise _no_account()
    return AccountSummary(account.id, account.roles, account.venues)


def _no_account() -> NotFound:
    return NotFound(Text(zh="没有找到该账户，请核对手机号或账户编号。", en="No such account; check the phone or id."))
