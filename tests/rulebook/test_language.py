"""The whole language, including parts that the city's rules do not use: compiler, explainer and Google's CEL agree."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.language.types import MICROSECOND
from tests.draws import draws
from tests.rulebook.cel_oracle import evaluate_with_cel
from tests.rulebook.random_facts import instants_near, random_facts
from tests.rulebook.tram import CITY, FARE, Rider

pytestmark = pytest.mark.slow

NOW = datetime(2022, 6, 1, 4, 0, tzinfo=UTC)
LASTS = timedelta(days=2)

CONDITIONS = [
    # comparison and arithmetic
    "facts.age + 1 > 14 && facts.age * 2 - 5 <= 60",
    "facts.age % 7 == 3 || facts.age / 10 == 4",
    "-facts.age < -18 && facts.age != 30",
    "facts.income > 1.5 || facts.income * 2.0 < -3.0",
    "facts.income / 4.0 >= 0.25 && facts.income - 1.0 != 0.0",
    "double(facts.age) > facts.income",
    "facts.age > 10 == facts.student",
    # strings
    'facts.name == "IT" || facts.name.startsWith("浙")',
    'facts.name.contains("N") && facts.name.endsWith("N")',
    'facts.name.matches("^[A-Z]{2}$")',
    'size(facts.name) == 1 && facts.name + "A" == "浙A"',
    'facts.name in ["IT", "DE"]',
    'string(facts.age) == "13" || string(facts.student) == "true"',
    # optional facts
    'has(facts.home) && facts.home == "east"',
    'has(facts.home) ? facts.home in ["west"] : facts.age > 60',
    '!has(facts.home) || facts.home != "west"',
    # lists and macros
    "size(facts.passes) > 1",
    'facts.passes.all(p, p.kind == "day" || now - p.bought_at < lasts)',
    'facts.passes.exists_one(p, p.kind == "year")',
    'size(facts.passes.filter(p, p.kind == "day" && has(p.returned_at))) == 1',
    'facts.passes.map(p, p.kind) == ["day", "day"]',
    '"year" in facts.passes.map(p, p.kind)',
    'facts.passes.map(p, p.kind == "day", p.bought_at).exists(at, now - at > lasts)',
    "facts.passes.exists(p, facts.passes.exists(q, q.bought_at - p.bought_at > lasts))",
    'facts.passes.exists(p, p.kind == "day" ? now > p.bought_at : has(p.returned_at))',
    "[1, 2, 3].exists(n, n * 10 > facts.age) && [1, 2] + [3] == [1, 2, 3]",
    "facts.passes.all(p, facts.passes.filter(q, q.bought_at >= p.bought_at).exists(r, r.kind == p.kind))",
    # instants and durations
    'now >= timestamp("2022-06-01T04:00:00Z")',
    'facts.passes.exists(p, p.bought_at.getHours("Asia/Shanghai") == 12 && p.bought_at.getDayOfWeek() == 3)',
    'facts.waits > duration("36h") && facts.waits.getHours() < 300',
    "facts.passes.exists(p, now == p.bought_at || now != p.bought_at + lasts)",
    "facts.passes.exists(p, p.bought_at + lasts <= now && p.bought_at.getMinutes() < 30)",
    "facts.passes.exists(p, has(p.returned_at) && p.returned_at - p.bought_at < facts.waits)",
    "facts.passes.exists(p, now - lasts - facts.waits > p.bought_at)",
    # comparisons with now, each way round
    *(
        f"facts.passes.exists(p, {left} {sign} {right})"
        for sign in ("<", "<=", ">", ">=", "==", "!=")
        for left, right in [
            ("now", "p.bought_at + lasts"),
            ("p.bought_at", "now - lasts"),
            ("now - p.bought_at", "lasts"),
            ("lasts", "now - p.bought_at"),
            ("now - lasts - p.bought_at", "facts.waits"),
        ]
    ),
    'facts.passes.exists(p, now - p.bought_at > now - timestamp("2022-05-30T00:00:00Z"))',
    # questions that the latest or earliest element of a list answers
    *(
        f"facts.passes.exists(p, {negation}facts.passes.exists(q, q.kind == {kind!r} && {left} {sign} {right}))"
        for sign in ("<", "<=", ">", ">=")
        for kind, negation in (("day", ""), ("year", "!"))
        for left, right in [("q.bought_at", "p.bought_at"), ("p.bought_at + lasts", "q.bought_at")]
    ),
    "facts.passes.exists(p, has(p.returned_at) && facts.passes.exists(q, q.bought_at > p.returned_at))",
    "facts.passes.all(p, facts.passes.exists(q, facts.student && p.bought_at < q.bought_at))",
    "facts.passes.exists(p, facts.passes.exists(q, q.kind != p.kind && q.bought_at > p.bought_at))",
    # logic
    "facts.student ? facts.age < 26 : facts.age < 14",
    "(facts.student || facts.age > 60) && !(facts.student && facts.age > 60)",
    "true ? facts.student : false",
    "has(facts.home) == facts.student",
    # lists without elements, and whole numbers that a double cannot hold
    "facts.name in []",
    "9007199254740993 in [facts.income, 9007199254740992.0]",
    "9007199254740992.0 in [facts.age, 9007199254740993]",
]  # fmt: skip


def module(name: str, conditions: Sequence[str]) -> str:
    """Return a module that collects which of the conditions hold."""
    head = FARE[: FARE.index("rules:\n")].replace("tram.fare", f"tram.{name}")
    head = head.replace("most_severe", "collect").replace("[full, half, free]", "[no, yes]")
    rules = "".join(
        f"  - id: c{number}\n    from: 2020-01-01\n    when: >-\n      {condition}\n"
        "    then: yes\n    because: {zh: 甲, en: A}\n    source: s\n"
        for number, condition in enumerate(conditions)
    )
    return f"{head}rules:\n{rules}otherwise: {{then: no, because: {{zh: 无, en: None}}}}\n"


@pytest.fixture(scope="module")
def rulebook(tmp_path_factory: pytest.TempPathFactory) -> Rulebook:
    """One module has all conditions, as a city's would; others have one each, so that none hides another."""
    folder = tmp_path_factory.mktemp("rules") / "tram"
    folder.mkdir()
    (folder / "all.yaml").write_text(module("all", CONDITIONS), encoding="utf-8")
    for number, condition in enumerate(CONDITIONS):
        (folder / f"alone_{number}.yaml").write_text(module(f"alone_{number}", [condition]), encoding="utf-8")
    return load_rulebook(folder.parent, [Rider], CITY)


