"""A module that passes the checks cannot fail: rules that once did, each by its cause."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, make_rulebook
from tests.rulebook.tram import CITY

NOW = datetime(2024, 5, 1, tzinfo=UTC)
CENTURY = "parameters: {cent: [{from: 2020-01-01, value: 36500d, source: s}]}\n"


class Thing(Struct, frozen=True):
    """A thing that happened."""

    kind: Literal["a", "b"]
    at: datetime
    until: datetime | None = None


class Home(Struct, frozen=True):
    """A home."""

    kind: Literal["a", "b"]


class Facts(Struct, frozen=True):
    """Facts of which several may be absent."""

    born_at: datetime
    years: Annotated[int, Meta(ge=0, le=100)] = 0
    count: int | None = None
    home: Home | None = None
    left_at: datetime | None = None
    things: tuple[Thing, ...] = ()
    others: tuple[Thing, ...] = ()


def book(when: str, *, facts: str = "Facts", parameters: str = "") -> Rulebook:
    text = (
        f"module: m\ntitle: {{zh: 甲, en: A}}\nfacts: {facts}\nresult: [silent, fires]\nstrategy: first\n{parameters}"
        f"rules:\n  - {{id: only, from: 2020-01-01, when: '{when}', then: fires,\n"
        "     because: {zh: 甲, en: A}, source: s}\n"
        "otherwise: {then: silent, because: {zh: 乙, en: B}}\n"
    )
    return make_rulebook({"m": SourceFile("m.yaml", text, [])}, [Facts], CITY)


def agreed(rulebook: Rulebook, facts: Struct) -> str:
    """Return what the fused function and the explainer both decide."""
    result: str = rulebook.evaluate("m", facts, NOW).result
    ((_, step),) = rulebook.explain("m", facts, NOW)
    assert result == ("fires" if step.value else "silent")
    return result


GUARDED_OUTSIDE = {
    "an-inner-list": (
        "facts.things.exists(t, has(facts.home) && facts.others.exists(o, o.kind == facts.home.kind && o.at > t.at))"
    ),
    "a-test-repeated-inside": (
        'has(facts.count) && facts.things.exists(t, facts.count > 3 && (has(facts.count) || t.kind == "a"))'
    ),
    "a-limit-beside-its-guard": (
        "facts.things.exists(t, facts.others.exists(o, has(facts.left_at) && o.at > facts.left_at))"
    ),
}


@pytest.mark.parametrize("when", GUARDED_OUTSIDE.values(), ids=GUARDED_OUTSIDE)
def test_a_test_of_a_list_is_not_made_before_the_guard_around_it(when: str) -> None:
    rulebook = book(when)
    things = (Thing("a", NOW - timedelta(days=2)),)
    absent = Facts(NOW, things=things, others=(Thing("a", NOW),))
    assert agreed(rulebook, absent) == "silent"
    present = Facts(NOW, 0, 4, Home("a"), NOW - timedelta(days=1), things, (Thing("a", NOW),))
    assert agreed(rulebook, present) == "fires"


TOO_FAR = {
    "millennia-later": f"now {'+ cent ' * 20} > facts.born_at",
    "an-age-millennia-later": f"age(facts.born_at, now {'+ cent ' * 20}) > facts.years - 5",
    "an-age-before-the-calendar": f"age(facts.born_at, now {'- cent ' * 12}) >= facts.years - 5",
}


@pytest.mark.parametrize("when", TOO_FAR.values(), ids=TOO_FAR)
def test_a_comparison_that_changes_outside_the_calendar_is_refused(when: str) -> None:
    with pytest.raises(InvalidRulebook, match="can fail"):
        book(when, parameters=CENTURY)


@pytest.mark.parametrize("name", ["class", "from", "is", "async", "lambda", "declared", "changes", "match"])
def test_a_declared_fact_may_be_called_as_python_calls_something(name: str) -> None:
    inner = f"{{{name}: {{type: bool, optional: true, meaning: {{zh: 甲, en: A}}}}}}"
    rulebook = book(
        f"facts.{name} && facts.list.exists(each, has(each.{name}) && each.{name})",
        facts=f"{{{name}: {{type: bool, meaning: {{zh: 甲, en: A}}}}, "
        f"list: {{type: records, meaning: {{zh: 乙, en: B}}, fields: {inner}}}}}",
    )
    facts = rulebook.modules["m"].facts
    for value, result in ((True, "fires"), (False, "silent")):
        listed = [{name: value}, {}]
        agreed_on = agreed(rulebook, msgspec.convert({name: True, "list": listed}, facts))
        assert agreed_on == result


@pytest.mark.parametrize("name", ["e1", "e2", "f1", "b2", "x1", "m1"])
def test_a_parameter_may_be_called_as_generated_code_calls_something(name: str) -> None:
    facts = Facts(NOW, things=(Thing("a", NOW - timedelta(days=1)),))
    parameters = f"parameters: {{{name}: [{{from: 2020-01-01, value: a, source: s}}]}}\n"
    assert (
        agreed(book(f"facts.things.exists(t, t.kind == {name} && t.at < now)", parameters=parameters), facts) == "fires"
    )


@pytest.mark.parametrize("name", ["e1", "e2", "e3", "e4"])
def test_an_element_may_be_called_as_generated_code_calls_another(name: str) -> None:
    facts = Facts(NOW, things=(Thing("a", NOW - timedelta(days=1)),), others=(Thing("b", NOW),))
    when = f'facts.things.exists(t, facts.others.exists({name}, {name}.kind != t.kind) && t.kind == "a")'
    assert agreed(book(when), facts) == "fires"
