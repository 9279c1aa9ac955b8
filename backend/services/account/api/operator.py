"""Let operators look up accounts and set their roles."""

from litestar import post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec.structs import replace

from backend.city.audit_log import new_act, record_act
from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, refuse_unknown_roles, role_guard
from backend.services.account.accounts import find_account, phone_digest_of
from backend.services.account.api.schemas import AccountLookupRequest, AccountSummary, RoleGrant
from backend.services.account.model.account import Account, InvalidPhone, parse_phone

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


@put("/v1/accounts/{account_id:str}/roles", guards=[operator])
async def grant_roles(
    account_id: FromPath[str], data: JSONBody[RoleGrant], city: NamedDependency[City]
) -> AccountSummary:
    """Set the roles and venues of an account; they take effect with its next access token."""
    refuse_unknown_roles(data.roles, city.roles)
    account = await city.store.get(Account, account_id)
    if account is None:
        raise _no_account()
    roles, venues = tuple(dict.fromkeys(data.roles)), tuple(dict.fromkeys(data.venues))
    account = await city.store.replace(replace(account, roles=roles, venues=venues))
    return AccountSummary(account.id, account.roles, account.venues)


def _no_account() -> NotFound:
    return NotFound(Text(zh="没有找到该账户，请核对手机号或账户编号。", en="No such account; check the phone or id."))
