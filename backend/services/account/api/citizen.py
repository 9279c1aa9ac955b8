"""Let people see their account and change their phone."""

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec.structs import replace

from backend.city.service import City
from backend.i18n import Text
from backend.security.identity import CitizenRequest, signed_in
from backend.services.account.accounts import encrypted_phone, own_account, phone_digest_of
from backend.services.account.api.details import details_of
from backend.services.account.api.schemas import AccountDetails, PhoneChangeRequest
from backend.services.account.model.account import InvalidPhone, PhoneInUse, parse_phone
from backend.services.account.model.session import SessionEnded
from backend.services.account.model.sign_in import CodeExhausted, WrongCode
from backend.services.account.sign_in_codes import verify_phone
from backend.store import Duplicate


@get("/v1/me", guards=[signed_in], problems=(SessionEnded,))
async def show_account(request: CitizenRequest, city: NamedDependency[City]) -> AccountDetails:
    """Show the caller's account."""
    return await details_of(city, await own_account(city, request), request.user.level)


@put("/v1/me/phone", guards=[signed_in], problems=(InvalidPhone, WrongCode, CodeExhausted, PhoneInUse, SessionEnded))
async def change_phone(
    data: JSONBody[PhoneChangeRequest], request: CitizenRequest, city: NamedDependency[City]
) -> AccountDetails:
    """Change the main phone of the caller's account; the code proves that the caller holds the new phone."""
    phone = parse_phone(data.phone, city.settings.phone_region)
    await verify_phone(city, phone, data.challenge, data.code)
    account = await own_account(city, request)
    changed = replace(
        account, phone=encrypted_phone(city, account.id, phone), phone_digest=phone_digest_of(city, phone)
    )
    try:
        return await details_of(city, await city.store.replace(changed), request.user.level)
    except Duplicate:
        raise PhoneInUse(
            Text(
                zh="该手机号已是其他账户的主手机号，请换一个手机号，或用该手机号登录。",
                en="The phone is the main phone of another account; use another phone, or sign in with this one.",
            )
        ) from None
