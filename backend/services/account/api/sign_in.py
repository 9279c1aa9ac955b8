"""Sign in with a code sent by text message, refresh the session, sign out."""

from litestar import Request, delete, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.service import City
from backend.i18n import preferred_language
from backend.security.identity import CitizenRequest, public, signed_in
from backend.services.account.accounts import find_or_create_account
from backend.services.account.api.schemas import (
    RefreshRequest,
    SignInCodeRequest,
    SignInCodeSent,
    SignInRequest,
    Tokens,
)
from backend.services.account.model.account import Account, InvalidPhone, parse_phone
from backend.services.account.model.session import SessionEnded
from backend.services.account.model.sign_in import (
    CODE_LIFETIME,
    RESEND_INTERVAL,
    CodeExhausted,
    WrongCode,
    sign_in_message,
)
from backend.services.account.ports import Sms
from backend.services.account.sessions import end_session, issue_access_token, renew_session, start_session
from backend.services.account.sign_in_codes import issue_code, verify_phone

AnyRequest = Request[object, object, State]


@post("/v1/sign-in-codes", guards=[public], status_code=202, problems=(InvalidPhone,))
async def send_sign_in_code(
    data: JSONBody[SignInCodeRequest], request: AnyRequest, city: NamedDependency[City]
) -> SignInCodeSent:
    """Send a sign-in code to a phone. It is valid for five minutes and five attempts.

    The message is in Chinese or English, by Accept-Language.
    """
    phone = parse_phone(data.phone, city.settings.phone_region)
    code = await issue_code(city, phone)
    language = preferred_language(request.headers.get("accept-language", ""))
    await city.port(Sms).send(phone, sign_in_message(code).in_language(language))
    return SignInCodeSent(int(CODE_LIFETIME.total_seconds()), int(RESEND_INTERVAL.total_seconds()))


@post("/v1/sessions", guards=[public], problems=(InvalidPhone, WrongCode, CodeExhausted))
async def sign_in(data: JSONBody[SignInRequest], request: AnyRequest, city: NamedDependency[City]) -> Tokens:
    """Sign in with the code that was sent; a phone that is new to the city gets an account."""
    phone = parse_phone(data.phone, city.settings.phone_region)
    await verify_phone(city, phone, data.code)
    account = await find_or_create_account(city, phone)
    return _tokens(request, city, account, await start_session(city, account))


@post("/v1/sessions/refresh", guards=[public], problems=(SessionEnded,))
async def refresh_session(data: JSONBody[RefreshRequest], request: AnyRequest, city: NamedDependency[City]) -> Tokens:
    """Exchange a refresh token for new tokens. Reusing an old one ends the session, because it has been copied."""
    account, refresh_token = await renew_session(city, data.refresh_token)
    return _tokens(request, city, account, refresh_token)


@delete("/v1/sessions/current", guards=[signed_in], repeatable=True)
async def sign_out(request: CitizenRequest, city: NamedDependency[City]) -> None:
    """End the caller's session, so that its refresh token is no longer valid."""
    await end_session(city, request.user.session_id)


def _tokens(request: AnyRequest, city: City, account: Account, refresh_token: str) -> Tokens:
    session_id, _, _ = refresh_token.partition(".")
    return Tokens(
        access_token=issue_access_token(city, request, account, session_id),
        expires_in_seconds=city.settings.access_token_seconds,
        refresh_token=refresh_token,
        account_id=account.id,
        identity_verified=account.citizen_id is not None,
    )
