"""Export, and import of what was exported: the same decision on the same facts."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from backend.rulebook import Rulebook, SourceFile, make_rulebook
from backend.rulebook.exchange.cel_policy_reader import read_cel_policy
from backend.rulebook.exchange.cel_policy_writer import write_cel_policy
from backend.rulebook.exchange.certificate import facts_from
from backend.rulebook.exchange.certlogic_reader import read_certlogic
from backend.rulebook.exchange.certlogic_writer import write_certlogic
from tests.rulebook.exchange import certlogic_oracle
from tests.rulebook.exchange.rules import ZONE

NAME = "tram.pass"
DAY = datetime(2022, 3, 1, 12, tzinfo=UTC)
HEAD = """\
module: tram.pass
title: {zh: 乘车, en: Rides}
facts:
  minutes: {type: number, at_least: 0, at_most: 300, meaning: {zh: 晚点分钟, en: Minutes of delay}}
  kind: {type: words, words: [day, week, year], meaning: {zh: 种类, en: Kind of ticket}}
  bought_at: {type: instant, meaning: {zh: 购买时刻, en: Time of purchase}}
  paid: {type: bool, meaning: {zh: 已付, en: Paid}}
"""
OPTIONAL = """\
  rides: {type: number, at_least: 0, at_most: 9, optional: true, meaning: {zh: 次数, en: Rides}}
  note: {type: text, optional: true, meaning: {zh: 备注, en: Note}}
  ended_at: {type: instant, optional: true, meaning: {zh: 结束时刻, en: End}}
  old: {type: bool, optional: true, meaning: {zh: 高龄, en: Old}}
"""
REST = """\
result: [none, half, free]
strategy: STRATEGY
parameters:
  lasts:
    - {from: 2020-01-01, value: 2d, source: "[S] order 1"}
    - {from: 2023-01-01, value: 3d, source: "[S] order 2"}
  kinds: [{from: 2020-01-01, value: [day, week], source: "[S] order 1"}]
  late: [{from: 2020-01-01, value: 20, source: "[S] order 1"}]
