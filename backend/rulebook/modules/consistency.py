"""Consistency of the rules of a module, and of references between modules.

Finds rules that never fire, never decide or overlap under `unique`, and references to unknown modules.
"""

from collections.abc import Collection, Iterator
from datetime import date
from itertools import combinations

from backend.rulebook.language.satisfiability import compared_terms, satisfiable
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.source import SourceFile, suggest


def check_consistency(module: Module, file: SourceFile) -> None:
    """Add a fault for each rule that can never fire, never decides, or overlaps another under `unique`."""
    impossible = {rule.id for rule in module.rules if not satisfiable((rule.condition, True))}
    for rule in module.rules:
        if rule.id in impossible:
            file.fault(rule.location, f"{rule.id!r} can never fire: its condition contradicts itself")
    sound = [rule for rule in module.rules if rule.id not in impossible]
    if module.strategy == "unique":
        _check_overlaps(sound, file)
        return
    compared = {rule.id: compared_terms(rule.condition) for rule in sound}
    for rule in sound:
        for overriding in _overriding(module, sound, rule):
            related = not compared[rule.id] or compared[rule.id] & compared[overriding.id]
            if (
                related
                and _covers(overriding, rule)
                and not satisfiable((rule.condition, True), (overriding.condition, False))
            ):
                advice = f"{overriding.id!r} in line {overriding.location.line} always fires with it and decides"
                file.fault(rule.location, f"{rule.id!r} is shadowed: it never decides", advice)
                break


def check_references(module: Module, known: Collection[str], file: SourceFile) -> None:
    """Add a fault for each unknown module that the terms refer to, by the `references()` of their Struct."""
    for dated in module.terms:
        named: tuple[str, ...] = getattr(dated.value, "references", tuple)()
        for name in named:
            if name not in known:
                file.fault(dated.location, f"these terms name {name!r}, which is not a module", suggest(name, known))


def _overriding(module: Module, rules: list[Rule], rule: Rule) -> Iterator[Rule]:
    """Yield the rules that decide if they fire together with `rule`."""
    before = True
    for other in rules:
        if other is rule:
            before = False
        elif module.strategy == "first" and before:
            yield other
        elif module.strategy == "most_severe":
            severity = [module.result.index(one.then) for one in (other, rule)]  # pyright: ignore[reportArgumentType]  words here
            if severity[0] > severity[1] or (severity[0] == severity[1] and before):
                yield other


def _check_overlaps(rules: list[Rule], file: SourceFile) -> None:
    for one, other in combinations(rules, 2):
        together = max(_begin(one), _begin(other)) < min(_end(one), _end(other))
        if together and satisfiable((one.condition, True), (other.condition, True)):
            advice = "with `strategy: unique` no two rules may fire at once; exclude one case in the other's condition"
            file.fault(other.location, f"{other.id!r} can fire together with {one.id!r}", advice)


def _covers(one: Rule, other: Rule) -> bool:
    return _begin(one) <= _begin(other) and _end(one) >= _end(other)


def _begin(rule: Rule) -> date:
    return rule.since or date.min


def _end(rule: Rule) -> date:
    return rule.until or date.max
