"""The behaviour of a store that every adapter must have."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from backend.store import Conflict, Duplicate, Order, Page, Store
from tests.store.scene import Letter, Open, Postcard, work_on

BY_TIME = Order("sent_ms")


# ── one document ──


def test_a_document_is_stored_completely_at_revision_one(opened: Open) -> None:
    async def work(store: Store) -> None:
        stored = await store.insert(Letter(id="1", text="城码 🀄\u0000", sent_ms=2**53, read=True))
        assert stored.revision == 1
        assert await store.get(Letter, "1") == stored

    work_on(opened, work)


def test_documents_persist_when_the_store_is_reopened(opened: Open) -> None:
    stored = work_on(opened, lambda store: store.insert(Letter(id="1", stamp="s")))
    assert work_on(opened, lambda store: store.get(Letter, "1")) == stored


def test_a_large_document_is_stored_completely(opened: Open) -> None:
    async def work(store: Store) -> None:
        stored = await store.insert(Letter(id="1", text="长" * 1_000_000))
        assert await store.get(Letter, "1") == stored

    work_on(opened, work)


def test_collections_are_separate(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1"))
        await store.insert(Postcard(id="1"))
        assert await store.count(Letter, {}) == 1
        await store.delete(Postcard(id="1", revision=1))
        assert await store.get(Letter, "1") is not None
        assert await store.get(Postcard, "1") is None

    work_on(opened, work)


def test_a_missing_document_is_none(opened: Open) -> None:
    async def work(store: Store) -> None:
        assert await store.get(Letter, "1") is None
        assert await store.get_many(Letter, []) == {}
        assert await store.get_many(Letter, ["1", "2"]) == {}
        assert await store.find(Letter, {"box": "a"}, order=BY_TIME) == Page([], None)
        assert await store.count(Letter, {"box": "a", "read": True}) == 0
        assert [letter async for letter in store.scan(Letter)] == []

    work_on(opened, work)


def test_many_documents_are_read_by_their_ids_and_missing_ones_left_out(opened: Open) -> None:
    async def work(store: Store) -> None:
        stored = {str(n): await store.insert(Letter(id=str(n))) for n in range(1_200)}
        assert await store.get_many(Letter, [*reversed(stored), "gone", "0"]) == stored

    work_on(opened, work)


def test_the_same_id_is_refused_and_the_first_document_stays(opened: Open) -> None:
    async def work(store: Store) -> None:
        first = await store.insert(Letter(id="1", text="first"))
        with pytest.raises(Duplicate) as caught:
            await store.insert(Letter(id="1", text="second"))
        assert (caught.value.collection, caught.value.fields) == ("letters", ("id",))
        assert await store.get(Letter, "1") == first

    work_on(opened, work)


def test_replacing_a_document_raises_its_revision_by_one(opened: Open) -> None:
    async def work(store: Store) -> None:
        stored = await store.insert(Letter(id="1"))
        changed = await store.replace(replace(stored, text="new", box="b"))
        assert changed.revision == 2
        assert await store.get(Letter, "1") == changed
        assert (await store.find(Letter, {"box": "a"}, order=BY_TIME)).documents == []
        assert (await store.find(Letter, {"box": "b"}, order=BY_TIME)).documents == [changed]

    work_on(opened, work)


def test_an_old_revision_is_refused_and_changes_nothing(opened: Open) -> None:
    async def work(store: Store) -> None:
        old = await store.insert(Letter(id="1"))
        new = await store.replace(replace(old, text="new"))
        with pytest.raises(Conflict):
            await store.replace(replace(old, text="late"))
        with pytest.raises(Conflict):
            await store.delete(old)
        assert await store.get(Letter, "1") == new

    work_on(opened, work)


def test_a_deleted_document_cannot_be_replaced_or_deleted_again_but_its_values_are_free(opened: Open) -> None:
    async def work(store: Store) -> None:
        stored = await store.insert(Letter(id="1", stamp="s"))
        await store.delete(stored)
        for again in (store.replace(stored), store.delete(stored)):
            with pytest.raises(Conflict):
                await again
        assert await store.get(Letter, "1") is None
        assert (await store.insert(Letter(id="1", stamp="s"))).revision == 1

    work_on(opened, work)


# ── unique fields ──


@pytest.mark.parametrize(
    ("taken", "fields"),
    [({"stamp": "s"}, ("stamp",)), ({"sender": "anna", "number": 1}, ("sender", "number"))],
    ids=["stamp", "sender and number"],
)
def test_unique_values_are_refused_and_nothing_is_left_behind(
    opened: Open, taken: dict[str, Any], fields: tuple[str, ...]
) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1", **taken))
        other = await store.insert(Letter(id="2"))
        for refused in (store.insert(Letter(id="3", **taken)), store.replace(replace(other, **taken))):
            with pytest.raises(Duplicate) as caught:
                await refused
            assert caught.value.fields == fields
        assert await store.get(Letter, "3") is None
        assert await store.get(Letter, "2") == other
        assert await store.count(Letter, {}) == 2

    work_on(opened, work)


def test_documents_without_a_unique_value_are_not_compared(opened: Open) -> None:
    async def work(store: Store) -> None:
        for n in range(3):
            await store.insert(Letter(id=f"none-{n}", stamp=None))
            await store.insert(Letter(id=f"half-{n}", sender="anna", number=None))
        assert await store.count(Letter, {}) == 6

    work_on(opened, work)


def test_a_document_keeps_its_own_unique_value_when_it_is_replaced(opened: Open) -> None:
    async def work(store: Store) -> None:
        stored = await store.insert(Letter(id="1", stamp="s"))
        assert (await store.replace(replace(stored, text="new"))).stamp == "s"

    work_on(opened, work)


def test_a_refused_document_takes_none_of_its_other_values(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1", sender="anna", number=1))
        other = await store.insert(Letter(id="2"))
        for refused in (
            store.insert(Letter(id="3", stamp="free", sender="anna", number=1)),
            store.replace(replace(other, stamp="free", sender="anna", number=1)),
        ):
            with pytest.raises(Duplicate):
                await refused
        assert (await store.insert(Letter(id="3", stamp="free"))).revision == 1

    work_on(opened, work)


def test_a_unique_value_that_is_no_longer_used_is_free(opened: Open) -> None:
    async def work(store: Store) -> None:
        first = await store.insert(Letter(id="1", stamp="s"))
        await store.replace(replace(first, stamp=None))
        assert (await store.insert(Letter(id="2", stamp="s"))).revision == 1

    work_on(opened, work)


def test_one_of_thirty_two_concurrent_writers_gets_a_unique_value(opened: Open) -> None:
    async def work(store: Store) -> None:
        letters = (Letter(id=str(n), stamp="s") for n in range(32))
        outcomes = await asyncio.gather(*map(store.insert, letters), return_exceptions=True)
        assert sum(isinstance(outcome, Letter) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Duplicate) for outcome in outcomes) == 31
        assert await store.count(Letter, {"stamp": "s"}) == 1

    work_on(opened, work)


# ── many at once ──


def test_thirty_two_writers_of_one_document_lose_nothing(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1", number=0))

        async def add_ten() -> int:
            refused = 0
            for _ in range(10):
                while True:
                    letter = await store.get(Letter, "1")
                    assert letter is not None
                    try:
                        await store.replace(replace(letter, number=(letter.number or 0) + 1))
                        break
                    except Conflict:
                        refused += 1
            return refused

        refused = sum(await asyncio.gather(*(add_ten() for _ in range(32))))
        letter = await store.get(Letter, "1")
        assert letter is not None
        assert (letter.number, letter.revision) == (320, 321)
        assert refused > 0, "no writes collided, so nothing was tested"

    work_on(opened, work)


def test_a_refused_write_does_not_affect_its_neighbours(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="0", stamp="s"))
        letters = [Letter(id=str(n), stamp="s" if n % 5 == 0 else None) for n in range(1, 101)]
        outcomes = await asyncio.gather(*map(store.insert, letters), return_exceptions=True)
        assert [isinstance(outcome, Duplicate) for outcome in outcomes] == [n % 5 == 0 for n in range(1, 101)]
        assert await store.count(Letter, {}) == 81

    work_on(opened, work)


def test_every_read_after_an_acknowledged_write_sees_it(opened: Open) -> None:
    async def work(store: Store) -> None:
        for n in range(200):
            stored = await store.insert(Letter(id=str(n), stamp=str(n)))
            assert await store.get(Letter, stored.id) == stored
            assert await store.count(Letter, {"stamp": str(n)}) == 1

    work_on(opened, work)


def test_a_writer_sees_its_own_writes_while_many_others_read(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="0"))
        done = False

        async def read() -> None:
            while not done:
                await store.get(Letter, "0")
                await asyncio.sleep(0)

        async def write(writer: int) -> None:
            for n in range(30):
                stored = await store.insert(Letter(id=f"{writer}-{n}"))
                assert await store.get(Letter, stored.id) == stored
                stored = await store.replace(replace(stored, text="new"))
                assert await store.get(Letter, stored.id) == stored

        readers = [asyncio.create_task(read()) for _ in range(16)]
        await asyncio.gather(*map(write, range(16)))
        done = True
        await asyncio.gather(*readers)

    work_on(opened, work)


def test_a_scan_yields_each_document_once_during_writes(opened: Open) -> None:
    async def work(store: Store) -> None:
        permanent = [f"{n:04}" for n in range(1_500)]
        for begun in range(0, 1_500, 100):
            await asyncio.gather(*(store.insert(Letter(id=id_)) for id_ in permanent[begun : begun + 100]))

        async def disturb() -> None:
            for n in range(300):
                temporary = await store.insert(Letter(id=f"{n * 5:04}x"))
                stored = await store.get(Letter, permanent[n * 4])
                assert stored is not None
                await store.replace(replace(stored, text="changed"))
                await store.delete(temporary)

        disturbing = asyncio.create_task(disturb())
        found_ids: list[str] = []
        async for letter in store.scan(Letter):
            found_ids.append(letter.id)
            if len(found_ids) % 20 == 0:
                await asyncio.sleep(0.001)
        await disturbing
        assert [id_ for id_ in found_ids if not id_.endswith("x")] == permanent
        assert len(found_ids) == len(set(found_ids))

    work_on(opened, work)


def test_a_scan_can_be_resumed_after_an_id(opened: Open) -> None:
    async def work(store: Store) -> None:
        for id_ in "abcd":
            await store.insert(Letter(id=id_))
        assert [letter.id async for letter in store.scan(Letter, after="b")] == ["c", "d"]

    work_on(opened, work)
