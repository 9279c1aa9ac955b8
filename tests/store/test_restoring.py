"""Restore documents into a store without changes."""

import pytest
from msgspec.structs import replace

from backend.store import Duplicate, Store
from tests.store.scene import Letter, Open, work_on


def test_a_restored_document_keeps_its_revision_and_replaces_the_existing_one(opened: Open) -> None:
    async def work(store: Store) -> None:
        inserted = {str(n): await store.insert(Letter(id=str(n), stamp=f"stamp {n}")) for n in range(3)}
        restored = [replace(letter, revision=7, text="restored") for letter in inserted.values()]
        restored.append(Letter(id="new", revision=3, stamp="new"))
        for _ in range(2):
            await store.restore(restored)
            assert [letter async for letter in store.scan(Letter)] == restored

    work_on(opened, work)


def test_a_unique_value_of_another_document_is_refused(opened: Open) -> None:
    async def work(store: Store) -> None:
        first = await store.insert(Letter(id="1", stamp="s"))
        with pytest.raises(Duplicate) as caught:
            await store.restore([Letter(id="2", revision=1, stamp="s"), Letter(id="3", revision=1, stamp="t")])
        assert caught.value.fields == ("stamp",)
        assert await store.get(Letter, "1") == first
        assert await store.get(Letter, "2") is None

    work_on(opened, work)


def test_restoring_nothing_changes_nothing(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.restore([])
        assert await store.count(Letter, {}) == 0

    work_on(opened, work)
