"""Documents are deleted once they have expired, however many there are."""

import asyncio
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from backend.store import Document, Store
from backend.store.expiry import BATCH_SIZE, delete_expired
from tests.store.scene import At, Open, Postcard, work_on

NOW = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=3)


async def ids(store: Store) -> list[str]:
    return [postcard.id async for postcard in store.scan(Postcard)]


def test_all_expired_documents_are_deleted_in_one_call(opened: Open) -> None:
    async def work(store: Store) -> list[str]:
        expired = [Postcard(id=f"expired-{number}", expires_ms=number % 3) for number in range(2 * BATCH_SIZE + 1)]
        kept = [Postcard(id="expires-now", expires_ms=3), Postcard(id="never-expires")]
        await store.restore([replace(postcard, revision=1) for postcard in [*expired, *kept]])
        await delete_expired(At(store, NOW), Postcard)
        return await ids(store)

    assert work_on(opened, work) == ["expires-now", "never-expires"]


def test_several_processes_may_delete_at_the_same_time(opened: Open) -> None:
    async def work(store: Store) -> list[str]:
        await store.restore([Postcard(id=str(number), revision=1, expires_ms=1) for number in range(300)])
        await asyncio.gather(*(delete_expired(At(store, NOW), Postcard) for _ in range(3)))
        return await ids(store)

    assert work_on(opened, work) == []


def test_a_document_that_was_changed_since_it_was_read_is_not_deleted(opened: Open) -> None:
    async def work(store: Store) -> list[str]:
        postcard = await store.insert(Postcard(id="renewed", expires_ms=1))
        delete = store.delete

        async def delete_too_late(document: Document) -> None:
            await store.replace(replace(postcard, expires_ms=9))
            await delete(document)

        store.delete = delete_too_late
        await delete_expired(At(store, NOW), Postcard)
        return await ids(store)

    assert work_on(opened, work) == ["renewed"]
