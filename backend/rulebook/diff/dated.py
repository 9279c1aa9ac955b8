"""How what is dated differs between two editions of a module: parameters, terms, and what holds otherwise."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from backend.rulebook.diff.change import Change, Effect, change, strongest, written
from backend.rulebook.diff.meaning import change_days
from backend.rulebook.diff.texts import text_changes
from backend.rulebook.modules.figures import TextsOfTheDay, figures_in
from backend.rulebook.modules.module import Module, Parameter
from backend.rulebook.modules.periods import DatedValue, value_on
from backend.rulebook.modules.units import is_money


def renamed_parameters(old: Module, new: Module) -> dict[str, str]:
    """Return the new names of parameters whose values of every day are the same under another name.

    Only names that stand for one parameter on both sides are taken; a name that is still in use was not given up.
    """
    lost = [one for name, one in old.parameters.items() if name not in new.parameters]
    found = [one for name, one in new.parameters.items() if name not in old.parameters]
    pairs = [(one, other) for one in lost for other in found if _history(one) == _history(other)]
    return {
        one.name: other.name
        for one, other in pairs
        if [pair[0] for pair in pairs].count(one) == 1 and [pair[1] for pair in pairs].count(other) == 1
    }


def parameter_changes(old: Module, new: Module, renamed: Mapping[str, str]) -> Iterator[Change]:
    """Yield the parameters that were added, removed, renamed, or have other values, each from the day that it does."""
    for name, parameter in old.parameters.items():
        if name in renamed:
            yield change("parameter_renamed", name, "none", name, renamed[name])
        elif name not in new.parameters:
            yield change("parameter_removed", name, "none", name, None)
        else:
            effect = strongest((_effect_of(old, name), _effect_of(new, name)))
            money = is_money(name, new.parameters[name].unit)
            for since, before, after in _dated_differences(parameter.values, new.parameters[name].values):
                yield change("parameter", name, effect, before, after, since=since, money=money)
            encoded = [_articles(one.values) for one in (parameter, new.parameters[name])]
            if encoded[0] != encoded[1]:
                yield change("encoded", name, "none", *encoded)
    for name, parameter in new.parameters.items():
        if name not in old.parameters and name not in renamed.values():
            money = is_money(name, parameter.unit)
            values = {str(one.since or "…"): written(one.value, money=money) for one in parameter.values}
            shown = (
                next(iter(values.values())) if len(values) == 1 else ", ".join(f"{d}: {v}" for d, v in values.items())
            )
            yield change("parameter_added", name, "none", None, shown)
    yield from _source_changes(old, new)


def _source_changes(old: Module, new: Module) -> Iterator[Change]:
    """Yield the sources that parameters lost and got, those of several parameters once."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, parameter in old.parameters.items():
        if name in new.parameters:
            before, after = _sources(parameter.values), _sources(new.parameters[name].values)
            if before != after:
                found.setdefault(_differing(before, after), []).append(name)
    for (lost, gained), names in found.items():
        yield change("source", ", ".join(names), "none", lost or None, gained or None)


def terms_changes(old: Module, new: Module) -> Iterator[Change]:
    """Yield the fields of the terms that have other values, each from the day that it does."""
    names = [name for one in (*old.terms, *new.terms) for name in one.value.__struct_fields__]
    for name in dict.fromkeys(names):
        before, after = (
            [
                DatedValue(one.since, one.until, getattr(one.value, name), one.source, one.location)
                for one in module.terms
            ]
            for module in (old, new)
        )
        for since, was, becomes in _dated_differences(before, after):
            yield change("terms", name, "result", was, becomes, since=since, money=is_money(name))
    before, after = _sources(old.terms), _sources(new.terms)
    if before != after:
        lost, gained = _differing(before, after)
        yield change("source", "terms", "none", lost or None, gained or None)


def otherwise_changes(old: Module, new: Module, zone: ZoneInfo) -> Iterator[Change]:
    """Yield how the result and the texts differ if no rule fires."""
    if old.otherwise.then != new.otherwise.then:
        yield change("otherwise", "otherwise", "result", old.otherwise.then, new.otherwise.then, money=new.in_yuan)
    texts = [(one.otherwise.because, one.otherwise.remedy) for one in (old, new)]
    if texts[0] != texts[1]:
        days = change_days((old, new))
        before, after = (
            [
                (one.because, one.remedy)
                for day in days
                for one in [TextsOfTheDay(module, day, zone).otherwise(module.otherwise)]
            ]
            for module in (old, new)
        )
        yield from text_changes("otherwise", before, after, old.otherwise, new.otherwise)


def _dated_differences(old: Sequence[DatedValue], new: Sequence[DatedValue]) -> Iterator[tuple[date, object, object]]:
    """Yield each day from which values differ, with the value before and after; a difference that goes on is one."""
    days = {date.min, *(day for one in (*old, *new) for day in (one.since, one.until) if day is not None)}
    last: tuple[object, object] | None = None
    for day in sorted(days):
        before, after = (value_on(values, day) for values in (old, new))
        pair = (None if before is None else before.value, None if after is None else after.value)
        if pair[0] != pair[1] and pair != last:
            yield day, *pair
        last = pair


def _history(parameter: Parameter) -> list[object]:
    return [(one.since, one.until, one.value) for one in parameter.values]


def _sources(values: Sequence[DatedValue]) -> list[str]:
    return list(dict.fromkeys(one.source for one in values))


def _differing(before: Sequence[str], after: Sequence[str]) -> tuple[str, str]:
    """Return the sources that were lost and got; all of them if only their order differs."""
    lost, gained = ([one for one in these if one not in those] for these, those in ((before, after), (after, before)))
    if not lost and not gained:
        lost, gained = list(before), list(after)
    return "; ".join(lost), "; ".join(gained)


def _articles(values: Sequence[DatedValue]) -> list[str]:
    return list(dict.fromkeys(article for one in values for article in one.articles))


def _effect_of(module: Module, name: str) -> Effect:
    """Return what the value of a parameter can alter: results, only texts that name it, or nothing."""
    if any(name in rule.names() for rule in module.rules):
        return "result"
    texts = [text for one in (*module.rules, module.otherwise) for text in (one.because, one.remedy)]
    named = {
        parameter
        for text in texts
        if text is not None
        for words in (text.zh, text.en)
        for figure in figures_in(words)
        for parameter in figure.parameters()
    }
    return "wording" if name in named else "none"
