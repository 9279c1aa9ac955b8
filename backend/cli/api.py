"""The city's API as a signed-in person uses it from the command line.

A session is kept in a file that only its owner can read. It holds a key of this machine, with which each refresh is
proved, so that a copied refresh token alone is worth nothing. Tokens go only to the address that issued them.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import os
import secrets
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import Struct

from backend.cli.language import language
from backend.i18n import Text
from backend.security.keyring import encode_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from backend.settings import Settings

TIMEOUT_SECONDS = 60
UNAUTHORIZED, TOO_MANY_REQUESTS = 401, 429
MARGIN_SECONDS = 30
"""An access token is renewed this long before it expires."""


class NotSignedIn(click.ClickException):
    """There is no session, or it has ended."""

    def __init__(self) -> None:
        text = Text(zh="请先登录：chengma login", en="sign in first: chengma login")
        super().__init__(text.in_language(language()))


class Session(Struct, frozen=True):
    """A signed-in person: the address of the API, the key of this machine in PEM, and the tokens."""

    api: str
    key: str
    access_token: str
    access_until: float
    refresh_token: str


def api_address(settings: Settings) -> str:
    """Return the address of the API of the settings. Raises ClickException for one that would show tokens to others."""
    address = (settings.api or f"http://{settings.host}:{settings.port}").rstrip("/")
    parts = urlsplit(address)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise click.ClickException(f"CHENGMA_API={address!r}: only https:// protects what you sign in with")
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def session_file() -> Path:
    """Return the file of the session, below XDG_CONFIG_HOME."""
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(folder) / "chengma" / "session.json"


def read_session() -> Session:
    """Return the session. Raises NotSignedIn."""
    try:
        return msgspec.json.decode(session_file().read_bytes(), type=Session)
    except (FileNotFoundError, msgspec.DecodeError) as error:
        raise NotSignedIn from error


def write_session(session: Session) -> None:
    """Store the session so that only its owner can read it; an interrupted write leaves the one before."""
    file = session_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_suffix(f".{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(msgspec.json.encode(session))
    new.replace(file)


class Api:
    """Sends requests to one address, as the person of a `session` if there is one."""

    def __init__(self, address: str, key: Ed25519PrivateKey, session: Session | None = None) -> None:
        self._client = httpx.Client(
            base_url=address, timeout=TIMEOUT_SECONDS, headers={"Accept-Language": language()}, follow_redirects=False
        )
        self._key = key
        self._session = session

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Return the response to a request. Raises ClickException with the Problem."""
        return self.send("GET", path, params=parameters)

    def send(self, method: str, path: str, body: object = None, **options: Any) -> dict[str, Any]:  # noqa: ANN401  of httpx
        """Send a request as the signed-in person, and return the response. Raises ClickException with the Problem."""
        if self._session is None:
            raise NotSignedIn
        headers = {"Authorization": f"Bearer {self._fresh_token(self._session)}"}
        return _result(self._exchange(method, path, body, headers, **options))

    def sign_in(self, phone: str, ask_for_code: Callable[[], str]) -> Session:
        """Sign in with a code that is sent to a phone, which `ask_for_code` returns. Raises ClickException."""
        sent = _result(self._exchange_proven("/v1/sign-in-codes", {"phone": phone}))
        challenge = sent["challenge"]
        device = {"device_name": "chengma", "device_kind": "computer"}
        body = {"phone": phone, "challenge": challenge, "code": ask_for_code(), **device}
        self._session = self._with_tokens(_result(self._exchange_proven("/v1/sessions", body, nonce=challenge)))
        return self._session

    def _fresh_token(self, session: Session) -> str:
        if session.access_until - MARGIN_SECONDS > time.time():
            return session.access_token
        with _lock():  # another command may renew the session at the same time
            latest = read_session()
            if latest.access_until - MARGIN_SECONDS <= time.time():
                answer = self._exchange_proven("/v1/sessions/refresh", {"refresh_token": latest.refresh_token})
                if answer.status_code == UNAUTHORIZED:
                    raise NotSignedIn
                latest = self._with_tokens(_result(answer))
                write_session(latest)
        self._session = latest
        return latest.access_token

    def _with_tokens(self, tokens: dict[str, Any]) -> Session:
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        until = time.time() + tokens["expires_in_seconds"]
        address = str(self._client.base_url).rstrip("/")
        return Session(address, pem, tokens["access_token"], until, tokens["refresh_token"])

    def _exchange_proven(self, path: str, body: object, nonce: str = "") -> httpx.Response:
        """Send a POST request with a proof of this machine's key, and another one with the solution of a captcha."""
        answer = self._exchange("POST", path, body, self._proof(path, nonce))
        captcha = _captcha(answer)
        if captcha is None:
            return answer
        solved = {"Captcha-Response": _solve(captcha["puzzle"], captcha["zero_bits"])}
        return self._exchange("POST", path, body, self._proof(path, nonce) | solved)

    def _exchange(
        self,
        method: str,
        path: str,
        body: object,
        headers: dict[str, str],
        **options: Any,  # noqa: ANN401  of httpx
    ) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body, headers=headers, **options)
        except httpx.HTTPError as error:
            address = self._client.base_url
            text = Text(zh=f"{address} 没有响应：{error}", en=f"{address} does not answer: {error}")
            raise click.ClickException(text.in_language(language())) from error

    def _proof(self, path: str, nonce: str) -> dict[str, str]:
        """Return the header that proves the key of this machine for a POST request."""
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": encode_segment(public).decode()}
        claims: dict[str, object] = {"htm": "POST", "htu": str(self._client.base_url).rstrip("/") + path}
        claims |= {"iat": int(time.time()), "jti": secrets.token_urlsafe(12), "nonce": nonce}
        return {"DPoP": jwt.encode(claims, self._key, algorithm="EdDSA", headers={"typ": "dpop+jwt", "jwk": jwk})}


