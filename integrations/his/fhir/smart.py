"""SMART Backend Services: a hospital's system gets an access token for a client assertion signed with its own key.

Keys are those that the hospital has registered or publishes at its registered URL, identified by `kid`. The key
determines the algorithm, whatever the assertion says. An assertion can be used once.
"""

from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import parse_qsl

import jwt
from litestar import Request, Response
from litestar.datastructures import State

from backend.city.service import City
from backend.security.identity import Access, Caller
from backend.services.medical_credit.hospital_caller import calling_hospital
from backend.services.medical_credit.model.hospital import ACCOUNT_PREFIX, Hospital, UsedAssertion, used_assertion_id
from backend.store import Duplicate
from backend.store.time import to_ms
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.remote_keys import RemoteKeys
from integrations.his.fhir.representation import Json, encode
from integrations.his.fhir.scopes import grant_scopes
from integrations.his.public_keys import ALGORITHMS, find_key, registered_keys

TOKEN_SECONDS = 300
MAX_ASSERTION_LIFETIME = timedelta(minutes=5)
MAX_FORM_BYTES = 20_000
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = "application/x-www-form-urlencoded"

_UNKNOWN_CLIENT = (
    "no connected hospital has this code (iss) and a key with this name (kid) for this algorithm (alg); "
    "chengma his hospitals add and set print the names of the keys"
)
"""It does not tell which of them is wrong, because that would disclose who is connected."""

AnyRequest = Request[Any, Any, State]


class TokenError(Exception):
    """A refused token request: an error code of RFC 6749, 5.2, and a description for the engineer."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


async def issue_token(request: AnyRequest, city: City, base: str, remote_keys: RemoteKeys) -> Response[bytes]:
    """Return an access token for a client assertion, or an error response of RFC 6749."""
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    try:
        answer = await _token(request, city, base, remote_keys)
    except TokenError as token_error:
        status = 401 if token_error.error == "invalid_client" else 400
        content = encode({"error": token_error.error, "error_description": str(token_error)})
        return Response(content, status_code=status, media_type="application/json", headers=headers)
    return Response(encode(answer), status_code=200, media_type="application/json", headers=headers)


async def _token(request: AnyRequest, city: City, base: str, remote_keys: RemoteKeys) -> Json:
    form = await _form(request)
    if form.get("grant_type") != "client_credentials":
        raise TokenError("unsupported_grant_type", "the grant_type must be client_credentials")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise TokenError("invalid_request", f"the client_assertion_type must be {ASSERTION_TYPE}")
    hospital = await _authenticate_client(city, form.get("client_assertion", ""), f"{base}/token", remote_keys)
    scopes = grant_scopes(form.get("scope", "").split(), hospital.scopes)
    if not scopes:
        raise TokenError("invalid_scope", "none of these scopes can be granted to this hospital")
    now = city.now()
    caller = Caller(f"{ACCOUNT_PREFIX}{hospital.id}", "backend-services", roles=("hospital",), scopes=scopes)
    access = cast("Access", request.app.state.access)
    return {
        "access_token": access.issue(caller, now, TOKEN_SECONDS),
        "token_type": "bearer",
        "expires_in": TOKEN_SECONDS,
        "scope": " ".join(scopes),
    }


async def _form(request: AnyRequest) -> dict[str, str]:
    if request.content_type[0].lower() != FORM:
        raise TokenError("invalid_request", f"the body must be sent as {FORM}")
    body = await request.body()
    if len(body) > MAX_FORM_BYTES:
        raise TokenError("invalid_request", "the body is too long")
    try:
        pairs = parse_qsl(body.decode(), max_num_fields=20)
    except ValueError as error:
        raise TokenError("invalid_request", "the body is not a valid form") from error
    if len(dict(pairs)) < len(pairs):
        raise TokenError("invalid_request", "a parameter occurs more than once")
    return dict(pairs)


async def _authenticate_client(city: City, assertion: str, audience: str, remote_keys: RemoteKeys) -> Hospital:
    """Return the hospital that signed an assertion. Raises TokenError, which does not disclose who is connected."""
    now = city.now()
    try:
        header = jwt.get_unverified_header(assertion)
        claimed = jwt.decode(assertion, options={"verify_signature": False, "verify_exp": False, "verify_nbf": False})
    except jwt.InvalidTokenError as error:
        raise TokenError("invalid_client", "the client_assertion is not a signed JWT") from error
    _check_header(header)
    client = claimed.get("iss")
    hospital = await city.store.get(Hospital, client) if isinstance(client, str) and len(client) <= 64 else None  # noqa: PLR2004  the longest hospital code
    key = None if hospital is None or not hospital.enabled else await _key(hospital, header, remote_keys)
    if hospital is None or key is None:
        raise TokenError("invalid_client", _UNKNOWN_CLIENT)
    claims = _verified(assertion, key, audience, client)
    expires = _expiry(claims, now, city.settings.clock_skew_seconds)
    jti = claims["jti"]
    if not isinstance(jti, str) or not 1 <= len(jti) <= 255:  # noqa: PLR2004  our bound
        raise TokenError("invalid_client", "the jti must be a string of 1 to 255 characters")
    used = UsedAssertion(id=used_assertion_id(hospital.id, jti), expires_ms=to_ms(expires + timedelta(minutes=5)))
    try:
        await city.store.insert(used)
    except Duplicate:
        raise TokenError("invalid_client", "this assertion has already been used") from None
    return hospital


def _check_header(header: Json) -> None:
    """Raise TokenError for a header that no key could make valid."""
    if header.get("alg") not in ALGORITHMS:
        raise TokenError("invalid_client", f"the alg must be {', '.join(ALGORITHMS[:-1])} or {ALGORITHMS[-1]}")
    if not isinstance(header.get("kid"), str) or not header["kid"]:
        raise TokenError("invalid_client", "the header must name its key by kid, or by its thumbprint (RFC 7638)")


async def _key(hospital: Hospital, header: Json, remote_keys: RemoteKeys) -> jwt.PyJWK | None:
    """Return the hospital's key that an assertion names, if the assertion uses the algorithm of that key."""
    if header.get("jku") not in (None, hospital.jwks_url):
        return None
    if hospital.jwks_url is None:
        keys = registered_keys(hospital.jwks)
    else:
        keys = await remote_keys.keys(hospital.jwks_url, header["kid"])
    return find_key(keys, header["kid"], header["alg"])


