"""Find documents in every store: by equality and one range, page by page."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from backend.store import InvalidCursor, Order, Page, Scalar, Store
from tests.store.scene import Letter, Open, work_on

BY_TIME = Order("sent_ms")


async def every_page(
    store: Store, where: dict[str, Scalar], order: Order | None = None, limit: int = 2
) -> list[Page[Letter]]:
    pages = [await store.find(Letter, where, order=order, limit=limit)]
    while pages[-1].cursor is not None:
        assert len(pages) < 100, "the pages do not end"
        pages.append(await store.find(Letter, where, order=order, limit=limit, cursor=pages[-1].cursor))
    return pages


def ids(letters: Sequence[Letter]) -> list[str]:
    return [letter.id for letter in letters]


def test_letters_of_a_box_are_found_in_order_of_time_and_then_of_id(opened: Open) -> None:
    async def work(store: Store) -> None:
        for id_, at in [("d", 5), ("a", 7), ("c", 5), ("b", 6)]:
            await store.insert(Letter(id=id_, sent_ms=at))
        await store.insert(Letter(id="other", box="b", sent_ms=1))
        found = await store.find(Letter, {"box": "a"}, order=BY_TIME)
        assert ids(found.documents) == ["c", "d", "b", "a"]
        found = await store.find(Letter, {"box": "a"}, order=Order("sent_ms", "descending"))
        assert ids(found.documents) == ["a", "b", "d", "c"]
        assert found.cursor is None

    work_on(opened, work)


def test_pages_in_order_of_an_instant_in_milliseconds_follow_one_another(opened: Open) -> None:
    async def work(store: Store) -> None:
        for day in range(3):
            await store.insert(Letter(id=f"day-{day}", sent_ms=1_772_000_000_000 + 86_400_000 * day))
        pages = await every_page(store, {"box": "a"}, Order("sent_ms", "descending"), limit=1)
        assert [ids(page.documents) for page in pages] == [["day-2"], ["day-1"], ["day-0"]]

    work_on(opened, work)


def test_a_range_includes_its_start_and_excludes_its_end(opened: Open) -> None:
    async def work(store: Store) -> None:
        for at in range(6):
            await store.insert(Letter(id=str(at), sent_ms=at))
        for order, expected in [
            (Order("sent_ms", at_least=2, below=4), ["2", "3"]),
            (Order("sent_ms", at_least=4), ["4", "5"]),
            (Order("sent_ms", below=2), ["0", "1"]),
            (Order("sent_ms", "descending", 2, 4), ["3", "2"]),
            (Order("sent_ms", at_least=9), []),
        ]:
            assert ids((await store.find(Letter, {"box": "a"}, order=order)).documents) == expected

    work_on(opened, work)


def test_a_document_without_the_ordered_value_is_omitted_from_the_order(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1", sent_ms=None))
        await store.insert(Letter(id="2", sent_ms=1))
        assert ids((await store.find(Letter, {}, order=BY_TIME)).documents) == ["2"]

    work_on(opened, work)


def test_documents_are_found_by_none_by_true_and_by_several_fields(opened: Open) -> None:
    async def work(store: Store) -> None:
        await store.insert(Letter(id="1", read=True, stamp=None))
        await store.insert(Letter(id="2", read=False, stamp="s"))
        assert ids((await store.find(Letter, {"box": "a", "read": True})).documents) == ["1"]
        assert ids((await store.find(Letter, {"read": False, "box": "a"})).documents) == ["2"]
        assert ids((await store.find(Letter, {"stamp": None})).documents) == ["1"]
        assert await store.count(Letter, {"box": "a", "read": False}) == 1

    work_on(opened, work)


def test_a_query_without_a_declared_index_fails_an_assertion(opened: Open) -> None:
    async def work(store: Store) -> None:
        for where, order in [
            ({"text": "x"}, None),
            ({"read": True}, None),
            ({"box": "a"}, Order("number")),
            ({"box": "a", "read": True}, BY_TIME),
        ]:
            with pytest.raises(AssertionError):
                await store.find(Letter, where, order=order)
        with pytest.raises(AssertionError):
            await store.count(Letter, {"text": "x"})
        with pytest.raises(AssertionError):
            await store.find(Letter, {"box": "a"}, order=BY_TIME, limit=0)

    work_on(opened, work)


# ── pages ──


@pytest.mark.parametrize("direction", ["ascending", "descending"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_contain_each_document_once_in_order_at_equal_times(opened: Open, direction: Any, limit: int) -> None:  # noqa: ANN401  one of two words
    async def work(store: Store) -> None:
        for n in range(20):
            await store.insert(Letter(id=f"{n:02}", sent_ms=n // 6))
        pages = await every_page(store, {"box": "a"}, Order("sent_ms", direction), limit)
        found = [id_ for page in pages for id_ in ids(page.documents)]
        assert found == sorted(found, reverse=direction == "descending")
        assert len(found) == 20
        assert len(pages) == -(-20 // limit)

    work_on(opened, work)


def test_pages_without_an_order_are_sorted_by_id(opened: Open) -> None:
    async def work(store: Store) -> None:
        for id_ in "badce":
            await store.insert(Letter(id=id_))
        pages = await every_page(store, {"box": "a", "read": False})
        assert [ids(page.documents) for page in pages] == [["a", "b"], ["c", "d"], ["e"]]

    work_on(opened, work)


def test_a_page_continues_where_the_last_one_ended_despite_writes(opened: Open) -> None:
    async def work(store: Store) -> None:
        for n in range(10):
            await store.insert(Letter(id=str(n), sent_ms=10 * n))
        first = await store.find(Letter, {"box": "a"}, order=BY_TIME, limit=4)
        await store.insert(Letter(id="early", sent_ms=5))
        await store.insert(Letter(id="late", sent_ms=55))
        await store.delete(Letter(id="3", revision=1))
        second = await store.find(Letter, {"box": "a"}, order=BY_TIME, limit=4, cursor=first.cursor)
        assert ids(second.documents) == ["4", "5", "late", "6"]

    work_on(opened, work)


@pytest.mark.parametrize("direction", ["ascending", "descending"])
@pytest.mark.parametrize("limit", [1, 7, 40])
def test_pages_of_equal_times_contain_each_letter_once_during_writes(
    opened: Open,
    direction: Any,  # noqa: ANN401  the order's word
    limit: int,
) -> None:
    async def work(store: Store) -> None:
        permanent = [f"{n:03}" for n in range(120)]
        await asyncio.gather(*(store.insert(Letter(id=id_, sent_ms=int(id_) // 50)) for id_ in permanent))
        order, temporary = Order("sent_ms", direction), await store.insert(Letter(id="060x", sent_ms=1))

        async def disturb(n: int) -> None:
            nonlocal temporary
            previous, temporary = temporary, await store.insert(Letter(id=f"{n * 7 % 120:03}y{n}", sent_ms=n % 3))
            await store.delete(previous)
            stored = await store.get(Letter, permanent[n])
            assert stored is not None
            await store.replace(replace(stored, text="changed"))

        page = await store.find(Letter, {"box": "a"}, order=order, limit=limit)
        found_ids = [letter.id for letter in page.documents]
        for n in range(200):
            if page.cursor is None:
                break
            following = store.find(Letter, {"box": "a"}, order=order, limit=limit, cursor=page.cursor)
            _, page = await asyncio.gather(disturb(n % 120), following)
            found_ids += [letter.id for letter in page.documents]
        assert page.cursor is None, "the pages do not end"
        assert [id_ for id_ in found_ids if id_ in permanent] == sorted(permanent, reverse=direction == "descending")
        assert len(found_ids) == len(set(found_ids))

    work_on(opened, work)


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "城", "k8QIAAAAAAAAAAAFoTE=", "=" * 40, "a" * 5_000])
def test_a_cursor_that_no_query_made_is_refused(opened: Open, cursor: str) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(InvalidCursor):
            await store.find(Letter, {"box": "a"}, order=BY_TIME, cursor=cursor)

    work_on(opened, work)


def test_a_cursor_of_another_query_is_refused(opened: Open) -> None:
    async def work(store: Store) -> None:
        for n in range(3):
            await store.insert(Letter(id=str(n)))
        cursor = (await store.find(Letter, {"box": "a"}, order=BY_TIME, limit=1)).cursor
        assert cursor is not None
        for where, order in [
            ({"box": "b"}, BY_TIME),
            ({"box": "a"}, Order("sent_ms", "descending")),
            ({"box": "a"}, Order("sent_ms", at_least=1)),
            ({"stamp": None}, None),
        ]:
            with pytest.raises(InvalidCursor):
                await store.find(Letter, where, order=order, cursor=cursor)

    work_on(opened, work)
