"""Coverage of a module by its cases, in goals that a case reaches or not.

- A *rule* fires in one case, and stays silent in another within its period.
- An *operand* of `&&`, `||` or `? :`, and the test of a macro, is once true and once false. A part that was not
  evaluated, such as the right side of `false && ...`, was neither.
- A *threshold* (`<`, `<=`, `>` or `>=` between whole numbers, instants or durations) is tried at the bound and just
  beyond it: at equal values, and at the nearest values for which the comparison gives the opposite result. The nearest
  whole number is 1 away (or as much as a constant factor, as in `expected * 100`), the nearest instant up to a second.
  A bound that depends on a dated parameter is a threshold for each of its values in force with the rule.
- A *change* of the law has a case at its midnight and one at the second before.
- A *result* of a rule is a part of what a case expects: the rule decides, or its amount is in a sum within the bounds,
  or its word is among those collected. A rule whose `then` is a dated parameter has a result for each of its values in
  force with the rule. A case that does not expect `result` would not notice a wrong one, and so does not count.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.language.explainer import Step
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.tree import Apply, Conditional, Constant, Logic, Macro, Node, Variable, walk
from backend.rulebook.language.types import RANGED, microseconds
from backend.rulebook.modules.coverage import SECOND, changes
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.modules.periods import in_force
from backend.rulebook.modules.units import YUAN, figure_text
from backend.rulebook.source import Location
from backend.rulebook.verdict import Verdict

Kind = Literal["rule", "operand", "threshold", "change", "result"]
KINDS: tuple[Kind, ...] = ("rule", "operand", "threshold", "change", "result")

_TICK = microseconds(SECOND)

_FIRES = Text(zh="触发", en="fires")
_SILENT = Text(zh="不触发", en="stays silent")
_TRUE = Text(zh="为真", en="is true")
_FALSE = Text(zh="为假", en="is false")
_AT = Text(zh="两边相等", en="has equal sides")
_BEYOND = Text(zh="恰好越过界限", en="is just beyond its bound")


class TestedFacts(Protocol):
    """The part of a case that coverage looks at."""

    @property
    def at(self) -> datetime: ...  # noqa: D102  see Case
    @property
    def on(self) -> date | None: ...  # noqa: D102
    @property
    def facts(self) -> Struct: ...  # noqa: D102
    @property
    def expected(self) -> Mapping[str, object]: ...  # noqa: D102


@dataclass(frozen=True)
class Goal:
    """What a case should reach: `text`, a rule's id, a part of its condition or its `then`, has the property `side`.

    `start` and `end` are the characters of the part in the rule's condition; both are 0 for a whole rule or a result.
    `location` is that of the rule, of the value of a parameter that it returns, or of the cause of a change.
    """

    kind: Kind
    rule: str
    text: str
    side: Text
    location: Location
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Coverage:
    """The goals of a module, and those that no case reaches."""

    goals: tuple[Goal, ...]
    missing: tuple[Goal, ...]

    def percent(self, kind: Kind) -> float:
        """Return the percentage of the goals of a kind that are reached; 100 if there are none."""
        reached, total = self.count(kind)
        return 100 * reached / total if total else 100.0

    def count(self, kind: Kind) -> tuple[int, int]:
        """Return how many goals of a kind are reached, and how many there are."""
        total = sum(goal.kind == kind for goal in self.goals)
        return total - sum(goal.kind == kind for goal in self.missing), total


def measure(rulebook: Rulebook, module: Module, cases: Iterable[TestedFacts]) -> Coverage:
    """Return which goals of a module its cases reach."""
    meter = _Meter(module, rulebook.time_zone)
    for rule in module.rules:
        meter.add_rule(rule)
    meter.add_changes()
    for case in cases:
        meter.begin(case)
        for rule, step in rulebook.explain(module.name, case.facts, case.at, on=case.on, observe=meter.observe):
            meter.reach(rule.id, "fires" if step.value is True else "silent")
        if "result" in case.expected:
            meter.expect(rulebook.evaluate(module.name, case.facts, case.at, on=case.on))
    return meter.coverage()


@dataclass
class _Meter:
    module: Module
    zone: ZoneInfo
    goals: dict[tuple[object, ...], Goal] = field(default_factory=dict[tuple[object, ...], Goal])
    reached: set[tuple[object, ...]] = field(default_factory=set[tuple[object, ...]])
    operands: set[tuple[str, int, int]] = field(default_factory=set[tuple[str, int, int]])
    thresholds: dict[tuple[str, int, int], tuple[str, ...]] = field(
        default_factory=dict[tuple[str, int, int], tuple[str, ...]]
    )
    day: date = date.min

    # ── the goals ──

    def add_rule(self, rule: Rule) -> None:
        for key, side in (("fires", _FIRES), ("silent", _SILENT)):
            self.goals[rule.id, key] = Goal("rule", rule.id, rule.id, side, rule.location)
        for node in walk(rule.condition):
            for operand in _operands(node):
                self._add_sides("operand", rule, operand, (("true", _TRUE), ("false", _FALSE)))
                self.operands.add((rule.id, operand.start, operand.end))
            if _is_threshold(node):
                self._add_threshold(rule, node)
        self._add_results(rule)

    def _add_sides(
        self, kind: Kind, rule: Rule, node: Node, sides: Iterable[tuple[str, Text]], values: tuple[Any, ...] = ()
    ) -> None:
        text = " ".join(rule.text[node.start : node.end].split())
        for key, side in sides:
            goal = Goal(kind, rule.id, text, side, rule.location, node.start, node.end)
            self.goals[rule.id, node.start, node.end, key, values] = goal

    def _add_threshold(self, rule: Rule, node: Node) -> None:
        """Add both sides of a comparison for each combination of parameter values in force with the rule."""
        variables = {part.name for part in walk(node) if isinstance(part, Variable)}
        names = tuple(sorted(variables & self.module.parameters.keys()))
        self.thresholds[rule.id, node.start, node.end] = names
        for day in self._starts(rule, names):
            shown = f"（{day}起）" if names and day != date.min else ""
            since = f" from {day}" if names and day != date.min else ""
            sides = [(key, Text(zh=side.zh + shown, en=side.en + since)) for key, side in _THRESHOLD_SIDES]
            self._add_sides("threshold", rule, node, sides, self._values(names, day))

    def _add_results(self, rule: Rule) -> None:
        """Add what a rule returns: its `then`, or each value in force with it of the parameter that this names."""
        names = self._returned(rule)
        for day in self._starts(rule, names):
            key = (rule.id, "result", self._values(names, day))
            dated = self.module.parameters[names[0]].on(day) if names else None
            if dated is None:
                self.goals.setdefault(key, Goal("result", rule.id, str(rule.then), Text(zh="", en=""), rule.location))
                continue
            unit = self.module.parameters[names[0]].unit or (YUAN if self.module.in_yuan else None)
            value = figure_text(dated.value, unit, self.zone)
            since = (f"，{dated.since}起", f" from {dated.since}") if dated.since else ("", "")
            side = Text(zh=f"（{value.zh}{since[0]}）", en=f" ({value.en}{since[1]})")
            self.goals.setdefault(key, Goal("result", rule.id, str(rule.then), side, dated.location))

    def _starts(self, rule: Rule, names: Sequence[str]) -> list[date]:
        """Return the days in a rule's period on which it, or one of these parameters, gets another value."""
        starts = {rule.since or date.min}
        starts |= {dated.since for name in names for dated in self.module.parameters[name].values if dated.since}
        return [day for day in sorted(starts) if in_force(rule.since, rule.until, day)]

    def _returned(self, rule: Rule) -> tuple[str, ...]:
        """Return the parameter whose value is the result of a rule, or nothing."""
        return (rule.then,) if self.module.numeric and isinstance(rule.then, str) else ()

    def add_changes(self) -> None:
        for day, location in changes(self.module):
            begin = midnight(day, self.zone)
            edges = (
                (begin - SECOND, Text(zh="变更前最后一秒", en="the last second before the change")),
                (begin, Text(zh="变更生效时", en="the second of the change")),
            )
            for instant, side in edges:
                text = instant.astimezone(self.zone).isoformat()
                self.goals["change", instant] = Goal("change", "", text, side, location)

    # ── what cases reach ──

    def begin(self, case: TestedFacts) -> None:
        self.day = case.on or case.at.astimezone(self.zone).date()
        if case.on is None:
            self.reached.add(("change", case.at))

    def reach(self, rule: str, key: str) -> None:
        self.reached.add((rule, key))

    def expect(self, verdict: Verdict) -> None:
        """Count the rules whose `then` the result of a case shows."""
        fired = [rule for rule in self.module.rules if rule.id in verdict.fired]
        match self.module.strategy:
            case "collect":
                shown = fired
            case "sum":
                total = sum(self.module.number_of(rule.then, self.day) for rule in fired)
                shown = fired if total == verdict.result else []
            case _:
                shown = [rule for rule in fired if rule.id == verdict.rule]
        self.reached.update((rule.id, "result", self._values(self._returned(rule), self.day)) for rule in shown)

    def observe(self, rule: Rule, node: Node, step: Step) -> None:
        place = rule.id, node.start, node.end
        if isinstance(step.value, bool) and place in self.operands:
            self.reached.add((*place, "true" if step.value else "false", ()))
        if isinstance(node, Apply) and place in self.thresholds:
            side = _side(node, step)
            if side is not None:
                self.reached.add((*place, side, self._values(self.thresholds[place], self.day)))

    def coverage(self) -> Coverage:
        missing = [goal for key, goal in self.goals.items() if key not in self.reached]
        return Coverage(tuple(self.goals.values()), tuple(missing))

    def _values(self, names: Sequence[str], day: date) -> tuple[Any, ...]:
        dated = (self.module.parameters[name].on(day) for name in names)
        return tuple(value and value.value for value in dated)


