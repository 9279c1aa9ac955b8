"""Who is asking, and what they may do: access tokens, roles, rate limits, and the guards that every route declares.

Only we check access tokens, on every request, so they are HS256 and the check is lean: the header segment must be that
of one of our token keys, which fixes key and algorithm before anything of the token is read.
"""

import hmac
import json
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import jwt
import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from backend.i18n import Text
from backend.problems import NotAllowed, NotSignedIn, TooManyRequests
from backend.security.keyring import Keyring, decode_segment, encode_segment
from backend.settings import Settings

AUDIENCE = "access"
_BEARER = b"bearer "
_MAX_TOKEN_BYTES = 4_096
_MINUTE = 60


class Role(StrEnum):
    """What a signed-in person may do beyond their own affairs."""

    CITIZEN = "citizen"
    GATE = "gate"
    HOSPITAL = "hospital"
    AUTHOR = "author"
    APPROVER = "approver"
    HEALTH_OFFICER = "health_officer"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    PARTNER = "partner"
    TALENT_OFFICER = "talent_officer"


class Caller(Struct, frozen=True, gc=False):
    """Who is asking. `citizen_id` is the id of their Profile, once they have given their real name.

    `scopes` are what a system, such as a hospital's, was granted for one token (RFC 6749).
    """

    account_id: str
    session_id: str
    citizen_id: str | None = None
    roles: tuple[Role, ...] = ()
    venues: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


class AccessClaims(Struct, frozen=True, gc=False):
    """What an access token says: account, session, citizen, roles, venues, scopes, until when (epoch seconds)."""

    sub: str
    sid: str
    aud: str
    iat: int
    exp: int
    cit: str | None = None
    rol: tuple[Role, ...] = ()
    ven: tuple[str, ...] = ()
    scp: tuple[str, ...] = ()


_claims = msgspec.json.Decoder(AccessClaims)

CitizenRequest = Request[Caller, AccessClaims, State]
"""A request of somebody who has signed in."""

Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], Coroutine[Any, Any, None]]


