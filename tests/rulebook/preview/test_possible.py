"""The best result that some answers could give is the best of all answers, tried one by one."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import product
from random import Random
from types import SimpleNamespace

import pytest

from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, make_rulebook
from backend.rulebook.preview import possible
from backend.rulebook.preview.possible import Best, Possible, TooManyAnswers
from tests.draws import draws
from tests.rulebook.test_agreement import CITY

NOW = datetime(2026, 11, 29, 4, tzinfo=UTC)

FACTS = """\
module: trial.grant
title: {zh: 试验, en: Trial}
facts:
  years: {type: number, at_least: 0, at_most: 4, from: person, meaning: {zh: 年, en: Years}}
  district: {type: words, words: [east, west, south], from: person, meaning: {zh: 区, en: District}}
  alone: {type: bool, from: person, meaning: {zh: 独居, en: Alone}}
  homes: {type: number, at_least: 0, at_most: 4, optional: true, from: person, meaning: {zh: 房, en: Homes}}
result: {at_least: 0, at_most: 100}
"""
VALUES: dict[str, Sequence[object]] = {
    "years": range(5),
    "district": ("east", "west", "south"),
    "alone": (False, True),
    "homes": (None, *range(5)),
}


RULE = """\
  - id: rule-{place}
    from: 2000-01-01
    when: '{when}'
    then: {then}
    because: {{zh: 因, en: why}}
    source: x
