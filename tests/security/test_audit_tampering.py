"""Nobody who has the store but not the signing key can change the past of the audit log unnoticed."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.city.audit_chain import (
    AuditBlock,
    block_id,
    closing_block,
    extend_chain,
    hash_of,
    leaf_of,
    next_block,
    signed,
)
from backend.city.audit_log import AuditEntry, record_act
from backend.city.audit_verification import Fault, KeptStatement, read_statements, verify_log
from backend.city.service import City
from backend.security.keyring import Keyring
from backend.settings import Settings
from backend.store import Document, Order, Store
from backend.store.paging import find_all
from backend.store.sqlite.store import SqliteStore
from tests.city.audited_city import NOON, in_city, permit_act
from tests.conftest import Clock
from tests.draws import draws
from tests.keys import new_keys

DAYS, BLOCKS_A_DAY, ENTRIES_A_BLOCK = 3, 3, 4
ZONE = ZoneInfo("Asia/Shanghai")
LATER = NOON + timedelta(days=DAYS, hours=1)

Tampering = Callable[["Log"], Awaitable[None]]


class Log:
    """An audit log as somebody sees it who has the whole store."""

    def __init__(self, store: Store, blocks: Sequence[AuditBlock], entries: Sequence[AuditEntry]) -> None:
        self.store, self.blocks, self.entries = store, list(blocks), list(entries)

    @classmethod
    async def read(cls, store: Store) -> "Log":
        blocks = [block async for block in find_all(store, AuditBlock, {}, Order("number"))]
        known = {entry.id: entry async for entry in store.scan(AuditEntry)}
        return cls(store, blocks, [known[entry] for block in blocks for entry in block.entries])

    async def put(self, *documents: Document) -> None:
        for document in documents:
            await self.store.restore([document])

    async def remove(self, *documents: Document) -> None:
        for document in documents:
            await self.store.delete(document)

    def block_of(self, entry: AuditEntry) -> AuditBlock:
        return next(block for block in self.blocks if entry.id in block.entries)


async def write_log(city: City, clock: Clock) -> None:
    """Write three days of three blocks each, and a block of today."""
    for day in range(DAYS + 1):
        clock.now = NOON + timedelta(days=day)
        await extend_chain(city)
        for _ in range(BLOCKS_A_DAY if day < DAYS else 1):
            for number in range(ENTRIES_A_BLOCK):
                clock.now += timedelta(seconds=1)
                await record_act(city, replace(permit_act(city, number), account=f"officer-{number}"))
            await extend_chain(city)


async def fault(store: Store, keys: Keyring, kept: Sequence[KeptStatement] = ()) -> str:
    """Return the fault that is found in the log, or an empty text."""
    try:
        await verify_log(store, keys.jwks("audit"), kept, LATER, ZONE)
    except Fault as found:
        return str(found)
    return ""


# ── what somebody may do to the store ──


async def edit_an_entry(log: Log) -> None:
    await log.put(replace(log.entries[5], account="nobody"))


async def hide_an_entry_from_its_person(log: Log) -> None:
    await log.put(replace(log.entries[5], subject="another"))


async def remove_an_entry(log: Log) -> None:
    await log.remove(log.entries[5])


async def take_an_entry_out_of_its_block(log: Log) -> None:
    await log.put(replace(log.entries[5], block=None, unchained_ms=1))


async def plant_an_entry(log: Log) -> None:
    await log.put(replace(log.entries[5], id="planted", sort_key=log.entries[5].sort_key + "x"))


async def plant_an_entry_that_no_sweep_finds(log: Log) -> None:
    await log.put(replace(log.entries[5], id="planted", block=None, unchained_ms=None))


async def keep_an_entry_out_of_the_chain(log: Log) -> None:
    await log.put(replace(log.entries[5], id="waits", block=None, unchained_ms=1))


async def remove_a_block(log: Log) -> None:
    await log.remove(log.blocks[4])


async def remove_a_block_with_its_entries_and_renumber(log: Log) -> None:
    gone = log.blocks[1]
    await log.remove(gone, *(entry for entry in log.entries if entry.id in gone.entries))
    for block in log.blocks[2:]:
        await log.remove(block)
        await log.put(replace(block, number=block.number - 1, id=block_id(block.number - 1)))


async def remove_an_entry_and_its_leaf(log: Log) -> None:
    block = log.blocks[0]
    await log.remove(log.entries[0])
    await log.put(_rehashed(replace(block, entries=block.entries[1:], leaves=block.leaves[1:])))


async def swap_two_blocks(log: Log) -> None:
    first, second = log.blocks[1], log.blocks[2]
    await log.put(replace(first, id=second.id, number=second.number), replace(second, id=first.id, number=first.number))


async def swap_two_entries(log: Log) -> None:
    block = log.blocks[0]
    entries, leaves = block.entries, block.leaves
    swapped = replace(block, entries=(entries[1], entries[0], *entries[2:]), leaves=(leaves[1], leaves[0], *leaves[2:]))
    await log.put(_rehashed(swapped))


async def edit_an_entry_and_all_that_hangs_on_it(log: Log) -> None:
    edited = replace(log.entries[0], account="nobody")
    block = log.blocks[0]
    await log.put(edited, _rehashed(replace(block, leaves=(leaf_of(edited).hex(), *block.leaves[1:]))))


async def move_a_block_to_another_day(log: Log) -> None:
    await log.put(_rehashed(replace(log.blocks[-1], day="2022-04-30")))


async def take_the_closing_of_a_day_back(log: Log) -> None:
    closing = next(block for block in log.blocks if block.closed_day is not None)
    await log.put(_rehashed(replace(closing, closed_day=None)))


async def show_an_old_statement_again(log: Log) -> None:
    await log.put(replace(log.blocks[-1], statement=log.blocks[-2].statement))


async def remove_a_statement(log: Log) -> None:
    await log.put(replace(log.blocks[-1], statement=""))


def _rehashed(block: AuditBlock) -> AuditBlock:
    return replace(block, hash=hash_of(block))


TAMPERINGS: dict[Tampering, str] = {
    edit_an_entry: "block 2: the entry",
    hide_an_entry_from_its_person: "hidden from searches",
    remove_an_entry: "is missing",
    take_an_entry_out_of_its_block: "says that it is in no block",
    plant_an_entry: "which does not list it",
    plant_an_entry_that_no_sweep_finds: "which does not list it",
    keep_an_entry_out_of_the_chain: "is in no block",
    remove_a_block: "block 5 is missing",
    remove_a_block_with_its_entries_and_renumber: "block 2 was edited",
    remove_an_entry_and_its_leaf: "block 1 has the statement of another block",
    swap_two_blocks: "block 2 was edited",
    swap_two_entries: "block 1 has the statement of another block",
    edit_an_entry_and_all_that_hangs_on_it: "block 1 has the statement of another block",
    move_a_block_to_another_day: "has the statement of another block",
    take_the_closing_of_a_day_back: "has the statement of another block",
    show_an_old_statement_again: "has the statement of another block",
    remove_a_statement: "cannot be read",
}


@pytest.fixture
def settings(settings: Settings, address: str) -> Settings:
    return replace(settings, store=address)


@pytest.mark.parametrize(("tamper", "message"), TAMPERINGS.items(), ids=[tamper.__name__ for tamper in TAMPERINGS])
def test_tampering_is_found_and_its_place_named(
    settings: Settings, clock: Clock, tamper: Tampering, message: str
) -> None:
    async def work(city: City) -> None:
        await write_log(city, clock)
        assert await fault(city.store, city.keys) == ""
        await tamper(await Log.read(city.store))
        assert message in await fault(city.store, city.keys)

    in_city(settings, clock, work)


# ── with another key ──


async def rewrite(log: Log, keys: Keyring, first: int, entries: Sequence[AuditEntry]) -> None:
    """Write the log again from a block on, with these entries, and signed with another key."""
    head = log.blocks[first - 1] if first else None
    await log.remove(*log.blocks[first:], *(one for one in log.entries if one not in entries))
    for old in log.blocks[first:]:
        if old.closed_day is not None:
            assert head is not None
            block = closing_block(head, old.at)
        else:
            own = [one for one in entries if one.id in old.entries]
            block = next_block(head, own, old.at.astimezone(ZONE).date(), old.at)
            await log.put(*(replace(one, block=block.number) for one in own))
        head = signed(block, keys)
        await log.put(replace(head, revision=1))


@pytest.mark.parametrize("first", [0, 4, 12], ids=["the whole log", "from a day on", "the open day"])
def test_a_log_that_is_rewritten_without_the_signing_key_is_found(
    settings: Settings, clock: Clock, tmp_path: Path, first: int
) -> None:
    async def work(city: City) -> None:
        await write_log(city, clock)
        log, thief = await Log.read(city.store), Keyring.open(Path(new_keys(tmp_path / "thief")))
        await rewrite(log, thief, first, log.entries[:-1])
        assert await fault(city.store, city.keys) == f"block {first + 1}: the statement is signed by an unknown key"
        assert (await fault(city.store, thief) == "") == (first == 0)

    in_city(settings, clock, work)


def test_a_rewritten_log_is_found_even_with_the_signing_key_by_whoever_kept_a_root(
    settings: Settings, clock: Clock
) -> None:
    async def work(city: City) -> None:
        await write_log(city, clock)
        log = await Log.read(city.store)
        root = next(block for block in log.blocks if block.closed_day is not None)
        kept = read_statements([root.statement], city.keys.jwks("audit"), "roots.txt")
        assert await fault(city.store, city.keys, kept) == ""
        await rewrite(log, city.keys, 0, log.entries[1:])
        assert await fault(city.store, city.keys) == ""
        assert "is not the one that roots.txt, line 1 has" in await fault(city.store, city.keys, kept)

    in_city(settings, clock, work)


# ── a log that was cut ──


@pytest.mark.parametrize("left", [0, 4, 8, 12])
def test_a_log_that_was_cut_is_found_by_whoever_kept_a_later_head(settings: Settings, clock: Clock, left: int) -> None:
    async def work(city: City) -> None:
        await write_log(city, clock)
        log = await Log.read(city.store)
        kept = read_statements([log.blocks[-1].statement], city.keys.jwks("audit"), "heads.txt")
        gone = log.blocks[left:]
        await log.remove(*gone, *(entry for entry in log.entries if log.block_of(entry) in gone))
        assert f"block {left + 1} is missing: the log was cut" in await fault(city.store, city.keys, kept)

    in_city(settings, clock, work)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "roots.txt, line 1: the statement cannot be read"),
        ("e30.e30.e30", "roots.txt, line 1: the statement was not signed by the city"),
    ],
)
def test_a_kept_statement_that_is_none_is_told(settings: Settings, line: str, message: str) -> None:
    with pytest.raises(Fault, match=message):
        read_statements([line], Keyring.open(Path(settings.keys)).jwks("audit"), "roots.txt")


def test_a_code_of_a_citizen_is_no_statement(settings: Settings) -> None:
    keys = Keyring.open(Path(settings.keys))
    with pytest.raises(Fault, match="unknown key"):
        read_statements([keys.sign_code(b"{}")], keys.jwks("audit"), "roots.txt")
    with pytest.raises(Fault, match="not a statement"):
        read_statements([keys.sign_audit(b'{"aud":"talent"}')], keys.jwks("audit"), "roots.txt")


# ── any change of any field ──


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Keyring]:
    """An untouched log in a file, and the keys that signed it."""
    folder, clock = tmp_path_factory.mktemp("log"), Clock(NOON)
    settings = Settings(store=f"sqlite:///{folder}/city.db", keys=new_keys(folder / "keys"), sandbox=f"{folder}/s.db")
    in_city(settings, clock, lambda city: write_log(city, clock))
    return folder / "city.db", Keyring.open(Path(settings.keys))


def changed(value: object) -> object:
    """Return another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return f"{value[:-1]}{'0' if value[-1:] != '0' else '1'}"
        case tuple():
            return value[:-1] or ("0" * 64,)
        case None:
            return None
        case _:
            return value + timedelta(milliseconds=1)  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]


