"""Concurrent changes of a document: each takes effect, or its writer gets a conflict."""

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


def test_an_update_without_a_change_writes_nothing(opened: Open) -> None:
    async def work(store: Store) -> None:
        stored = await store.insert(Letter(id="1"))
        assert await update_document(store, lambda: store.get(Letter, "1"), lambda letter: letter) == stored
        assert await update_document(store, lambda: store.get(Letter, "2"), longer) is None

    work_on(opened, work)


def test_a_writer_that_is_always_too_late_gets_the_conflict(opened: Open) -> None:
    async def work(store: Store) -> None:
        old = await store.insert(Letter(id="1"))
        await store.replace(longer(old))

        async def read_outdated() -> Letter:
            return old

        with pytest.raises(Conflict):
            await update_document(store, read_outdated, longer)

    work_on(opened, work)
