"""The public keys of hospitals (JSON Web Key Sets, RFC 7517): which may sign an assertion, and under which name."""

import base64
import hashlib
from typing import Annotated, Any, cast

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Meta

Json = dict[str, Any]

ALGORITHMS = ("RS384", "ES384", "EdDSA")
MIN_RSA_BITS, MAX_RSA_BITS = 2_048, 8_192
MAX_KEYS = 20
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
_THUMBPRINT_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


class UnusableKey(Exception):
    """A key may not sign assertions; the message is the end of a sentence that starts with the key."""


class PrivateKey(UnusableKey):
    """A key set contains a private or symmetric key, which its owner must keep to itself."""


class _KeySet(msgspec.Struct):
    """A JSON Web Key Set; the members of its keys are flat."""

    keys: Annotated[list[dict[str, str | int | float | list[str] | None]], Meta(min_length=1, max_length=MAX_KEYS)]


_decode = msgspec.json.Decoder(_KeySet).decode


def parse_key_set(content: bytes) -> list[Json]:
    """Return the keys of a JSON Web Key Set, each with a `kid`. Raises ValueError or RecursionError."""
    return [named(key) for key in _decode(content).keys]


def parse_key_file(content: bytes) -> list[Json]:
    """Return the keys in a file: a JSON Web Key Set, or a single key. Raises ValueError or RecursionError."""
    found = msgspec.json.decode(content)
    single = isinstance(found, dict) and "kty" in found and "keys" not in found
    return parse_key_set(b'{"keys": [%s]}' % content if single else content)


def named(key: Json) -> Json:
    """Return a key with its `kid`: its own, or else its SHA-256 thumbprint (RFC 7638)."""
    members = _THUMBPRINT_MEMBERS.get(str(key.get("kty")))
    if key.get("kid") or members is None:
        return key
    content = msgspec.json.encode({name: key.get(name) for name in members})
    return key | {"kid": base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()}


def signing_key(key: Json) -> jwt.PyJWK:
    """Return a key with the one algorithm that it may be used with. Raises UnusableKey."""
    if key.keys() & _PRIVATE:
        raise PrivateKey("is private or symmetric; only public keys may be registered")
    algorithm = _algorithm(key)
    if key.get("alg") not in (None, algorithm):
        raise UnusableKey(f"must be used with {algorithm}, not with {key['alg']}")
    operations = key.get("key_ops")
    if key.get("use") not in (None, "sig") or (isinstance(operations, list) and "verify" not in operations):
        raise UnusableKey("is not meant for signatures")
    try:
        loaded = jwt.PyJWK(key, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise UnusableKey("is damaged") from error
    if isinstance(loaded.key, RSAPublicKey) and not MIN_RSA_BITS <= loaded.key.key_size <= MAX_RSA_BITS:
        raise UnusableKey(f"has {loaded.key.key_size:,} bits; RSA needs {MIN_RSA_BITS:,} to {MAX_RSA_BITS:,}")
    return loaded


def _algorithm(key: Json) -> str:
    match key.get("kty"), key.get("crv"):
        case "RSA", _:
            return "RS384"
        case "EC", "P-384":
            return "ES384"
        case "OKP", "Ed25519":
            return "EdDSA"
        case _:
            raise UnusableKey("is of an unsupported type; use RSA, EC P-384 or Ed25519")


def find_key(keys: list[Json], kid: str, algorithm: str) -> jwt.PyJWK | None:
    """Return the only key of this name if it may be used with this algorithm."""
    found = [key for key in map(named, keys) if key.get("kid") == kid]
    if len(found) != 1:
        return None
    try:
        key = signing_key(found[0])
    except UnusableKey:
        return None
    return key if key.algorithm_name == algorithm else None


def registered_keys(jwks: Json) -> list[Json]:
    """Return the keys in the JWK Set of a Hospital."""
    listed = jwks.get("keys")
    keys = cast("list[object]", listed) if isinstance(listed, list) else []
    return [cast("Json", key) for key in keys if isinstance(key, dict)]
