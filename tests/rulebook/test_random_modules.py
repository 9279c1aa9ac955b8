"""A module that passes the checks cannot fail, and all five evaluators agree on it: random modules, random people.

Each module is asked about 70 people whose facts are near its boundaries, or at the ends of what their types admit. The
fused function, the explainer, the columnar kernel and cel-expr-python judge all of them; the solver judges one in 14,
and in `make soak` one in three. Kernels run as Python, and some of them as machine code.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

import pytest
from msgspec import Struct

from backend.rulebook.language.types import INSTANT_RANGE, MICROSECOND
from backend.rulebook.preview.kernel import Kernel
from backend.rulebook.verdict import Law, Outcome
from tests.draws import draws
from tests.resumable import kept
from tests.rulebook.five_evaluators import (
    by_cel,
    by_explainer,
    by_fused_function,
    by_kernel,
    kernels,
)
from tests.rulebook.random_modules import NAME, ExtremePeople, RandomModule, random_module
from tests.rulebook.solver_model import SolverModel, solver_model

pytestmark = pytest.mark.slow

MODULES, GROUP = draws(300, soak=20_000), 50
INSTANTS, CROWD = 5, 14
BY_SOLVER = draws(1, soak=5)
"""How many people of each crowd the solver judges."""
COMPILED_EVERY = draws(100, soak=50)
"""One module in so many runs as machine code, which takes a second or two to compile."""


@dataclass
class Trial:
    """One random module, and what its evaluators say about random people."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter[str])

    def run(self) -> Counter[str]:
        """Compare all evaluators; return how many modules, crowds and people each of them judged."""
        self.drawn: RandomModule = random_module(self.seed)
        self.people = ExtremePeople(self.drawn, Random(self.seed))
        self.kernels: dict[int, tuple[Kernel, Kernel] | None] = {}
        self.models: dict[int, SolverModel | None] = {}
        self.counts += Counter(modules=1, refused=self.drawn.refused)
        for _ in range(INSTANTS):
            at = self.people.draw_instant()
            self._judge([self.people.draw() for _ in range(CROWD)], at)
        return self.counts

    def _judge(self, crowd: list[Struct], at: datetime) -> None:
        rulebook, module = self.drawn.rulebook, self.drawn.module
        law = rulebook.law(NAME, at)
        fired = by_fused_function(law, crowd, at)
        self.counts += Counter(people=len(crowd), firing=sum(map(bool, fired)))
        self._agree("explainer", law, crowd, at, fired, by_explainer(rulebook, NAME, crowd, at))
        if law.rules:
            self._agree("CEL", law, crowd, at, fired, by_cel(law, crowd, at))
        outcomes = [rulebook.outcome(NAME, law, bits) for bits in fired]
        self._by_kernel(law, crowd, at, fired, outcomes)
        if id(law) not in self.models:
            self.models[id(law)] = solver_model(module, law)
        model = self.models[id(law)]
        self.counts += Counter({"crowds of the solver": model is not None, "crowds": 1})
        if model is not None:
            for facts, bits, outcome in list(zip(crowd, fired, outcomes, strict=True))[:BY_SOLVER]:
                self._by_solver(model, facts, at, bits, outcome)
        for facts in crowd[:2]:
            self._stays_until_it_changes(facts, at)

    def _agree(
        self, name: str, law: Law, crowd: list[Struct], at: datetime, fired: list[int], found: list[int]
    ) -> None:
        for facts, one, other in zip(crowd, fired, found, strict=True):
            differing = [rule.text for place, rule in enumerate(law.rules) if (one ^ other) >> place & 1]
            assert not differing, (self.seed, name, differing, law.parameter_values, facts, at)

    def _by_kernel(
        self, law: Law, crowd: list[Struct], at: datetime, fired: list[int], outcomes: list[Outcome]
    ) -> None:
        module = self.drawn.module
        if id(law) not in self.kernels:
            self.kernels[id(law)] = kernels(module, law, compiled=self.seed % COMPILED_EVERY == 0)
        both = self.kernels[id(law)]
        self.counts += Counter({"crowds of the kernel": both is not None})
        if both is None:
            return
        found, decisive, results = by_kernel(both, crowd, at)
        self._agree("kernel", law, crowd, at, fired, found)
        if module.strategy == "collect":
            assert results == fired
            return
        assert [law.rules[place].id if place >= 0 else "otherwise" for place in decisive] == [
            outcome.rule for outcome in outcomes
        ], (self.seed, law.parameter_values, crowd, at)
        if module.strategy == "sum":
            assert results == [outcome.result for outcome in outcomes], (self.seed, law.parameter_values, crowd, at)

    def _by_solver(self, model: SolverModel, facts: Struct, at: datetime, bits: int, outcome: Outcome) -> None:
        found, decisive, result = model.decide(facts, at)
        where = (self.seed, [rule.text for rule in model.law.rules], model.law.parameter_values, facts, at)
        assert found == bits, where
        assert outcome.rule in decisive, where
        expected: Any = set(outcome.result) if self.drawn.module.strategy == "collect" else outcome.result
        assert result == expected, where
        self.counts += Counter({"people of the solver": 1})

    def _stays_until_it_changes(self, facts: Struct, at: datetime) -> None:
        """Check `changes_at` with the explainer: the same rules fire until then, and others, or others decide, then."""
        rulebook = self.drawn.rulebook
        verdict = rulebook.evaluate(NAME, facts, at)
        end = verdict.changes_at
        last = (INSTANT_RANGE[1] if end is None else end) - MICROSECOND
        assert last >= at, (self.seed, facts, at, end)
        between = [at + (last - at) * self.people.random.random() for _ in range(2)]
        for instant in (last, *between, *(at + span for span in self.people.spans if at < at + span < last)):
            assert self._decision(facts, instant) == self._decision(facts, at), (self.seed, facts, at, end, instant)
        if end is not None:
            assert self._decision(facts, end) != self._decision(facts, at), (self.seed, facts, at, end)
            self.counts += Counter(changes=1)

    def _decision(self, facts: Struct, at: datetime) -> tuple[Any, ...]:
        rulebook = self.drawn.rulebook
        (bits,) = by_explainer(rulebook, NAME, [facts], at)
        outcome = rulebook.outcome(NAME, rulebook.law(NAME, at), bits)
        return outcome.result, outcome.rule, outcome.fired


@pytest.mark.parametrize("group", range(MODULES // GROUP), ids=lambda group: f"group-{group}")
def test_a_module_that_passes_the_checks_never_fails_and_five_evaluators_agree(
    group: int, request: pytest.FixtureRequest
) -> None:
    def work() -> dict[str, int]:
        seeds = range(group * GROUP, (group + 1) * GROUP)
        return dict(sum((Trial(seed).run() for seed in seeds), Counter[str]()))

    counts: dict[str, int] = kept(request, f"random modules {group}", work)
    assert counts["people"] == GROUP * INSTANTS * CROWD
    assert counts["firing"] > counts["people"] // 5
    assert counts["refused"] < counts["modules"], "most drafts pass the checks"
    assert counts["crowds of the kernel"] > counts["crowds"] * 0.7
    assert counts["crowds of the solver"] > counts["crowds"] * 0.5
    assert counts["changes"] > GROUP // 2
