"""Operations on MongoDB are queued in order, so that none times out while later ones are served."""

import asyncio
import time

import pytest
from msgspec.structs import replace

from backend.store import StoreUnavailable
from backend.store.mongo import store as mongo
from backend.store.mongo.schema import prepare
from backend.store.mongo.store import Driver, MongoStore
from tests.store.scene import KINDS, NOBODY, Letter


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo, "MAX_CONCURRENT", 1)


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
def test_operations_are_served_in_order_of_arrival(database_url: str, driver: Driver) -> None:
    prepare(database_url, KINDS)
    written: list[str] = []

    async def write(store: MongoStore, name: str) -> None:
        letter = await store.insert(Letter(id=name))
        for _ in range(3):
            written.append(name)
            letter = await store.replace(replace(letter, text="again"))

    async def work() -> None:
        store = MongoStore(database_url, KINDS, driver=driver)
        await asyncio.gather(*(write(store, name) for name in "abcd"))
        await store.close()

    asyncio.run(work())
    assert written == list("abcd" * 3)


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
def test_waiting_for_a_slot_times_out_as_an_unavailable_store(driver: Driver) -> None:
    async def work() -> float:
        store = MongoStore(NOBODY, KINDS, driver=driver, timeout_ms=300)
        started = time.monotonic()
        results = await asyncio.gather(*(store.insert(Letter(id=name)) for name in "abcdefgh"), return_exceptions=True)
        assert [type(one) for one in results] == [StoreUnavailable] * 8
        await store.close()
        return time.monotonic() - started

    assert asyncio.run(work()) < 2, "one after the other would take 2.4 seconds"
