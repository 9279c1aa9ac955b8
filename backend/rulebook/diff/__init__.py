"""What changed in meaning between two editions of the rules, rule by rule and not in lines.

Layout, comments, and renamed parameters with the same values are no change. Each change says in both languages what
was and what is, and what it can alter: the result of a verdict, its rule and wording, or nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.diff.articles import article_changes
from backend.rulebook.diff.change import Change, Effect, change, strongest
from backend.rulebook.diff.dated import otherwise_changes, parameter_changes, renamed_parameters, terms_changes
from backend.rulebook.diff.meaning import change_days, law_on
from backend.rulebook.diff.rules import RuleComparison
from backend.rulebook.modules.cases import Case
from backend.rulebook.modules.module import Module

__all__ = ["Change", "Effect", "ModuleDiff", "RulebookDiff", "case_changes", "diff_rulebooks"]


class ModuleDiff(Struct, frozen=True):
    """How one module differs. With no `changes`, only its layout or comments differ."""

    module: str
    title: Text
    state: Literal["added", "removed", "changed"]
    effect: Effect
    changes: tuple[Change, ...]


class RulebookDiff(Struct, frozen=True):
    """How a `new` rulebook differs from an `old` one, both by digest; unchanged modules are left out.

    `effect` is the strongest of all modules: "none" means that no verdict differs but for its digest.
    """

    old: str
    new: str
    effect: Effect
    modules: tuple[ModuleDiff, ...]


def diff_rulebooks(old: Rulebook, new: Rulebook) -> RulebookDiff:
    """Compare two rulebooks, module by module, in the order of their names."""
    names = sorted({*old.modules, *new.modules})
    found = [
        _diff(name, old.modules.get(name), new.modules.get(name), new.time_zone)
        for name in names
        if old.texts.get(name) != new.texts.get(name)
    ]
    return RulebookDiff(old.digest, new.digest, strongest(one.effect for one in found), tuple(found))


def case_changes(old: Sequence[Case], new: Sequence[Case]) -> list[Change]:
    """Return the cases of a module that were added, removed or changed. They alter no verdict."""
    before, after = ({one.name: one for one in cases} for cases in (old, new))
    removed = [change("case_removed", name, "none", name, None) for name in before if name not in after]
    added = [change("case_added", name, "none", None, name) for name in after if name not in before]
    changed = [
        change("case_changed", name, "none", _expectation(before[name]), _expectation(after[name]))
        for name in before
        if name in after and _content(before[name]) != _content(after[name])
    ]
    return [*removed, *added, *changed]


def _content(case: Case) -> object:
    return case.at, case.on, case.facts, {name: one.value for name, one in case.expected.items()}


def _expectation(case: Case) -> str:
    expected = ", ".join(f"{name}: {one.value}" for name, one in case.expected.items())
    return f"{case.at.isoformat()} → {expected}"


def _diff(name: str, old: Module | None, new: Module | None, zone: ZoneInfo) -> ModuleDiff:
    if old is None or new is None:
        module = new or old
        assert module is not None, "the name is of one of the two"
        return ModuleDiff(name, module.title, "removed" if new is None else "added", "result", ())
    return _diff_modules(old, new, zone)


def _diff_modules(old: Module, new: Module, zone: ZoneInfo) -> ModuleDiff:
    renamed = renamed_parameters(old, new)
    rules = RuleComparison(old, new, renamed, zone)
    changes = [
        *_head_changes(old, new),
        *article_changes(old, new),
        *terms_changes(old, new),
        *parameter_changes(old, new, renamed),
        *rules.changes(),
        *otherwise_changes(old, new, zone),
    ]
    if _same_results(old, new):  # such as a parameter in place of a number: the law of every day is the same
        weakest: Effect = "none" if _same_wording(old, new) else "wording"
        changes = [one if one.effect != "result" or one.kind == "terms" else one.weaker(weakest) for one in changes]
    return ModuleDiff(new.name, new.title, "changed", strongest(one.effect for one in changes), tuple(changes))


def _head_changes(old: Module, new: Module) -> Iterator[Change]:
    if old.title != new.title:
        yield change("title", "title", "none", old.title, new.title)
    if old.facts is not new.facts:
        yield change("facts", "facts", "result", old.facts.__name__, new.facts.__name__)
    if old.result != new.result:
        yield change("result", "result", "result", old.result, new.result)
    if old.strategy != new.strategy:
        yield change("strategy", "strategy", "result", old.strategy, new.strategy)


def _same_results(old: Module, new: Module) -> bool:
    """Return whether the law of every day gives the same results, by the meaning of its rules."""
    heads = [(one.facts, one.result, one.strategy, one.otherwise.then) for one in (old, new)]
    return heads[0] == heads[1] and all(
        _ordered(old, law_on(old, day)) == _ordered(new, law_on(new, day)) for day in change_days((old, new))
    )


def _same_wording(old: Module, new: Module) -> bool:
    """Return whether the deciding rules keep their names and order."""
    return [rule.id for rule in old.rules] == [rule.id for rule in new.rules]


def _ordered(module: Module, law: Mapping[str, object]) -> list[object]:
    """Return the rules of a law in the order that matters to the strategy."""
    rules = list(law.values())
    return rules if module.strategy in ("first", "collect") else sorted(rules, key=repr)
