"""A kernel over columns decides what the fused function decides, for random people under every law of the city."""

from datetime import UTC, datetime
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some
from msgspec import Struct

from backend.rulebook.language.types import microseconds
from backend.rulebook.modules.module import Module
from backend.rulebook.preview.columns import Columns, columns_of_facts, join
from backend.rulebook.preview.kernel import Kernel, kernel_of
from backend.rulebook.verdict import Law
from tests.bench.profiles import rich_facts
from tests.draws import draws
from tests.rulebook.preview.interpreted import interpreted
from tests.rulebook.random_facts import first_days
from tests.rulebook.test_agreement import RULEBOOK, random_case

NOW = datetime(2026, 11, 29, 4, tzinfo=UTC)
GROUPS, PEOPLE = draws(1, soak=40), draws(10, soak=60)


def disagreements(
    module: Module, law: Law, kernels: tuple[Kernel, Kernel], people: list[Any], at: datetime
) -> list[Any]:
    """Return the people for whom the kernels and the fused function differ."""
    evaluator = RULEBOOK._evaluators[module.name]
    decide, fire = kernels
    columns = columns_of_facts(decide.layout, people)
    now = microseconds(at)
    decisions, fired = decide.decide(columns, now), fire.decide(columns, now)
    found: list[Any] = []
    for place, facts in enumerate(people):
        bits, _ = law.decide(facts, at)
        outcome = evaluator.outcome(law, bits)
        decisive = int(decisions.decisive[place])
        same = int(fired.results[place]) == bits
        if module.strategy == "collect":
            same &= int(decisions.results[place]) == bits
        else:
            same &= (law.rules[decisive].id if decisive >= 0 else "otherwise") == outcome.rule
        if module.strategy == "sum":
            same &= int(decisions.results[place]) == outcome.result
        if not same:
            found.append((facts, outcome.rule, bits))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RULEBOOK.modules))
def test_kernel_and_fused_function_agree_on_every_law(name: str) -> None:
    module = RULEBOOK.modules[name]
    for day in first_days(module):
        at = random_case(module, day)
        agree_on(module, at)


def agree_on(module: Module, case: some.SearchStrategy[tuple[Struct, Any]]) -> None:
    evaluator = RULEBOOK._evaluators[module.name]
    made: dict[int, tuple[Kernel, Kernel]] = {}

    @settings(
        max_examples=GROUPS,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(some.lists(case, min_size=PEOPLE, max_size=PEOPLE))
    def everyone(drawn: list[tuple[Struct, Any]]) -> None:
        at = drawn[0][1]
        law = evaluator.law_at(at, None)
        kernels = made.get(id(law))
        if kernels is None:
            kernels = made[id(law)] = (interpreted(module, law, "decide"), interpreted(module, law, "fire"))
        assert disagreements(module, law, kernels, [facts for facts, _ in drawn], at) == []

    everyone()


def colour_columns(people: list[Any]) -> tuple[Kernel, Law, Columns]:
    module = RULEBOOK.modules["health_code.colour"]
    law = RULEBOOK._evaluators[module.name].latest
    kernel = kernel_of(module, law)
    return kernel, law, columns_of_facts(kernel.layout, people)


@pytest.mark.slow
def test_machine_code_decides_as_the_source_does() -> None:
    people = list(rich_facts(Random(3), NOW, 3_000))
    kernel, law, columns = colour_columns(people)
    read = interpreted(RULEBOOK.modules["health_code.colour"], law, "decide")
    now = microseconds(NOW)
    compiled = kernel.decide(columns, now)
    assert np.array_equal(compiled.decisive, read.decide(columns, now).decisive)
    assert len(np.unique(compiled.decisive)) > 10


@pytest.mark.slow
def test_threads_divide_the_people_among_them() -> None:
    kernel, _, few = colour_columns(list(rich_facts(Random(4), NOW, 500)))
    columns = join([few] * 150)
    now = microseconds(NOW)
    assert np.array_equal(kernel.decide(columns, now, 2).decisive, kernel.decide(columns, now).decisive)
