"""Signing in: a code by text message, access and refresh tokens, signing out."""

import secrets
from datetime import timedelta
from typing import Annotated, Any, cast

from litestar import Request, delete, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.city.service import City
from backend.security.identity import Access, AccessClaims, Caller, public, signed_in, too_many_requests
from backend.services.account.model import (
    CODE_LIVES,
    RESEND_AFTER,
    Account,
    CodeExhausted,
    InvalidPhone,
    Session,
    SessionEnded,
    SignInChallenge,
    WrongCode,
    caller_of,
    new_code,
    parse_phone,
    seconds_until_resend,
    send_again,
    send_first,
    session_ended,
    try_code,
    wrong_code,
)
from backend.services.account.ports import Sms
from backend.store import Conflict, Duplicate

Phone = Annotated[str, Meta(min_length=5, max_length=32, description="national, or with a + prefix")]
Code = Annotated[str, Meta(pattern="^[0-9]{6}$")]


class CodeWanted(Struct, forbid_unknown_fields=True):
    """The phone that a sign-in code is wanted for."""

    phone: Phone


class CodeSent(Struct, frozen=True):
    """A code is on its way; the answer is the same whether or not anybody has an account with this phone."""

    expires_in_seconds: int
    resend_in_seconds: int


class SignIn(Struct, forbid_unknown_fields=True):
    """A phone, and the code that was sent to it."""

    phone: Phone
    code: Code


class Refresh(Struct, forbid_unknown_fields=True):
    """The refresh token of a session; it counts once."""

    refresh_token: Annotated[str, Meta(min_length=10, max_length=200)]


class Tokens(Struct, frozen=True):
    """What a signed-in device keeps. The access token goes into `Authorization: Bearer ...`."""

    access_token: str
    expires_in_seconds: int
    refresh_token: str
    account_id: str
    real_named: bool


@post("/v1/sign-in-codes", guards=[public], status_code=202, problems=(InvalidPhone,))
async def send_sign_in_code(data: JSONBody[CodeWanted], city: NamedDependency[City]) -> CodeSent:
    """Send a sign-in code to a phone. It counts for five minutes and five tries."""
    phone = parse_phone(data.phone, city.settings.phone_region)
    now = city.now()
    phone_digest = digest_phone(city, phone)
    code = new_code()
    code_digest = _digest_code(city, phone_digest, code)
    challenge = await city.store.get(SignInChallenge, phone_digest)
    try:
        if challenge is None:
            await city.store.insert(send_first(phone_digest, code_digest, now))
        else:
            wait = seconds_until_resend(challenge, now)
            if wait:
                raise too_many_requests(wait)
            await city.store.replace(send_again(challenge, code_digest, now))
    except (Conflict, Duplicate):
        raise too_many_requests(int(RESEND_AFTER.total_seconds())) from None
    minutes = int(CODE_LIVES.total_seconds()) // 60
    text = f"【城码】验证码 {code}，{minutes}分钟内有效，请勿告诉他人。Code {code}, valid for {minutes} minutes."
    await city.port(Sms).send(phone, text)
    return CodeSent(int(CODE_LIVES.total_seconds()), int(RESEND_AFTER.total_seconds()))


@post("/v1/sessions", guards=[public], problems=(InvalidPhone, WrongCode, CodeExhausted))
async def sign_in(
    data: JSONBody[SignIn], request: Request[object, object, State], city: NamedDependency[City]
) -> Tokens:
    """Sign in with the code that was sent; somebody new gets an account."""
    phone = parse_phone(data.phone, city.settings.phone_region)
    await prove_phone(city, phone, data.code)
    account = await account_with(city, phone)
    session_id, secret = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
    await city.store.insert(
        Session(
            id=session_id,
            account_id=account.id,
            refresh_digest=_digest_refresh(city, secret),
            expires_ms=_expires_ms(city),
        )
    )
    return _tokens(request, city, account, session_id, secret)


