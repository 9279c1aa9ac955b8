"""Tasks that read the same at once share a read that began after each of them asked."""

import asyncio

import pytest

from backend.store import Store
from backend.store.grouped_reads import read_together
from tests.counting_store import CountingStore
from tests.store.scene import Letter, Open, work_on


def test_thirty_tasks_that_ask_at_once_share_a_read(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1", text="hello"))
        counted = CountingStore(store)
        found = await asyncio.gather(
            *(read_together(counted, "letter", lambda: counted.get(Letter, "1")) for _ in range(30))
        )
        assert {letter.text for letter in found if letter is not None} == {"hello"}
        assert counted.calls == {("get", "Letter"): 1}

    work_on(opened, work)


def test_a_task_that_asks_during_a_read_gets_the_next_one(opened: Open) -> None:
    """The read under way may have missed what was stored before this task asked."""

    async def work(store: Store) -> None:
        begun, released, reads = asyncio.Event(), asyncio.Event(), list[int]()

        async def read() -> int:
            reads.append(len(reads))
            begun.set()
            await released.wait()
            return reads[-1]

        first = asyncio.create_task(read_together(store, "letter", read))
        await begun.wait()
        later = [asyncio.create_task(read_together(store, "letter", read)) for _ in range(3)]
        await asyncio.sleep(0)
        released.set()
        assert [await first, *[await one for one in later]] == [0, 1, 1, 1]

    work_on(opened, work)


def test_different_keys_are_read_apart_and_an_error_reaches_every_task(opened: Open) -> None:
    async def fails() -> str:
        raise LookupError

    async def succeeds() -> str:
        return "found"

    async def work(store: Store) -> None:
        failed = asyncio.gather(
            *(read_together(store, "a", fails) for _ in range(3)),
            read_together(store, "b", succeeds),
            return_exceptions=True,
        )
        assert [isinstance(one, LookupError) for one in await failed] == [True, True, True, False]
        assert await read_together(store, "a", succeeds) == "found"

    work_on(opened, work)


def test_a_cancelled_task_does_not_cancel_the_read_of_the_others(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1", text="hello"))
        first, second = (
            asyncio.create_task(read_together(store, "letter", lambda: store.get(Letter, "1"))) for _ in range(2)
        )
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        found = await second
        assert found is not None
        assert found.text == "hello"

    work_on(opened, work)
