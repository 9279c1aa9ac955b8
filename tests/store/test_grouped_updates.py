"""Concurrent changes of one document: one write stores all that are waiting."""

import asyncio

import pytest
from msgspec.structs import replace

from backend.store import Store
from backend.store.grouped_updates import update_grouped
from backend.store.update import update_document
from tests.counting_store import CountingStore
from tests.store.scene import Letter, Open, work_on


def longer(letter: Letter) -> Letter:
    return replace(letter, text=letter.text + "!")


def refused(_letter: Letter) -> Letter:
    raise ValueError("no")


async def load(store: Store) -> Letter:
    found = await store.get(Letter, "1")
    assert found is not None
    return found


async def signed(letter: Letter) -> Letter:
    return replace(letter, text=letter.text.replace("?", "") + "?")


def test_thirty_changes_take_effect_with_a_few_writes(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1"))
        counted = CountingStore(store)
        changes = [
            update_grouped(counted, Letter, "1", load=lambda: load(counted), change=longer, before_write=signed)
            for _ in range(30)
        ]
        await asyncio.gather(*changes)
        assert (await load(store)).text == "!" * 30 + "?"
        assert counted.calls["replace", "Letter"] <= 2

    work_on(opened, work)


def test_a_change_that_raises_does_not_affect_the_others(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1"))
        answers = await asyncio.gather(
            *(
                update_grouped(store, Letter, "1", load=lambda: load(store), change=change, before_write=signed)
                for change in (longer, refused, longer, refused)
            ),
            return_exceptions=True,
        )
        assert [isinstance(answer, ValueError) for answer in answers] == [False, True, False, True]
        assert (await load(store)).text == "!!?"

    work_on(opened, work)


def test_changes_that_change_nothing_write_nothing(opened: Open) -> None:
    async def work(store: Store) -> None:
        stored = await store.insert(Letter(id="1"))
        same = await update_grouped(
            store, Letter, "1", load=lambda: load(store), change=lambda letter: letter, before_write=signed
        )
        assert same == stored
        with pytest.raises(ValueError, match="no"):
            await update_grouped(store, Letter, "1", load=lambda: load(store), change=refused, before_write=signed)
        assert await load(store) == stored

    work_on(opened, work)


def test_writes_of_other_processes_are_not_lost(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1"))
        mine = (
            update_grouped(store, Letter, "1", load=lambda: load(store), change=longer, before_write=signed)
            for _ in range(10)
        )
        others = (update_document(store, lambda: load(store), longer) for _ in range(10))
        await asyncio.gather(*mine, *others)
        assert (await load(store)).text.count("!") == 20

    work_on(opened, work)
