"""Whatever callers do at once, there is an order in which a dict would have given each the same answer."""

import asyncio
from collections.abc import Awaitable, Sequence
from itertools import permutations
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from msgspec import Struct
from msgspec.structs import replace

from backend.store import Conflict, Duplicate, Store
from tests.draws import draws
from tests.store.scene import Letter, Open

pytestmark = pytest.mark.slow

Stored = dict[str, Letter]
Answer = Letter | None | type[Exception]


class Call(Struct, frozen=True):
    """One operation of one caller on one of three letters, `behind` revisions late."""

    what: Literal["get", "insert", "replace", "delete"]
    id: str
    stamp: str | None
    text: str
    behind: int


CALLS = some.builds(
    Call,
    some.sampled_from(["get", "insert", "replace", "replace", "delete"]),
    some.sampled_from("abc"),
    some.none() | some.sampled_from("12"),
    some.sampled_from("xyz"),
    some.sampled_from([0, 0, 0, 1]),
)


def letter_of(call: Call, before: Stored) -> Letter:
    """Return the letter that a caller writes, who read it before all calls."""
    revision = before[call.id].revision - call.behind if call.id in before else 1
    return Letter(id=call.id, stamp=call.stamp, text=call.text, revision=revision)


async def answer_of(store: Store, call: Call, letter: Letter) -> Answer:
    try:
        match call.what:
            case "get":
                return await store.get(Letter, call.id)
            case "insert":
                return await store.insert(letter)
            case "replace":
                return await store.replace(letter)
            case "delete":
                return await store.delete(letter)
    except (Conflict, Duplicate) as error:
        return type(error)


def answers_of_a_dict(call: Call, letter: Letter, stored: Stored) -> list[Answer]:
    """Return the answers that are right, and make the change in `stored`."""
    current = stored.get(call.id)
    taken = letter.stamp is not None and letter.stamp in {one.stamp for one in stored.values() if one.id != call.id}
    is_current = current is not None and current.revision == letter.revision
    match call.what:
        case "get":
            return [current]
        case "insert" if current is not None or taken:
            return [Duplicate]
        case "insert":
            stored[call.id] = replace(letter, revision=1)
            return [stored[call.id]]
        case "replace" if not is_current:
            return [Conflict, Duplicate] if taken else [Conflict]
        case "replace" if taken:
            return [Duplicate]
        case "replace":
            stored[call.id] = replace(letter, revision=letter.revision + 1)
            return [stored[call.id]]
        case "delete" if is_current:
            del stored[call.id]
            return [None]
        case "delete":
            return [Conflict]


def explains(order: Sequence[tuple[Call, Letter, Answer]], before: Stored, after: Stored) -> bool:
    stored = dict(before)
    return all(answer in answers_of_a_dict(call, letter, stored) for call, letter, answer in order) and stored == after


class CallersAgainstDict(RuleBasedStateMachine):
    opened: ClassVar[Open]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = type(self).opened()
        for letter in self.stored().values():
            self.wait(self.store.delete(letter))

    def teardown(self) -> None:
        self.wait(self.store.close())
        self.loop.close()

    def wait(self, work: Awaitable[Any]) -> Any:  # noqa: ANN401  the result of the work
        return self.loop.run_until_complete(work)

    def stored(self) -> Stored:
        async def read() -> Stored:
            return {letter.id: letter async for letter in self.store.scan(Letter)}

        return self.wait(read())

    async def answers(self, calls: Sequence[tuple[Call, Letter]]) -> list[Answer]:
        return await asyncio.gather(*(answer_of(self.store, call, letter) for call, letter in calls))

    @rule(calls=some.lists(CALLS, min_size=2, max_size=5))
    def call_at_once(self, calls: list[Call]) -> None:
        before = self.stored()
        asked = [(call, letter_of(call, before)) for call in calls]
        answers = self.wait(self.answers(asked))
        after = self.stored()
        answered = [(call, letter, answer) for (call, letter), answer in zip(asked, answers, strict=True)]
        assert any(explains(order, before, after) for order in permutations(answered)), (before, answered, after)


def test_the_answers_of_concurrent_callers_have_an_order(opened: Open) -> None:
    run_state_machine_as_test(
        type("CallersAgainstDict", (CallersAgainstDict,), {"opened": staticmethod(opened)}),
        settings=settings(
            max_examples=draws(12, soak=600),
            stateful_step_count=25,
            deadline=None,
            report_multiple_bugs=False,  # shrinking one takes long enough
            suppress_health_check=list(HealthCheck),
        ),
    )