class Access:
    """Issues access tokens, checks them, and counts requests. One per process."""

    def __init__(self, settings: Settings, keys: Keyring, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._secrets: dict[bytes, hmac.HMAC] = {}
        self._minute = 0.0
        self._requests: dict[str, int] = {}

    def issue(self, caller: Caller, at: datetime, seconds: int | None = None) -> str:
        """Give an access token that counts from `at` for so many seconds, or for the time that the settings say."""
        issued = int(at.timestamp())
        expires = issued + (seconds or self._settings.access_token_seconds)
        claims = {"sub": caller.account_id, "sid": caller.session_id, "aud": AUDIENCE, "iat": issued, "exp": expires}
        extra = {"cit": caller.citizen_id, "rol": caller.roles, "ven": caller.venues, "scp": caller.scopes}
        key = self._keys.current("token")
        return jwt.encode(
            claims | {name: value for name, value in extra.items() if value},
            key.material,
            algorithm="HS256",
            headers={"kid": key.kid},
        )

    def claims(self, authorization: bytes, now: float) -> AccessClaims:
        """Check an `Authorization` header at `now` (epoch seconds). Raises NotSignedIn for all but our own tokens."""
        if authorization[: len(_BEARER)].lower() != _BEARER or len(authorization) > _MAX_TOKEN_BYTES:
            raise _not_signed_in()
        signed, _, signature = authorization[len(_BEARER) :].rpartition(b".")
        header, _, body = signed.partition(b".")
        secret = self._secrets.get(header) or self._secret(header)
        try:
            given = decode_segment(signature)
            keyed = secret.copy()
            keyed.update(signed)
            if not hmac.compare_digest(keyed.digest(), given):
                raise _not_signed_in()
            claims = _claims.decode(decode_segment(body))
        except ValueError as error:
            raise _not_signed_in() from error
        begins = claims.iat - self._settings.clock_skew_seconds
        if claims.aud != AUDIENCE or not begins <= now < claims.exp:
            raise _not_signed_in()
        return claims

    def _secret(self, header: bytes) -> hmac.HMAC:
        """Give the keyed hash that a token's header names, ready to be copied: only headers like ours are known."""
        self._secrets = {
            _header(key.kid): hmac.new(key.material, digestmod="sha256") for key in self._keys.keys("token")
        }
        if header not in self._secrets:
            raise _not_signed_in()
        return self._secrets[header]

    def forget_retired_keys(self) -> None:
        """Look the token keys up anew; called once a minute, when the counts begin anew."""
        self._secrets = {}

    def count(self, who: str, at_most: int, now: float) -> None:
        """Count a request of a person or an address. Raises TooManyRequests beyond `at_most` in one minute."""
        minute = now // _MINUTE
        if minute != self._minute:
            self._minute, self._requests = minute, {}
            self.forget_retired_keys()
        count = self._requests[who] = self._requests.get(who, 0) + 1
        if count > at_most:
            raise too_many_requests(_MINUTE - int(now) % _MINUTE)

    def admit(self, connection: Connection) -> AccessClaims:
        """Let a signed-in person in, within their rate. Raises NotSignedIn or TooManyRequests."""
        for name, value in connection.scope["headers"]:
            if name == b"authorization":
                now = self._clock().timestamp()
                claims = self.claims(value, now)
                settings = self._settings
                at_most = settings.system_requests_per_minute if claims.scp else settings.person_requests_per_minute
                self.count(claims.sub, at_most, now)
                scope = connection.scope
                scope["auth"] = claims
                scope["user"] = Caller(claims.sub, claims.sid, claims.cit, claims.rol, claims.ven, claims.scp)
                return claims
        raise _not_signed_in()

    def admit_anybody(self, connection: Connection) -> None:
        """Let anybody in, within the rate of their network address. Raises TooManyRequests.

        The address is that of the peer: a proxy before the server counts as one, unless uvicorn is told to trust it.
        """
        client = connection.scope["client"]
        address = client[0] if client else ""
        self.count(f"address {address}", self._settings.address_requests_per_minute, self._clock().timestamp())


def _header(kid: str) -> bytes:
    """Give the header segment of the tokens that PyJWT makes with this key."""
    header = json.dumps({"alg": "HS256", "kid": kid, "typ": "JWT"}, separators=(",", ":"), sort_keys=True)
    return encode_segment(header.encode())


def _not_signed_in() -> NotSignedIn:
    return NotSignedIn(Text(zh="请先登录，或重新登录。", en="Sign in first, or sign in again."))


def too_many_requests(seconds: int) -> TooManyRequests:
    """Give the Problem that tells to come back in so many seconds."""
    return TooManyRequests(
        Text(zh="请求过于频繁，请稍后再试。", en="Too many requests; come back later."),
        headers={"Retry-After": str(max(1, seconds))},
    )


async def public(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Anybody, within the rate of a network address."""
    connection.scope["app"].state.access.admit_anybody(connection)


async def probe(_connection: Connection, _handler: BaseRouteHandler) -> None:
    """Whoever looks whether the server lives, as often as they like: it tells nothing and costs next to nothing."""


async def signed_in(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Whoever has signed in."""
    connection.scope["app"].state.access.admit(connection)


async def citizen(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Whoever has signed in and given their real name."""
    admit_citizen(connection)


def admit_citizen(connection: Connection) -> str:
    """Give the citizen's id of whoever has signed in and given their real name. Raises NotSignedIn and NotAllowed.

    For routes that anybody may use and that do more for citizens; `citizen` is the guard of all others.
    """
    claims: AccessClaims = connection.scope["app"].state.access.admit(connection)
    if claims.cit is None:
        raise NotAllowed(Text(zh="请先完成实名认证。", en="Give your real name first (PUT /v1/me/real-name)."))
    return claims.cit


def citizen_id(request: CitizenRequest) -> str:
    """Give the id of the caller's Profile, on routes whose guard is `citizen`."""
    assert request.user.citizen_id is not None, "the guard lets in only real-named citizens"
    return request.user.citizen_id


def _only(role: Role) -> Guard:
    async def guard(connection: Connection, _handler: BaseRouteHandler) -> None:
        if role not in connection.scope["app"].state.access.admit(connection).rol:
            raise NotAllowed(Text(zh="您没有此权限。", en=f"This needs the role {role.value!r}."))

    guard.__doc__ = f"Whoever has the role {role.value}."
    return guard


gate = _only(Role.GATE)
hospital = _only(Role.HOSPITAL)
author = _only(Role.AUTHOR)
approver = _only(Role.APPROVER)
health_officer = _only(Role.HEALTH_OFFICER)
auditor = _only(Role.AUDITOR)
operator = _only(Role.OPERATOR)
partner = _only(Role.PARTNER)
talent_officer = _only(Role.TALENT_OFFICER)

GUARDS: Sequence[Guard] = (
    public,
    probe,
    signed_in,
    citizen,
    gate,
    hospital,
    author,
    approver,
    health_officer,
    auditor,
    operator,
    partner,
    talent_officer,
)
"""The guards, of which every route declares exactly one."""
