"""Coverage of a module by its cases: every rule, and every midnight at which the law changes."""

from collections.abc import Collection, Iterator
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from backend.i18n import Text
from backend.rulebook.language.temporal import midnight
from backend.rulebook.modules.module import Module
from backend.rulebook.modules.periods import in_force
from backend.rulebook.source import Location, SourceFile

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def check_rules_covered(
    module: Module, fired: Collection[str], silent: Collection[str], file: SourceFile, cases_path: str
) -> None:
    """Add a fault for each rule that does not both fire in one case and stay silent in another within its period."""
    for rule in module.rules:
        if rule.id not in fired:
            message = Text(zh=f"没有案例使“{rule.id}”成立", en=f"{rule.id!r} fires in no case")
            file.fault(rule.location, message, _add_case(cases_path), "R076")
        elif rule.id not in silent:
            message = Text(
                zh=f"在“{rule.id}”有效期内的每个案例中，它都成立",
                en=f"{rule.id!r} fires in every case dated within its period",
            )
            advice = Text(
                zh=f"请在 {cases_path} 中补上一个使它不成立的案例",
                en=f"add to {cases_path} a case in which it does not fire",
            )
            file.fault(rule.location, message, advice, "R076")


def check_changes_covered(
    module: Module, instants: Collection[object], zone: ZoneInfo, file: SourceFile, cases_path: str
) -> None:
    """Add a fault for each midnight at which the law changes, unless cases are at it and at the second before."""
    for day, location in changes(module):
        begin = midnight(day, zone)
        edges = {
            begin - SECOND: Text(zh="即规定变更前的最后一秒", en="the last second before the law changes"),
            begin: Text(zh="即规定变更之时", en="when the law changes"),
        }
        for instant, what in edges.items():
            if instant not in instants:
                local = instant.astimezone(zone).isoformat()
                message = Text(zh=f"没有案例的时刻为 {local}，{what.zh}", en=f"no case is dated {local}, {what.en}")
                file.fault(location, message, _add_case(cases_path), "R077")


def _add_case(cases_path: str) -> Text:
    return Text(zh=f"请在 {cases_path} 中补上一个", en=f"add one to {cases_path}")


def changes(module: Module) -> Iterator[tuple[date, Location]]:
    """Yield the days on which a rule, or a parameter that a rule in force uses, changes; with the first cause."""
    dated = [*module.rules, *(value for parameter in module.parameters.values() for value in parameter.values)]
    causes = {item.until: item.location for item in reversed(dated) if item.until is not None}
    causes |= {item.since: item.location for item in reversed(dated) if item.since is not None}
    for day in sorted(causes):
        if _law(module, day) != _law(module, day - DAY):
            yield day, causes[day]


def _law(module: Module, day: date) -> list[object]:
    """Return what decides on a day: the rules in force, and the values of their parameters."""
    rules = [rule for rule in module.rules if in_force(rule.since, rule.until, day)]
    names = sorted({str(name) for rule in rules for name in rule.names()} & module.parameters.keys())
    dated = [module.parameters[name].on(day) for name in names]
    return [[rule.id for rule in rules], [value and value.value for value in dated]]