def _verified(assertion: str, key: jwt.PyJWK, audience: str, client: object) -> Json:
    """Return the claims after checking signature, audience and issuer; times are checked later, by the city's clock."""
    required = {
        "require": ["iss", "sub", "aud", "exp", "jti"],
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
    }
    try:
        claims = jwt.decode(
            assertion, key, algorithms=[key.algorithm_name], audience=audience, options=cast("Any", required)
        )
    except jwt.InvalidAudienceError as error:
        raise TokenError("invalid_client", f"the aud must be {audience}") from error
    except jwt.MissingRequiredClaimError as error:
        raise TokenError("invalid_client", f"the claim {error.claim} is missing") from error
    except jwt.InvalidTokenError as error:
        raise TokenError("invalid_client", "the signature does not match the key") from error
    if not claims["iss"] == claims["sub"] == client:
        raise TokenError("invalid_client", "iss and sub must both be the client id")
    return claims


def _expiry(claims: Json, now: datetime, skew_seconds: int) -> datetime:
    """Return when an assertion expires. Raises TokenError unless that is within five minutes from now."""
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if any(isinstance(time, bool) or not isinstance(time, int | float) for time in times.values()):
        raise TokenError("invalid_client", "exp, iat and nbf must be numbers")
    present, skew = now.timestamp(), float(skew_seconds)
    begins = max(times.get("iat", 0), times.get("nbf", 0))
    if not begins - skew <= present < times["exp"] + skew:
        raise TokenError("invalid_client", "the assertion has expired or is not yet valid")
    if times["exp"] - present > MAX_ASSERTION_LIFETIME.total_seconds() + skew:
        raise TokenError("invalid_client", "exp must be at most five minutes from now")
    return now + timedelta(seconds=times["exp"] - present)


async def request_context(request: AnyRequest, city: City, base: str) -> RequestContext:
    """Return the context for the calling hospital. Raises NotSignedIn if it is not connected or is disabled."""
    caller: Caller = request.scope["user"]
    hospital = await calling_hospital(city, caller)
    return RequestContext(city, hospital, base, caller.scopes)
