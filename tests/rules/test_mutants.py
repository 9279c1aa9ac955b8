"""A mistake in a module of the city is refused where it is, or fails a case."""

from collections import Counter
from collections.abc import Sequence
from random import Random
from zoneinfo import ZoneInfo

import pytest

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import read_rules
from backend.rulebook.modules.cases import load_cases
from backend.rulebook.modules.goals import KINDS as GOALS
from backend.rulebook.modules.goals import measure
from backend.rulebook.needs import facts_of
from tests.conftest import ROOT
from tests.draws import SOAK
from tests.resumable import kept
from tests.rules.mutants import KINDS, Bench, Mutant, Outcome, equivalents, mutants_of

RULES = ROOT / "rules"
OF_EACH_KIND = 20
BATCH = 100
"""How many mutants a run of `make soak` judges before it keeps what it found."""

KILLED: tuple[Outcome, ...] = ("refused", "failed", "equivalent")
OUTCOMES: tuple[Outcome, ...] = (*KILLED, "elsewhere", "survived")


@pytest.fixture(scope="module")
def bench() -> Bench:
    needed = rule_modules_of(discover_services())
    tested = load_cases(RULES, facts_of(needed), ZoneInfo("Asia/Shanghai"))
    return Bench(tested.rulebook, read_rules(RULES), tested.cases, needed, equivalents())


def all_mutants(bench: Bench) -> list[Mutant]:
    return [mutant for name, file in sorted(bench.files.items()) for mutant in mutants_of(name, file)]


def table(judged: Sequence[tuple[Mutant, Outcome]]) -> str:
    """Return how many mutants were killed, by module and by kind."""
    rows: list[str] = []
    for heading in ("module", "kind"):
        counts: dict[str, Counter[Outcome]] = {}
        for mutant, outcome in judged:
            counts.setdefault(getattr(mutant, heading), Counter())[outcome] += 1
        rows.append(f"{heading}: mutants, {', '.join(OUTCOMES)}")
        for name, found in sorted(counts.items()):
            rows.append(f"  {name}: {sum(found.values())}, {', '.join(str(found[each]) for each in OUTCOMES)}")
    return "\n".join(rows)


def sample(mutants: Sequence[Mutant]) -> list[Mutant]:
    """Return as many mutants of each kind, or all of them in `make soak`."""
    if SOAK:
        return list(mutants)
    chance = Random(19)
    of_kinds = [[mutant for mutant in mutants if mutant.kind == kind] for kind in KINDS]
    return [mutant for found in of_kinds for mutant in chance.sample(found, OF_EACH_KIND)]


def test_nineteen_of_twenty_mistakes_in_the_citys_modules_are_found(
    bench: Bench, request: pytest.FixtureRequest
) -> None:
    mutants = sample(all_mutants(bench))
    judged: list[tuple[Mutant, Outcome]] = []
    for begin in range(0, len(mutants), BATCH):
        some = mutants[begin : begin + BATCH]
        outcomes = kept(request, f"mutants {begin}", lambda some=some: [bench.judge(mutant) for mutant in some])
        judged += zip(some, outcomes, strict=True)
    print(table(judged))  # noqa: T201  the table of the report
    missed = [f"{outcome}: {mutant}" for mutant, outcome in judged if outcome not in KILLED]
    assert len(missed) <= len(judged) * 0.05, "\n".join(missed)


def test_there_are_mutants_of_each_kind(bench: Bench) -> None:
    assert {mutant.kind for mutant in all_mutants(bench)} == set(KINDS)


def test_each_listed_equivalent_is_a_mutant_with_a_reason(bench: Bench) -> None:
    mutants = {(each.module, each.kind, each.owner, each.was, each.new) for each in all_mutants(bench)}
    for listed in equivalents():
        assert (listed.module, listed.kind, listed.owner, listed.was, listed.new) in mutants, f"no mutant: {listed}"
        assert len(listed.reason.split()) >= 4, f"no reason: {listed}"


def test_the_cases_of_the_city_try_every_rule_and_nineteen_of_twenty_operands(bench: Bench) -> None:
    for name, module in bench.rulebook.modules.items():
        found = measure(bench.rulebook, module, bench.cases[name])
        missing = "\n".join(f"{goal.rule}: {goal.text} {goal.side.en}" for goal in found.missing)
        assert found.percent("rule") == 100, f"{name}\n{missing}"
        assert found.percent("change") == 100, f"{name}\n{missing}"
        assert all(found.percent(kind) >= 95 for kind in GOALS), f"{name}\n{missing}"
