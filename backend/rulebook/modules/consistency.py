"""Consistency of the rules of a module, and of references between modules.

Finds rules that never fire, never decide or overlap under `unique`, and references to unknown modules.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from itertools import combinations

from backend.i18n import Text
from backend.rulebook.language.satisfiability import compared_terms, satisfiable
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.source import SourceFile, suggest


def check_consistency(module: Module, file: SourceFile) -> None:
    """Add a fault for each rule that can never fire, never decides, or overlaps another under `unique`."""
    impossible = {rule.id for rule in module.rules if not satisfiable((rule.condition, True))}
    for rule in module.rules:
        if rule.id in impossible:
            message = Text(
                zh=f"“{rule.id}”永远不会成立：它的条件自相矛盾",
                en=f"{rule.id!r} can never fire: its condition contradicts itself",
            )
            advice = Text(zh="请更正条件，或删去这条规则", en="correct the condition, or remove the rule")
            file.fault(rule.location, message, advice, "R070")
    sound = [rule for rule in module.rules if rule.id not in impossible]
    if module.strategy == "unique":
        _check_overlaps(sound, file)
        return
    for rule in sound:
        overriding = _shadowing(module, sound, rule)
        if overriding is not None:
            line = overriding.location.line
            message = Text(zh=f"“{rule.id}”被遮蔽，从不起决定作用", en=f"{rule.id!r} is shadowed: it never decides")
            advice = Text(
                zh=f"第{line}行的“{overriding.id}”总是与它同时成立并起决定作用",
                en=f"{overriding.id!r} in line {line} always fires with it and decides",
            )
            file.fault(rule.location, message, advice, "R071")


def check_shadowed_together(module: Module, file: SourceFile) -> None:
    """Add a fault for each rule that never decides because on each day several others together always do."""
    if module.strategy == "unique":
        return
    for rule in module.rules:
        if _shadowing(module, module.rules, rule) is None:
            _check_shadowed_together(rule, list(_related(module, module.rules, rule)), file)


def _related(module: Module, rules: Sequence[Rule], rule: Rule) -> Iterator[Rule]:
    """Yield the rules that decide if they fire with this one, and whose conditions could follow from its condition."""
    compared = compared_terms(rule.condition)
    for other in _overriding(module, rules, rule):
        if not compared or compared & compared_terms(other.condition):
            yield other


def _shadowing(module: Module, rules: Sequence[Rule], rule: Rule) -> Rule | None:
    """Return a rule that always fires with this one and decides, or None."""
    for other in _related(module, rules, rule):
        if _covers(other, rule) and not satisfiable((rule.condition, True), (other.condition, False)):
            return other
    return None


def _check_shadowed_together(rule: Rule, overriding: list[Rule], file: SourceFile) -> None:
    ends = [other.until for other in overriding if other.until is not None]
    days = sorted(day for day in {_begin(rule), *map(_begin, overriding), *ends} if _begin(rule) <= day < _end(rule))
    named: dict[str, Rule] = {}
    for day in days:
        others = [other for other in overriding if _begin(other) <= day < _end(other)]
        if not others or satisfiable((rule.condition, True), *((other.condition, False) for other in others)):
            return
        named |= {other.id: other for other in others}
    message = Text(
        zh=f"规则“{rule.id}”从不起决定作用：它触发时，总有其他规则先决定",
        en=f"{rule.id!r} never decides: whenever it fires, one of several other rules does",
    )
    advice = Text(
        zh="、".join(f"“{other.id}”（第{other.location.line}行）" for other in named.values()),
        en=", ".join(f"{other.id!r} in line {other.location.line}" for other in named.values()),
    )
    file.fault(rule.location, message, advice, "R064")


def check_references(module: Module, known: Collection[str], file: SourceFile) -> None:
    """Add a fault for each unknown module that the terms refer to, by the `references()` of their Struct."""
    for dated in module.terms:
        named: tuple[str, ...] = getattr(dated.value, "references", tuple)()
        for name in named:
            if name not in known:
                message = Text(
                    zh=f"这些条款提到“{name}”，但没有这个模块", en=f"these terms name {name!r}, which is not a module"
                )
                file.fault(dated.location, message, suggest(name, known), "R027")


def _overriding(module: Module, rules: Sequence[Rule], rule: Rule) -> Iterator[Rule]:
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
            message = Text(
                zh=f"“{other.id}”可能与“{one.id}”同时成立", en=f"{other.id!r} can fire together with {one.id!r}"
            )
            advice = Text(
                zh="`strategy: unique` 下，两条规则不得同时成立；请在一条的条件中排除另一条的情形",
                en="with `strategy: unique` no two rules may fire at once; exclude one case in the other's condition",
            )
            file.fault(other.location, message, advice, "R072")


def _covers(one: Rule, other: Rule) -> bool:
    return _begin(one) <= _begin(other) and _end(one) >= _end(other)


def _begin(rule: Rule) -> date:
    return rule.since or date.min


def _end(rule: Rule) -> date:
    return rule.until or date.max