def new_api(address: str) -> Api:
    """Return the API for signing in, with a new key of this machine."""
    return Api(address, Ed25519PrivateKey.generate())


@contextmanager
def signed_in(settings: Settings) -> Generator[Api]:
    """Return the API as the signed-in person uses it, until the end of the block.

    Raises NotSignedIn, or ClickException if the person is signed in to another address than that of the settings.
    """
    session = read_session()
    if settings.api and api_address(settings) != session.api:
        text = Text(
            zh=f"您登录的是 {session.api}，不是 {settings.api}；请重新登录：chengma login",
            en=f"you are signed in to {session.api}, not to {settings.api}; sign in again: chengma login",
        )
        raise click.ClickException(text.in_language(language()))
    key = load_pem_private_key(session.key.encode(), password=None)
    assert isinstance(key, Ed25519PrivateKey), "login made it"
    api = Api(session.api, key, session)
    try:
        yield api
    finally:
        api.close()


@contextmanager
def _lock() -> Generator[None]:
    with session_file().with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _result(answer: httpx.Response) -> dict[str, Any]:
    """Return the body of a response. Raises ClickException with the Problem, and NotSignedIn if the session ended."""
    if answer.is_success:
        return answer.json() if answer.content else {}
    try:
        problem: dict[str, Any] = answer.json()
        lines = [str(problem["detail"]), *(f"  {one['pointer']}: {one['detail']}" for one in problem.get("errors", ()))]
    except (ValueError, KeyError, TypeError):
        lines = [f"{answer.request.url} answers {answer.status_code}"]
    raise click.ClickException("\n".join(lines))


def _captcha(answer: httpx.Response) -> dict[str, Any] | None:
    """Return the proof of work that a response asks for, if it does."""
    if answer.status_code != TOO_MANY_REQUESTS:
        return None
    try:
        captcha = answer.json().get("captcha", {})
    except ValueError:
        return None
    return captcha if "puzzle" in captcha and "zero_bits" in captcha else None


def _solve(puzzle: str, zero_bits: int) -> str:
    responses = (f"{puzzle}:{number}" for number in count())
    return next(
        each for each in responses if int.from_bytes(hashlib.sha256(each.encode()).digest()) >> (256 - zero_bits) == 0
    )