@post("/v1/sessions/refresh", guards=[public], problems=(SessionEnded,))
async def refresh_session(
    data: JSONBody[Refresh], request: Request[object, object, State], city: NamedDependency[City]
) -> Tokens:
    """Exchange a refresh token for new tokens. One that was used before ends the session: somebody copied it."""
    session_id, _, secret = data.refresh_token.partition(".")
    session = await city.store.get(Session, session_id)
    if session is None or session.expires_ms <= int(city.now().timestamp() * 1_000):
        raise session_ended()
    if session.refresh_digest != _digest_refresh(city, secret):
        await _end(city, session)
        raise session_ended()
    account = await city.store.get(Account, session.account_id)
    if account is None:
        raise session_ended()
    following = secrets.token_urlsafe(24)
    renewed = replace(session, refresh_digest=_digest_refresh(city, following), expires_ms=_expires_ms(city))
    try:
        await city.store.replace(renewed)
    except Conflict:
        raise session_ended() from None  # the same token was exchanged at the same time, and counts once
    return _tokens(request, city, account, session_id, following)


@delete("/v1/sessions/current", guards=[signed_in])
async def sign_out(request: Request[Caller, AccessClaims, State], city: NamedDependency[City]) -> None:
    """End the caller's session: its refresh token no longer counts."""
    session = await city.store.get(Session, request.user.session_id)
    if session is not None:
        await _end(city, session)


async def _end(city: City, session: Session) -> None:
    try:
        await city.store.delete(session)
    except Conflict:
        latest = await city.store.get(Session, session.id)
        if latest is not None:
            await _end(city, latest)


async def prove_phone(city: City, phone: str, code: str) -> None:
    """Believe that the caller holds a phone if the code is the one sent to it. Raises WrongCode or CodeExhausted.

    A try is stored before it is believed, so that tries side by side are counted one by one.
    """
    phone_digest = digest_phone(city, phone)
    while True:
        challenge = await city.store.get(SignInChallenge, phone_digest)
        tried, right = try_code(challenge, _digest_code(city, phone_digest, code), city.now())
        try:
            await city.store.replace(tried)
        except Conflict:
            continue
        if not right:
            raise wrong_code()
        return


async def account_with(city: City, phone: str) -> Account:
    """Find the account of a phone, or make one."""
    phone_digest = digest_phone(city, phone)
    while True:
        found = await find_account(city, phone)
        if found is not None:
            return found
        account = Account(
            id=secrets.token_urlsafe(12),
            phone=city.encryption.encrypt(phone),
            phone_digest=phone_digest,
            created=city.now(),
        )
        try:
            return await city.store.insert(account)
        except Duplicate:
            continue  # the same person signed in twice at once


async def find_account(city: City, phone: str) -> Account | None:
    """Find the account whose main phone this is."""
    page = await city.store.find(Account, {"phone_digest": digest_phone(city, phone)}, limit=1)
    return page.documents[0] if page.documents else None


def digest_phone(city: City, phone: str) -> str:
    """Give the keyed hash by which a phone is found."""
    return city.encryption.digest("phone", phone)


def access_of(request: Request[Any, Any, State]) -> Access:
    """Give what issues access tokens."""
    return cast("Access", request.app.state.access)


def _tokens(
    request: Request[object, object, State], city: City, account: Account, session_id: str, secret: str
) -> Tokens:
    access_token = access_of(request).issue(caller_of(account, session_id), city.now())
    seconds = city.settings.access_token_seconds
    return Tokens(access_token, seconds, f"{session_id}.{secret}", account.id, account.citizen_id is not None)


def _expires_ms(city: City) -> int:
    return int((city.now() + timedelta(days=city.settings.refresh_token_days)).timestamp() * 1_000)


def _digest_code(city: City, phone_digest: str, code: str) -> str:
    return city.encryption.digest("sign-in-code", f"{phone_digest}\n{code}")


def _digest_refresh(city: City, secret: str) -> str:
    return city.encryption.digest("refresh-token", secret)
