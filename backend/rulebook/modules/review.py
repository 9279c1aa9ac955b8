"""What rules do to one another, and what modules say of one another.

Rules that never fire, never count or contradict each other are refused, and so are names of modules that there are not.
"""

from collections.abc import Collection, Iterator
from datetime import date
from itertools import combinations

from backend.rulebook.language.logic import possible, subjects
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.source import SourceFile, suggest


def review(module: Module, file: SourceFile) -> None:
    """Note the rules that cannot do what their author meant."""
    impossible = {rule.id for rule in module.rules if not possible((rule.condition, True))}
    for rule in module.rules:
        if rule.id in impossible:
            file.fault(rule.place, f"{rule.id!r} can never fire: its condition contradicts itself")
    sound = [rule for rule in module.rules if rule.id not in impossible]
    if module.strategy == "unique":
        _refuse_overlaps(sound, file)
        return
    asked = {rule.id: subjects(rule.condition) for rule in sound}
    for rule in sound:
        for stronger in _stronger(module, sound, rule):
            related = not asked[rule.id] or asked[rule.id] & asked[stronger.id]
            if (
                related
                and _outlasts(stronger, rule)
                and not possible((rule.condition, True), (stronger.condition, False))
            ):
                advice = f"{stronger.id!r} in line {stronger.place.line} always fires with it and decides"
                file.fault(rule.place, f"{rule.id!r} is shadowed: it never decides", advice)
                break


def refuse_strangers(module: Module, known: Collection[str], file: SourceFile) -> None:
    """Note the modules that the terms of a module name, by their Struct's `references()`, and that are not known."""
    for dated in module.terms:
        named: tuple[str, ...] = getattr(dated.value, "references", tuple)()
        for name in named:
            if name not in known:
                file.fault(dated.place, f"these terms name {name!r}, which is no module", suggest(name, known))


def _stronger(module: Module, rules: list[Rule], rule: Rule) -> Iterator[Rule]:
    """Give the rules that decide where they fire together with `rule`."""
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


def _refuse_overlaps(rules: list[Rule], file: SourceFile) -> None:
    for one, other in combinations(rules, 2):
        together = max(_begin(one), _begin(other)) < min(_end(one), _end(other))
        if together and possible((one.condition, True), (other.condition, True)):
            advice = "with `strategy: unique` no two rules may hold at once; exclude one case in the other's condition"
            file.fault(other.place, f"{other.id!r} can hold together with {one.id!r}", advice)


def _outlasts(one: Rule, other: Rule) -> bool:
    return _begin(one) <= _begin(other) and _end(one) >= _end(other)


def _begin(rule: Rule) -> date:
    return rule.since or date.min


def _end(rule: Rule) -> date:
    return rule.until or date.max
