"""The key sets that hospitals publish by URL: fetched, kept for a while, and fetched again when a new key is used.

Only an operator sets such a URL; no client can name one. The server must prove its name by TLS, redirects are not
followed, and no part of an answer but keys is used or shown. So a name that someone points at a machine of ours leads
nowhere.
"""

import asyncio
import logging
import ssl
import time
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx
from msgspec import Struct

from integrations.his.public_keys import parse_key_set

Json = dict[str, Any]

FETCH_SECONDS = 5.0
MAX_BYTES = 65_536
FRESH_SECONDS = 600.0
"""How long a fetched key set is used without asking again."""
MAX_AGE_SECONDS = 3_600.0
"""How long a key set is used if it cannot be fetched again. A key that was withdrawn then ends at the latest."""
MIN_INTERVAL_SECONDS = 30.0
"""Between two attempts: anyone can send an assertion that names an unknown key."""
MAX_URL_LENGTH = 500

_log = logging.getLogger("chengma.his")


class InvalidUrl(ValueError):
    """A URL must not be fetched; the message says why."""


class KeysUnavailable(Exception):
    """A key set could not be fetched; the message says why."""


class _KeptKeys(Struct, frozen=True):
    """A key set, when it was fetched and when this was last tried, in seconds of the clock."""

    keys: tuple[Json, ...] = ()
    fetched: float = float("-inf")
    tried: float = float("-inf")


class RemoteKeys:
    """The key sets of this process, by URL."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, _KeptKeys] = {}
        self._locks = defaultdict[str, asyncio.Lock](asyncio.Lock)

    async def keys(self, url: str, kid: str) -> list[Json]:
        """Return the keys at a URL; an unknown `kid` or old keys are fetched again. Empty if there are none."""
        async with self._locks[url]:
            kept, now = self._kept.get(url, _KeptKeys()), self._clock()
            is_current = now - kept.fetched < FRESH_SECONDS and any(key.get("kid") == kid for key in kept.keys)
            if not is_current and now - kept.tried >= MIN_INTERVAL_SECONDS:
                kept = self._kept[url] = await self._refreshed(url, kept, now)
            return list(kept.keys) if now - kept.fetched < MAX_AGE_SECONDS else []

    async def _refreshed(self, url: str, kept: _KeptKeys, now: float) -> _KeptKeys:
        try:
            return _KeptKeys(tuple(await fetch_keys(url)), now, now)
        except KeysUnavailable as error:
            _log.warning("FHIR: the keys at %s cannot be fetched: %s", url, error)
            return _KeptKeys(kept.keys, kept.fetched, now)


async def fetch_keys(url: str) -> list[Json]:
    """Return the keys of the JWK Set at a URL. Raises KeysUnavailable."""
    try:
        address = check_url(url)
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(verify=_tls(), trust_env=address.scheme == "https", timeout=FETCH_SECONDS) as client,
            client.stream("GET", url, headers={"Accept": "application/json", "Accept-Encoding": "identity"}) as answer,
        ):
            content = await _read(answer)
        return parse_key_set(content)
    except TimeoutError as error:
        raise KeysUnavailable(f"no answer within {FETCH_SECONDS:.0f} seconds") from error
    except httpx.HTTPError as error:
        raise KeysUnavailable(str(error) or type(error).__name__) from error
    except RecursionError as error:
        raise KeysUnavailable("the answer is nested too deeply") from error
    except ValueError as error:  # as of a URL, of JSON or of a key set
        raise KeysUnavailable(str(error)) from error


async def _read(answer: httpx.Response) -> bytes:
    if not answer.is_success:
        raise KeysUnavailable(f"the answer has status {answer.status_code}")
    content = bytearray()
    async for part in answer.aiter_raw():
        content += part
        if len(content) > MAX_BYTES:
            raise KeysUnavailable(f"the answer has more than {MAX_BYTES:,} bytes")
    return bytes(content)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def check_url(url: str) -> SplitResult:
    """Return the parts of a URL that may be fetched: https, or http on this machine itself. Raises InvalidUrl."""
    try:
        address = urlsplit(url)
        host, _ = address.hostname or "", address.port
    except ValueError as error:
        raise InvalidUrl(f"the URL is invalid: {error}") from error
    if not host or len(url) > MAX_URL_LENGTH or not url.isprintable() or " " in url:
        raise InvalidUrl("the URL is invalid")
    if address.username is not None or address.fragment:
        raise InvalidUrl("the URL must have no user, password or fragment")
    number = _ip_address(host)
    is_local = host == "localhost" if number is None else number.is_loopback
    if address.scheme != "https" and not (address.scheme == "http" and is_local):
        raise InvalidUrl("the URL must be https, or http on this machine (127.0.0.1)")
    if number is not None and (number.is_link_local or number.is_multicast or number.is_unspecified):
        raise InvalidUrl("the URL names an address that belongs to no server")  # clouds keep credentials at one
    return address


def _ip_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
