"""The chain of the audit log: signed blocks of entries, each with the hash of the one before.

A block is stored under its number, if no other process was faster, so the chain has no gap and no fork. Before a block
is appended, all entries of the one before are marked as chained: an entry that is not marked is therefore in no block,
whatever crashed in between. The entries of a day in the city are the leaves of a Merkle tree, and the block that closes
the day signs its root.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import ClassVar
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from backend.city.audit_log import AuditEntry
from backend.city.service import City
from backend.security.keyring import Keyring
from backend.security.merkle import EMPTY_ROOT, leaf_hash, root_of, with_leaf
from backend.store import Document, Duplicate, Index, Order, Store
from backend.store.retention import Retention
from backend.store.time import to_ms

ENTRIES_PER_BLOCK = 500
NO_HASH = "0" * 64
HEAD_AUDIENCE = "audit-head"
DAY_AUDIENCE = "audit-day"
HEAD_FILE = ".audit-head"
"""Where a folder of keys remembers the last head, so that a log that was cut is found on the city's own machine."""


class AuditBlock(Document, kw_only=True):
    """A block of the log; its `id` is its number, padded. It is never changed and never deleted.

    `entries` are the ids of its entries and `leaves` their hashes, `size` counts the entries of the log up to its end.
    `peaks`, `root` and `day_size` are those of the Merkle tree of the entries of its `day` so far. A block that closes
    a day has no entries and names it as `closed_day`. `previous` is the hash of the block before, `previous_day` that
    of the statement that closed the day before. `hash` covers all this, and `statement` is the signed AuditStatement.
    """

    collection: ClassVar[str] = "audit_blocks"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index((), ordered="number"),
        Index((), ordered="closed_day"),
        Index(("day",), ordered="number"),
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each second in which something is logged",
        ends="never: it chains the log",
        names="nobody",
    )

    number: int
    at: datetime
    day: str
    previous: str
    previous_day: str
    entries: tuple[str, ...]
    leaves: tuple[str, ...]
    size: int
    day_size: int
    peaks: tuple[str, ...]
    root: str
    closed_day: str | None = None
    hash: str = ""
    statement: str = ""


class AuditStatement(Struct, frozen=True):
    """What the city signs of a block (EdDSA JWS): `aud` is "audit-day" if it closes the day, else "audit-head"."""

    aud: str
    number: int
    hash: str
    at_ms: int
    size: int
    day: str
    day_size: int
    root: str
    previous_day: str


_encode = msgspec.json.Encoder().encode
_heads: WeakKeyDictionary[Store, int] = WeakKeyDictionary()
"""The number of the last block whose entries this process knows to be marked."""


def content_of(entry: AuditEntry) -> bytes:
    """Return what of an entry is hashed: a JSON list without spaces, in UTF-8.

    It has the id, the milliseconds since 1970, action, account, role, about, person and reason.
    """
    act = (entry.id, to_ms(entry.at), entry.action, entry.account, entry.role, entry.about, entry.person, entry.reason)
    return _encode(act)


def leaf_of(entry: AuditEntry) -> bytes:
    """Return the hash of an entry: its leaf in the tree of the day."""
    return leaf_hash(content_of(entry))


def hash_of(block: AuditBlock) -> str:
    """Return the hash of a block: that of a JSON list of its fields in their order, without `hash` and `statement`."""
    content = (
        block.number,
        to_ms(block.at),
        block.day,
        block.previous,
        block.previous_day,
        block.entries,
        block.leaves,
        block.size,
        block.day_size,
        block.peaks,
        block.root,
        block.closed_day,
    )
    return hashlib.sha256(b"\x02" + _encode(content)).hexdigest()


def statement_of(block: AuditBlock) -> AuditStatement:
    """Return what the statement of a block must say."""
    return AuditStatement(
        aud=HEAD_AUDIENCE if block.closed_day is None else DAY_AUDIENCE,
        number=block.number,
        hash=block.hash,
        at_ms=to_ms(block.at),
        size=block.size,
        day=block.day,
        day_size=block.day_size,
        root=block.root,
        previous_day=block.previous_day,
    )


def block_id(number: int) -> str:
    """Return the id of a block."""
    return f"{number:012}"


# ── the next block ──


def next_block(head: AuditBlock | None, entries: Sequence[AuditEntry], today: date, now: datetime) -> AuditBlock:
    """Return the block that follows `head` with these entries, unsigned.

    A clock that goes back opens no day again that is over.
    """
    before = _before(head, now)
    day = max(before.day, today.isoformat())
    peaks, day_size = _tree(before) if day == before.day else ((), 0)
    leaves = [leaf_of(entry) for entry in entries]
    for leaf in leaves:
        peaks, day_size = with_leaf(peaks, day_size, leaf), day_size + 1
    return _hashed(
        replace(
            before,
            day=day,
            entries=tuple(entry.id for entry in entries),
            leaves=tuple(leaf.hex() for leaf in leaves),
            size=before.size + len(leaves),
            day_size=day_size,
            peaks=tuple(peak.hex() for peak in peaks),
            root=root_of(peaks).hex(),
        )
    )


