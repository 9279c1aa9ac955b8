"""Gateways: backends of mini-programs and other channels, which call the city for many end users from few addresses.

An operator registers a gateway's public key. The gateway signs each request and names its end user, so that budgets
count by end user and not by the gateway's address.
"""

import time
from datetime import datetime
from typing import ClassVar

from backend.security.request_proofs import PublicKey
from backend.store import ONE_SHARD, Document, ShardKey, Store
from backend.store.retention import Retention
from backend.store.update import insert_or_get

GATEWAY_HEADER = "gateway-proof"
REFRESH_SECONDS = 5.0
"""A gateway that was added or removed is known to every process after this time."""


class Gateway(Document, kw_only=True):
    """A registered gateway; its name is its `id`. `requests_per_minute` is its own budget, for all its end users."""

    collection: ClassVar[str] = "gateways"
    shard_key: ClassVar[ShardKey] = ONE_SHARD
    retention: ClassVar[Retention] = Retention(
        grows_with="each registered gateway",
        ends="when an operator removes it",
        names="nobody",
    )

    algorithm: str
    key: dict[str, str]
    requests_per_minute: int
    created: datetime

    @property
    def public_key(self) -> PublicKey:
        """Return the key with which it signs."""
        return PublicKey(self.algorithm, self.key)


class Gateways:
    """The registered gateways, as one process knows them."""

    def __init__(self) -> None:
        self._known: dict[str, Gateway] = {}
        self._read_at = -REFRESH_SECONDS

    async def get(self, store: Store, name: str) -> Gateway | None:
        """Return the gateway of this name, or None."""
        if time.monotonic() >= self._read_at + REFRESH_SECONDS:
            self._read_at = time.monotonic()
            self._known = {gateway.id: gateway async for gateway in store.scan(Gateway)}
        return self._known.get(name)


async def add_gateway(store: Store, name: str, key: PublicKey, requests_per_minute: int, now: datetime) -> Gateway:
    """Register a gateway, or replace the key and budget of a registered one."""
    added = Gateway(
        id=name, algorithm=key.algorithm, key=key.members, requests_per_minute=requests_per_minute, created=now
    )
    stored = await insert_or_get(store, added)
    if (stored.key, stored.requests_per_minute) == (added.key, added.requests_per_minute):
        return stored
    added.revision = stored.revision
    return await store.replace(added)


async def remove_gateway(store: Store, name: str) -> bool:
    """Remove a gateway; return whether there was one."""
    gateway = await store.get(Gateway, name)
    if gateway is None:
        return False
    await store.delete(gateway)
    return True
