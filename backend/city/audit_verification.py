"""Verify the audit log: find the first place at which somebody changed, removed, moved, added or rewrote something."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backend.city.audit_chain import (
    DAY_AUDIENCE,
    HEAD_AUDIENCE,
    NO_HASH,
    AuditBlock,
    AuditStatement,
    block_id,
    empty_block,
    hash_of,
    leaf_of,
    statement_hash,
    statement_of,
)
from backend.city.audit_log import AuditEntry, act_of, entry_of
from backend.security.keyring import VerifiedToken, verify_token
from backend.security.merkle import root_of, with_leaf
from backend.store import Order, Store
from backend.store.paging import find_all
from backend.store.time import to_ms

MAX_WAIT = timedelta(minutes=15)
"""How long an entry may wait to be chained; one that waits longer is a fault."""

BLOCKS_AT_ONCE = 20


class Fault(Exception):
    """The log is not as the city wrote it. The message names the first place, and what is wrong."""


class VerifiedLog(Struct, frozen=True):
    """What was verified: the blocks, entries and closed days, and how many entries wait to be chained."""

    blocks: int
    entries: int
    days: int
    waiting: int
    kept: int


class KeptStatement(Struct, frozen=True):
    """A statement that somebody kept outside the store, and where."""

    statement: AuditStatement
    origin: str


def read_statements(texts: Iterable[str], jwks: Mapping[str, Any], origin: str) -> list[KeptStatement]:
    """Return the statements in lines of text; empty lines and those that begin with # are skipped. Raises Fault."""
    kept: list[KeptStatement] = []
    for number, line in enumerate(texts, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            place = f"{origin}, line {number}"
            kept.append(KeptStatement(_opened(text, jwks, place), place))
    return kept


def _opened(text: str, jwks: Mapping[str, Any], place: str) -> AuditStatement:
    token = verify_token(text, dict(jwks))
    if not isinstance(token, VerifiedToken):
        words = {"unreadable": "cannot be read", "unknown_key": "is signed by an unknown key"}
        raise Fault(f"{place}: the statement {words.get(token, 'was not signed by the city')}")
    try:
        statement = msgspec.json.decode(token.claims, type=AuditStatement)
    except msgspec.DecodeError as error:
        raise Fault(f"{place}: not a statement about the audit log: {error}") from error
    if statement.aud not in (HEAD_AUDIENCE, DAY_AUDIENCE):
        raise Fault(f"{place}: not a statement about the audit log")
    return statement


async def verify_log(
    store: Store, jwks: Mapping[str, Any], kept: Sequence[KeptStatement], now: datetime, zone: ZoneInfo
) -> VerifiedLog:
    """Verify the whole log, and that it contains what others have kept of it. Raises Fault."""
    walk = _Walk(jwks, kept, zone)
    async for blocks in _batches(store):
        entries = await store.get_many(AuditEntry, [entry for block in blocks for entry in block.entries])
        for block in blocks:
            walk.take(block, entries)
    walk.end()
    waiting = await _check_other_entries(store, walk, now)
    return VerifiedLog(walk.last.number, walk.last.size, walk.days, waiting, len(kept))


async def _batches(store: Store) -> AsyncIterator[list[AuditBlock]]:
    batch: list[AuditBlock] = []
    async for block in find_all(store, AuditBlock, {}, Order("number")):
        batch.append(block)
        if len(batch) == BLOCKS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


class _Walk:
    """The walk along the chain: `last` is the last block that was found to be right."""

    def __init__(self, jwks: Mapping[str, Any], kept: Sequence[KeptStatement], zone: ZoneInfo) -> None:
        self._jwks = jwks
        self._zone = zone
        self._unmarked = ""
        self._kept: dict[int, list[KeptStatement]] = {}
        for one in kept:
            self._kept.setdefault(one.statement.number, []).append(one)
        self.last = _origin()
        self.days = 0

    def take(self, block: AuditBlock, entries: Mapping[str, AuditEntry]) -> None:
        """Check the next block. Raises Fault."""
        last = self.last
        place = f"block {last.number + 1}"
        if self._unmarked:
            raise Fault(f"block {last.number}: the entry {self._unmarked} says that it is in no block")
        if block.number > last.number + 1:
            raise Fault(f"{place} is missing: the next block is {block.number}")
        if block.number <= last.number or block.id != block_id(block.number):
            raise Fault(f"{place} is not where it belongs: its id is {block.id}, its number {block.number}")
        if hash_of(block) != block.hash:
            raise Fault(f"{place} was edited: its content does not have its hash")
        if block.previous != last.hash:
            raise Fault(f"{place} does not follow block {last.number}: one of the two was replaced")
        if _opened(block.statement, self._jwks, place) != statement_of(block):
            raise Fault(f"{place} has the statement of another block")
        for kept in self._kept.pop(block.number, ()):
            if replace(kept.statement, aud="") != replace(statement_of(block), aud=""):
                raise Fault(f"{place} is not the one that {kept.origin} has: the log was rewritten")
        self._check_day(block, place)
        self._check_entries(block, entries, place)
        self._check_tree(block, place)
        self.last, self.days = block, self.days + (block.closed_day is not None)

    def _check_day(self, block: AuditBlock, place: str) -> None:
        last = self.last
        begins = last.closed_day is not None or last.number == 0
        if block.closed_day is not None and (begins or block.closed_day != last.day or block.entries):
            raise Fault(f"{place} closes {block.closed_day}, which is not the day that was open")
        if block.day <= last.day if begins else block.day != last.day:
            raise Fault(f"{place} is of {block.day}, which does not follow {last.day or 'the beginning'}")
        expected = statement_hash(last.statement) if last.closed_day is not None else last.previous_day
        if block.previous_day != expected:
            raise Fault(f"{place} does not name the statement that closed the day before")

    def _check_entries(self, block: AuditBlock, entries: Mapping[str, AuditEntry], place: str) -> None:
        if len(set(block.entries)) != len(block.entries) or len(block.entries) != len(block.leaves):
            raise Fault(f"{place} lists an entry twice, or without its hash")
        for entry_id, leaf in zip(block.entries, block.leaves, strict=True):
            entry = entries.get(entry_id)
            if entry is None:
                raise Fault(f"{place}: the entry {entry_id} is missing")
            if leaf_of(entry).hex() != leaf:
                raise Fault(f"{place}: the entry {entry_id} was edited")
            searched = replace(entry_of(act_of(entry), self._zone, entry.at), block=entry.block, unchained_ms=None)
            if searched != replace(entry, revision=0, unchained_ms=None):
                raise Fault(f"{place}: the entry {entry_id} is hidden from searches: its index was edited")
            if entry.block is None:
                self._unmarked = entry_id  # which only the last block may have
            elif entry.block != block.number:
                raise Fault(f"{place}: the entry {entry_id} says that it is in block {entry.block}")

    def _check_tree(self, block: AuditBlock, place: str) -> None:
        begins = self.last.closed_day is not None or self.last.number == 0
        size = 0 if begins else self.last.day_size
        peaks = () if begins else tuple(map(bytes.fromhex, self.last.peaks))
        for leaf in block.leaves:
            peaks, size = with_leaf(peaks, size, bytes.fromhex(leaf)), size + 1
        found = (block.day_size, block.size, block.root, block.peaks)
        right = (size, self.last.size + len(block.leaves), root_of(peaks).hex(), tuple(peak.hex() for peak in peaks))
        if found != right:
            raise Fault(f"{place}: the root of {block.day} is not that of its entries")

    def end(self) -> None:
        """Check that nothing of what others kept lies behind the end. Raises Fault."""
        for number, kept in sorted(self._kept.items()):
            raise Fault(
                f"block {self.last.number + 1} is missing: the log was cut after block {self.last.number}, "
                f"and {kept[0].origin} has block {number}"
            )


def _origin() -> AuditBlock:
    """Return what the first block follows."""
    return replace(empty_block(0, datetime.fromtimestamp(0, UTC)), hash=NO_HASH)


async def _check_other_entries(store: Store, walk: _Walk, now: datetime) -> int:
    """Check that all other entries wait, and not for long; return how many. Raises Fault."""
    waiting = 0
    if await store.count(AuditEntry, {}) == walk.last.size:
        return 0
    async for entry in store.scan(AuditEntry):
        if entry.block is None and entry.unchained_ms is not None:
            in_last = entry.id in walk.last.entries
            waiting += not in_last
            if not in_last and entry.unchained_ms < to_ms(now - MAX_WAIT):
                raise Fault(f"the entry {entry.id} of {entry.at:%Y-%m-%d %H:%M} UTC is in no block")
        elif (entry.block or 0) <= walk.last.number and not await _lists(store, entry):
            raise Fault(f"the entry {entry.id} says that it is in block {entry.block}, which does not list it")
    return waiting


async def _lists(store: Store, entry: AuditEntry) -> bool:
    block = await store.get(AuditBlock, block_id(entry.block or 0))
    listed: Collection[str] = () if block is None else block.entries
    return entry.id in listed