def closing_block(head: AuditBlock, now: datetime) -> AuditBlock:
    """Return the block that closes the day of `head`, unsigned."""
    return _hashed(replace(_before(head, now), closed_day=head.day))


def is_over(head: AuditBlock, today: date) -> bool:
    """Return whether the day of `head` is over and not closed yet."""
    return head.closed_day is None and head.day < today.isoformat()


def empty_block(number: int, at: datetime) -> AuditBlock:
    """Return a block of no day, without entries and with nothing before it."""
    return AuditBlock(
        id=block_id(number),
        number=number,
        at=at,
        day="",
        previous=NO_HASH,
        previous_day=NO_HASH,
        entries=(),
        leaves=(),
        size=0,
        day_size=0,
        peaks=(),
        root=EMPTY_ROOT.hex(),
    )


def _before(head: AuditBlock | None, now: datetime) -> AuditBlock:
    """Return a block that follows `head` and adds nothing; after a closed day it begins the next."""
    if head is None:
        return empty_block(1, now)
    block = replace(empty_block(head.number + 1, now), previous=head.hash, size=head.size)
    if head.closed_day is not None:
        next_day = date.fromisoformat(head.closed_day) + timedelta(days=1)
        return replace(block, day=next_day.isoformat(), previous_day=statement_hash(head.statement))
    return replace(
        block, day=head.day, previous_day=head.previous_day, day_size=head.day_size, peaks=head.peaks, root=head.root
    )


def _tree(block: AuditBlock) -> tuple[tuple[bytes, ...], int]:
    return tuple(bytes.fromhex(peak) for peak in block.peaks), block.day_size


def _hashed(block: AuditBlock) -> AuditBlock:
    return replace(block, hash=hash_of(block))


def statement_hash(statement: str) -> str:
    """Return the hash by which the next day names the statement of the day before."""
    return hashlib.sha256(statement.encode()).hexdigest()


def signed(block: AuditBlock, keys: Keyring) -> AuditBlock:
    """Return a block with its statement, signed by the city."""
    return replace(block, statement=keys.sign_audit(_encode(statement_of(block))))


# ── in the store ──


async def head_of(store: Store) -> AuditBlock | None:
    """Return the last block of the log; None if there is none."""
    page = await store.find(AuditBlock, {}, order=Order("number", "descending"), limit=1)
    return page.documents[0] if page.documents else None


async def extend_chain(city: City) -> None:
    """Chain all entries that wait, the oldest first, and close the day if it is over. Any process may do it."""
    zone = ZoneInfo(city.settings.time_zone)
    while True:
        now = city.now()
        today = now.astimezone(zone).date()
        head = await head_of(city.store)
        await _mark_entries(city.store, head)
        if head is not None and is_over(head, today):
            await _append(city, closing_block(head, now))
            continue
        waiting = await city.store.find(AuditEntry, {}, order=Order("unchained_ms"), limit=ENTRIES_PER_BLOCK)
        if not waiting.documents:
            return
        await _append(city, next_block(head, waiting.documents, today, now))


async def _append(city: City, block: AuditBlock) -> None:
    with suppress(Duplicate):  # another process was faster; its block is the head now
        stored = await city.store.insert(signed(block, city.keys))
        await asyncio.to_thread(_remember, city.keys, stored.statement)


async def _mark_entries(store: Store, head: AuditBlock | None) -> None:
    """Mark all entries of the last block as chained."""
    if head is None or _heads.get(store) == head.number:
        return
    entries = await store.get_many(AuditEntry, head.entries) if head.entries else {}
    marked = [
        replace(entry, block=head.number, unchained_ms=None)
        for entry in entries.values()
        if entry.unchained_ms is not None
    ]
    # in one write, a tenth of the time over MongoDB; entries that another process marked meanwhile are left alone
    await store.write_bodies(AuditEntry.collection, [to_builtins(one, builtin_types=(datetime,)) for one in marked])
    _heads[store] = head.number


def _remember(keys: Keyring, statement: str) -> None:
    with suppress(OSError):  # the folder is mounted read-only
        (keys.folder / HEAD_FILE).write_text(f"{statement}\n", encoding="ascii")


def remembered_statement(keys: Keyring) -> str | None:
    """Return the statement of the last block that a process with this folder of keys appended."""
    try:
        return (keys.folder / HEAD_FILE).read_text(encoding="ascii").strip() or None
    except OSError:
        return None
