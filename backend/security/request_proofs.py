"""Signed proofs that apps and gateways send with a request, to show which device or gateway it comes from.

The form is that of DPoP (RFC 9449): a JWT for one method and path, which is valid for minutes. An app
makes its key on the device and never shows the private part, so that nobody else can make such a proof.
"""

import json
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import jwt
import msgspec
from msgspec import Struct

from backend.problems import Problem
from backend.security.keyring import encode_segment

ProofType = Literal["dpop+jwt", "gateway+jwt"]

MAX_PROOF_CHARACTERS = 2_000
PROOF_SECONDS = 300
"""How far the clock of a device may differ from ours; phones are often minutes wrong."""

_MEMBERS = {"EdDSA": ("OKP", "Ed25519", ("crv", "kty", "x")), "ES256": ("EC", "P-256", ("crv", "kty", "x", "y"))}
"""For each algorithm the type and curve of its keys, and the members of their thumbprint (RFC 7638, RFC 8037)."""


class InvalidProof(Problem):
    """The proof of a device or gateway is malformed, expired, of another request or used before; `now` is our time."""

    status, title, title_zh = 401, "Invalid proof", "设备签名无效"


class ProofClaims(Struct, frozen=True):
    """What a proof says: its id, the request that it belongs to, and when it was made.

    `nonce` is the challenge that it answers. `iss` and `sub` name a gateway and the end user of its request.
    """

    jti: str
    htm: str
    htu: str
    iat: int
    nonce: str = ""
    iss: str = ""
    sub: str = ""


class PublicKey(Struct, frozen=True):
    """A public key, Ed25519 or P-256, as members of a JSON Web Key. `thumbprint` names it (RFC 7638)."""

    algorithm: str
    members: dict[str, str]

    @property
    def thumbprint(self) -> str:
        """Return the thumbprint of the key."""
        text = json.dumps(self.members, separators=(",", ":"), sort_keys=True)
        return encode_segment(sha256(text.encode()).digest()).decode()


def parse_public_key(jwk: object) -> PublicKey:
    """Return a public key from a JSON Web Key. Raises ValueError, also for a private key."""
    if not isinstance(jwk, dict) or "d" in jwk:
        raise ValueError("a public JSON Web Key is needed")
    for algorithm, (kind, curve, names) in _MEMBERS.items():
        members: dict[str, Any] = {name: jwk.get(name) for name in names}  # pyright: ignore[reportUnknownMemberType]
        if (members["kty"], members["crv"]) == (kind, curve) and all(
            isinstance(value, str) for value in members.values()
        ):
            key = PublicKey(algorithm, members)
            _verifier(key)
            return key
    raise ValueError("the key must be Ed25519 (kty OKP) or P-256 (kty EC)")


def key_of_proof(proof: str, now: float) -> PublicKey:
    """Return the public key in the header of a device's proof. Raises InvalidProof."""
    try:
        return parse_public_key(_header(proof, "dpop+jwt").get("jwk"))
    except ValueError as error:
        raise invalid_proof(now) from error


def issuer_of_proof(proof: str, now: float) -> str:
    """Return the `iss` of a proof, not verified yet. Raises InvalidProof."""
    try:
        _header(proof, "gateway+jwt")
        return msgspec.convert(jwt.decode(proof, options={"verify_signature": False}), ProofClaims).iss
    except (jwt.PyJWTError, ValueError, msgspec.ValidationError) as error:
        raise invalid_proof(now) from error


def verify_proof(proof: str, key: PublicKey, method: str, path: str, now: float) -> ProofClaims:
    """Return the claims of a proof that this key signed for a request, now. Raises InvalidProof."""
    try:
        options: Any = {"verify_aud": False, "verify_iat": False, "verify_exp": False, "verify_nbf": False}
        body = jwt.decode(proof, _verifier(key), algorithms=[key.algorithm], options=options)
        claims = msgspec.convert(body, ProofClaims)
        fits = claims.htm == method and unquote(urlsplit(claims.htu).path) == path and 0 < len(claims.jti) <= _MAX_ID
    except (jwt.PyJWTError, ValueError, msgspec.ValidationError) as error:
        raise invalid_proof(now) from error
    if not fits or abs(claims.iat - now) > PROOF_SECONDS:
        raise invalid_proof(now)
    return claims


_MAX_ID = 100


def invalid_proof(now: float) -> InvalidProof:
    """Return the Problem for a proof that is not valid; the app may correct its clock by `now` and try again."""
    return InvalidProof(
        zh="设备签名无效或已过期，请校准手机时间后重试。",
        en="The proof of the device is invalid or has expired. Check the clock of the device and try again.",
        now=int(now),
    )


def _header(proof: str, kind: ProofType) -> dict[str, Any]:
    if len(proof) > MAX_PROOF_CHARACTERS:
        raise ValueError("too long")
    try:
        header = jwt.get_unverified_header(proof)
    except jwt.PyJWTError as error:
        raise ValueError("not a JWT") from error
    if header.get("typ") != kind:
        raise ValueError("another kind of JWT")
    return header


def _verifier(key: PublicKey) -> Any:  # noqa: ANN401  a key of the cryptography library
    try:
        return jwt.PyJWK(key.members, algorithm=key.algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise ValueError("not a valid key") from error
