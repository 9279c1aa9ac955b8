"""Reads that begin at once are one question to MongoDB, and nobody who asks may notice."""

import asyncio

import pytest
from msgspec.structs import replace

from backend.store import Store, StoreUnavailable
from backend.store.mongo.store import Driver, MongoStore
from tests.store.scene import KINDS, NOBODY, Letter, Open, Postcard, work_on


def test_each_of_many_concurrent_readers_gets_its_document(opened: Open) -> None:
    async def work(store: Store) -> None:
        kept = [await store.insert(Letter(id=str(number))) for number in range(40)]
        card = await store.insert(Postcard(id="1"))
        read = await asyncio.gather(
            *(store.get(Letter, letter.id) for letter in kept), store.get(Postcard, "1"), store.get(Letter, "gone")
        )
        assert read == [*kept, card, None]

    work_on(opened, work)


def test_two_who_read_one_document_at_once_share_no_object(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1"))
        one, other = await asyncio.gather(store.get(Letter, "1"), store.get(Letter, "1"))
        assert one == other
        assert one is not other

    work_on(opened, work)


def test_a_cancelled_reader_does_not_affect_the_others_of_its_batch(opened: Open) -> None:
    async def work(store: Store) -> None:
        letter = await store.insert(Letter(id="1"))
        first, second = asyncio.create_task(store.get(Letter, "1")), asyncio.create_task(store.get(Letter, "1"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == letter

    work_on(opened, work)


def test_a_read_sees_what_was_written_before_it_among_others_that_began_earlier(opened: Open) -> None:
    async def work(store: Store) -> None:
        letter = await store.insert(Letter(id="1"))
        for _ in range(50):
            earlier = [asyncio.create_task(store.get(Letter, "1")) for _ in range(8)]
            letter = await store.replace(replace(letter, text=letter.text + "."))
            assert await store.get(Letter, "1") == letter
            await asyncio.gather(*earlier)

    work_on(opened, work)


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
def test_an_unavailable_store_is_reported_to_every_reader(driver: Driver) -> None:
    async def work(store: Store) -> None:
        for _ in range(2):  # together, and then apart
            answers = await asyncio.gather(*(store.get(Letter, str(n)) for n in range(8)), return_exceptions=True)
            assert [type(answer) for answer in answers] == [StoreUnavailable] * 8

    work_on(lambda: MongoStore(NOBODY, KINDS, driver=driver, timeout_ms=200), work)
