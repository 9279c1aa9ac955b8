"""Any sequence of writes has the same result in the store as in a dict."""

import asyncio
from collections.abc import Awaitable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from backend.store import Conflict, Duplicate, Order, Page
from tests.draws import draws
from tests.store.scene import Letter, Open

pytestmark = pytest.mark.slow

IDS = some.sampled_from("abcdef")
CONTENTS = some.fixed_dictionaries(
    {
        "box": some.sampled_from(["x", "y"]),
        "sent_ms": some.none() | some.integers(0, 3),
        "read": some.booleans(),
        "stamp": some.none() | some.sampled_from("12345678"),
        "text": some.text(max_size=3),
    }
)


class StoreAgainstDict(RuleBasedStateMachine):
    opened: ClassVar[Open]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = type(self).opened()
        for letter in self.wait(self.all_letters()):
            self.wait(self.store.delete(letter))
        self.expected: dict[str, Letter] = {}

    def teardown(self) -> None:
        self.wait(self.store.close())
        self.loop.close()

    def wait(self, work: Awaitable[Any]) -> Any:  # noqa: ANN401  the result of the work
        return self.loop.run_until_complete(work)

    async def all_letters(self) -> list[Letter]:
        return [letter async for letter in self.store.scan(Letter)]

    def stamp_is_taken(self, letter: Letter) -> bool:
        others = (other for other in self.expected.values() if other.id != letter.id)
        return letter.stamp is not None and letter.stamp in {other.stamp for other in others}

    @initialize(letters=some.lists(CONTENTS, min_size=3, max_size=6))
    def fill(self, letters: list[dict[str, Any]]) -> None:
        for id_, contents in zip("abcdef", letters, strict=False):
            self.insert(id_, contents)

    @rule(id_=IDS, contents=CONTENTS)
    def insert(self, id_: str, contents: dict[str, Any]) -> None:
        letter = Letter(id=id_, **contents)
        if id_ in self.expected or self.stamp_is_taken(letter):
            with pytest.raises(Duplicate):
                self.wait(self.store.insert(letter))
        else:
            self.expected[id_] = self.wait(self.store.insert(letter))
            assert self.expected[id_] == replace(letter, revision=1)

    @rule(id_=IDS, contents=CONTENTS, behind=some.integers(0, 1))
    def change(self, id_: str, contents: dict[str, Any], behind: int) -> None:
        revision = self.expected[id_].revision - behind if id_ in self.expected else 1
        letter = Letter(id=id_, revision=revision, **contents)
        if id_ not in self.expected or behind:
            with pytest.raises((Conflict, Duplicate) if self.stamp_is_taken(letter) else Conflict):
                self.wait(self.store.replace(letter))
        elif self.stamp_is_taken(letter):
            with pytest.raises(Duplicate):
                self.wait(self.store.replace(letter))
        else:
            self.expected[id_] = self.wait(self.store.replace(letter))
            assert self.expected[id_] == replace(letter, revision=revision + 1)

    @rule(id_=IDS, behind=some.integers(0, 1))
    def delete(self, id_: str, behind: int) -> None:
        if id_ in self.expected and not behind:
            self.wait(self.store.delete(self.expected.pop(id_)))
        else:
            revision = self.expected[id_].revision - behind if id_ in self.expected else 1
            with pytest.raises(Conflict):
                self.wait(self.store.delete(Letter(id=id_, revision=revision)))

    @rule()
    def reopen(self) -> None:
        self.wait(self.store.close())
        self.store = type(self).opened()

    @rule(box=some.sampled_from("xy"), low=some.integers(0, 2), limit=some.integers(1, 3))
    def find(self, box: str, low: int, limit: int) -> None:
        order, found = Order("sent_ms", at_least=low, below=3), list[Letter]()
        page = Page[Letter]([], "")
        while page.cursor is not None:
            cursor = page.cursor or None
            page = self.wait(self.store.find(Letter, {"box": box}, order=order, limit=limit, cursor=cursor))
            found += page.documents
            assert len(found) <= len(self.expected), "the pages do not end"
        timed = [letter for letter in self.expected.values() if letter.box == box and letter.sent_ms is not None]
        in_range = [letter for letter in timed if low <= (letter.sent_ms or 0) < 3]
        assert found == sorted(in_range, key=lambda letter: (letter.sent_ms or 0, letter.id))

    @invariant()
    def contents_are_the_same(self) -> None:
        assert self.wait(self.all_letters()) == sorted(self.expected.values(), key=lambda letter: letter.id)
        for id_ in "abcdef":
            assert self.wait(self.store.get(Letter, id_)) == self.expected.get(id_)
        for read in (True, False):
            count = sum(letter.box == "x" and letter.read is read for letter in self.expected.values())
            assert self.wait(self.store.count(Letter, {"box": "x", "read": read})) == count


def test_a_store_holds_what_a_dict_would_hold(opened: Open) -> None:
    run_state_machine_as_test(
        type("StoreAgainstDict", (StoreAgainstDict,), {"opened": staticmethod(opened)}),
        settings=settings(
            max_examples=draws(20, soak=400),
            stateful_step_count=30,
            deadline=None,
            report_multiple_bugs=False,  # shrinking one takes long enough
            suppress_health_check=list(HealthCheck),
        ),
    )
