"""The city's keys: stored in files, rotated with overlap, and used for signing, encryption and keyed hashes.

Each key is one JSON file that only its owner may read. A new key is published before it signs, so that by then every
process and everyone with a cached JWKS knows it; the old one verifies until its overlap ends. Running processes pick
up changes within seconds, without a restart.
"""

import fcntl
import json
import logging
import os
import secrets
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Meta, Struct
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

Use = Literal["code", "token", "field", "lookup", "audit"]
USES: tuple[Use, ...] = ("code", "token", "field", "lookup", "audit")
ROTATED: tuple[Use, ...] = ("code", "token", "field", "audit")
"""The lookup key is not rotated: people are found by ID number and phone with it, and a new key would lose them."""

NEVER_RETIRED: tuple[Use, ...] = ("field", "audit")
"""Old keys of these uses stay active after a rotation, since stored identifiers and the audit log last longer."""

KEY_BYTES = 32
JWKS_SECONDS = 300
"""How long others may cache the public keys."""

PUBLICATION_LEAD = timedelta(seconds=2 * JWKS_SECONDS)
"""How long a new key is published before it signs: a cached JWKS, refreshing processes and their clocks need less."""

REFRESH_SECONDS = 5.0
SETTLED_NANOSECONDS = 2_000_000_000
"""Two changes of a folder may have the same timestamp, so a folder that changed this recently is read again."""

MAX_TOKEN_CHARACTERS = 2_000


_log = logging.getLogger("chengma.keys")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_STANDARD = bytes.maketrans(b"-_", b"+/")


def encode_segment(raw: bytes) -> bytes:
    """Return bytes as a segment of a JWS: base64url without padding. The library takes three times as long."""
    return b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=")


def decode_segment(segment: bytes) -> bytes:
    """Return the bytes of a segment of a JWS. Raises ValueError."""
    return a2b_base64(segment.translate(_STANDARD) + b"==")


class InvalidKeys(Exception):
    """A key file cannot be used, or one is missing. The message names it."""


Instant = Annotated[datetime, Meta(tz=True)]


