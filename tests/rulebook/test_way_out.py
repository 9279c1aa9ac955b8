"""The smallest way out is the one that brute force finds, for small modules of every strategy."""

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as some

from backend.rulebook import InvalidRulebook
from backend.rulebook.explanation.way_out import WayOut, find_way_out
from tests.draws import draws
from tests.rulebook.errands import (
    HOUR,
    HOURS,
    NOON,
    TICK,
    Errand,
    Note,
    Visit,
    earliest_by_size,
    rulebook,
)

SIGNS = some.sampled_from(["<", "<=", ">", ">=", "==", "!="])
KINDS = some.sampled_from(["a", "b"])
SPANS = some.integers(0, 3).map(lambda hours: f'duration("{hours}h")')

ENDED_WITHOUT_NOTE = (
    'facts.visits.exists(v, has(v.ended_at) && !facts.notes.exists(n, n.kind == "{}" && n.at {} v.ended_at))'
)


def atoms() -> some.SearchStrategy[str]:
    return some.one_of(
        some.builds('facts.notes.exists(n, n.kind == "{}" && now - n.at {} {})'.format, KINDS, SIGNS, SPANS),
        some.builds("facts.notes.exists(n, facts.notes.exists(m, m.at - n.at {} {}))".format, SIGNS, SPANS),
        some.builds("facts.visits.exists(v, !has(v.ended_at) || now - v.ended_at {} {})".format, SIGNS, SPANS),
        some.builds(ENDED_WITHOUT_NOTE.format, KINDS, SIGNS),
        some.builds('facts.debts.exists(d, d.kind == "{}" && now - d.at {} {})'.format, KINDS, SIGNS, SPANS),
        some.builds("size(facts.notes) {} {}".format, SIGNS, some.integers(0, 3)),
        some.builds("facts.points {} {}".format, SIGNS, some.integers(0, 6)),
        some.builds('now {} timestamp("2024-05-01T1{}:00:00Z")'.format, SIGNS, some.integers(2, 6)),
    )


def conditions() -> some.SearchStrategy[str]:
    return some.recursive(
        atoms(),
        lambda inner: (
            some.builds("({} && {})".format, inner, inner)
            | some.builds("({} || {})".format, inner, inner)
            | some.builds("!({})".format, inner)
        ),
        max_leaves=3,
    )


PAST = some.integers(-3, 0).map(lambda hours: NOON + hours * HOUR)
FACTS = some.builds(
    Errand,
    notes=some.lists(some.builds(Note, kind=KINDS, at=PAST), max_size=2).map(
        lambda notes: tuple(sorted(notes, key=lambda note: note.at))
    ),
    visits=some.lists(some.builds(Visit, began_at=PAST, ended_at=some.none() | PAST), max_size=2).map(tuple),
    debts=some.lists(some.builds(Note, kind=KINDS, at=PAST), max_size=1).map(tuple),
    points=some.integers(0, 6),
)

STRATEGIES = {
    "most_severe": ("[mild, middle, severe]", ["middle", "severe"], "mild"),
    "first": ("[mild, middle, severe]", ["mild", "middle", "severe"], "middle"),
    "unique": ("[mild, middle, severe]", ["mild", "middle", "severe"], "middle"),
    "sum": ("{at_least: -5, at_most: 5}", ["-3", "-1", "2"], "0"),
    "collect": ("[nothing, one, two]", ["one", "two"], "nothing"),
}


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_the_smallest_way_out_is_the_one_that_brute_force_finds(strategy: str, tmp_path: Path) -> None:
    result, words, otherwise = STRATEGIES[strategy]
    rules = some.lists(some.tuples(conditions(), some.sampled_from(words)), min_size=1, max_size=3)

    @settings(
        max_examples=draws(16, soak=400),
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(rules, FACTS)
    def compare(rules: list[tuple[str, str]], facts: Errand) -> None:
        if strategy == "unique":
            rules = [
                (" && ".join([f"({when})", *(f"!({one})" for one, _ in rules[:n])]), then)
                for n, (when, then) in enumerate(rules)
            ]
        try:
            book = rulebook(strategy, result, rules, otherwise, tmp_path)
        except InvalidRulebook:  # a rule that can never fire
            reject()
        found = find_way_out(book, "errand", facts, NOON)
        agree(found, earliest_by_size(book, facts, 2))

    compare()


def agree(found: WayOut, by_size: list[datetime | None]) -> None:
    """Compare a way out with the earliest instant for each number of changes, as far as the grid goes."""
    end = NOON + HOURS * HOUR + 2 * TICK
    waiting = by_size[0]
    if found.kind == "best":
        assert by_size == [None, None, None]
        return
    assert waiting == (found.waiting.at if found.waiting is not None and found.waiting.at <= end else None)
    sizes = {len(way.changes): way.verdict.at for way in (*found.ways, *found.sooner)}
    smallest, last = min(sizes, default=None), waiting
    for size, at in enumerate(by_size[1:], 1):
        better = at if at is not None and (last is None or at < last) else None
        if smallest is None or size < smallest:
            assert better is None, f"{size} changes suffice at {better}"
        elif size in sizes and sizes[size] <= end:
            assert better == sizes[size]
        else:
            assert better is None or (last is not None and last <= better), f"{size} changes are earlier: {better}"
        last = min(last, better) if last is not None and better is not None else last or better
