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


class StoreBesideADict(RuleBasedStateMachine):
    opened: ClassVar[Open]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = type(self).opened()
        for letter in self.wait(self.everything()):
            self.wait(self.store.delete(letter))
        self.kept: dict[str, Letter] = {}

    def teardown(self) -> None:
        self.wait(self.store.close())
        self.loop.close()

    def wait(self, work: Awaitable[Any]) -> Any:  # noqa: ANN401  whatever the work gives
        return self.loop.run_until_complete(work)

    async def everything(self) -> list[Letter]:
        return [letter async for letter in self.store.scan(Letter)]

    def taken(self, letter: Letter) -> bool:
        others = (other for other in self.kept.values() if other.id != letter.id)
        return letter.stamp is not None and letter.stamp in {other.stamp for other in others}

    @initialize(letters=some.lists(CONTENTS, min_size=3, max_size=6))
    def fill(self, letters: list[dict[str, Any]]) -> None:
        for id_, contents in zip("abcdef", letters, strict=False):
            self.insert(id_, contents)

    @rule(id_=IDS, contents=CONTENTS)
    def insert(self, id_: str, contents: dict[str, Any]) -> None:
        letter = Letter(id=id_, **contents)
        if id_ in self.kept or self.taken(letter):
            with pytest.raises(Duplicate):
                self.wait(self.store.insert(letter))
        else:
            self.kept[id_] = self.wait(self.store.insert(letter))
            assert self.kept[id_] == replace(letter, revision=1)

    @rule(id_=IDS, contents=CONTENTS, behind=some.integers(0, 1))
    def change(self, id_: str, contents: dict[str, Any], behind: int) -> None:
        revision = self.kept[id_].revision - behind if id_ in self.kept else 1
        letter = Letter(id=id_, revision=revision, **contents)
        if id_ not in self.kept or behind:
            with pytest.raises((Conflict, Duplicate) if self.taken(letter) else Conflict):
                self.wait(self.store.replace(letter))
        elif self.taken(letter):
            with pytest.raises(Duplicate):
                self.wait(self.store.replace(letter))
        else:
            self.kept[id_] = self.wait(self.store.replace(letter))
            assert self.kept[id_] == replace(letter, revision=revision + 1)

    @rule(id_=IDS, behind=some.integers(0, 1))
    def delete(self, id_: str, behind: int) -> None:
        if id_ in self.kept and not behind:
            self.wait(self.store.delete(self.kept.pop(id_)))
        else:
            revision = self.kept[id_].revision - behind if id_ in self.kept else 1
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
            assert len(found) <= len(self.kept), "the pages do not end"
        timed = [letter for letter in self.kept.values() if letter.box == box and letter.sent_ms is not None]
        expected = [letter for letter in timed if low <= (letter.sent_ms or 0) < 3]
        assert found == sorted(expected, key=lambda letter: (letter.sent_ms or 0, letter.id))

    @invariant()
    def holds_the_same(self) -> None:
        assert self.wait(self.everything()) == sorted(self.kept.values(), key=lambda letter: letter.id)
        for id_ in "abcdef":
            assert self.wait(self.store.get(Letter, id_)) == self.kept.get(id_)
        for read in (True, False):
            count = sum(letter.box == "x" and letter.read is read for letter in self.kept.values())
            assert self.wait(self.store.count(Letter, {"box": "x", "read": read})) == count


def test_a_store_holds_what_a_dict_would_hold(opened: Open) -> None:
    run_state_machine_as_test(
        type("StoreBesideADict", (StoreBesideADict,), {"opened": staticmethod(opened)}),
        settings=settings(
            max_examples=draws(20, soak=400),
            stateful_step_count=30,
            deadline=None,
            report_multiple_bugs=False,  # shrinking one takes long enough
            suppress_health_check=list(HealthCheck),
        ),
    )
