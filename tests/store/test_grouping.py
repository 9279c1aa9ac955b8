"""While one batch is under way, the next one gathers; each caller gets the outcome of its own item."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

import pytest

from backend.store import StoreUnavailable
from backend.store.mongo import grouping
from backend.store.mongo.grouping import Grouping

OF_THE_CALLER: ContextVar[str] = ContextVar("of_the_caller", default="nobody")


class Line:
    """Takes numbers in batches, and answers each with ten times its value once `answers` is set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.answers = asyncio.Event()
        self.refused: set[int] = set()
        self.fails = False

    async def send(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        await self.answers.wait()
        if self.fails:
            raise StoreUnavailable("the line is cut")
        return [ValueError(f"{item} is refused") if item in self.refused else item * 10 for item in items]


def work_with(work: Callable[[Line, Grouping[int, int]], Awaitable[None]], *, timeout_seconds: float = 20) -> None:
    async def run() -> None:
        line = Line()
        await work(line, Grouping(line.send, max_weight=4, timeout_seconds=timeout_seconds))

    asyncio.run(run())


async def begun(groups: Grouping[int, int], *numbers: int) -> list["asyncio.Task[int]"]:
    """Begin to send numbers and return their tasks, once they wait."""
    tasks = [asyncio.create_task(groups.run(number)) for number in numbers]
    for _ in range(2 + grouping.TURNS):
        await asyncio.sleep(0)
    return tasks


def test_what_follows_from_the_answers_of_a_batch_is_one_batch_again() -> None:
    """Three callers send a number, and its answer a few turns of the loop later, each after another number of them."""

    async def work(line: Line, groups: Grouping[int, int]) -> None:
        async def twice(number: int) -> int:
            first = await groups.run(number)
            for _ in range(number):
                await asyncio.sleep(0)
            return await groups.run(first)

        line.answers.set()
        assert await asyncio.gather(*map(twice, (1, 2, 3))) == [100, 200, 300]
        assert line.batches == [[1, 2, 3], [10, 20, 30]]

    work_with(work)


def test_the_items_that_come_while_a_batch_is_under_way_are_the_next_batch() -> None:
    async def work(line: Line, groups: Grouping[int, int]) -> None:
        tasks = [*await begun(groups, 1), *await begun(groups, 2, 3), *await begun(groups, 4)]
        assert line.batches == [[1]]
        line.answers.set()
        assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
        assert line.batches == [[1], [2, 3, 4]]

    work_with(work)


def test_a_batch_weighs_at_most_its_limit_and_a_heavier_item_is_sent_alone() -> None:
    async def work(line: Line, groups: Grouping[int, int]) -> None:
        line.answers.set()
        weights = {1: 2, 2: 2, 3: 1, 4: 9, 5: 4}
        await asyncio.gather(*(groups.run(item, weight) for item, weight in weights.items()))
        assert line.batches == [[1, 2], [3], [4], [5]]

    work_with(work)


def test_a_refusal_concerns_its_own_caller_only() -> None:
    async def work(line: Line, groups: Grouping[int, int]) -> None:
        line.refused = {2}
        line.answers.set()
        outcomes = await asyncio.gather(*(groups.run(item) for item in (1, 2, 3)), return_exceptions=True)
        assert [*map(str, outcomes)] == ["10", "2 is refused", "30"]
        assert len(line.batches) == 1

    work_with(work)


def test_an_item_whose_caller_gives_up_before_its_batch_begins_is_not_sent() -> None:
    async def work(line: Line, groups: Grouping[int, int]) -> None:
        (first,), (second, third) = await begun(groups, 1), await begun(groups, 2, 3)
        second.cancel()
        line.answers.set()
        assert await asyncio.gather(first, third) == [10, 30]
        assert line.batches == [[1], [3]]

    work_with(work)


def test_an_item_whose_caller_gives_up_later_is_carried_out_with_the_others() -> None:
    async def work(line: Line, groups: Grouping[int, int]) -> None:
        first, second = await begun(groups, 1, 2)
        first.cancel()
        line.answers.set()
        assert await second == 20
        assert await groups.run(3) == 30
        assert line.batches == [[1, 2], [3]]

    work_with(work)


def test_an_item_that_waits_too_long_for_its_batch_is_not_sent() -> None:
    async def work(line: Line, groups: Grouping[int, int]) -> None:
        (first,), (second,) = await begun(groups, 1), await begun(groups, 2)
        with pytest.raises(StoreUnavailable, match="too many operations are waiting"):
            await second
        line.answers.set()
        assert await first == 10, "what is under way is not dropped"
        await groups.finish()
        assert line.batches == [[1]]

    work_with(work, timeout_seconds=0.05)


def test_after_a_failure_items_are_sent_one_by_one_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "SEPARATE_SECONDS", 0.2)

    async def work(line: Line, groups: Grouping[int, int]) -> None:
        line.fails = True
        failing, waiting = await begun(groups, 1, 2), await begun(groups, 3, 4)
        line.answers.set()
        outcomes = await asyncio.gather(*failing, *waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 4
        line.fails = False
        assert await asyncio.gather(groups.run(5), groups.run(6)) == [50, 60]
        assert line.batches == [[1, 2], [3], [4], [5], [6]]
        await asyncio.sleep(0.25)
        assert await asyncio.gather(groups.run(7), groups.run(8)) == [70, 80]
        assert line.batches[-1] == [7, 8]

    work_with(work)


def test_what_was_begun_is_finished_before_the_store_closes() -> None:
    async def work(line: Line, groups: Grouping[int, int]) -> None:
        tasks = [*await begun(groups, 1), *await begun(groups, 2)]
        asyncio.get_running_loop().call_later(0.01, line.answers.set)
        await groups.finish()
        assert [task.result() for task in tasks] == [10, 20]

    work_with(work)


def test_a_batch_does_not_run_in_the_context_of_one_of_its_callers() -> None:
    found: list[str] = []

    async def send(items: Sequence[int]) -> Sequence[int | Exception]:
        found.append(OF_THE_CALLER.get())
        return items

    async def run() -> None:
        OF_THE_CALLER.set("anna")
        await Grouping(send, max_weight=4, timeout_seconds=20).run(1)

    asyncio.run(run())
    assert found == ["nobody"]
