"""Access tokens, roles, and the guards that routes declare.

Only the city itself checks access tokens, on every request. They are therefore HS256, and the check is lean: the header
segment must equal that of one of our token keys, which fixes key and algorithm before the rest of the token is read.
"""

import hmac
import json
from collections.abc import Callable, Collection, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Annotated, Any, cast

import jwt
import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from msgspec import Meta, Struct

from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest, NotAllowed, NotSignedIn, Problem
from backend.security.admission import Admission
from backend.security.keyring import Keyring, decode_segment, encode_segment
from backend.security.standing import Standing, Standings
from backend.settings import Settings

SIGN_IN_AGAIN = Text(zh="请先登录，或重新登录。", en="Please sign in, or sign in again.")
AUDIENCE = "access"
_NO_PERMISSION = "您的账号没有此项权限，请联系管理员。"
_BEARER = b"bearer "
_MAX_TOKEN_BYTES = 4_096
_READS = ("GET", "HEAD")
ROLE_FORMAT = "role"
"""Marks role names in schemas; the OpenAPI document replaces them by the enumeration of all declared roles."""


Role = Annotated[str, Meta(max_length=64, extra_json_schema={"format": ROLE_FORMAT})]
"""The name of a role. Services declare the roles they need; see `Service.roles`."""


SIGNED_IN, VERIFIED, IN_PERSON = 1, 2, 3
"""Levels of identity: by phone; name, number and phone agree; the person was present (by face or bank card)."""

_STEPS_UP = {VERIFIED: ("PUT", "/v1/me/real-name"), IN_PERSON: ("POST", "/v1/me/identity-proofs")}


class StepUpRequired(Problem):
    """The request needs a higher level of identity: `level`; `step_up` is the request that proves it."""

    status, title, title_zh = 403, "Step-up required", "需要进一步验证身份"


class Caller(Struct, frozen=True, gc=False):
    """The caller of a request. `citizen_id` is the id of their Person, once their identity is verified.

    `level` says how their identity was proved: SIGNED_IN, VERIFIED or IN_PERSON.
    `scopes` are what a system, such as a hospital's, was granted for one token (RFC 6749).
    """

    account_id: str
    session_id: str
    citizen_id: str | None = None
    roles: tuple[Role, ...] = ()
    venues: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    level: int = SIGNED_IN


class AccessClaims(Struct, frozen=True, gc=False):
    """The claims of an access token, those of a Caller under short names; times in epoch seconds."""

    sub: str
    sid: str
    aud: str
    iat: int
    exp: int
    cit: str | None = None
    rol: tuple[Role, ...] = ()
    ven: tuple[str, ...] = ()
    scp: tuple[str, ...] = ()
    lvl: int = SIGNED_IN


_claims = msgspec.json.Decoder(AccessClaims)


def access_keys(account_id: str, session_id: str, citizen_id: str | None) -> tuple[str, str]:
    """Return the keys by which access ends before its tokens expire: of a session, and of an account to a person."""
    return f"session {session_id}", f"{account_id} is {citizen_id}"


CitizenRequest = Request[Caller, AccessClaims, State]
"""A request of a signed-in caller."""

Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], Coroutine[Any, Any, None]]


