"""How a hospital's systems sign in: SMART Backend Services, a client assertion signed with the hospital's own key.

The keys are those that the hospital registered, known by their `kid`; a key fixes its algorithm, whatever the assertion
says. An assertion counts once.
"""

from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import parse_qsl

import jwt
from litestar import Request, Response
from litestar.datastructures import State

from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotSignedIn
from backend.security.identity import Access, Caller
from backend.services.medical_credit.model.connection import UsedAssertion, used_assertion_id
from backend.services.medical_credit.model.hospital import Hospital
from backend.store import Duplicate
from integrations.his.fhir.exchange import Desk, Json, allowed_by, encode, permitted

ACCOUNT = "hospital:"
TOKEN_SECONDS = 300
ASSERTION_LIVES = timedelta(minutes=5)
MAX_FORM_BYTES = 20_000
MAX_SCOPES = 50
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = "application/x-www-form-urlencoded"
MIN_RSA_BITS = 2_048

AnyRequest = Request[Any, Any, State]


class Refusal(Exception):
    """Why no token is given: an error of RFC 6749, 5.2, and words for whoever connects the hospital."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


async def give_token(request: AnyRequest, city: City, base: str) -> Response[bytes]:
    """Give an access token for a signed assertion, or an error as RFC 6749 has it."""
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    try:
        answer = await _token(request, city, base)
    except Refusal as refusal:
        status = 401 if refusal.error == "invalid_client" else 400
        said = encode({"error": refusal.error, "error_description": str(refusal)})
        return Response(said, status_code=status, media_type="application/json", headers=headers)
    return Response(encode(answer), status_code=200, media_type="application/json", headers=headers)


async def _token(request: AnyRequest, city: City, base: str) -> Json:
    form = await _form(request)
    if form.get("grant_type") != "client_credentials":
        raise Refusal("unsupported_grant_type", "the grant_type must be client_credentials")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise Refusal("invalid_request", f"the client_assertion_type must be {ASSERTION_TYPE}")
    hospital = await _client(city, form.get("client_assertion", ""), f"{base}/token")
    scopes = granted(form.get("scope", "").split(), hospital.scopes)
    if not scopes:
        raise Refusal("invalid_scope", "none of these scopes can be granted to this hospital")
    now = city.now()
    caller = Caller(f"{ACCOUNT}{hospital.id}", "backend-services", roles=("hospital",), scopes=scopes)
    access = cast("Access", request.app.state.access)
    return {
        "access_token": access.issue(caller, now, TOKEN_SECONDS),
        "token_type": "bearer",
        "expires_in": TOKEN_SECONDS,
        "scope": " ".join(scopes),
    }


async def _form(request: AnyRequest) -> dict[str, str]:
    if request.content_type[0].lower() != FORM:
        raise Refusal("invalid_request", f"the body must be sent as {FORM}")
    body = await request.body()
    if len(body) > MAX_FORM_BYTES:
        raise Refusal("invalid_request", "the body is too long")
    try:
        pairs = parse_qsl(body.decode(), max_num_fields=20)
    except ValueError as error:
        raise Refusal("invalid_request", "the body is no form") from error
    if len(dict(pairs)) < len(pairs):
        raise Refusal("invalid_request", "a parameter is given twice")
    return dict(pairs)


async def _client(city: City, assertion: str, audience: str) -> Hospital:
    """Give the hospital that signed an assertion for us. Raises Refusal, which does not tell who is connected."""
    now = city.now()
    try:
        header = jwt.get_unverified_header(assertion)
        claimed = jwt.decode(assertion, options={"verify_signature": False, "verify_exp": False, "verify_nbf": False})
    except jwt.InvalidTokenError as error:
        raise Refusal("invalid_client", "the client_assertion is no signed JWT") from error
    client = claimed.get("iss")
    hospital = await city.store.get(Hospital, client) if isinstance(client, str) and len(client) <= 64 else None  # noqa: PLR2004  a code is short
    key = None if hospital is None else _key(hospital, header)
    if hospital is None or key is None or not hospital.enabled:
        raise Refusal("invalid_client", "no enabled client has such a key")
    claims = _verified(assertion, key, audience, client)
    expires = _counts_until(claims, now, city.settings.clock_skew_seconds)
    jti = claims["jti"]
    if not isinstance(jti, str) or not 1 <= len(jti) <= 255:  # noqa: PLR2004  likewise
        raise Refusal("invalid_client", "the jti must be a text of 1 to 255 characters")
    use = UsedAssertion(
        id=used_assertion_id(hospital.id, jti), expires_ms=int((expires + timedelta(minutes=5)).timestamp() * 1_000)
    )
    try:
        await city.store.insert(use)
    except Duplicate:
        raise Refusal("invalid_client", "this assertion was used before") from None
    return hospital


def _key(hospital: Hospital, header: dict[str, Any]) -> jwt.PyJWK | None:
    """Give the hospital's key that an assertion names, if the assertion is signed in the way of that key."""
    listed = hospital.jwks.get("keys")
    keys = cast("list[object]", listed) if isinstance(listed, list) else []
    known = [cast("Json", key) for key in keys if isinstance(key, dict)]
    named = [key for key in known if key.get("kid") and key.get("kid") == header.get("kid")]
    algorithm = algorithm_of(named[0]) if len(named) == 1 else None
    if algorithm is None or header.get("alg") != algorithm:
        return None
    try:
        return jwt.PyJWK(named[0], algorithm=algorithm)
    except jwt.PyJWTError:
        return None