"""
END = "otherwise: {then: 1, because: {zh: 无, en: none}}\n"
LIMIT = 'parameters:\n  limit:\n    - {from: 2000-01-01, value: 2, source: "x"}\n'


def grant(strategy: str, *rules: tuple[str, int]) -> Rulebook:
    """Return a module with these conditions and results."""
    written = "".join(RULE.format(place=place, when=when, then=then) for place, (when, then) in enumerate(rules))
    text = f"{FACTS}strategy: {strategy}\n{LIMIT if 'limit' in written else ''}rules:\n{written}{END}"
    return make_rulebook({"trial.grant": SourceFile("grant.yaml", text, [])}, [], CITY)


PEOPLE = [dict(zip(VALUES, values, strict=True)) for values in product(*VALUES.values())]


def results_of(rulebook: Rulebook) -> list[int]:
    """Return what each of the people gets."""
    law = rulebook.law("trial.grant", NOW)
    fired = [law.decide(SimpleNamespace(**one), NOW)[0] for one in PEOPLE]
    return [rulebook.outcome("trial.grant", law, bits).result for bits in fired]


def possible_of(rulebook: Rulebook, known: Iterable[str]) -> Possible:
    law = rulebook.law("trial.grant", NOW)
    return Possible(rulebook.evaluator("trial.grant"), law, VALUES.keys() - set(known))


@pytest.mark.parametrize(
    ("strategy", "rules"),
    [
        ("first", [('facts.district == "east"', 0), ("facts.years >= limit", 9), ("facts.alone", 5)]),
        ("sum", [("facts.years < limit", 30), ("facts.years >= limit", 20), ("facts.alone", 7)]),
        ("sum", [('facts.district == "east"', 40), ('facts.district in ["west", "south"]', 30)]),
        ("first", [("has(facts.homes) && facts.homes > 1", 0), ('facts.alone || facts.district != "west"', 8)]),
        ("first", [("!(facts.years == 3) && (facts.alone ? facts.years > 1 : facts.years > 2)", 6)]),
    ],
    ids=["first", "exclusive bands", "exclusive words", "optional", "choice"],
)
@pytest.mark.parametrize("known", [(), ("years",), ("district", "alone"), ("homes", "years")], ids="+".join)
def test_no_answer_gives_more_and_one_gives_as_much(
    strategy: str, rules: list[tuple[str, int]], known: tuple[str, ...]
) -> None:
    rulebook = grant(strategy, *rules)
    found, results = possible_of(rulebook, known), results_of(rulebook)
    for told in product(*(VALUES[name] for name in known)):
        same = dict(zip(known, told, strict=True))
        alike = [result for one, result in zip(PEOPLE, results, strict=True) if same.items() <= one.items()]
        facts = SimpleNamespace(**same)
        assert found.outcome(found.best(facts, NOW).fired).result == max(alike)
        assert found.depends_on_answers(facts, NOW) == (min(alike) != max(alike))


TESTS = [
    'facts.district == "east"',
    'facts.district in ["west", "east"]',
    "facts.years > limit",
    "facts.years <= 3",
    "facts.years + limit > 4",
    "facts.alone",
    "has(facts.homes) && facts.homes >= facts.years",
    "(!has(facts.homes) || facts.homes == limit)",
]


def a_condition(random: Random) -> str:
    first, second, third = random.choices(TESTS, k=3)
    return random.choice(
        [f"{first} && !({second})", f"{first} || {second} && {third}", f"!({first} || {second})", f"{first}"]
    )


def a_module(random: Random) -> Rulebook:
    """Return a module of random rules that the checks accept: no rule is impossible or never decides."""
    while True:
        rules = [(a_condition(random), number) for number in random.sample(range(2, 20), 3)]
        try:
            return grant(random.choice(["first", "sum"]), *rules)
        except InvalidRulebook:
            continue


@pytest.mark.parametrize("seed", range(draws(12, 1_000)))
def test_no_answer_gives_more_whatever_the_rules_are(seed: int) -> None:
    random = Random(seed)
    rulebook, known = a_module(random), random.sample(list(VALUES), random.randint(0, 3))
    found = possible_of(rulebook, known)
    for one, result in zip(PEOPLE, results_of(rulebook), strict=True):
        facts = SimpleNamespace(**{name: one[name] for name in known})
        assert found.outcome(found.best(facts, NOW).fired).result >= result


def rule_of(found: Possible, facts: object, before: Best | None = None) -> str:
    return found.outcome(found.best(facts, NOW, before).fired).rule


ELSEWHERE = ('facts.district == "west"', 0)
YOUNG = ("facts.years < limit", 1)


def test_what_is_known_explains_a_result_that_no_answer_changes() -> None:
    found = possible_of(grant("first", ELSEWHERE, YOUNG, ("facts.alone", 1)), ["years"])
    assert rule_of(found, SimpleNamespace(years=1)) == "rule-1"


def test_equal_results_of_a_later_edition_are_explained_by_the_answers_of_the_earlier_one() -> None:
    old = possible_of(grant("first", ELSEWHERE, ("facts.alone", 9), ("facts.years >= limit", 5)), ["years"])
    new = possible_of(grant("first", ELSEWHERE, ("facts.alone", 1), ("facts.years >= limit", 1)), ["years"])
    aged = SimpleNamespace(years=3)
    assert rule_of(old, aged) == "rule-1"
    assert rule_of(new, aged) == "rule-2"
    assert rule_of(new, aged, old.best(aged, NOW)) == "rule-1"


def test_earlier_answers_do_not_take_what_other_answers_would_give() -> None:
    old = possible_of(grant("first", ('facts.district == "west"', 9)), ["years"])
    new = possible_of(grant("first", ('facts.district == "west"', 2), ("facts.alone", 5)), ["years"])
    aged = SimpleNamespace(years=3)
    assert rule_of(new, aged, old.best(aged, NOW)) == "rule-1"


@pytest.mark.parametrize("seed", range(draws(6, 500)))
def test_earlier_answers_never_change_the_best_result(seed: int) -> None:
    random = Random(seed)
    known = random.sample(list(VALUES), random.randint(0, 3))
    old, new = (possible_of(a_module(random), known) for _ in range(2))
    for one in PEOPLE:
        facts = SimpleNamespace(**{name: one[name] for name in known})
        earlier = old.best(facts, NOW)
        assert new.outcome(new.best(facts, NOW, earlier).fired).result == new.outcome(new.best(facts, NOW).fired).result


def test_too_many_combinations_of_answers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(possible, "MAX_ANSWERS", 3)
    rulebook = grant("first", ("facts.years > 1 && facts.alone", 9))
    with pytest.raises(TooManyAnswers):
        possible_of(rulebook, ())