rules:
"""
PLAIN = {
    "late": "facts.minutes >= late && !(facts.paid && facts.kind in kinds)",
    "fresh": "now - facts.bought_at < lasts && facts.bought_at <= now || facts.minutes + 5 > 100",
    "day": 'facts.kind == "day" ? facts.minutes != 30 : facts.bought_at > timestamp("2022-02-28T00:00:00Z")',
}
WITH_OPTIONAL = {
    "rides": "has(facts.rides) && facts.rides < 3 || !has(facts.rides)",
    "note": 'has(facts.note) && facts.note != "x" && facts.paid',
    "ended": "has(facts.ended_at) ? now < facts.ended_at + duration('36h') : facts.kind != 'day'",
    "old": "has(facts.old) && !facts.old",
}


def module_text(conditions: dict[str, str], strategy: str = "first", *, optional: bool = False) -> str:
    rules = [
        f"  - id: {name}\n    from: 2020-01-01\n    when: >-\n      {when}\n    then: {('half', 'free')[place % 2]}\n"
        f'    because: {{zh: 符合{name}, en: It is {name}}}\n    source: "[S] order 1"\n'
        for place, (name, when) in enumerate(conditions.items())
    ]
    head = HEAD + (OPTIONAL if optional else "")
    rest = REST.replace("STRATEGY", strategy)
    return head + rest + "".join(rules) + "otherwise: {then: none, because: {zh: 不符合, en: None}}\n"


def rulebook_of(text: str, name: str = NAME) -> tuple[Rulebook, SourceFile]:
    file = SourceFile(f"{name.replace('.', '/')}.yaml", text, [])
    return make_rulebook({name: file}, [], ZONE), file


def random_given(random: Random, *, optional: bool) -> dict[str, Any]:
    """Return random facts as JSON has them."""

    def instant() -> str:
        return (DAY + timedelta(hours=random.randint(-120, 24))).isoformat().replace("+00:00", "Z")

    given: dict[str, Any] = {
        "minutes": random.choice([0, 19, 20, 30, 95, 96, 300]),
        "kind": random.choice(["day", "week", "year"]),
        "bought_at": instant(),
        "paid": random.random() < 0.5,
    }
    more = {
        "rides": random.randint(0, 4),
        "note": random.choice(["", "x", "y"]),
        "ended_at": instant(),
        "old": random.random() < 0.5,
    }
    return given | ({key: value for key, value in more.items() if random.random() < 0.6} if optional else {})


def facts_of(rulebook: Rulebook, name: str, given: dict[str, Any]) -> Struct:
    return msgspec.convert(given, rulebook.modules[name].facts)


@pytest.mark.parametrize("optional", [False, True], ids=["all facts given", "some facts absent"])
def test_certlogic_decides_on_an_exported_condition_as_we_do_and_so_does_its_import(*, optional: bool) -> None:
    rulebook, file = rulebook_of(module_text(PLAIN | (WITH_OPTIONAL if optional else {}), optional=optional))
    rules = write_certlogic(rulebook.modules[NAME], rulebook.law(NAME, DAY), file)
    assert rules is not None, file.faults
    back: list[tuple[str, Rulebook]] = []
    for rule in rules:
        source = SourceFile("rule.json", msgspec.json.encode(rule).decode(), [])
        made = read_certlogic(source, {})
        assert made is not None, source.faults
        back.append((made.name, rulebook_of(made.text(), made.name)[0]))
    random, fired = Random(7), set[str]()
    for _ in range(200):
        given = random_given(random, optional=optional)
        data = {"payload": given, "external": {"validationClock": "2022-03-01T12:00:00Z"}}
        verdict = rulebook.evaluate(NAME, facts_of(rulebook, NAME, given), DAY)
        fired |= set(verdict.fired)
        for (name, book), rule, ours in zip(back, rules, rulebook.modules[NAME].rules, strict=True):
            expected = ours.id in verdict.fired
            assert certlogic_oracle.passes(rule["Logic"], data) is expected, (ours.id, given)
            again = book.evaluate(name, facts_from(book.modules[name].facts, data), DAY).result
            assert (again == "accepted") is expected, (ours.id, given)
    assert fired == {rule.id for rule in rulebook.modules[NAME].rules}


@pytest.mark.parametrize("strategy", ["first", "most_severe"])
def test_a_policy_decides_as_the_module_it_was_exported_from(strategy: str) -> None:
    bounded = PLAIN["fresh"].replace(
        "facts.minutes + 5 > 100", "facts.minutes > 95"
    )  # a policy's numbers have no bounds
    rulebook, file = rulebook_of(module_text(PLAIN | {"fresh": bounded}, strategy))
    written = write_cel_policy(rulebook.modules[NAME], rulebook.law(NAME, DAY), file)
    assert written is not None, file.faults
    policy, config = (
        SourceFile(name, text, []) for name, text in zip(("policy.yaml", "config.yaml"), written, strict=True)
    )
    made = read_cel_policy(policy, config, DAY.date() - timedelta(days=9))
    assert made is not None, policy.faults + config.faults
    again = rulebook_of(made.text(), made.name)[0]
    random, results = Random(8), set[str]()
    for _ in range(200):
        given = random_given(random, optional=False)
        result = rulebook.evaluate(NAME, facts_of(rulebook, NAME, given), DAY).result
        results.add(result)
        assert again.evaluate(made.name, facts_of(again, made.name, given), DAY).result == result, given
    assert results == {"none", "half", "free"}


@pytest.mark.parametrize(
    ("when", "shown"),
    [
        ("age(facts.bought_at, now) >= 3", "age("),
        ('facts.kind.startsWith("d")', "facts.kind"),
        ("now - facts.bought_at < duration('90m')", "now - "),
        ("facts.minutes * 2 > 40", "facts.minutes"),
    ],
    ids=["age", "a part of a text", "half hours", "a product"],
)
def test_what_certlogic_cannot_express_is_refused_at_its_place(when: str, shown: str) -> None:
    rulebook, file = rulebook_of(module_text({"late": when}))
    assert write_certlogic(rulebook.modules[NAME], rulebook.law(NAME, DAY), file) is None
    (fault,) = file.faults
    assert fault.code in ("R121", "R122")
    assert file.text.split("\n")[fault.location.line - 1][fault.location.column - 1 :].startswith(shown)


@pytest.mark.parametrize("when", ["age(facts.bought_at, now) >= 3", "has(facts.old) && facts.old"], ids=["age", "has"])
def test_what_a_policy_cannot_express_is_refused_at_its_place(when: str) -> None:
    rulebook, file = rulebook_of(module_text({"late": when}, optional=True))
    assert write_cel_policy(rulebook.modules[NAME], rulebook.law(NAME, DAY), file) is None
    assert {fault.code for fault in file.faults} <= {"R121", "R122"}
    assert file.text.split("\n")[file.faults[0].location.line - 1].strip() == when


def test_rules_that_are_added_up_are_no_policy() -> None:
    text = module_text({"late": "facts.minutes >= late"}, "collect")
    rulebook, file = rulebook_of(text)
    assert write_cel_policy(rulebook.modules[NAME], rulebook.law(NAME, DAY), file) is None
    assert [fault.code for fault in file.faults] == ["R121"]
