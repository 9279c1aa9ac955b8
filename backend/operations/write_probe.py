"""Whether the store can write: a store with a full disk still answers reads, so only a write shows it."""

import time
from datetime import datetime
from typing import ClassVar
from weakref import WeakKeyDictionary

from backend.store import Conflict, Document, Duplicate, Store
from backend.store.retention import Retention

PROBE = "ready"
PROBE_SECONDS = 1.0
"""A process writes at most once in this time, however often its health is checked."""

_written_at: WeakKeyDictionary[Store, float] = WeakKeyDictionary()


class WriteProbe(Document, kw_only=True):
    """The document that health checks write. All processes share the one with the id `ready`."""

    collection: ClassVar[str] = "write_probes"
    retention: ClassVar[Retention] = Retention(grows_with="nothing: there is one", ends="never", names="nobody")

    at: datetime


async def check_writable(store: Store, now: datetime) -> None:
    """Write to the store, unless this process just did. Raises StoreNotWritable or StoreUnavailable."""
    if time.monotonic() - _written_at.get(store, -PROBE_SECONDS) < PROBE_SECONDS:
        return
    probe = await store.get(WriteProbe, PROBE)
    try:
        if probe is None:
            await store.insert(WriteProbe(id=PROBE, at=now))
        else:
            await store.replace(WriteProbe(id=PROBE, revision=probe.revision, at=now))
    except (Conflict, Duplicate):
        return  # another process has just written it
    _written_at[store] = time.monotonic()
