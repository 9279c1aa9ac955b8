"""Small rule modules about errands, and the smallest way out of them by brute force."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook import Rulebook, SourceFile, make_rulebook
from backend.rulebook.explanation.changes import Change
from backend.rulebook.explanation.way_out import Goal

HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOURS = 5
"""Brute force tries whole hours up to this one, each with the two microseconds after it."""


def same(text: str) -> Text:
    return Text(zh=text, en=text)


class Note(Struct, frozen=True):
    """A note of a kind."""

    kind: Literal["a", "b"]
    at: datetime


class Visit(Struct, frozen=True):
    """A visit, and its end once it has ended."""

    began_at: datetime
    ended_at: datetime | None = None


class Errand(Struct, frozen=True):
    """Facts that change in every way."""

    changes: ClassVar[tuple[Change, ...]] = (
        Change(what=same("note"), path="notes", act="add"),
        Change(what=same("end"), path="visits.ended_at", act="set"),
        Change(what=same("gain"), path="points", act="set", direction="up"),
        Change(what=same("drop"), path="debts", act="remove"),
    )

    notes: tuple[Note, ...] = ()
    visits: tuple[Visit, ...] = ()
    debts: tuple[Note, ...] = ()
    points: Annotated[int, Meta(ge=0, le=6)] = 0


RULE = """\
  - id: rule-{number}
    from: 2020-01-01
    when: >-
      {when}
    then: {then}
    because: {{zh: 甲, en: A}}
    source: "[S] test"
"""


def rulebook(strategy: str, result: str, rules: list[tuple[str, str]], otherwise: str, folder: Path) -> Rulebook:
    """Return a module of rules, each a condition and a result."""
    text = f"module: errand\ntitle: {{zh: 甲, en: A}}\nfacts: Errand\nresult: {result}\nstrategy: {strategy}\nrules:\n"
    text += "".join(RULE.format(number=number, when=when, then=then) for number, (when, then) in enumerate(rules))
    text += f"otherwise: {{then: {otherwise}, because: {{zh: 乙, en: B}}}}\n"
    file = SourceFile(str(folder / "errand.yaml"), text, [])
    return make_rulebook({"errand": file}, [Errand], ZoneInfo("Asia/Shanghai"))


def instants() -> list[datetime]:
    return [NOON + hour * HOUR + tick * TICK for hour in range(HOURS + 1) for tick in range(3)]


Edit = tuple[str, Any, Any, datetime]


def edits(facts: Errand) -> Iterator[Edit]:
    """Yield every single change on the grid: what, which, the value, and when."""
    for at in instants():
        for kind in ("a", "b"):
            yield "note", None, Note(kind, at), at
        for number, visit in enumerate(facts.visits):
            if visit.ended_at is None:
                yield "end", number, at, at
    for points in range(facts.points + 1, 7):
        yield "points", None, points, NOON
    for number, _ in enumerate(facts.debts):
        yield "debt", number, None, NOON


def edited(facts: Errand, chosen: tuple[Edit, ...]) -> Errand | None:
    """Return the facts after these changes; None if two of them change the same."""
    slots = [(what, which) for what, which, _, _ in chosen if what != "note"]
    if len(set(slots)) < len(slots):
        return None
    gone = {which for what, which, _, _ in chosen if what == "debt"}
    for what, which, value, _ in chosen:
        if what == "note":
            facts = replace(facts, notes=tuple(sorted((*facts.notes, value), key=lambda note: note.at)))
        elif what == "points":
            facts = replace(facts, points=value)
        elif what == "end":
            visit = replace(facts.visits[which], ended_at=value)
            facts = replace(facts, visits=(*facts.visits[:which], visit, *facts.visits[which + 1 :]))
    return replace(facts, debts=tuple(debt for number, debt in enumerate(facts.debts) if number not in gone))


def earliest_by_size(book: Rulebook, facts: Errand, sizes: int) -> list[datetime | None]:
    """Return the earliest instant of the grid at which a set of 0, 1, ... changes gives a better result."""
    evaluator = book.evaluator("errand")
    law = evaluator.law_at(NOON, None)
    goal = Goal(evaluator.module, "first", book.evaluate("errand", facts, NOON).result)
    found: list[datetime | None] = []
    for size in range(sizes + 1):
        best: datetime | None = None
        for chosen in combinations_with_replacement(list(edits(facts)), size):
            changed = edited(facts, chosen)
            begin = max((at for *_, at in chosen), default=NOON)
            if changed is None or (best is not None and begin >= best):
                continue
            for at in instants():
                if at < begin or (best is not None and at >= best):
                    continue
                if goal.reached(evaluator.outcome(law, law.decide(changed, at)[0]).result):
                    best = at
                    break
        found.append(best)
    return found
