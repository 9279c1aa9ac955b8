"""Rules that can never fire, and rules that never decide: proved, not guessed.

Rules of `unique` that could fire together are refused when a module is loaded, by intervals, which never overlook one.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.language.types import microseconds
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.prover.encoder import Encoder, Unencodable
from backend.rulebook.prover.outcome import outcome_of
from backend.rulebook.prover.sizes import Demand, Demands, either, solve
from backend.rulebook.prover.smt import Solver, Term, disj, integer
from backend.rulebook.prover.symbols import FactSpace, Words
from backend.rulebook.source import SourceFile
from backend.rulebook.verdict import Law


@dataclass
class Reach:
    """What is proved of the rules of one module.

    `unknown` are rules of which nothing is proved, because the solver does not know a part of them or the time was
    over.
    """

    never_fires: list[str] = field(default_factory=list[str])
    never_decides: list[str] = field(default_factory=list[str])
    unknown: list[str] = field(default_factory=list[str])


def prove_reach(rulebook: Rulebook, name: str, budget_seconds: float) -> Reach:
    """Find the rules of a module that can never fire or decide, whatever the facts and the instant."""
    module, deadline = rulebook.modules[name], time.monotonic() + budget_seconds
    reach = Reach()
    silent, idle = ({rule.id for rule in module.rules} for _ in range(2))
    for law in reversed(rulebook.laws(name)):
        present = {rule.id for rule in law.rules}
        if not present & (silent | idle):
            continue
        found = _Reached(module, law, deadline).reached(present & silent, present & idle)
        silent -= found.fires
        idle -= found.decides
        reach.unknown += [rule for rule in found.unknown if rule not in reach.unknown]
    order = [rule.id for rule in module.rules]
    reach.never_fires = [rule for rule in order if rule in silent and rule not in reach.unknown]
    reach.never_decides = [rule for rule in order if rule in idle - silent and rule not in reach.unknown]
    return reach


@dataclass
class _Found:
    fires: set[str] = field(default_factory=set[str])
    decides: set[str] = field(default_factory=set[str])
    unknown: list[str] = field(default_factory=list[str])


@dataclass
class _Reached:
    module: Module
    law: Law
    deadline: float

    def reached(self, silent: set[str], idle: set[str]) -> _Found:
        """Return which of these rules fire and decide for somebody under one law."""
        space = FactSpace(self._sizes(), Words())
        now, facts = integer("now"), space.facts(self.module.facts)
        found = _Found()
        try:
            encoder = Encoder(space, self.law.parameter_values)
            outcome = outcome_of(self.module, self.law, encoder, {"facts": facts, "now": now})
        except Unencodable:
            found.unknown += sorted(silent | idle)
            return found
        solver = Solver(max(0.01, self.deadline - time.monotonic()))
        solver.add(*space.all_constraints())
        solver.add(now >= microseconds(self.law.begins), now < microseconds(self.law.ends))
        found.fires = self._reach(solver, outcome.fired, silent, found)
        found.decides = self._reach(solver, outcome.decisive, idle, found)
        return found

    def _reach(self, solver: Solver, conditions: Mapping[str, Term], wanted: set[str], found: _Found) -> set[str]:
        reached: set[str] = set()
        while rest := wanted - reached:
            answer = solver.check(disj(conditions[rule] for rule in sorted(rest)))
            if answer == "unknown":
                found.unknown += sorted(rest)
            if answer != "sat":
                break
            model = solver.model()
            reached |= {rule for rule in rest if model.truth(conditions[rule])}
        return reached

    def _sizes(self) -> Mapping[str, int]:
        demands = Demands(self.law.parameter_values)
        true = [demands.of(rule.condition, truth=True) for rule in self.law.rules]
        false = [demands.of(rule.condition, truth=False) for rule in self.law.rules]
        others: list[Demand] = [either(pair) for pair in zip(true, false, strict=True)]
        slots = [*([true] if true else []), *([demand] for demand in false)]
        return solve(slots, others, self.module.facts).lengths


def check_reach(rulebook: Rulebook, name: str, file: SourceFile, budget_seconds: float) -> list[str]:
    """Add a fault for each rule that is proved never to fire or to decide.

    Returns the rules of which nothing could be proved.
    """
    reach = prove_reach(rulebook, name, budget_seconds)
    rules: dict[str, Rule] = {rule.id: rule for rule in rulebook.modules[name].rules}
    for rule in reach.never_fires:
        message = Text(zh=f"已证明：规则 {rule} 永远不会适用", en=f"{rule!r} can never fire; this is proved")
        advice = Text(zh="检查条件与日期，或删去该规则", en="correct its condition or its dates, or remove it")
        file.fault(rules[rule].location, message, advice, "R108")
    for rule in reach.never_decides:
        message = Text(
            zh=f"已证明：规则 {rule} 永远不能决定结果", en=f"{rule!r} never decides; this is proved of all facts"
        )
        advice = Text(zh="每次都有其他规则优先；检查顺序或条件", en="other rules always come first; check the order")
        file.fault(rules[rule].location, message, advice, "R109")
    return reach.unknown