def _index_only(kind: type[Document]) -> set[str]:
    return {"revision", "unchained_ms"} if kind is AuditEntry else {"revision"}


@given(data=st.data())
@effort(max_examples=draws(60, 2_000), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_any_field_and_any_deletion_is_found(
    written: tuple[Path, Keyring], tmp_path: Path, data: st.DataObject
) -> None:
    source, keys = written
    file = tmp_path / "tampered.db"
    shutil.copy(source, file)

    async def work() -> None:
        store = SqliteStore.open(file, [AuditBlock, AuditEntry])
        try:
            log = await Log.read(store)
            kept = read_statements([log.blocks[-1].statement], keys.jwks("audit"), "heads.txt")
            assert await fault(store, keys, kept) == ""
            target = data.draw(st.sampled_from([*log.blocks, *log.entries]))
            names = [name for name in target.__struct_fields__ if name not in _index_only(type(target))]
            action = data.draw(st.sampled_from(["delete", *names]))
            before = {} if action == "delete" else {action: changed(getattr(target, action))}
            if action != "delete" and before[action] == getattr(target, action):
                return
            await log.remove(target)
            if action != "delete":
                await log.put(replace(target, **before))
            assert await fault(store, keys, kept) != ""
        finally:
            await store.close()

    asyncio.run(work())
