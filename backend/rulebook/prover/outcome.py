"""What a module decides about symbolic facts: which rules fire, which one decides, and the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from backend.rulebook.language.tree import Key, key_of
from backend.rulebook.modules.module import OTHERWISE, Module, Rule
from backend.rulebook.prover.encoder import Encoder, Environment
from backend.rulebook.prover.smt import Term, choose, conj, disj, neg, total
from backend.rulebook.verdict import Law


@dataclass(frozen=True)
class Outcome:
    """The symbolic verdict of one law.

    `result` is a number, or the place of the word in the module's `result`, mildest first. A module that collects words
    has `words` instead, each with the condition under which it is among them. `decisive` gives, for each rule in force
    and for `otherwise`, the condition under which it decides.
    """

    result: Term
    words: Mapping[str, Term]
    fired: Mapping[str, Term]
    decisive: Mapping[str, Term]


def outcome_of(module: Module, law: Law, encoder: Encoder, names: Environment) -> Outcome:
    """Return what a law decides about the facts and the instant in `names`. Raises Unencodable."""
    fired = {rule.id: encoder.condition(rule, names) for rule in law.rules}
    decisive = _decisive(module, law.rules, fired)
    if module.strategy == "collect":
        return Outcome(0, _collected(module, law.rules, fired, decisive[OTHERWISE]), fired, decisive)
    if module.strategy == "sum":
        low, high = cast("tuple[int, int]", module.result)
        added = total([choose(fired[rule.id], number_of(law, rule), 0) for rule in law.rules])
        limited = choose(added < low, low, choose(added > high, high, added))
        return Outcome(choose(decisive[OTHERWISE], module.otherwise.then, limited), {}, fired, decisive)
    results = {rule.id: _result(module, law, rule) for rule in law.rules}
    found: Term = _place(module, module.otherwise.then)
    for name, result in results.items():
        found = choose(decisive[name], result, found)
    return Outcome(found, {}, fired, decisive)


def number_of(law: Law, rule: Rule) -> int:
    """Return the number that a rule gives under a law."""
    return law.parameter_values[rule.then] if isinstance(rule.then, str) else rule.then


def law_key(module: Module, law: Law) -> tuple[object, ...]:
    """Return what a law decides by: laws with equal keys decide alike, whatever their dates and texts."""
    return (module.strategy, module.result, module.otherwise.then, *(rule_key(law, rule) for rule in law.rules))


def rule_key(law: Law, rule: Rule) -> tuple[object, ...]:
    """Return what one rule decides by, with the values of its parameters."""
    return (rule.id, rule.then, *_values(law, rule))


def condition_key(law: Law, rule: Rule) -> tuple[object, ...]:
    """Return the key of a rule's condition alone."""
    return _values(law, rule)


def _values(law: Law, rule: Rule) -> tuple[object, ...]:
    values = law.parameter_values
    named = sorted({str(name) for name in rule.names()} & values.keys())
    key: Key = key_of(rule.condition)
    return (key, tuple((name, repr(values[name])) for name in named))


def _decisive(module: Module, rules: Sequence[Rule], fired: Mapping[str, Term]) -> dict[str, Term]:
    """Return when each rule decides. Under `sum` and `collect` each rule that fires does."""
    ordered = list(rules)
    if module.strategy == "most_severe":
        severities = cast("tuple[str, ...]", module.result)
        ordered.sort(key=lambda rule: -severities.index(cast("str", rule.then)))  # stable: of equals, the first
    found: dict[str, Term] = {}
    before: list[Term] = []
    for rule in ordered:
        own = fired[rule.id]
        found[rule.id] = own if module.strategy in ("sum", "collect") else conj([own, neg(disj(before))])
        before.append(own)
    return {**found, OTHERWISE: neg(disj(before))}


def _collected(module: Module, rules: Sequence[Rule], fired: Mapping[str, Term], none: Term) -> dict[str, Term]:
    words = cast("tuple[str, ...]", module.result)
    found = {word: [fired[rule.id] for rule in rules if rule.then == word] for word in words}
    found[cast("str", module.otherwise.then)].append(none)
    return {word: disj(conditions) for word, conditions in found.items()}


def _result(module: Module, law: Law, rule: Rule) -> int:
    return number_of(law, rule) if module.numeric else _place(module, rule.then)


def _place(module: Module, then: Any) -> int:  # noqa: ANN401  a word or a number
    return then if module.numeric else module.result.index(then)