LATER = [timedelta(days=days) // MICROSECOND for days in (1, 3, 10, 60)]
ANY_PERSON = random_facts(Rider, instants_near(NOW, [LASTS, timedelta(hours=36)]))


@settings(
    max_examples=draws(300, soak=20_000), deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(ANY_PERSON)
def test_compiler_explainer_and_cel_agree_on_the_whole_language(rulebook: Rulebook, facts: Rider) -> None:
    explained = [step.value for _, step in rulebook.explain("tram.all", facts, NOW)]
    fired = rulebook.evaluate("tram.all", facts, NOW).fired
    assert [f"c{number}" in fired for number in range(len(CONDITIONS))] == explained
    assert evaluate_with_cel(CONDITIONS, {"lasts": LASTS}, facts, NOW) == explained


@settings(
    max_examples=draws(100, soak=2_000), deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(ANY_PERSON, some.lists(some.integers(0, 10**12), max_size=5))
def test_until_changes_at_nothing_changes_in_the_whole_language(
    rulebook: Rulebook, facts: Rider, ticks: list[int]
) -> None:
    for name in rulebook.modules:
        verdict = rulebook.evaluate(name, facts, NOW)
        instants = [NOW + tick * MICROSECOND for tick in [*ticks, *LATER]]
        if verdict.changes_at is not None:
            instants.append(verdict.changes_at - MICROSECOND)
            assert rulebook.evaluate(name, facts, verdict.changes_at).fired != verdict.fired
        for instant in instants:
            if verdict.changes_at is None or instant < verdict.changes_at:
                held = [rule.id for rule, step in rulebook.explain(name, facts, instant) if step.value]
                assert tuple(held) == verdict.fired
