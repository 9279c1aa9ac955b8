"""The report of a preview: what approvers and authors read, as Structs for JSON."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, field

from backend.i18n import Text
from backend.rulebook.preview.comparison import Comparison
from backend.rulebook.preview.districts import DistrictCount, district_counts
from backend.rulebook.preview.possible import Best, PartlyKnown
from backend.rulebook.preview.tally import Cell, Edition, Tally, shown_result

SAMPLES = 20

Means = Literal["columns", "objects"]
"""How people were decided: by machine code over columns, or one after the other."""


class MatrixCell(Struct, frozen=True):
    """People who have one result under the rules in force and another, or the same, under the draft."""

    old: str | int
    new: str | int
    people: int


class RuleChange(Struct, frozen=True):
    """People whose result changes, by the rules that decide under the two editions."""

    old_rule: str
    new_rule: str
    old: str | int
    new: str | int
    people: int


class GroupCount(Struct, frozen=True):
    """The people of a group, and how many of them have a worse or a better result under the draft."""

    group: str
    people: int
    worse: int
    better: int
    again: int


class DayCount(Struct, frozen=True):
    """How many people have each result on a later day if nothing else happens, under both editions.

    `worse` and `better` are those for whom the draft's result differs on that day; older reviews do not say it.
    """

    day: int
    at: datetime
    old: dict[str, int]
    new: dict[str, int]
    worse: int | None = None
    better: int | None = None


class LaterLaw(Struct, frozen=True):
    """People whose results differ at the instant at which a law begins that is dated ahead.

    The sums are in fen, if the results are. Older reviews have the number of people alone.
    """

    begins_at: datetime
    people: int
    worse: int | None = None
    better: int | None = None
    old_sum: int | None = None
    new_sum: int | None = None


class Explained(Struct, frozen=True):
    """What one edition decides for a person, and why; it changes at `changes_at` with the same facts."""

    result: str | int
    rule: str
    because: Text
    remedy: Text | None
    changes_at: datetime | None


class Sample(Struct, frozen=True):
    """A person whose result changes, by the id of their document, which is random and names nobody."""

    id: str
    group: str
    again: bool
    old: Explained
    new: Explained


class OpenFact(Struct, frozen=True):
    """A fact that is asked of people or of a register when they claim, and for how many people it is not known."""

    name: str
    people: int


class ModulePreview(Struct, frozen=True, kw_only=True):
    """What a draft changes by one module.

    `again` are people who become worse off than they are, and who were at least as badly off once before. Of a module
    that `is_new` or `is_removed`, the other edition gives 0 to everybody. Results `in_yuan` are in fen, and are added
    up; `budget_fen` is what the draft's terms allow in a calendar year.

    For `unanswered` people the draft's result depends on facts that no record has, the `open_facts`: under both
    editions they are counted with the best result that some answers could give.
    """

    module: str
    title: Text
    people: int
    by: Means
    changed: int
    worse: int
    better: int
    again: int
    matrix: list[MatrixCell]
    rules: list[RuleChange]
    group_title: Text
    groups: list[GroupCount]
    districts: list[DistrictCount] = field(default_factory=list[DistrictCount])
    days: list[DayCount]
    later: list[LaterLaw]
    samples: list[Sample]
    is_new: bool = False
    is_removed: bool = False
    in_yuan: bool = False
    old_sum: int | None = None
    new_sum: int | None = None
    budget_fen: int | None = None
    unanswered: int = 0
    open_facts: list[OpenFact] = field(default_factory=list[OpenFact])


class NotPreviewed(Struct, frozen=True):
    """A module that differs and of which nothing can be previewed."""

    module: str
    reason: Text


class PreviewReport(Struct, frozen=True, kw_only=True):
    """What a draft would change for everybody at an instant; nobody was changed by asking.

    Everything that was stored by `as_of` is counted; reviews of earlier editions do not say it, nor the districts.
    """

    old: str
    new: str
    at: datetime
    as_of: datetime | None = None
    seconds: float
    modules: list[ModulePreview]
    not_previewed: list[NotPreviewed]


def module_preview(
    comparison: Comparison,
    tally: Tally,
    means: Means,
    samples: list[Sample],
    group_title: Text,
    district_name: Callable[[str], str],
) -> ModulePreview:
    """Return the report of one module."""
    kinds: dict[Cell, str] = {cell: comparison.kind(cell.old, cell.new) for cell in tally.cells}
    counts: Counter[str] = Counter()
    for cell, people in tally.cells.items():
        counts[kinds[cell]] += people
    subject, in_yuan = comparison.subject, comparison.new.module.in_yuan
    _, law = comparison.laws(subject.at)
    return ModulePreview(
        module=subject.module,
        title=comparison.new.module.title,
        people=tally.people,
        by=means,
        changed=sum(people for cell, people in tally.cells.items() if cell.old.result != cell.new.result),
        worse=counts["worse"],
        better=counts["better"],
        again=sum(people for cell, people in tally.cells.items() if cell.again),
        matrix=_matrix(comparison, tally),
        rules=_rules(tally),
        group_title=group_title,
        groups=_groups(tally, kinds),
        districts=district_counts(tally.districts, district_name),
        days=_days(comparison, tally),
        later=_later(comparison, tally),
        samples=samples,
        is_new=subject.module not in subject.old.texts,
        is_removed=subject.module not in subject.new.texts,
        in_yuan=in_yuan,
        old_sum=_sum(tally, lambda cell: cell.old.result) if in_yuan else None,
        new_sum=_sum(tally, lambda cell: cell.new.result) if in_yuan else None,
        budget_fen=getattr(law.terms, "budget_fen", None),
        unanswered=tally.unanswered[""],
        open_facts=[OpenFact(name, people) for name, people in sorted(tally.unanswered.items()) if name],
    )


def _sum(tally: Tally, result: Callable[[Cell], str | int]) -> int:
    return sum(number * people for cell, people in tally.cells.items() if isinstance(number := result(cell), int))


def _order(edition: Edition) -> Callable[[str | int], tuple[int, str]]:
    words = list(edition.module.result) if not edition.module.numeric else []

    def key(result: str | int) -> tuple[int, str]:
        if isinstance(result, int):
            return result, ""
        return (words.index(result) if result in words else len(words)), result

    return key


def _matrix(comparison: Comparison, tally: Tally) -> list[MatrixCell]:
    counts: Counter[tuple[str | int, str | int]] = Counter()
    for cell, people in tally.cells.items():
        counts[cell.old.result, cell.new.result] += people
    old, new = _order(comparison.old), _order(comparison.new)
    pairs = sorted(counts, key=lambda pair: (old(pair[0]), new(pair[1])))
    return [MatrixCell(*pair, counts[pair]) for pair in pairs]


def _rules(tally: Tally) -> list[RuleChange]:
    counts: Counter[tuple[str, str, str | int, str | int]] = Counter()
    for cell, people in tally.cells.items():
        if cell.old.result != cell.new.result:
            counts[cell.old.rule, cell.new.rule, cell.old.result, cell.new.result] += people
    return [
        RuleChange(*key, people) for key, people in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    ]


def _groups(tally: Tally, kinds: dict[Cell, str]) -> list[GroupCount]:
    people: Counter[str] = Counter()
    again: Counter[str] = Counter()
    changes: Counter[tuple[str, str]] = Counter()
    for cell, number in tally.cells.items():
        people[cell.group] += number
        again[cell.group] += number * cell.again
        changes[cell.group, kinds[cell]] += number
    return [
        GroupCount(group, people[group], changes[group, "worse"], changes[group, "better"], again[group])
        for group in sorted(people, key=_natural)
    ]


def _natural(name: str) -> tuple[int, str]:
    first = name.partition("-")[0].removesuffix("+")
    return (int(first) if first.isdigit() else 10**6), name


def _days(comparison: Comparison, tally: Tally) -> list[DayCount]:
    found: list[DayCount] = []
    for day, at in enumerate(comparison.days):
        counts: dict[str, dict[str, int]] = {"old": {}, "new": {}}
        for edition, name in ((comparison.old, "old"), (comparison.new, "new")):
            results = {result for of_day, of, result in tally.days if of_day == day and of == name}
            for result in sorted(results, key=_order(edition)):
                counts[name][str(result)] = tally.days[day, name, result]
        worse, better = tally.changes[day, "worse"], tally.changes[day, "better"]
        found.append(DayCount(day, at, counts["old"], counts["new"], worse, better))
    return found


def _later(comparison: Comparison, tally: Tally) -> list[LaterLaw]:
    found: list[LaterLaw] = []
    for place, at in enumerate(comparison.ahead, len(comparison.days)):
        worse, better, other = (tally.changes[place, kind] for kind in ("worse", "better", "other"))
        sums = (tally.sums[place, "old"], tally.sums[place, "new"]) if comparison.new.module.in_yuan else (None, None)
        found.append(LaterLaw(at, worse + better + other, worse, better, *sums))
    return found


def chosen_samples(comparison: Comparison, tally: Tally) -> list[tuple[str, Cell]]:
    """Return up to SAMPLES ids of people whose result changes, from as many different cells as possible.

    Cells of people who are worse off again come first, then those who are worse off, each by their number.
    """

    def weight(cell: Cell) -> tuple[bool, bool, int, str]:
        is_worse = comparison.kind(cell.old, cell.new) == "worse"
        return not cell.again, not is_worse, -tally.cells[cell], str(cell)

    cells = sorted((cell for cell in tally.samples if tally.samples[cell]), key=weight)
    rounds = max((len(tally.samples[cell]) for cell in cells), default=0)
    found = [
        (tally.samples[cell][place], cell)
        for place in range(rounds)
        for cell in cells
        if place < len(tally.samples[cell])
    ]
    return found[:SAMPLES]


def explained(
    edition: Edition,
    facts: Any,  # noqa: ANN401  facts, or a PartlyKnown
    at: datetime,
    before: Best | None = None,
) -> tuple[Explained, Best | None]:
    """Return what an edition decides for a person; if not all facts are known, by the answers that give most, too.

    These are the answers of `before` if others do not give more, as in the counts.
    """
    if isinstance(facts, PartlyKnown):
        possible = edition.possible(edition.rulebook.law(edition.name, at), facts.unknown)
        best = possible.best(facts.facts, at, before)
        outcome = possible.outcome(best.fired)
        return Explained(shown_result(outcome.result), outcome.rule, outcome.because, outcome.remedy, None), best
    verdict = edition.rulebook.evaluate(edition.name, facts, at)
    found = Explained(shown_result(verdict.result), verdict.rule, verdict.because, verdict.remedy, verdict.changes_at)
    return found, None
