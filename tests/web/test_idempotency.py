"""A repeated request gets the same answer as the first one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from backend.city.upstream import UpstreamUnavailable
from backend.i18n import Text
from backend.paylater.problems import PaymentFailed
from backend.problems import FieldError, InvalidRequest
from backend.store import Store
from backend.web.idempotency import (
    MAX_RUN_TIME,
    IdempotencyKeyReused,
    IdempotencyRecord,
    RequestInProgress,
    StoredProblem,
    once,
)
from tests.conftest import work_in

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


class Receipt(Struct, frozen=True):
    number: int


class Till:
    """Counts how often a request is carried out."""

    def __init__(self) -> None:
        self.calls = 0

    async def pay(self) -> Receipt:
        self.calls += 1
        return Receipt(self.calls)

    async def decline(self) -> Receipt:
        self.calls += 1
        raise PaymentFailed(Text(zh="不行", en="No"), errors=(FieldError("/x", "wrong"),), left=self.calls)

    async def refuse(self) -> Receipt:
        self.calls += 1
        raise InvalidRequest(Text(zh="不行", en="No"))

    async def die(self) -> Receipt:
        self.calls += 1
        raise RuntimeError("the process was killed")


def test_the_first_answer_is_returned_again(address: str) -> None:
    async def work(store: Store) -> None:
        till = Till()
        for _ in range(3):
            assert await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.pay) == Receipt(1)
        assert till.calls == 1

    work_in(address, work)


def test_a_failure_after_something_was_done_is_an_answer_like_others(address: str) -> None:
    async def work(store: Store) -> None:
        till = Till()
        for _ in range(2):
            with pytest.raises(PaymentFailed) as raised:
                await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.decline)
            assert (raised.value.detail.zh, raised.value.members) == ("不行", {"left": 1})
            assert raised.value.errors == (FieldError("/x", "wrong"),)
        assert till.calls == 1

    work_in(address, work)


def test_a_refusal_that_did_nothing_is_judged_again(address: str) -> None:
    async def work(store: Store) -> None:
        till = Till()
        with pytest.raises(InvalidRequest):
            await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.refuse)
        assert await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.pay) == Receipt(2)

    work_in(address, work)


def test_a_key_belongs_to_one_caller(address: str) -> None:
    async def work(store: Store) -> None:
        till = Till()
        assert await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.pay) == Receipt(1)
        assert await once(store, NOON, "li", "key", "100 yuan", Receipt, till.pay) == Receipt(2)

    work_in(address, work)


def test_a_key_with_another_request_is_refused(address: str) -> None:
    async def work(store: Store) -> None:
        till = Till()
        await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.pay)
        with pytest.raises(IdempotencyKeyReused):
            await once(store, NOON, "wang", "key", "200 yuan", Receipt, till.pay)
        assert till.calls == 1

    work_in(address, work)


def test_a_request_that_is_still_in_progress_is_refused(address: str) -> None:
    async def work(store: Store) -> None:
        till = Till()
        with pytest.raises(RuntimeError):
            await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.die)
        with pytest.raises(RequestInProgress):
            await once(store, NOON + MAX_RUN_TIME - timedelta(seconds=1), "wang", "key", "100 yuan", Receipt, till.pay)
        assert till.calls == 1

    work_in(address, work)


def test_a_request_that_was_interrupted_is_carried_out_after_a_minute(address: str) -> None:
    async def work(store: Store) -> None:
        till = Till()
        with pytest.raises(RuntimeError):
            await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.die)
        later = NOON + MAX_RUN_TIME
        assert await once(store, later, "wang", "key", "100 yuan", Receipt, till.pay) == Receipt(2)

    work_in(address, work)


def test_answers_are_stored_for_two_days(address: str) -> None:
    async def work(store: Store) -> None:
        await once(store, NOON, "wang", "key", "100 yuan", Receipt, Till().pay)
        stored = [document async for document in store.scan(IdempotencyRecord)]
        assert [one.expires_ms for one in stored] == [int((NOON + timedelta(days=2)).timestamp() * 1_000)]

    work_in(address, work)


def test_a_request_that_was_refused_for_now_may_be_repeated_with_the_same_key(address: str) -> None:
    async def away() -> Receipt:
        raise UpstreamUnavailable(Text(zh="稍后再试", en="come back later"))

    async def work(store: Store) -> None:
        with pytest.raises(UpstreamUnavailable):
            await once(store, NOON, "wang", "key", "100 yuan", Receipt, away)
        assert await once(store, NOON, "wang", "key", "100 yuan", Receipt, Till().pay) == Receipt(1)

    work_in(address, work)


@pytest.mark.parametrize(
    "stored",
    [
        {"answer": '{"amount": 1}'},
        {"problem": StoredProblem("NoProblemOfToday", Text(zh="不行", en="No"), (), {})},
        {"problem": StoredProblem("InvalidRequest", Text(zh="不行", en="No"), (), {})},
    ],
    ids=["answer", "problem", "refusal"],
)
def test_a_record_that_is_no_longer_kept_in_this_form_is_answered_again(address: str, stored: dict[str, Any]) -> None:
    async def work(store: Store) -> None:
        till = Till()
        await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.pay)
        (record,) = [document async for document in store.scan(IdempotencyRecord)]
        await store.replace(replace(record, **({"answer": None} | stored)))
        for _ in range(2):
            assert await once(store, NOON, "wang", "key", "100 yuan", Receipt, till.pay) == Receipt(2)

    work_in(address, work)