class Access:
    """Issues and checks access tokens, and applies the limits of their callers. One per process."""

    def __init__(
        self,
        settings: Settings,
        keys: Keyring,
        clock: Callable[[], datetime],
        admission: Admission | None = None,
        ended: AbstractSet[str] = frozenset(),
    ) -> None:
        self.admission = admission or Admission(settings, clock)
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._ended = ended
        self._secrets: dict[bytes, hmac.HMAC] = {}
        self._minute = 0.0

    def issue(self, caller: Caller, at: datetime, seconds: int | None = None) -> str:
        """Return an access token valid from `at` for `seconds` (default: `access_token_seconds` of the settings)."""
        issued = int(at.timestamp())
        expires = issued + (seconds or self._settings.access_token_seconds)
        claims = {"sub": caller.account_id, "sid": caller.session_id, "aud": AUDIENCE, "iat": issued, "exp": expires}
        extra = {"cit": caller.citizen_id, "rol": caller.roles, "ven": caller.venues, "scp": caller.scopes}
        key = self._keys.current("token")
        return jwt.encode(
            claims | {"lvl": caller.level} | {name: value for name, value in extra.items() if value},
            key.material,
            algorithm="HS256",
            headers={"kid": key.kid},
        )

    def claims(self, authorization: bytes, now: float) -> AccessClaims:
        """Return the claims of an `Authorization` header, checked at `now` (epoch seconds). Raises NotSignedIn."""
        if authorization[: len(_BEARER)].lower() != _BEARER or len(authorization) > _MAX_TOKEN_BYTES:
            raise _not_signed_in()
        self._forget_retired_keys(now)
        signed, _, signature = authorization[len(_BEARER) :].rpartition(b".")
        header, _, body = signed.partition(b".")
        secret = self._secrets.get(header) or self._secret(header)
        try:
            received = decode_segment(signature)
            keyed = secret.copy()
            keyed.update(signed)
            if not hmac.compare_digest(keyed.digest(), received):
                raise _not_signed_in()
            claims = _claims.decode(decode_segment(body))
        except (ValueError, RecursionError) as error:
            raise _not_signed_in() from error
        begins = claims.iat - self._settings.clock_skew_seconds
        if claims.aud != AUDIENCE or not begins <= now < claims.exp:
            raise _not_signed_in()
        if self._ended and not self._ended.isdisjoint(access_keys(claims.sub, claims.sid, claims.cit)):
            raise _not_signed_in()
        return claims

    def _secret(self, header: bytes) -> hmac.HMAC:
        """Return the HMAC for a token's header segment, to be copied. Raises NotSignedIn for other headers."""
        self._secrets = {
            _header(key.kid): hmac.new(key.material, digestmod="sha256") for key in self._keys.keys("token")
        }
        if header not in self._secrets:
            raise _not_signed_in()
        return self._secrets[header]

    def admit(self, connection: Connection, *, by_venue: bool = False) -> AccessClaims:
        """Authenticate a caller and apply their rate limit, or that of their venues.

        Raises NotSignedIn or TooManyRequests.
        """
        for name, value in connection.scope["headers"]:
            if name == b"authorization":
                now = self._clock().timestamp()
                claims = self.claims(value, now)
                self.admission.count(*self._budget(claims, by_venue=by_venue), now)
                scope = connection.scope
                scope["auth"] = claims
                scope["user"] = Caller(
                    claims.sub, claims.sid, claims.cit, claims.rol, claims.ven, claims.scp, claims.lvl
                )
                return claims
        raise _not_signed_in()

    def _budget(self, claims: AccessClaims, *, by_venue: bool) -> tuple[str, int]:
        """Return what a caller is counted by, and the requests of a minute."""
        settings = self._settings
        if by_venue and claims.ven:
            return f"venues {' '.join(sorted(claims.ven))}", settings.venue_requests_per_minute
        return claims.sub, settings.system_requests_per_minute if claims.scp else settings.person_requests_per_minute

    def _forget_retired_keys(self, now: float) -> None:
        minute = now // 60
        if minute != self._minute:
            self._minute, self._secrets = minute, {}


def _header(kid: str) -> bytes:
    """Return the header segment of the tokens that PyJWT makes with this key."""
    header = json.dumps({"alg": "HS256", "kid": kid, "typ": "JWT"}, separators=(",", ":"), sort_keys=True)
    return encode_segment(header.encode())


def _not_signed_in() -> NotSignedIn:
    return NotSignedIn(SIGN_IN_AGAIN)


