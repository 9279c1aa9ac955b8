"""Kernels compute every construct of the rule language as the fused function does, or refuse it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec import Meta, Struct

from backend.rulebook import Rulebook, SourceFile, make_rulebook
from backend.rulebook.language.types import microseconds
from backend.rulebook.preview.columns import columns_of_facts
from backend.rulebook.preview.kernel import kernel_of
from backend.rulebook.preview.kernel_source import kernel_source
from backend.rulebook.preview.writer import Unsupported
from tests.draws import draws
from tests.rulebook.preview.interpreted import interpreted
from tests.rulebook.random_facts import instants_near, random_facts
from tests.rulebook.test_agreement import CITY

NOW = datetime(2024, 2, 29, 4, 30, tzinfo=UTC)


class Home(Struct, frozen=True):
    """A home."""

    town: str
    share: float
    rooms: Annotated[int, Meta(ge=0, le=40)]
    kind: Literal["flat", "house", "none"]
    sold_at: datetime | None = None
    marks: tuple[Annotated[int, Meta(ge=0, le=9)], ...] = ()


class Place(Struct, frozen=True):
    """A place with coordinates."""

    height: float
    kind: Literal["house", "hut"]


class Everything(Struct, frozen=True):
    """Facts of every form."""

    born_at: datetime
    city: str
    homes: tuple[Home, ...] = ()
    kind: Literal["flat", "house", "none"] = "none"
    count: Annotated[int, Meta(ge=-(2**62))] | None = None
    waited: timedelta | None = None
    member: bool | None = None
    home: Place | None = None
    words: tuple[str, ...] = ()
    weight: float = 0.0


CONDITIONS = [
    "age(facts.born_at, now) >= 18",
    "age(facts.born_at, now - duration('24h')) < 70",
    "facts.born_at.getFullYear('Asia/Shanghai') == 2000 || facts.born_at.getMonth() > 6",
    "facts.born_at.getDayOfYear('Europe/Rome') > 59 && facts.born_at.getDate() < 29",
    "facts.born_at.getDayOfWeek('+08:00') in [0, 6]",
    "facts.born_at.getHours('America/New_York') * 60 + facts.born_at.getMinutes() > 600",
    "facts.city == 'IT' || facts.city != 'CN' && facts.city.startsWith('a')",
    "facts.city.matches('^[a-z]+$') || size(facts.city) == 1",
    "facts.city in ['IT', '浙']",
    "facts.city < 'b'",
    "'ITCN'.contains(facts.city)",
    "facts.homes.exists(h, h.town == facts.city && h.kind == facts.kind)",
    "facts.homes.all(h, h.share >= 0.5 && h.rooms > 2)",
    "facts.homes.exists_one(h, h.kind != 'none')",
    "size(facts.homes.filter(h, has(h.sold_at) && h.sold_at < now)) >= 1",
    "facts.homes.map(h, h.rooms * 2).exists(r, r > 7)",
    "facts.homes.map(h, h.rooms > 1, h.share).all(s, s < 50.0)",
    "facts.homes.exists(h, h.marks.exists(m, m == h.rooms) || size(h.marks) > 2)",
    "(facts.homes.filter(h, h.rooms < 5) + facts.homes.filter(h, h.rooms > 20)).exists(h, h.kind == 'flat')",
    "5 in facts.homes.map(h, h.rooms)",
    "'b' in facts.words || facts.words.exists(w, w == facts.city)",
    "facts.words == []",
    "(size(facts.homes) > 1 ? facts.kind : 'flat') == 'flat'",
    "has(facts.count) && (facts.count / 7 == -1 || facts.count % 7 == -3)",
    "has(facts.count) && facts.count > 10.5",
    "has(facts.waited) && facts.waited > duration('240h') && facts.waited.getHours() < 400",
    "has(facts.member) && facts.member || !has(facts.member) && size(facts.words) == 0",
    "has(facts.home) && (facts.home.height > 3.0 || facts.home.kind == facts.kind)",
    "facts.weight * 2.0 - 1.0 > facts.weight / 0.0",
    "(facts.kind == 'none' ? 1 : 0) + size(facts.homes) == 1",
    "int(facts.born_at) > 1000000000 && double(size(facts.homes)) < 1.5",
    "!(facts.homes.exists(h, !has(h.sold_at)) || facts.words.all(w, w != 'CN'))",
    "[1, 2, 3].exists(n, n == size(facts.homes))",
    "facts.kind in ['house', 'none'] == facts.homes.exists(h, h.kind in ['flat'])",
    "limit > size(facts.homes) || facts.kind == favourite",
]
REFUSED = {
    "a made text": "facts.city + 'x' == 'abx'",
    "a text of a number": "string(size(facts.homes)) == '1'",
    "two lists": "facts.words == facts.homes.map(h, h.town)",
    "a choice of Structs": "[facts.homes, facts.homes].exists(l, size(l) > 0)",
}


def rulebook_of(conditions: list[str]) -> Rulebook:
    rules = "".join(
        f"  - {{id: rule-{number}, from: 2000-01-01, when: {condition!r}, then: yellow,\n"
        "     because: {zh: 理由, en: reason}, source: test}\n".replace('when: "', 'when: "')
        for number, condition in enumerate(conditions)
    )
    text = (
        "module: test.everything\ntitle: {zh: 一切, en: Everything}\nfacts: Everything\n"
        "result: [green, yellow]\nstrategy: most_severe\nparameters:\n"
        "  limit: [{from: 2000-01-01, value: 2, source: test}]\n"
        "  favourite: [{from: 2000-01-01, value: house, source: test}]\n"
        f"rules:\n{rules}otherwise: {{then: green, because: {{zh: 无, en: none}}}}\n"
    )
    return make_rulebook({"test.everything": SourceFile("everything.yaml", text, [])}, [Everything], CITY)


def people() -> some.SearchStrategy[list[Any]]:
    instants = instants_near(NOW, [timedelta(days=days) for days in (1, 365, 6_575, 25_568)])
    earlier = some.integers(0, 36_000 * 1_440).map(lambda minutes: NOW - timedelta(minutes=minutes))
    facts = random_facts(Everything, instants | earlier, range(-20, 20, 3))
    return some.lists(facts, min_size=8, max_size=8)


@pytest.mark.slow
def test_every_construct_is_computed_as_the_fused_function_does() -> None:
    rulebook = rulebook_of(CONDITIONS)
    module = rulebook.modules["test.everything"]
    law = rulebook.law(module.name, NOW)
    kernel = interpreted(module, law, "fire")
    fired = 0
    seen: list[Any] = []

    @settings(max_examples=draws(60, soak=3_000), deadline=None, derandomize=True)
    @given(people())
    def everyone(drawn: list[Any]) -> None:
        nonlocal fired
        seen.extend(drawn)
        found = kernel.decide(columns_of_facts(kernel.layout, drawn), microseconds(NOW)).results
        for facts, bits in zip(drawn, found.tolist(), strict=True):
            expected, _ = law.decide(facts, NOW)
            differ = [CONDITIONS[n] for n in range(len(CONDITIONS)) if (bits ^ expected) >> n & 1]
            assert not differ, facts
            fired |= bits

    everyone()
    columns = columns_of_facts(kernel.layout, seen)
    interpreted_bits = kernel.decide(columns, microseconds(NOW)).results
    assert np.array_equal(kernel_of(module, law, "fire").decide(columns, microseconds(NOW)).results, interpreted_bits)
    assert fired == (1 << len(CONDITIONS)) - 1, [CONDITIONS[n] for n in range(len(CONDITIONS)) if not fired >> n & 1]


@pytest.mark.parametrize("condition", REFUSED.values(), ids=REFUSED)
def test_what_columns_cannot_compute_is_refused(condition: str) -> None:
    rulebook = rulebook_of([condition])
    module = rulebook.modules["test.everything"]
    with pytest.raises(Unsupported):
        kernel_source(module, rulebook.law(module.name, NOW))