def algorithm_of(key: Json) -> str | None:
    """Give the one algorithm that a public key is used with; None for a key that is too weak or of no use here."""
    match key.get("kty"), key.get("crv"):
        case "RSA", _:
            strong = len(str(key.get("n", ""))) * 6 >= MIN_RSA_BITS
            algorithm = "RS384" if strong else None
        case "EC", "P-384":
            algorithm = "ES384"
        case "OKP", "Ed25519":
            algorithm = "EdDSA"
        case _:
            algorithm = None
    return algorithm if key.get("alg") in (None, algorithm) and key.get("use") in (None, "sig") else None


def _verified(assertion: str, key: jwt.PyJWK, audience: str, client: object) -> Json:
    """Check signature, audience and issuer; the clock is ours, and is asked later."""
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
        raise Refusal("invalid_client", f"the aud must be {audience}") from error
    except jwt.MissingRequiredClaimError as error:
        raise Refusal("invalid_client", f"the claim {error.claim} is missing") from error
    except jwt.InvalidTokenError as error:
        raise Refusal("invalid_client", "the signature is not that of this key") from error
    if not claims["iss"] == claims["sub"] == client:
        raise Refusal("invalid_client", "iss and sub must both be the client's id")
    return claims


def _counts_until(claims: Json, now: datetime, skew_seconds: int) -> datetime:
    """Give when an assertion expires. Raises Refusal unless that is within five minutes from now."""
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if any(isinstance(time, bool) or not isinstance(time, int | float) for time in times.values()):
        raise Refusal("invalid_client", "exp, iat and nbf must be numbers")
    present, skew = now.timestamp(), float(skew_seconds)
    begins = max(times.get("iat", 0), times.get("nbf", 0))
    if not begins - skew <= present < times["exp"] + skew:
        raise Refusal("invalid_client", "the assertion is expired, or not valid yet")
    if times["exp"] - present > ASSERTION_LIVES.total_seconds() + skew:
        raise Refusal("invalid_client", "an assertion expires within five minutes")
    return now + timedelta(seconds=times["exp"] - present)


def granted(asked: list[str], registered: tuple[str, ...]) -> tuple[str, ...]:
    """Give the scopes that are both asked for and registered; one that is only partly so is narrowed to that part."""
    may = permitted(registered)
    found: dict[str, None] = {}
    for scope in asked[:MAX_SCOPES]:
        wanted = allowed_by(scope)
        allowed = wanted & may
        if wanted and allowed == wanted:
            found[scope] = None
            continue
        for kind in sorted({kind for kind, _ in allowed}):
            found[f"system/{kind}.{''.join(letter for letter in 'cruds' if (kind, letter) in allowed)}"] = None
    return tuple(found)


async def admit(request: AnyRequest, city: City, base: str) -> Desk:
    """Give the desk of the hospital that asks. Raises NotSignedIn for one that is not connected now."""
    caller: Caller = request.scope["user"]
    known = caller.account_id.startswith(ACCOUNT)
    hospital = await city.store.get(Hospital, caller.account_id.removeprefix(ACCOUNT)) if known else None
    if hospital is None or not hospital.enabled:
        raise NotSignedIn(Text(zh="该医院未接入或已停用。", en="This hospital is not connected, or was disabled."))
    return Desk(city, hospital, base, caller.scopes)