async def public(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit anyone, within the budget of their network address or of their gateway's end user."""
    await connection.scope["app"].state.access.admission.count_anonymous(connection.scope)


async def budgeted(_connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit anyone to a route whose handler spends budgets of its own, such as those of a phone or a device."""


async def probe(_connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit health probes without a rate limit: the answer is cheap and reveals nothing."""


def _is_write(connection: Connection) -> bool:
    return cast("dict[str, Any]", connection.scope)["method"] not in _READS


async def signed_in(connection: Connection, handler: BaseRouteHandler) -> None:
    """Admit signed-in people. A write needs a session that has not ended, unless the route declares `repeatable`."""
    claims: AccessClaims = connection.scope["app"].state.access.admit(connection)
    if claims.scp:
        raise NotAllowed(Text(zh="该接口仅供个人使用。", en="This is for people, not for connected systems."))
    if _is_write(connection) and not handler.opt.get("repeatable"):
        await present_standing(connection, claims)


async def citizen(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit signed-in callers whose identity is verified: name, number and phone agree.

    A write needs a session that has not ended.
    """
    citizen_id = admit_citizen(connection)
    if _is_write(connection):
        await _check_present(connection, citizen_id, VERIFIED)


async def present_standing(connection: Connection, claims: AccessClaims) -> Standing:
    """Return what the account of a token may do now. Raises NotSignedIn if its session has ended."""
    standings: Standings = connection.scope["app"].state.standings
    return _use(connection, claims, await standings.current(claims.sub, claims.sid, _claimed(claims)))


async def recent_standing(connection: Connection, claims: AccessClaims) -> Standing:
    """Return what the account of a token could do within the last seconds. Raises NotSignedIn as above."""
    standings: Standings = connection.scope["app"].state.standings
    return _use(connection, claims, await standings.recent(claims.sub, claims.sid, _claimed(claims)))


def _claimed(claims: AccessClaims) -> Standing:
    return Standing(claims.cit, claims.rol, claims.ven, claims.lvl)


def _use(connection: Connection, claims: AccessClaims, standing: Standing | None) -> Standing:
    """Let the handler see the caller as they stand now."""
    if standing is None:
        raise _not_signed_in()
    connection.scope["user"] = Caller(
        claims.sub,
        claims.sid,
        standing.citizen_id,
        standing.roles,
        standing.venues,
        claims.scp,
        standing.level,
    )
    return standing


async def person_present(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Admit signed-in callers who proved in person who they are, and whose session has not ended.

    For what moves money, where a leaked ID number must not be enough.
    """
    await _check_present(connection, admit_citizen(connection, IN_PERSON), IN_PERSON)


async def _check_present(connection: Connection, citizen_id: str, level: int) -> None:
    """Check that the account is this citizen's now, at this level. Raises NotSignedIn or StepUpRequired."""
    standing = await present_standing(connection, connection.scope["auth"])
    if standing.citizen_id != citizen_id:
        raise _not_signed_in()
    if standing.level < level:
        raise step_up_required(level, standing.level)


def admit_citizen(connection: Connection, level: int = VERIFIED) -> str:
    """Return the citizen id of a signed-in caller with this level of identity. Raises NotSignedIn and StepUpRequired.

    For public routes with extra content for citizens; all other routes use the guards `citizen` and `person_present`.
    """
    claims: AccessClaims = connection.scope["app"].state.access.admit(connection)
    if claims.cit is None or claims.lvl < level:
        raise step_up_required(level, claims.lvl)
    return claims.cit


def step_up_required(level: int, present_level: int) -> StepUpRequired:
    """Return the Problem for a caller whose identity is proved at too low a level, with the request that raises it."""
    method, path = _STEPS_UP[level]
    zh, en = {
        VERIFIED: ("请先完成实名认证。", "Please verify your identity first."),
        IN_PERSON: (
            "请先通过人脸识别或银行卡验证本人身份。",
            "Please prove first, by face or bank card, that it is you.",
        ),
    }[level]
    return StepUpRequired(
        zh=zh,
        en=en,
        level=level,
        present_level=present_level,
        step_up={"method": method, "path": path},
    )


def citizen_id(request: CitizenRequest) -> str:
    """Return the id of the caller's Person, on routes whose guard is `citizen` or `person_present`."""
    assert request.user.citizen_id is not None, "the guard admits only verified citizens"
    return request.user.citizen_id


class RoleGuard:
    """A guard that admits callers who have one of its roles now, whatever their token says.

    With `recent`, a role that was removed is accepted for at most five seconds, and while the store is away. Systems,
    such as a hospital's, have the roles of their token, which lives for minutes.
    `by_venue` counts the requests of a venue's staff together.
    """

    def __init__(self, *roles: str, recent: bool = False, by_venue: bool = False) -> None:
        self.roles = roles
        self.by_venue = by_venue
        self._standing = recent_standing if recent else present_standing

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        """Admit a caller who has a role. Raises NotSignedIn, TooManyRequests or NotAllowed, or StoreUnavailable."""
        claims: AccessClaims = connection.scope["app"].state.access.admit(connection, by_venue=self.by_venue)
        roles = claims.rol if claims.scp else (await self._standing(connection, claims)).roles
        if not any(role in roles for role in self.roles):
            names = " or ".join(repr(role) for role in self.roles)
            raise NotAllowed(Text(zh=_NO_PERMISSION, en=f"Your account does not have the role {names}."))


def role_guard(*roles: str, recent: bool = False, by_venue: bool = False) -> RoleGuard:
    """Return the guard of routes that only callers with one of these roles may use; a service declares each role."""
    return RoleGuard(*roles, recent=recent, by_venue=by_venue)


def refuse_unknown_roles(roles: Sequence[str], declared: Collection[str], pointer: str = "/roles") -> None:
    """Refuse to grant roles that no service declares. Raises InvalidRequest."""
    known = ", ".join(sorted(declared))
    errors = [
        FieldError(f"{pointer}/{index}", f"There is no role {role!r}; use one of: {known}.", f"没有“{role}”这一角色。")
        for index, role in enumerate(roles)
        if role not in declared
    ]
    if errors:
        detail = Text(zh="角色不存在，请核对后重试。", en="A role does not exist; please check the roles.")
        raise InvalidRequest(detail, errors=tuple(errors))


OPEN_GUARDS: Sequence[Guard] = (public, budgeted, probe, signed_in, citizen, person_present)
"""The guards that need no role. Every route declares one of these or a RoleGuard."""
