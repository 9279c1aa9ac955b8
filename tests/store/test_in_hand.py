"""Documents in hand save the read before a write, and never the check of what is stored."""

import asyncio

import pytest
from msgspec.structs import replace

from backend.store import Store
from backend.store.in_hand import MAX_IN_HAND, MAX_REFUSED, change_in_hand, keep_in_hand, renew_in_hand
from tests.counting_store import CountingStore
from tests.store.scene import Letter, Open, work_on


class NotLong(Exception):
    """The letter is too short to be changed."""


async def longer(letter: Letter) -> Letter:
    return replace(letter, text=letter.text + "!")


async def unchanged(letter: Letter) -> Letter:
    return letter


async def refused(_letter: Letter) -> Letter:
    raise NotLong


async def change(store: Store, name: str = "1") -> Letter | None:
    return await change_in_hand(store, Letter, name, longer, (NotLong,))


async def write_elsewhere(store: Store) -> Letter:
    found = await store.get(Letter, "1")
    assert found is not None
    return await store.replace(replace(found, text=found.text + "?"))


def test_a_document_in_hand_is_changed_by_one_write(opened: Open) -> None:
    async def work(store: Store) -> None:
        counted = CountingStore(store)
        keep_in_hand(counted, await counted.insert(Letter(id="1")))
        changed = await change(counted)
        assert changed is not None
        assert (changed.text, changed.revision) == ("!", 2)
        assert counted.calls == {("insert", "Letter"): 1, ("replace", "Letter"): 1}
        assert await store.get(Letter, "1") == changed

    work_on(opened, work)


def test_an_outdated_copy_changes_nothing(opened: Open) -> None:
    async def work(store: Store) -> None:
        keep_in_hand(store, await store.insert(Letter(id="1")))
        written = await write_elsewhere(store)
        assert await change(store) is None
        assert await store.get(Letter, "1") == written

    work_on(opened, work)


def test_a_deleted_document_is_not_stored_again_by_its_copy(opened: Open) -> None:
    async def work(store: Store) -> None:
        letter = await store.insert(Letter(id="1"))
        keep_in_hand(store, letter)
        await store.delete(letter)
        assert await change(store) is None
        assert await store.get(Letter, "1") is None

    work_on(opened, work)


def test_a_document_that_others_write_as_well_is_not_kept_any_more(opened: Open) -> None:
    async def work(store: Store) -> None:
        written = await store.insert(Letter(id="1"))
        for _ in range(MAX_REFUSED):
            keep_in_hand(store, written)
            written = await write_elsewhere(store)
            assert await change(store) is None
        keep_in_hand(store, written)
        assert await change(store) is None
        assert await store.get(Letter, "1") == written

    work_on(opened, work)


@pytest.mark.parametrize("decide", [unchanged, refused], ids=["unchanged", "refused"])
def test_what_is_not_changed_or_refused_by_a_copy_is_left_to_a_read(opened: Open, decide: object) -> None:
    async def work(store: Store) -> None:
        counted = CountingStore(store)
        keep_in_hand(counted, await counted.insert(Letter(id="1")))
        by_copy = unchanged if decide is unchanged else refused
        assert await change_in_hand(counted, Letter, "1", by_copy, (NotLong,)) is None
        assert counted.calls == {("insert", "Letter"): 1}

    work_on(opened, work)


def test_of_two_changes_at_once_one_is_made_by_the_copy(opened: Open) -> None:
    async def work(store: Store) -> None:
        keep_in_hand(store, await store.insert(Letter(id="1")))
        changed = await asyncio.gather(change(store), change(store))
        assert [one is None for one in changed] == [False, True]

    work_on(opened, work)


def test_a_renewed_copy_is_changed_as_it_is_stored_now(opened: Open) -> None:
    async def work(store: Store) -> None:
        keep_in_hand(store, await store.insert(Letter(id="1")))
        renew_in_hand(store, await write_elsewhere(store))
        changed = await change(store)
        assert changed is not None
        assert changed.text == "?!"

    work_on(opened, work)


def test_an_older_copy_does_not_replace_a_newer_one(opened: Open) -> None:
    async def work(store: Store) -> None:
        older = await store.insert(Letter(id="1"))
        keep_in_hand(store, await write_elsewhere(store))
        keep_in_hand(store, older)
        assert await change(store) is not None

    work_on(opened, work)


def test_a_process_keeps_a_bounded_number_of_documents(opened: Open) -> None:
    async def work(store: Store) -> None:
        keep_in_hand(store, await store.insert(Letter(id="1")))
        for number in range(MAX_IN_HAND):
            keep_in_hand(store, Letter(id=f"other-{number}", revision=1))
        assert await change(store) is None

    work_on(opened, work)
