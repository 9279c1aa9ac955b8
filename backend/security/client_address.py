"""The network address of a caller, as far as it can be believed.

Anyone can send an `X-Forwarded-For` header, so it counts only from the proxies that the settings name. Nothing is
trusted by default, not even the loopback address.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from backend.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV6_PREFIX = 64
"""A subscriber usually gets a whole /64 of IPv6 addresses."""

_MAX_ADDRESS_CHARACTERS = 100
"""More than any address with its zone; so what a client sends in place of one does not fill the memory."""


class TrustedProxies:
    """Finds the address of the client behind the proxies whose networks are trusted."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    def client(self, peer: str, forwarded: Iterable[str]) -> str:
        """Return the rightmost address that is not a trusted proxy's; the peer's own unless it is a trusted proxy.

        `forwarded` holds the values of `X-Forwarded-For`. What stands left of a malformed one is not believed.
        """
        address = parse_address(peer)
        if address is None or not self.trusts(peer):
            return peer
        for value in reversed([item for line in forwarded for item in line.split(",")]):
            forwarder = _forwarded_address(value)
            if forwarder is None:
                break
            address = forwarder
            if not self._contains(forwarder):
                break
        return str(address)

    def trusts(self, peer: str) -> bool:
        """Return whether a peer is a trusted proxy."""
        address = parse_address(peer)
        return address is not None and self._contains(address)

    def _contains(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def parse_address(text: str) -> Address | None:
    """Return an address, an IPv4 address that is mapped to IPv6 as itself; None if it is malformed."""
    return _parsed(text) if len(text) <= _MAX_ADDRESS_CHARACTERS else None


@lru_cache(maxsize=10_000)  # each request through a proxy has three
def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _forwarded_address(text: str) -> Address | None:
    """Return the address of a forwarded value, which may have a port."""
    value = text.strip()
    if value.startswith("["):
        return parse_address(value[1:].partition("]")[0])
    if value.count(":") == 1:
        return parse_address(value.partition(":")[0])
    return parse_address(value)


@lru_cache(maxsize=10_000)
def subscriber(address: str) -> str:
    """Return what requests of an address are counted by: the address, or its /64 if it is an IPv6 address."""
    parsed = parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return address if parsed is None else str(parsed)


def peer_of(scope: Any) -> str:  # noqa: ANN401  an ASGI scope
    """Return the address of a connection's client, or an empty text for a local socket."""
    client = scope["client"]
    return client[0] if client else ""
