"""A document that several change at once: each change counts, or its writer hears that it does not."""

import asyncio

import pytest
from msgspec.structs import replace

from backend.store import Conflict, Store
from backend.store.update import update_document
from tests.store.scene import Letter, Open, work_on


def longer(letter: Letter) -> Letter:
    return replace(letter, text=letter.text + "!")


def test_thirty_concurrent_changes_all_take_effect(opened: Open) -> None:
    async def work(store: Store) -> str:
        await store.insert(Letter(id="1"))
        await asyncio.gather(*(update_document(store, lambda: store.get(Letter, "1"), longer) for _ in range(30)))
        found = await store.get(Letter, "1")
        assert found is not None
        return found.text

    assert work_on(opened, work) == "!" * 30


def test_where_nothing_is_to_be_changed_nothing_is_written(opened: Open) -> None:
    async def work(store: Store) -> None:
        kept = await store.insert(Letter(id="1"))
        assert await update_document(store, lambda: store.get(Letter, "1"), lambda letter: letter) == kept
        assert await update_document(store, lambda: store.get(Letter, "2"), longer) is None

    work_on(opened, work)


def test_a_writer_who_is_always_too_late_gets_the_conflict(opened: Open) -> None:
    async def work(store: Store) -> None:
        old = await store.insert(Letter(id="1"))
        await store.replace(longer(old))

        async def what_was() -> Letter:
            return old

        with pytest.raises(Conflict):
            await update_document(store, what_was, longer)

    work_on(opened, work)
