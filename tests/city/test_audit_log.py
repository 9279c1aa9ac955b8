"""The audit log: an act and its entry are one, whatever crashes, and however many processes write."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from backend.city.audit_chain import ENTRIES_PER_BLOCK, AuditBlock, extend_chain, head_of, remembered_statement
from backend.city.audit_lag import lag_of
from backend.city.audit_log import AuditEntry, log_acts, log_all_acts, record_act
from backend.city.audit_verification import VerifiedLog, verify_log
from backend.city.machine_acts import log_machine_acts
from backend.city.service import City
from backend.security.keyring import rotate
from backend.services.audit.days import closing_block_of
from backend.settings import Settings
from backend.store import Order, Store
from backend.store.connect import open_store
from backend.store.paging import find_all
from backend.store.update import delete_unless_changed
from tests.city.audited_city import Permit, grant, in_city, permit_act
from tests.conftest import Clock
from tests.services.killing import Killed, KillingStore


@pytest.fixture
def settings(settings: Settings, address: str) -> Settings:
    return replace(settings, store=address)


class KillingBulkStore(KillingStore):
    """A store whose process may also be killed at the write that marks the entries of a block."""

    async def write_bodies(self, collection: str, bodies: Sequence[dict[str, Any]]) -> int:
        return await self._write(lambda changed: self._store.write_bodies(collection, changed), bodies)


async def sweep(city: City) -> None:
    await log_all_acts(city)
    await extend_chain(city)


async def verified(city: City) -> VerifiedLog:
    return await verify_log(city.store, city.keys.jwks("audit"), [], city.now(), city.rulebook.time_zone)


async def entries_of(store: Store, action: str) -> list[AuditEntry]:
    return [entry async for entry in find_all(store, AuditEntry, {"action": action}, Order("sort_key"))]


def test_an_act_stands_in_its_document_until_the_log_has_it(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        permit = await grant(city, "p1", 1)
        permit = await grant(city, "p1", 2)
        assert [act.reason for act in permit.acts] == ["1", "2"]
        assert not await entries_of(city.store, "permit.granted")
        await sweep(city)
        kept = await city.store.get(Permit, "p1")
        assert kept is not None
        assert (kept.acts, kept.acts_due_ms, kept.granted) == ((), None, 2)
        assert sorted(entry.reason for entry in await entries_of(city.store, "permit.granted")) == ["1", "2"]
        assert await verified(city) == VerifiedLog(blocks=1, entries=2, days=0, waiting=0, kept=0)

    in_city(settings, clock, work)


def test_an_act_that_changes_no_document_is_in_the_log_before_the_answer(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        act = permit_act(city, 1)
        await record_act(city, act)
        await record_act(city, act)
        assert len(await entries_of(city.store, "permit.granted")) == 1
        assert (await verified(city)).waiting == 1

    in_city(settings, clock, work)


def test_a_change_while_the_log_takes_over_an_act_keeps_its_own_act(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        read = await grant(city, "p1", 1)
        await grant(city, "p1", 2)
        left = await log_acts(city, read)
        assert [act.reason for act in left.acts] == ["2"]
        assert left.acts_due_ms is not None
        await sweep(city)
        assert len(await entries_of(city.store, "permit.granted")) == 2

    in_city(settings, clock, work)


def test_a_document_that_holds_an_act_is_not_deleted(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        permit = await grant(city, "p1", 1)
        await delete_unless_changed(city.store, permit)
        with pytest.raises(AssertionError, match="taken over first"):
            await city.store.delete(permit)
        assert await city.store.get(Permit, "p1") == permit
        await delete_unless_changed(city.store, await log_acts(city, permit))
        assert await city.store.get(Permit, "p1") is None
        await sweep(city)
        assert (await verified(city)).entries == 1

    in_city(settings, clock, work)


def test_blocks_take_many_acts(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        count = 2 * ENTRIES_PER_BLOCK + 7
        await asyncio.gather(*(record_act(city, permit_act(city, number)) for number in range(count)))
        await extend_chain(city)
        assert await verified(city) == VerifiedLog(blocks=3, entries=count, days=0, waiting=0, kept=0)

    in_city(settings, clock, work)


def test_many_processes_append_to_one_chain(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        stores = [
            open_store(settings.store, list(city.documents), driver="pymongo", timeout_ms=20_000) for _ in range(4)
        ]
        processes = [replace(city, store=store) for store in stores]

        async def process(one: City, number: int) -> None:
            for turn in range(6):
                await grant(one, f"{number}-{turn}", number)
                await sweep(one)

        try:
            await asyncio.gather(*(process(one, number) for number, one in enumerate(processes)))
        finally:
            await asyncio.gather(*(store.close() for store in stores))
        await sweep(city)
        assert (await verified(city)).entries == len(await entries_of(city.store, "permit.granted")) == 24

    in_city(settings, clock, work)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
def test_a_kill_at_any_write_leaves_no_act_without_its_entry_and_no_entry_without_its_act(
    settings: Settings, clock: Clock, after: bool
) -> None:
    async def work(city: City) -> None:
        killing = city.store
        assert isinstance(killing, KillingStore)
        killing.after, number, kills = after, 0, 0
        for countdown in range(40):
            killing.countdown, before = countdown, killing.kills
            try:
                for _ in range(2):
                    number += 1
                    await grant(city, f"p{number}", number)
                    await sweep(city)
                clock.now += timedelta(days=1)
                await sweep(city)
            except Killed:
                pass
            killing.countdown = None
            kills += killing.kills - before
            if killing.kills == before:
                break
            await sweep(city)  # the next process
            granted = [str(permit.granted) async for permit in city.store.scan(Permit)]
            logged = [entry.reason for entry in await entries_of(city.store, "permit.granted")]
            assert sorted(logged) == sorted(granted)
            assert (await verified(city)).entries == len(granted)
        assert kills >= 10

    in_city(settings, clock, work, KillingBulkStore)  # pyright: ignore[reportArgumentType]  it has all methods of a store


def test_a_day_closes_with_a_root_that_names_the_day_before(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        for _ in range(3):
            await record_act(city, permit_act(city, 1))
            await extend_chain(city)
            clock.now += timedelta(days=2)
        await extend_chain(city)
        days = [await closing_block_of(city, day) for day in ("2022-04-20", "2022-04-22", "2022-04-24")]
        assert [day is not None and day.day_size for day in days] == [1, 1, 1]
        assert await closing_block_of(city, "2022-04-21") is None
        assert (await verified(city)).days == 3

    in_city(settings, clock, work)


def test_a_day_ends_at_midnight_in_the_city(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        clock.now = datetime(2022, 4, 20, 15, 59, 59, tzinfo=UTC)
        await record_act(city, permit_act(city, 1))
        await extend_chain(city)
        clock.now = datetime(2022, 4, 20, 16, 0, 0, tzinfo=UTC)
        await record_act(city, permit_act(city, 2))
        await extend_chain(city)
        head = await head_of(city.store)
        assert head is not None
        assert (head.day, head.day_size, head.size) == ("2022-04-21", 1, 2)
        assert await closing_block_of(city, "2022-04-20") is not None

    in_city(settings, clock, work)


def test_a_clock_that_goes_back_opens_no_closed_day(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        await record_act(city, permit_act(city, 1))
        await extend_chain(city)
        clock.now += timedelta(days=1)
        await extend_chain(city)
        clock.now -= timedelta(days=1)
        await record_act(city, permit_act(city, 2))
        await extend_chain(city)
        head = await head_of(city.store)
        assert head is not None
        assert head.day == "2022-04-21"
        assert (await verified(city)).days == 1

    in_city(settings, clock, work)


def test_the_lag_is_the_age_of_the_oldest_act_that_is_not_chained(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        assert await lag_of(city) == timedelta()
        await grant(city, "p1", 1)
        clock.now += timedelta(minutes=2)
        assert await lag_of(city) == timedelta(minutes=2)
        await log_all_acts(city)
        clock.now += timedelta(minutes=1)
        assert await lag_of(city) == timedelta(minutes=1)
        await extend_chain(city)
        assert await lag_of(city) == timedelta()

    in_city(settings, clock, work)


def test_the_folder_of_keys_remembers_the_head(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        assert remembered_statement(city.keys) is None
        await record_act(city, permit_act(city, 1))
        await extend_chain(city)
        head = await city.store.get(AuditBlock, "000000000001")
        assert head is not None
        assert remembered_statement(city.keys) == head.statement

    in_city(settings, clock, work)


def test_each_key_of_the_city_is_in_the_log_once(settings: Settings, clock: Clock) -> None:
    async def work(city: City) -> None:
        await log_machine_acts(city)
        await log_machine_acts(city)
        first = {entry.about.split()[0] for entry in await entries_of(city.store, "keys.made")}
        assert first == {"code", "token", "field", "lookup", "audit"}
        new = rotate(city.keys.folder, "code", clock.now, timedelta(hours=1))
        city.keys._refresh_at = 0.0  # pyright: ignore[reportPrivateUsage]  instead of waiting
        await log_machine_acts(city)
        made = [entry.about for entry in await entries_of(city.store, "keys.made")]
        assert len(made) == 6
        assert f"code {new.kid}" in made

    in_city(settings, clock, work)
