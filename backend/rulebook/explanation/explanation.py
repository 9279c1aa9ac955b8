"""An explanation: a verdict, the deciding rule step by step, why no other rule decided, and what would change it."""

from collections.abc import Iterator
from datetime import date, datetime
from time import monotonic
from typing import Any, Literal

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import Rulebook, Verdict
from backend.rulebook.explanation.reasons import Names, Reason, reasons_of
from backend.rulebook.explanation.way_out import Best, Goal, WayOut, find_way_out
from backend.rulebook.language.explainer import Step, explain
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.modules.units import is_money
from backend.rulebook.verdict import Law

MAX_UPCOMING = 5
"""The most later verdicts that are listed."""

Compared = Literal["better", "same", "worse"]
Offered = Literal["claim", "use"]
"""How people come by the result of a benefit: money is claimed, a service is used."""


class OtherRule(Struct, frozen=True):
    """A rule that did not decide: whether it fired, how its result compares, and the operands that failed or held."""

    rule: str
    then: str | int
    compared: Compared
    fired: bool
    reasons: list[Reason]


class Figure(Struct, frozen=True):
    """The value of a parameter in force, with the source that it comes from; `money` says that it is in fen."""

    name: str
    value: Any
    money: bool
    source: str


class Explanation(Struct, frozen=True):
    """Why a module decides what it does.

    `then` and `source` are those of the deciding rule, `decisive` is its condition step by step, None if no rule fired.
    `in_fen` says that the numbers of the module are amounts, and `offered` how people come by them, None for what holds
    without any act of theirs. `figures` are the parameters in force, by name. `others` are the other rules in force,
    those with a better result first. `upcoming` are the next verdicts for unchanged facts. By the law of another day,
    neither these nor a way out are computed.
    """

    module: str
    title: Text
    strategy: str
    verdict: Verdict
    then: str | int
    in_fen: bool
    offered: Offered | None
    source: str
    figures: dict[str, Figure]
    decisive: Step | None
    others: list[OtherRule]
    upcoming: list[Verdict]
    way_out: WayOut | None


def explain_verdict(
    rulebook: Rulebook,
    module: str,
    facts: Struct,
    at: datetime,
    *,
    on: date | None = None,
    best: Best = "first",
    wanted: str | int | None = None,
    seconds: float | None = None,
    with_rules: bool = True,
) -> Explanation:
    """Return the explanation of a verdict, by the law of the day `on` if given.

    Without rules, neither the steps of the deciding rule nor the other rules are in it, which can take long for a long
    record. See `find_way_out` for `best`, `wanted` and `seconds`, and for what it raises.
    """
    verdict = rulebook.evaluate(module, facts, at, on=on)
    content = rulebook.modules[module]
    law = rulebook.evaluator(module).law_at(at, on)
    decisive = next((rule for rule in law.rules if rule.id == verdict.rule), None)
    names = {"facts": facts, "now": at, **law.parameter_values}
    return Explanation(
        module,
        content.title,
        content.strategy,
        verdict,
        decisive.then if decisive else content.otherwise.then,
        content.in_yuan or (content.numeric and any(str(rule.then).endswith("_fen") for rule in content.rules)),
        _offered(content),
        decisive.source if decisive else "",
        figures_in_force(content, on or at.astimezone(rulebook.time_zone).date()),
        explain(decisive.text, decisive.condition, names) if decisive and with_rules else None,
        _others(content, law, verdict, names, best) if with_rules else [],
        list(_upcoming(rulebook, verdict, facts, seconds)) if on is None else [],
        None
        if on is not None
        else find_way_out(rulebook, module, facts, at, best=best, wanted=wanted, seconds=seconds),
    )


def figures_in_force(module: Module, day: date) -> dict[str, Figure]:
    """Return the parameters of a module that have a value on a day, by name."""
    dated = [(name, one.on(day), is_money(name, one.unit)) for name, one in module.parameters.items()]
    return {name: Figure(name, one.value, money, one.source) for name, one, money in dated if one is not None}


def _offered(module: Module) -> Offered | None:
    """Return how people come by the result of a module; only benefits have terms."""
    if not module.terms:
        return None
    return "use" if getattr(module.terms[-1].value, "gives", None) == "service" else "claim"


def _upcoming(rulebook: Rulebook, verdict: Verdict, facts: Struct, seconds: float | None) -> Iterator[Verdict]:
    began = monotonic()
    for _ in range(MAX_UPCOMING):
        if verdict.changes_at is None or (seconds is not None and monotonic() - began > seconds):
            return
        verdict = rulebook.evaluate(verdict.module, facts, verdict.changes_at)
        yield verdict


def _others(module: Module, law: Law, verdict: Verdict, names: Names, best: Best) -> list[OtherRule]:
    found = [
        OtherRule(
            rule.id,
            rule.then,
            _compared(module, rule, verdict, best, law.parameter_values),
            rule.id in verdict.fired,
            reasons_of(rule.text, rule.condition, names),
        )
        for rule in law.rules
        if rule.id != verdict.rule
    ]
    return sorted(found, key=lambda other: ("better", "same", "worse").index(other.compared))


def _compared(module: Module, rule: Rule, verdict: Verdict, best: Best, parameters: dict[str, Any]) -> Compared:
    if module.strategy in ("sum", "collect"):  # each rule adds its part
        return "same"
    goal = Goal(module, best, verdict.result)
    then = parameters[rule.then] if module.numeric and isinstance(rule.then, str) else rule.then
    rank, now = goal.rank(then), goal.rank(verdict.result)
    return "better" if rank > now else "worse" if rank < now else "same"
