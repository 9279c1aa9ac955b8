"""Explanations by example, for each strategy, and what services declare as changes."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook.explanation.candidates import Candidate
from backend.rulebook.explanation.changes import Change, changes_of, type_at
from backend.rulebook.explanation.explanation import explain_verdict
from backend.rulebook.explanation.way_out import WayOut, find_way_out
from backend.rulebook.language.types import fields_of
from backend.rulebook.needs import facts_of
from tests.rulebook.errands import HOUR, NOON, TICK, Errand, Note, Visit, rulebook

NOTES = (Note("b", NOON), Note("a", NOON))
WORDS = "[mild, middle, severe]"


Rules = list[tuple[str, str]]


def way_out(strategy: str, result: str, rules: Rules, otherwise: str, facts: Errand, wanted: Any = None) -> WayOut:  # noqa: ANN401  a word or a number
    return find_way_out(rulebook(strategy, result, rules, otherwise, Path()), "errand", facts, NOON, wanted=wanted)


def changed(candidates: tuple[Candidate, ...]) -> list[tuple[str, int | None, Any]]:
    return [(one.change.path, one.element, one.value) for one in candidates]


# ── one example for each strategy ──


def test_most_severe_needs_every_severe_rule_to_stop() -> None:
    rules = [("facts.points < 3", "severe"), ("facts.debts.exists(d, d.kind == 'a')", "severe"), ("true", "middle")]
    found = way_out("most_severe", WORDS, rules, "mild", Errand(debts=(Note("a", NOON),)))
    (way,) = found.ways
    assert (found.kind, found.proved, way.verdict.result, way.verdict.at) == ("change", True, "middle", NOON)
    assert changed(way.changes) == [("points", None, 3), ("debts", 0, None)]


def test_the_first_rule_that_fires_is_the_one_to_stop_or_to_precede() -> None:
    rules = [("facts.points >= 5", "mild"), ("facts.visits.exists(v, !has(v.ended_at))", "severe")]
    found = way_out("first", WORDS, rules, "middle", Errand(visits=(Visit(NOON - HOUR),)))
    assert [(changed(way.changes), way.verdict.result) for way in found.ways] == [
        ([("visits.ended_at", 0, NOON)], "middle"),
        ([("points", None, 5)], "mild"),
    ]


def test_a_unique_rule_gives_way_to_another() -> None:
    rules = [("facts.points < 2", "severe"), ("facts.points >= 2 && facts.points < 4", "middle")]
    found = way_out("unique", WORDS, rules, "mild", Errand())
    assert [(changed(way.changes), way.verdict.result) for way in found.ways] == [
        ([("points", None, 2)], "middle"),
        ([("points", None, 4)], "mild"),
    ]


def test_a_sum_grows_by_a_part_that_is_added_or_a_deduction_that_ends() -> None:
    rules = [("facts.points >= 4", "2"), ("size(facts.debts) > 0", "-3")]
    found = way_out("sum", "{at_least: -5, at_most: 5}", rules, "0", Errand(debts=(Note("a", NOON),)))
    assert [(changed(way.changes), way.verdict.result) for way in found.ways] == [
        ([("debts", 0, None)], 0),
        ([("points", None, 4)], -1),
    ]
    most = way_out("sum", "{at_least: -5, at_most: 5}", rules, "0", Errand(debts=(Note("a", NOON),)), wanted=2)
    assert [len(way.changes) for way in most.ways] == [2]


def test_a_collection_gets_better_by_losing_a_word() -> None:
    rules = [("facts.points < 3", "one"), ("size(facts.notes) == 0", "two")]
    found = way_out("collect", "[nothing, one, two]", rules, "nothing", Errand())
    assert {way.verdict.result for way in found.ways} == {("two",), ("one",)}
    none_left = way_out("collect", "[nothing, one, two]", rules, "nothing", Errand(), wanted="nothing")
    assert [len(way.changes) for way in none_left.ways] == [2]


# ── instants ──


def test_the_earliest_instant_may_need_a_note_in_the_future() -> None:
    rules = [("!facts.notes.exists(n, facts.notes.exists(m, m.at - n.at > duration('2h')))", "severe")]
    (way,) = way_out("first", WORDS, rules, "mild", Errand(notes=(Note("a", NOON - HOUR),))).ways
    assert [one.at for one in way.changes] == [NOON + HOUR + TICK]
    assert way.verdict.at == NOON + HOUR + TICK


def test_time_alone_is_proved_for_any_number_of_changes() -> None:
    found = way_out("first", WORDS, [("now < timestamp('2024-06-01T00:00:00Z')", "severe")], "mild", Errand())
    assert (found.kind, found.proved, found.searched) == ("time", True, 0)
    assert found.waiting is not None
    assert found.waiting.at == datetime.fromisoformat("2024-06-01T00:00:00Z")


def test_that_nothing_helps_is_proved_if_no_change_touches_the_rule() -> None:
    rules = [("facts.visits.exists(v, v.began_at < now)", "severe")]
    found = way_out("first", WORDS, rules, "mild", Errand(visits=(Visit(NOON - HOUR, NOON - HOUR),)))
    assert (found.kind, found.proved) == ("nothing", True)


def test_what_needs_four_changes_is_unknown_and_not_impossible() -> None:
    found = way_out("first", WORDS, [("size(facts.notes) < 4", "severe")], "mild", Errand())
    assert (found.kind, found.proved, found.searched) == ("unknown", False, 3)


def test_a_form_that_is_not_understood_is_tried_and_not_called_proved() -> None:
    rules = [("!facts.notes.exists(n, n.at.getHours() == 12)", "severe")]
    found = way_out("first", WORDS, rules, "mild", Errand())
    assert (found.kind, found.proved) == ("change", False)


def test_the_search_ends_in_time_and_says_that_it_is_not_proved() -> None:
    rules = [("size(facts.notes) < 3", "severe")]
    book = rulebook("first", WORDS, rules, "mild", Path())
    found = find_way_out(book, "errand", Errand(), NOON, seconds=0.0)
    assert (found.kind, found.proved) == ("unknown", False)


# ── reasons ──


def reasons(when: str, facts: Errand) -> list[tuple[str, bool, dict[str, Any]]]:
    book = rulebook("first", WORDS, [("true", "middle"), (when, "severe")], "mild", Path())
    (other,) = explain_verdict(book, "errand", facts, NOON).others
    return [(reason.text, reason.holds, reason.values) for reason in other.reasons]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("facts.points > 2 && size(facts.notes) > 9", [("facts.points > 2", False, {"facts.points": 1})]),
        (
            "facts.points > 2 || facts.points == 6",
            [
                ("facts.points > 2", False, {"facts.points": 1}),
                ("facts.points == 6", False, {"facts.points": 1}),
            ],
        ),
        ("!(facts.points < 2)", [("facts.points < 2", True, {"facts.points": 1})]),
        ("facts.debts.exists(d, d.kind == 'a')", [("facts.debts", False, {})]),
        (
            "facts.notes.exists(n, n.kind == 'a' && n.at < now)",
            [("n.at < now", False, {"n.at": NOON, "now": NOON})],
        ),
        (
            "size(facts.notes) == 5",
            [("size(facts.notes) == 5", False, {"facts.notes": (Note("b", NOON), Note("a", NOON))})],
        ),
    ],
    ids=["the first that failed", "both alternatives", "a negation", "an empty list", "the nearest element", "a size"],
)
def test_a_rule_that_did_not_fire_names_the_operand_that_failed(
    when: str, expected: list[tuple[str, bool, dict[str, Any]]]
) -> None:
    assert reasons(when, Errand(notes=NOTES, points=1)) == expected


# ── what services declare ──

DECLARED = {
    f"{struct.__name__}.{number}.{change.path}": (struct, change)
    for struct in facts_of(rule_modules_of(discover_services()))
    for number, change in enumerate(changes_of(struct))
}


def values_of(struct: type[Struct], change: Change) -> Iterator[tuple[Any, Any]]:
    """Yield each declared value with the type of its field."""
    kind = type_at(struct, change.names)[0]
    for name, values in change.fields.items():
        element = kind.element.struct if kind.element is not None else None
        field = kind if name == "" or element is None else fields_of(element)[name].type
        yield from ((value, field) for value in values)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_declared_change_fits_the_facts(name: str) -> None:
    struct, change = DECLARED[name]
    kind, _ = type_at(struct, change.names)
    assert change.what.zh
    assert change.what.en
    assert (kind.element is not None) == (change.act in ("add", "remove", "add_daily"))
    for value, field in values_of(struct, change):
        assert field.words is None or value in field.words
        assert field.kind != "int" or field.low <= value <= field.high
    words = {word for field in [kind, *_element_fields(kind.element)] for word in field.words or ()}
    assert change.words.keys() <= words


def _element_fields(element: Any) -> list[Any]:  # noqa: ANN401  a type of the language, or None
    return [] if element is None or element.struct is None else [one.type for one in fields_of(element.struct).values()]


def test_what_cannot_be_undone_is_not_declared() -> None:
    names = {name.rpartition(".")[2] for name in DECLARED}
    assert not names & {"born_at", "adult_at", "senior_at", "contacts", "symptoms", "entries", "breaches"}
    assert msgspec.json.encode(sorted(names))