class Key(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, dict=True):
    """One key: `kid` names it, `use` is its purpose, and it is active until `retires` (None: no other succeeds it).

    It signs or encrypts from `signs_from` (None: since its creation) until its successor does.
    `code` keys sign what others verify (Ed25519 seeds), `audit` keys the audit log (likewise), `token` keys sign access
    tokens (HMAC-SHA256), `field` keys encrypt identifiers (AES-256-GCM), the `lookup` key makes the keyed hashes by
    which they are found.
    """

    kid: str
    use: Use
    created: Instant
    material: bytes
    retires: Instant | None = None
    signs_from: Instant | None = None

    @cached_property
    def private(self) -> Ed25519PrivateKey:
        """Return the signing key of a `code` or `audit` key."""
        return Ed25519PrivateKey.from_private_bytes(self.material)

    @cached_property
    def public_jwk(self) -> dict[str, str]:
        """Return the public half of a `code` or `audit` key as a JSON Web Key."""
        x = encode_segment(self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
        return {"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "use": "sig", "alg": "EdDSA", "x": x}


def make_keys(folder: Path) -> None:
    """Create the folder and any missing keys. Safe when two processes start at once.

    If no key is missing the folder is only read, so it may be mounted read-only.
    """
    if folder.is_dir() and {key.use for key in _read(folder) if key.retires is None} == set(USES):
        return
    with _locked(folder):
        existing_uses = {key.use for key in _read(folder) if key.retires is None}
        for use in USES:
            if use not in existing_uses:
                _write(folder, _new_key(folder, use, datetime.now(UTC)))


def rotate(folder: Path, use: Use, now: datetime, overlap: timedelta, lead: timedelta = timedelta()) -> Key:
    """Create a new key that signs after `lead`; the old one verifies until `overlap` after that.

    Without a lead, others cannot verify what it signs until they read the keys again. Old `field` keys decrypt, and old
    `audit` keys verify, permanently. Raises InvalidKeys for the lookup key, which cannot be replaced without losing the
    lookup of every person.
    """
    if use not in ROTATED:
        raise InvalidKeys(f"the {use} key cannot be rotated: people are found by it")
    with _locked(folder):
        current = [key for key in _read(folder) if key.use == use and key.retires is None]
        new_key = msgspec.structs.replace(_new_key(folder, use, now), signs_from=now + lead if lead else None)
        _write(folder, new_key)
        for key in current:
            _write(folder, msgspec.structs.replace(key, retires=now + lead + overlap))
    return new_key


class CodeSigner:
    """Signs codes with one `code` key."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self._private = crypto_sign_seed_keypair(key.material)[1]
        header = json.dumps({"alg": "EdDSA", "kid": key.kid}, separators=(",", ":")).encode()
        self._header = encode_segment(header) + b"."

    def sign(self, claims: bytes) -> str:
        """Sign the bytes of a JSON object as a compact EdDSA JWS (RFC 8037).

        Every code that is shown is signed. libsodium takes two thirds of the time of OpenSSL.
        """
        signed = self._header + encode_segment(claims)
        signature = encode_segment(crypto_sign(signed, self._private)[:crypto_sign_BYTES])
        return (signed + b"." + signature).decode()


class Keyring:
    """The keys of one process, read again when their folder changes; `fault` is the error of the last attempt."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self.folder = folder
        self._clock = clock
        self._refresh_at = 0.0
        self._modified_ns = -1
        self.fault = ""
        self._current: dict[Use, Key] = {}
        self._read()
        self._choose_current()

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> "Keyring":
        """Open the keys of a folder. Raises InvalidKeys."""
        return cls(folder, clock)

    def keys(self, use: Use | None = None) -> list[Key]:
        """Return the active keys, of one use or of all, also those that do not sign yet: the newest first."""
        self._refresh()
        now = self._clock()
        return [
            key
            for key in self._keys
            if use in (None, key.use) and (key.use in NEVER_RETIRED or key.retires is None or now < key.retires)
        ]

    def current(self, use: Use) -> Key:
        """Return the current key, which signs or encrypts."""
        self._refresh()
        return self._current[use]

    def code_signer(self) -> CodeSigner:
        """Return the signer with the current `code` key."""
        if time.monotonic() > self._refresh_at:
            self._refresh()
        return self._code_signer

    def sign_code(self, claims: bytes) -> str:
        """Sign the bytes of a JSON object as a compact EdDSA JWS with the current `code` key."""
        return self.code_signer().sign(claims)

    def sign_audit(self, claims: bytes) -> str:
        """Sign the bytes of a JSON object as a compact EdDSA JWS with the current `audit` key."""
        return CodeSigner(self.current("audit")).sign(claims)

    def jwks(self, use: Literal["code", "audit"] = "code") -> dict[str, list[dict[str, str]]]:
        """Return the public keys that verify codes, or the audit log, as a JSON Web Key Set."""
        return {"keys": [key.public_jwk for key in self.keys(use)]}

    def _refresh(self) -> None:
        if time.monotonic() <= self._refresh_at:
            return
        self._refresh_at = time.monotonic() + REFRESH_SECONDS
        try:
            modified_ns = self.folder.stat().st_mtime_ns
            if modified_ns != self._modified_ns or time.time_ns() - modified_ns < SETTLED_NANOSECONDS:
                self._read()
            self.fault = ""
        except (InvalidKeys, OSError) as error:
            self.fault = str(error)
            _log.error("the keys could not be read again, and the previous ones stay active: %s", error)
        self._choose_current()

    def _read(self) -> None:
        modified_ns = self.folder.stat().st_mtime_ns if self.folder.is_dir() else 0
        keys = sorted(_read(self.folder), key=lambda key: (key.retires is not None, -key.created.timestamp()))
        for use in USES:
            if not any(key.use == use and key.retires is None for key in keys):
                raise InvalidKeys(f"{self.folder}: the {use} key is missing; `chengma keys make` creates missing keys")
        self._keys, self._modified_ns = keys, modified_ns

    def _choose_current(self) -> None:
        """Choose the newest key of each use that may sign now; if none may, the newest."""
        now = self._clock()
        begun = [key for key in self._keys if key.signs_from is None or key.signs_from <= now]
        current: dict[Use, Key] = {key.use: key for key in reversed([*begun, *self._keys])}
        if current["code"] != self._current.get("code"):
            self._code_signer = CodeSigner(current["code"])
        self._current = current


class _Header(Struct):
    alg: str = ""
    kid: str = ""
    crit: Any = None


class _Jwk(Struct):
    kty: str
    crv: str
    kid: str
    x: str


class VerifiedToken(Struct, frozen=True):
    """The claims of a token, and the key that signed it."""

    kid: str
    claims: bytes


TokenFault = Literal["unreadable", "unknown_key", "forged"]
"""Why a token is not accepted: it has not the form of one, the set lacks its key, or the key did not sign it."""


def verify_token(token: str, jwks: dict[str, Any]) -> VerifiedToken | TokenFault:
    """Verify a compact EdDSA JWS with the keys of a set.

    Works offline. The key determines the algorithm.
    """
    segments = token.split(".") if len(token) <= MAX_TOKEN_CHARACTERS else []
    if len(segments) != 3:  # noqa: PLR2004  header, claims, signature
        return "unreadable"
    header, claims, signature = map(_decoded, segments)
    if header is None or claims is None or signature is None:
        return "unreadable"
    try:
        named = msgspec.json.decode(header, type=_Header)
    except (ValueError, RecursionError):
        return "unreadable"
    if named.alg != "EdDSA" or named.crit is not None:
        return "forged"
    public = _public_key(named.kid, jwks)
    if public is None:
        return "unknown_key"
    if len(signature) != crypto_sign_BYTES:
        return "forged"  # the library takes the bytes after a signature as a part of what was signed
    try:  # half the time of cryptography, and stricter: it accepts no weak key
        crypto_sign_open(signature + token.rpartition(".")[0].encode(), public)
    except CryptoError:
        return "forged"
    return VerifiedToken(named.kid, claims)


def _public_key(kid: str, jwks: dict[str, Any]) -> bytes | None:
    """Return the key of this name in a set; None if there is none, or it is not a key for EdDSA."""
    try:
        keys = msgspec.convert(jwks.get("keys", []), list[_Jwk])
    except (ValueError, RecursionError):
        return None
    key = next((key for key in keys if (key.kid, key.kty, key.crv) == (kid, "OKP", "Ed25519")), None)
    public = _decoded(key.x) if key is not None else None
    return public if public is not None and len(public) == KEY_BYTES else None


def _decoded(segment: str) -> bytes | None:
    """Return the bytes of canonical base64url without padding; None for any other text."""
    try:
        decoded = decode_segment(segment.encode("ascii"))
    except ValueError:
        return None
    return decoded if encode_segment(decoded) == segment.encode() else None


# ── Files ──


@contextmanager
def _locked(folder: Path) -> Generator[None, None, None]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _read(folder: Path) -> list[Key]:
    if not folder.is_dir():
        raise InvalidKeys(f"{folder}: the folder of keys does not exist; `chengma keys make` creates it")
    keys: list[Key] = []
    for path in sorted(folder.glob("[!.]*.json")):
        if path.stat().st_mode & 0o077:
            raise InvalidKeys(f"{path}: other users can read this key; run `chmod 600` on it, and consider rotating it")
        try:
            key = msgspec.json.decode(path.read_bytes(), type=Key)
        except (OSError, ValueError) as error:
            raise InvalidKeys(f"{path}: not a key file: {error}") from error
        if len(key.material) != KEY_BYTES or path.name != _file_name(key):
            raise InvalidKeys(f"{path}: not a key file: its name or the length of its material is wrong")
        keys.append(key)
    return keys


def _new_key(folder: Path, use: Use, now: datetime) -> Key:
    taken = {key.kid for key in _read(folder)}
    kid = secrets.token_urlsafe(3)
    while kid in taken:
        kid = secrets.token_urlsafe(3)
    return Key(kid, use, now, secrets.token_bytes(KEY_BYTES))


def _write(folder: Path, key: Key) -> None:
    """Write a key file atomically."""
    draft = folder / f".{_file_name(key)}"
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(key), indent=2))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / _file_name(key))


def _file_name(key: Key) -> str:
    return f"{key.use}_{key.kid}.json"