_THRESHOLD_SIDES = (("at", _AT), ("beyond", _BEYOND))


def _operands(node: Node) -> Iterator[Node]:
    """Yield the conditions that a node combines, each of which is once true and once false."""
    match node:
        case Logic():
            found: tuple[Node | None, ...] = (node.left, node.right)
        case Conditional():
            found = (node.condition,)
        case Macro():
            found = (node.test,)
        case _:
            found = ()
    for operand in found:
        if operand is not None and not isinstance(operand, Logic | Constant):
            yield operand


def _is_threshold(node: Node) -> bool:
    if not isinstance(node, Apply) or node.name not in ("_<_", "_<=_", "_>_", "_>=_"):
        return False
    return all(argument.type.kind in RANGED for argument in node.arguments)


def _side(node: Apply, step: Step) -> str | None:
    """Return "at" if the sides are equal, "beyond" if they are nearly so with the opposite result, or None."""
    left, right = (_number(each.value) for each in step.steps)
    if left is None or right is None:
        return None
    difference = left - right
    if difference == 0:
        return "at"
    holds_below = node.name in ("_<_", "_>=_")
    if (difference < 0) is not holds_below:
        return None
    return "beyond" if abs(difference) <= _nearest(node) else None


def _number(value: object) -> int | None:
    if isinstance(value, datetime | timedelta):
        return microseconds(value)
    return value if type(value) is int else None


def _nearest(node: Apply) -> int:
    """Return the least difference of the two sides that facts can make: whole numbers, or microseconds."""
    if node.arguments[0].type.kind != "int":
        return _TICK
    factors = (
        abs(factor.value)
        for part in walk(node)
        if isinstance(part, Apply) and part.name == "_*_"
        for factor in part.arguments
        if isinstance(factor, Constant) and isinstance(factor.value, int)
    )
    return max((1, *factors))
