"""Sign in with a code sent by text message, refresh the session, sign out."""

from litestar import delete, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from backend.city.service import City
from backend.i18n import preferred_language
from backend.security.identity import SIGNED_IN, CitizenRequest, budgeted, signed_in
from backend.security.rate_limits import Charge
from backend.services.account.accounts import find_or_create_account
from backend.services.account.api.details import tokens_of
from backend.services.account.api.schemas import (
    RefreshRequest,
    SignInCodeRequest,
    SignInCodeSent,
    SignInRequest,
    Tokens,
)
from backend.services.account.devices import AnyRequest, admission_of, is_known_device, proven_device, record_use
from backend.services.account.model.account import InvalidPhone, parse_phone
from backend.services.account.model.budgets import (
    ATTEMPTS,
    ATTEMPTS_OF_DEVICE,
    FAILED_REFRESHES,
    REFRESHES,
    ForeignPhone,
)
from backend.services.account.model.session import SessionEnded
from backend.services.account.model.sign_in import (
    CODE_LIFETIME,
    RESEND_SECONDS,
    CodeExhausted,
    WrongCode,
    sign_in_message,
)
from backend.services.account.phones import level_of_sign_in
from backend.services.account.ports import Sms
from backend.services.account.sessions import (
    end_session,
    renew_session,
    start_session,
)
from backend.services.account.sign_in_codes import issue_code, spend_code_budget, verify_phone


@post("/v1/sign-in-codes", guards=[budgeted], status_code=202, problems=(InvalidPhone, ForeignPhone))
async def send_sign_in_code(
    data: JSONBody[SignInCodeRequest], request: AnyRequest, city: NamedDependency[City]
) -> SignInCodeSent:
    """Send a sign-in code to a phone, and return the challenge that it belongs to.

    The code is valid for five minutes and five attempts, with this challenge only. An app that has signed in before
    proves its device by the header `DPoP`; strangers cannot use up its budget. The message is in Chinese or English, by
    Accept-Language.
    """
    phone = parse_phone(data.phone, city.settings.phone_region)
    device = await proven_device(request, city, once=True)
    known = device if await is_known_device(city, phone, device) else None
    await spend_code_budget(city, request, phone, known)
    challenge_id, code = await issue_code(city, phone)
    language = preferred_language(request.headers.get("accept-language", ""))
    await city.port(Sms).send(phone, sign_in_message(code).in_language(language))
    return SignInCodeSent(challenge_id, int(CODE_LIFETIME.total_seconds()), RESEND_SECONDS)


@post("/v1/sessions", guards=[budgeted], problems=(InvalidPhone, WrongCode, CodeExhausted))
async def sign_in(data: JSONBody[SignInRequest], request: AnyRequest, city: NamedDependency[City]) -> Tokens:
    """Sign in with a challenge and its code; a phone that is new to the city gets an account.

    The header `DPoP`, with the challenge as its `nonce`, registers the app's key: the account knows the device from now
    on, and only it can refresh the session.

    `step_up_needed` in the response says that the phone may have had another owner: the session shows nothing of the
    account until its owner proves who they are, and a new owner takes a fresh account (POST /v1/me/fresh-account).
    """
    phone = parse_phone(data.phone, city.settings.phone_region)
    device = await proven_device(request, city, nonce=data.challenge)
    admission = admission_of(request)
    if await is_known_device(city, phone, device):
        await admission.spend(request.scope, [Charge(ATTEMPTS_OF_DEVICE, str(device))])
    else:
        await admission.spend(request.scope, [Charge(ATTEMPTS, await admission.origin(request.scope))])
    await verify_phone(city, phone, data.challenge, data.code)
    account = await find_or_create_account(city, phone)
    max_level = await level_of_sign_in(city, account, phone, device)
    if max_level > SIGNED_IN:
        account = await record_use(city, account, device)
    token = await start_session(city, account, device, data.device_name, data.device_kind, max_level)
    return await tokens_of(request, city, account, token)


@post("/v1/sessions/refresh", guards=[budgeted], problems=(SessionEnded,))
async def refresh_session(data: JSONBody[RefreshRequest], request: AnyRequest, city: NamedDependency[City]) -> Tokens:
    """Exchange a refresh token for new tokens. Reusing an old one ends the session, because it has been copied.

    A device whose connection broke may repeat the request for a minute and gets the same refresh token again. It is
    recognised by its key, or by the `Idempotency-Key` of the request.
    """
    device = await proven_device(request, city)
    retry_key = request.headers.get("idempotency-key", "")
    admission = admission_of(request)
    try:
        account, refresh_token = await renew_session(city, data.refresh_token, device, retry_key)
    except SessionEnded:
        await admission.spend(request.scope, [Charge(FAILED_REFRESHES, await admission.origin(request.scope))])
        raise
    session_id, _, _ = refresh_token.partition(".")
    await admission.spend(request.scope, [Charge(REFRESHES, session_id)])
    return await tokens_of(request, city, account, refresh_token)


@delete("/v1/sessions/current", guards=[signed_in], repeatable=True)
async def sign_out(request: CitizenRequest, city: NamedDependency[City]) -> None:
    """End the caller's session, so that its refresh token is no longer valid."""
    await end_session(city, request.user.session_id)
